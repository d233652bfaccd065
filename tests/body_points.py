"""Vertices of a body as points that move with it."""

import numpy as np
import torch

from mviper.body import SMPL, AttachedPoints


def at_vertices(body: SMPL, vertices: torch.Tensor) -> AttachedPoints:
    """Vertices by index, shape (P,): each as the corner of a face that has it."""
    faces, corners = zip(*(np.argwhere(body.faces == index)[0] for index in vertices.tolist()))
    return AttachedPoints.on_surface(body, torch.tensor(faces), torch.eye(3)[list(corners)])
