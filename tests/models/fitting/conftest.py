"""Known people in front of known cameras."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.body.rotations import axis_angle_to_matrix
from mviper.models.fitting import Bodies, Projection, SMPLify
from mviper.motion import DeepMimicMotion


@pytest.fixture(scope="package")
def kicker(body) -> Bodies:
    """16 frames at 30 fps of a kick held out from the pose prior, 4 m in front of a camera, in camera axes."""
    source = DeepMimicMotion(names=["spinkick"], fps=30)
    betas = np.random.default_rng(1).normal(size=10)
    motion = source.load_for_body(next(source.clips()), body, betas)
    rotmat = axis_angle_to_matrix(torch.tensor(motion.poses[8:24])).float()
    to_camera = torch.tensor([[-0.6, -0.8, 0.0], [0.0, 0.0, -1.0], [0.8, -0.6, 0.0]])
    rotmat[:, 0] = to_camera @ rotmat[:, 0]
    betas = torch.tensor(betas).float().expand(16, -1)
    root = body.rest_joints(betas)[:, 0]
    place = (torch.tensor(motion.transl[8:24]).float() + root) @ to_camera.T
    place = place - place.mean(0) + torch.tensor([0.2, 0.1, 4.0])
    return Bodies(rotmat, place - root, betas)


@pytest.fixture(scope="package")
def projection() -> Projection:
    return Projection.of_picture(16, 640, 480, 600.0)


@pytest.fixture(scope="package")
def joints(body, kicker) -> torch.Tensor:
    """(16, 44, 3), camera axes [m]."""
    return body(kicker.betas, kicker.rotmat, kicker.transl, return_vertices=False).joints


@pytest.fixture(scope="package")
def keypoints(joints, projection) -> torch.Tensor:
    """(16, 44, 3) in pixels with 2 px of noise, confidence 1."""
    pixels = projection.project(joints, joints[:, 0])
    pixels = pixels + 2.0 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    return torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)


@pytest.fixture(scope="package")
def fitter(body) -> SMPLify:
    return SMPLify(body)


@pytest.fixture(scope="package")
def alone(fitter, keypoints, projection):
    """Every frame fitted independently."""
    return fitter.fit(keypoints, projection)


@pytest.fixture(scope="package")
def track(fitter, keypoints, projection):
    """The frames fitted as one track."""
    return fitter.fit(keypoints, projection, tracks=[16], fps=30)
