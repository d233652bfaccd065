"""Initial bodies in camera space, from a network or from landmarks alone; used as the result, or as a fit's start."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mviper.body import SMPL, to_keypoints
from mviper.inference.lifting import pose_from_landmarks
from mviper.inference.people import Track
from mviper.models.estimators import ClipNetwork
from mviper.models.fitting import Bodies, Projection
from mviper.sample import turn_back

#: Frames posed per batch, so that memory does not grow with the video.
_POSED = 256


@torch.no_grad()
def network_bodies(
    model: ClipNetwork, phi: Tensor, boxes: np.ndarray, projection: Projection, turns: np.ndarray | None = None,
    one_shape: bool = True,
) -> Bodies:  # fmt: skip
    """Converts a network's phi to bodies in camera space.

    Args:
        model: The network.
        phi: Of one person, shape (T, 157).
        boxes: The crops: centre x, centre y, side [px], shape (T, 3).
        projection: The video's camera in T frames.
        turns: The image's rotation in each crop [rad], which is undone for the roots, shape (T,); None: upright.
        one_shape: Whether all frames get the median of their betas; otherwise each keeps its own.
    """
    parts = [model.decode(part[None]) for part in phi.split(_POSED)]
    names = "pred_rotmat", "pred_betas", "pred_camera"
    values = {name: torch.cat([part[name][0] for part in parts]) for name in names}
    if turns is not None:
        values = turn_back(values, torch.from_numpy(turns))
    rotmat, betas, camera = (values[name] for name in names)
    # The network saw the person as if the camera looked at the middle of the crop.
    looking = projection.turned_to(torch.from_numpy(boxes[:, :2]).float())
    rotmat = torch.cat([looking[:, None] @ rotmat[:, :1], rotmat[:, 1:]], 1)
    if one_shape:
        betas = betas.median(0).values.expand(len(phi), -1)
    return _placed(model.body_model, rotmat, betas, camera, boxes, projection)


@torch.no_grad()
def lifted_bodies(body: SMPL, track: Track, boxes: np.ndarray, projection: Projection) -> Bodies:
    """Without a network: the mean shape with bones oriented like MediaPipe's 3D landmarks.

    Args:
        body: The body model.
        track: Of T frames.
        boxes: The crops: centre x, centre y, side [px], shape (T, 3).
        projection: The video's camera in T frames.
    """
    rotmat = torch.from_numpy(pose_from_landmarks(track.world, body)).float()
    betas = torch.zeros(len(rotmat), body.num_betas)
    parts = zip(betas.split(_POSED), rotmat.split(_POSED))
    joints = torch.cat([body(*part, return_vertices=False).joints for part in parts])
    flat = (joints - joints[:, :1])[..., :2].numpy()
    camera = torch.from_numpy(_weak_camera(flat, to_keypoints(track.landmarks), boxes)).float()
    return _placed(body, rotmat, betas, camera, boxes, projection)


def _placed(
    body: SMPL, rotmat: Tensor, betas: Tensor, camera: Tensor, boxes: np.ndarray, projection: Projection
) -> Bodies:
    """Places bodies according to the crops' cameras of eq. 6, (T, 3)."""
    root = projection.root_of(camera, torch.as_tensor(boxes, dtype=torch.float32))
    return Bodies(rotmat, root - body.rest_joints(betas)[:, 0], betas)


def _weak_camera(joints: np.ndarray, keypoints: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Weak-perspective cameras (s, tx, ty) that best fit root-relative joints (T, J, 2) [m] to keypoints (T, J, 3).

    In crop units, shape (T, 3); frames without keypoints are interpolated.
    """
    target = (keypoints[..., :2] - boxes[:, None, :2]) / (boxes[:, None, 2:] / 2)
    known = np.isfinite(target).all(-1)
    weight = np.where(known, 1.0, 0.0)[..., None]
    total = weight.sum(1).clip(min=1)
    target = np.where(known[..., None], target, 0)
    middle, centre = (weight * joints).sum(1) / total, (weight * target).sum(1) / total
    offsets, wanted = weight * (joints - middle[:, None]), target - centre[:, None]
    scale = (offsets * wanted).sum((1, 2)) / (offsets**2).sum((1, 2)).clip(min=1e-9)
    camera = np.concatenate([scale[:, None], centre - scale[:, None] * middle], axis=1)
    seen = known.any(1)
    if not seen.any():
        return np.tile([0.9, 0.0, 0.0], (len(boxes), 1))
    camera[:, 0] = camera[:, 0].clip(0.1, 5)
    frames = np.arange(len(boxes))
    return np.stack([np.interp(frames, frames[seen], column[seen]) for column in camera.T], axis=1)
