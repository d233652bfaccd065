"""The body that motions are fitted to and evaluated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mviper.body import SMPL, Capsules, body_capsules
from mviper.motion.contact import sole_points


@dataclass(frozen=True)
class TargetBody:
    """The properties of a body that motions need, without mesh or torch.

    Attributes:
        rest_joints: Its joints in the T-pose, SMPL's axes [m], shape (24, 3).
        soles: Points under its feet in the T-pose, shape (2, 4, 3); see :func:`mviper.motion.contact.sole_points`.
        capsules: See :mod:`mviper.body.capsules`.
        betas: Its shape, stored in its motions, shape (B,).
        body_model: ``name:sha256`` of the body model that the betas belong to.
    """

    rest_joints: np.ndarray
    soles: np.ndarray
    capsules: Capsules
    betas: np.ndarray
    body_model: str

    @classmethod
    def from_body(cls, body: SMPL, betas: np.ndarray | None = None) -> TargetBody:
        """Measures a body model in a given shape.

        Args:
            body: The body model.
            betas: Its shape, shape (B,); ``None`` for the mean shape (zeros).
        """
        betas = np.asarray(np.zeros(body.num_betas) if betas is None else betas, np.float64)
        shape = torch.as_tensor(betas, dtype=torch.float32, device=body.template.device)[None]
        with torch.no_grad():
            joints = body.rest_joints(shape)[0].double().cpu().numpy()
            vertices = body.rest_vertices(shape)[0].double().cpu().numpy()
        return cls(
            joints, sole_points(vertices), body_capsules(vertices, body.weights, joints), betas, body.body_model_id
        )
