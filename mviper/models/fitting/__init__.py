"""Bodies fitted to 2D joints, without a network."""

from mviper.models.fitting.estimator import SMPLifyEstimator
from mviper.models.fitting.outline import Masks, Outline
from mviper.models.fitting.projection import Projection, guess_focal
from mviper.models.fitting.smplify import Bodies, SMPLify, SMPLifyFit, SMPLifySettings
from mviper.models.fitting.terms import MASS, Support

__all__ = [
    "MASS",
    "Bodies",
    "Masks",
    "Outline",
    "Projection",
    "SMPLify",
    "SMPLifyEstimator",
    "SMPLifyFit",
    "SMPLifySettings",
    "Support",
    "guess_focal",
]
