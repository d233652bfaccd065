"""Contacts that would pull the body off the landmarks are taken back; the others hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("mediapipe")

from mviper.body import FITTED, axis_angle_to_matrix
from mviper.inference import MeshRecoverer, Track
from mviper.inference.contacts import FEET
from mviper.inference.gravity import Gravity
from mviper.models.fitting import Bodies, Projection
from mviper.structures import SMPL_JOINTS

FRAMES = 12


def test_a_raised_foot_taken_for_a_resting_one_is_let_go():
    recover = MeshRecoverer(None)
    pose = torch.zeros(FRAMES, 24, 3)
    pose[:, 0, 0] = np.pi  # upright in an OpenCV camera
    pose[:, SMPL_JOINTS.index("right_knee"), 0] = 1.6  # on one leg
    bodies = Bodies(
        axis_angle_to_matrix(pose), torch.tensor([0.0, 0.2, 4.0]).expand(FRAMES, 3), torch.zeros(FRAMES, 10)
    )
    projection = Projection.of_picture(FRAMES, 640, 640, 700.0)
    fitter = recover._fitter
    root = bodies.transl + fitter.parts.rest_joints(bodies.betas)[:, 0]
    points = fitter.points.posed(bodies.betas, bodies.rotmat, bodies.transl)
    landmarks = np.full((FRAMES, 33, 3), 0.9, np.float32)
    landmarks[:, FITTED, :2] = projection.project(points, root)
    track = Track(1, 0, landmarks, np.zeros((FRAMES, 33, 3), np.float32))
    feet = recover._steady_joints(track, bodies, np.tile(np.eye(3), (FRAMES, 1, 1)))[:, FEET]
    resting = np.ones((FRAMES, 4), bool)
    resting[:, 2] = False  # the right big toe is said to rest, half a metre above the ground
    gravity = Gravity(np.array([0.0, -1.0, 0.0]), 0.02, {})
    turns = np.tile(np.eye(3), (FRAMES, 1, 1))
    fitted, _, held = recover._stood(track, bodies, bodies, projection, turns, feet, resting, gravity, 30.0)
    assert held.sum(0).tolist() == [FRAMES, FRAMES, 0, 0]
    assert recover._misfit(track, fitted, projection).max() < 0.02
