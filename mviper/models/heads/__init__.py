"""Heads: features (N, D) and an initial phi to phi (N, 157)."""

from mviper.models.heads.ief import IEFHead
from mviper.models.heads.mean_phi import compute_mean_phi, fit_camera

__all__ = ["IEFHead", "compute_mean_phi", "fit_camera"]
