"""Bodies fitted to 2D joints, without a network."""

from mviper.models.fitting.estimator import SMPLifyEstimator
from mviper.models.fitting.projection import Projection, guess_focal
from mviper.models.fitting.smplify import Bodies, SMPLify, SMPLifyFit, SMPLifySettings

__all__ = [
    "Bodies",
    "Projection",
    "SMPLify",
    "SMPLifyEstimator",
    "SMPLifyFit",
    "SMPLifySettings",
    "guess_focal",
]
