"""Surfaces of annotation and prediction, frame by frame, for overlays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from mviper.body import axis_angle_to_matrix, same_body
from mviper.graphics import ScreenMesh, enlarge_points
from mviper.structures import HumanData


def true_vertices(annotation: HumanData, rows: np.ndarray, body: nn.Module) -> np.ndarray | None:
    """The annotated surface in camera axes [m], shape (T, V, 3); None if its betas belong to another body."""
    if annotation.smpl is None or annotation.camera is None or not same_body(annotation.body_model, body.body_model_id):
        return None
    smpl = {name: torch.as_tensor(np.asarray(values, np.float32)[rows]) for name, values in annotation.smpl.items()}
    rotation = torch.cat([smpl["global_orient"].reshape(-1, 1, 3), smpl["body_pose"].reshape(-1, 23, 3)], 1)
    return _pose(body, smpl["betas"], axis_angle_to_matrix(rotation), smpl["transl"])


def root_relative_vertices(body: nn.Module, prediction: Mapping[str, object]) -> np.ndarray:
    """A prediction's surface in camera axes with SMPL joint 0 at the origin [m], shape (T, V, 3)."""
    return _pose(body, prediction["pred_betas"], prediction["pred_rotmat"], None)


@torch.no_grad()
def _pose(body: nn.Module, betas: torch.Tensor, rotmat: torch.Tensor, transl: torch.Tensor | None) -> np.ndarray:
    """Vertices (T, V, 3) [m], with ``transl`` (T, 3) added, or with joint 0 at the origin if it is None."""
    device = next(body.buffers()).device
    surfaces = []
    for start in range(0, len(betas), 64):
        part = slice(start, start + 64)
        output = body(betas[part].float().to(device), rotmat[part].float().to(device))
        origin = output.joints[:, :1] if transl is None else -transl[part, None].to(device)
        surfaces.append((output.vertices - origin).cpu().numpy())
    return np.concatenate(surfaces)


def enlarged(mesh: ScreenMesh, factor: float) -> ScreenMesh:
    """Scales a mesh to a picture ``factor`` times as large."""
    return ScreenMesh(enlarge_points(mesh.points, factor), mesh.nearness, mesh.normals)


def video_frames(annotation: HumanData, rows: np.ndarray) -> list[int]:
    """The video frames of an annotation's rows."""
    return [int(row) for row in (rows if annotation.frame_idx is None else annotation.frame_idx[rows])]
