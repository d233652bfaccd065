"""Converters of public data sets to HumanData, one module per set; importing this registers them."""

from mviper.datasets.converters.amass import AMASSConverter
from mviper.datasets.converters.base import Converter, HumanDataConverter, Summary
from mviper.datasets.converters.bedlam import BEDLAMConverter
from mviper.datasets.converters.bodies import refit_betas
from mviper.datasets.converters.coco import COCOConverter
from mviper.datasets.converters.conventions import COCO
from mviper.datasets.converters.emdb import EMDBConverter
from mviper.datasets.converters.h36m import Human36MConverter
from mviper.datasets.converters.lsp import LSPConverter, LSPExtendedConverter
from mviper.datasets.converters.mpi_inf_3dhp import MPIINF3DHPConverter
from mviper.datasets.converters.mpii import MPIIConverter
from mviper.datasets.converters.pw3d import PW3DConverter
from mviper.datasets.converters.surreal import SURREALConverter
from mviper.datasets.converters.ucf101 import UCF101Converter

__all__ = [
    "COCO",
    "AMASSConverter",
    "BEDLAMConverter",
    "COCOConverter",
    "Converter",
    "EMDBConverter",
    "Human36MConverter",
    "HumanDataConverter",
    "LSPConverter",
    "LSPExtendedConverter",
    "MPIIConverter",
    "MPIINF3DHPConverter",
    "PW3DConverter",
    "SURREALConverter",
    "Summary",
    "UCF101Converter",
    "refit_betas",
]
