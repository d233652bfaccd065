"""Transfers motion between body models, for example from the open body to the licensed SMPL."""

from __future__ import annotations

import torch
from torch import Tensor

from mviper.body import (
    SMPL,
    AttachedPoints,
    SolverState,
    minimize,
    newton_step,
    take_step,
    turn_derivatives,
)
from mviper.datasets.converters import refit_betas
from mviper.models.fitting import Bodies

#: A rotation of the first value [rad] is worth a reduction of the keypoint distance by the second [m].
_TURN, _PLACE = 0.1, 0.005
#: Frames solved per batch.
_BATCH = 256


@torch.no_grad()
def refit(source: SMPL, target: SMPL, bodies: Bodies) -> tuple[Bodies, float]:
    """The same people in the same poses on another body.

    Betas are chosen for the most similar rest pose. Joints and translation are then adjusted so that the keypoints keep
    their positions (damped Gauss-Newton steps, each frame independently).

    Args:
        source: The body model of the parameters.
        target: The body model to fit.
        bodies: Of N frames.

    Returns:
        The target's bodies, and the mean distance between corresponding vertices [m], or between keypoints if the
        meshes differ.
    """
    different, which = torch.unique(bodies.betas, dim=0, return_inverse=True)
    betas = refit_betas(source, target, different)[which]
    parts, share = AttachedPoints.at_keypoints(target)
    same_mesh = source.faces.shape == target.faces.shape and bool((source.faces == target.faces).all())
    refitted, distances = [], []
    for span in torch.arange(len(betas)).split(_BATCH):
        old, own = bodies.at(span), betas[span]
        wanted = source(old.betas, old.rotmat, old.transl, return_vertices=same_mesh)
        first = target(own, old.rotmat, old.transl, return_vertices=False).joints
        state = old.rotmat, old.transl + (wanted.joints - first).mean(1), own

        def linearized(
            state: SolverState, chosen: Tensor, before: Tensor = old.rotmat, goal: Tensor = wanted.joints
        ) -> tuple[Tensor, ...]:
            rotmat, transl, shape = state
            points, jacobian, _ = parts.linearized(shape, rotmat, transl)
            off = ((share @ points) - goal[chosen]).flatten(1) / _PLACE
            rows = torch.einsum("kp,npxd->nkxd", share, jacobian).flatten(1, 2) / _PLACE
            turned = rotmat - before[chosen]
            hessian = rows.transpose(1, 2) @ rows
            hessian[:, :72, :72] += torch.eye(72).to(hessian) / _TURN**2
            gradient = (rows.transpose(1, 2) @ off[..., None]).squeeze(-1)
            back = (turn_derivatives(rotmat) * turned[:, :, None]).sum((-2, -1))
            gradient[:, :72] += 0.5 * back.flatten(1) / _TURN**2
            energy = 0.5 * off.square().sum(1) + 0.25 * turned.square().sum((1, 2, 3)) / _TURN**2
            return energy, hessian, gradient

        def moved(state: SolverState, system: tuple[Tensor, ...], damping: Tensor) -> SolverState:
            return *take_step(state[:2], newton_step(*system, damping, None)), state[2]

        rotmat, transl, _ = minimize(state, linearized, moved, 10)
        found = target(own, rotmat, transl, return_vertices=same_mesh)
        away = found.vertices - wanted.vertices if same_mesh else found.joints - wanted.joints
        refitted.append(Bodies(rotmat, transl, own))
        distances.append(away.norm(dim=-1).mean(1))
    return Bodies(*(torch.cat(values) for values in zip(*refitted))), float(torch.cat(distances).mean())
