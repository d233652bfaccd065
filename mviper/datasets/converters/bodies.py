"""The body that betas belong to, and refitting of betas to another body."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mviper.body import SMPL, axis_angle_to_matrix
from mviper.errors import MissingDataError

_FILES = {"m": "SMPL_MALE.pkl", "f": "SMPL_FEMALE.pkl", "n": "SMPL_NEUTRAL.pkl"}


class Bodies:
    """The licensed bodies that a set's SMPL parameters belong to.

    Args:
        folder: Folder of ``SMPL_{MALE,FEMALE,NEUTRAL}.pkl``; None: the user has none, and betas carry a name
            (``smpl_male``) that matches no body, so that training does not use them.
        refit_to: Body model file to which betas are refitted; None: unchanged.

    Raises:
        MissingDataError: Betas are to be refitted, but there is no folder of bodies.
    """

    def __init__(self, folder: str | Path | None = None, refit_to: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()
        self.target = None if refit_to is None else SMPL(refit_to)
        if self.target is not None and self.folder is None:
            raise MissingDataError(
                "betas can be refitted only with the body models they belong to: --body-models must name the folder "
                "with  " + ", ".join(_FILES.values())
            )
        self._loaded: dict[str, SMPL] = {}

    def described(self) -> dict[str, str | None]:
        """The bodies used, for the index."""
        return {
            "body_models": None if self.folder is None else str(self.folder.resolve()),
            "refit_to": None if self.target is None else self.target.body_model_id,
        }

    def of(self, gender: str) -> SMPL | None:
        """The body of ``'m'``, ``'f'`` or ``'n'``; None if the user has none.

        Raises:
            MissingDataError: The folder lacks it.
        """
        if self.folder is None:
            return None
        if gender not in self._loaded:
            path = self.folder / _FILES[gender]
            if not path.is_file():
                raise MissingDataError(
                    f"{path} is missing; SMPL's body models can be downloaded from https://smpl.is.tue.mpg.de"
                )
            self._loaded[gender] = SMPL(path)
        return self._loaded[gender]

    def betas(self, betas: np.ndarray, gender: str) -> tuple[np.ndarray, str]:
        """A set's betas as stored, and their body.

        Args:
            betas: Of SMPL's body of that gender, shape (N, 10).
            gender: ``'m'``, ``'f'`` or ``'n'``.

        Returns:
            (N, 10) float32 and the body's ``name:sha256`` (a bare name without the file).
        """
        body = self.of(gender)
        if body is None:
            return betas.astype(np.float32), _FILES[gender].removesuffix(".pkl").lower()
        if self.target is None:
            return betas.astype(np.float32), body.body_model_id
        different, place = np.unique(betas, axis=0, return_inverse=True)
        refitted = refit_betas(body, self.target, torch.from_numpy(different).float())
        return refitted.numpy()[place.ravel()], self.target.body_model_id

    @torch.no_grad()
    def joints(self, gender: str, betas: np.ndarray, poses: np.ndarray) -> np.ndarray | None:
        """All keypoints of the posed body relative to SMPL joint 0 [m], (N, J, 3); None without the body.

        Args:
            gender: ``'m'``, ``'f'`` or ``'n'``.
            betas: The set's own, shape (N, 10).
            poses: Axis-angle, shape (N, 24, 3).
        """
        body = self.of(gender)
        if body is None:
            return None
        rotmat = axis_angle_to_matrix(torch.from_numpy(poses).double()).float()
        joints = body(torch.from_numpy(betas).float(), rotmat, return_vertices=False).joints
        return (joints - joints[:, :1]).numpy()


@torch.no_grad()
def refit_betas(source: SMPL, target: SMPL, betas: torch.Tensor, regularization: float = 1e-4) -> torch.Tensor:
    """Betas of one body that reproduce the shape of another body with its betas.

    Least squares in the rest pose up to a translation: over all vertices if the meshes correspond, otherwise over the
    keypoints (size and limb lengths, but hardly girths).

    Args:
        source: The body that the betas belong to.
        target: The body to refit to.
        betas: (N, B).
        regularization: Weight of the betas' norm [m]: directions that the points do not determine stay near 0.

    Returns:
        (N, B of target).
    """

    def points(body: SMPL, values: torch.Tensor) -> torch.Tensor:
        surface = body.rest_vertices(values)
        if not same_mesh:
            rest = body.rest_joints(values)
            surface = torch.cat([rest, torch.einsum("jv,nvc->njc", body.extra_regressor, surface)], 1)
        return (surface - surface.mean(1, keepdim=True)).flatten(1).double()

    same_mesh = source.faces.shape == target.faces.shape and bool((source.faces == target.faces).all())
    basis = torch.eye(target.num_betas)
    zero = points(target, torch.zeros(1, target.num_betas))
    directions = points(target, basis) - zero  # (B, 3 V)
    wanted = points(source, betas) - zero
    system = directions @ directions.T / directions.shape[1] + regularization**2 * torch.eye(len(basis)).double()
    return torch.linalg.solve(system, directions @ wanted.T / directions.shape[1]).T.float()
