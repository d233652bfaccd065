"""Newton's Style3D solver as a cloth engine that sews and animates garments."""

from __future__ import annotations

import importlib
from dataclasses import replace
from types import ModuleType

import numpy as np

from mviper.errors import MissingDependencyError
from mviper.registry import SIMULATORS
from mviper.structures import Garment, MeshSequence
from mviper.synthesis.simulation import ClothSimulator, SewnGarment, cloth_material, follow_surface

#: Stiffness of the threads that close seams during sewing [N/m].
THREAD_STIFFNESS = 500.0


@SIMULATORS.register_module()
class NewtonCloth(ClothSimulator):
    """Cloth by projective dynamics on a CPU or an NVIDIA GPU; deterministic on a CPU.

    Vertices with a pin weight of 1 are held, all others are free: this solver has no soft pins, and hard ones would
    glue parts that must give (a waistband's lower rim, the seat of a narrow skirt) to the body.

    Args:
        solver_steps: Time steps per frame, tried in this order.
        iterations: Iterations of projective dynamics per step.
        linear_iterations: Conjugate-gradient iterations per iteration of projective dynamics.
        sew_frames: Frames without gravity in which threads close the seams.
        sew_steps: Time steps per frame while sewing.
        drape_frames: Frames in which the sewn garments fall into place on the still body before it moves.
        distance: Contact distance between cloth and body [m].
        self_distance: Contact distance between cloth and cloth [m].
        friction: Coulomb friction coefficient between cloth and body.
        air_drag: Air drag per area and speed [N s/m3].
        device: ``"cpu"``, ``"cuda:0"``, ...; None: a GPU if there is one.
        limits: Values of :class:`~mviper.synthesis.simulation.quality.QualityLimits` that differ from the defaults.

    Raises:
        MissingDependencyError: Newton is not installed.
    """

    def __init__(
        self,
        solver_steps: tuple[int, ...] = (10, 20, 30),
        iterations: int = 1,
        linear_iterations: int = 10,
        sew_frames: int = 8,
        sew_steps: int = 10,
        drape_frames: int = 12,
        distance: float = 0.005,
        self_distance: float = 0.004,
        friction: float = 0.5,
        air_drag: float = 0.16,
        device: str | None = None,
        limits: dict[str, float] | None = None,
    ) -> None:
        super().__init__(solver_steps, drape_frames, limits)
        self.sew_frames, self.sew_steps = sew_frames, sew_steps
        self._engine = _import_engine()
        self._settings = self._engine.Settings(
            steps=sew_steps, iterations=iterations, linear_iterations=linear_iterations, air_drag=air_drag,
            distance=distance, self_distance=self_distance, friction=friction, device=device,
        )  # fmt: skip

    def sew(
        self, garment: Garment, placed: np.ndarray, obstacles: list[tuple[np.ndarray, np.ndarray]], fps: float
    ) -> np.ndarray:
        """See the base class; with zero-length threads, without gravity and inertia."""
        pinned = held(garment.pins)
        cloth = self._engine.Cloth(
            placed, garment.faces, garment.uv[garment.faces], cloth_material(garment.material), pinned,
            np.repeat(placed[None, pinned], self.sew_frames, axis=0), garment.seams, THREAD_STIFFNESS,
        )  # fmt: skip
        still = [(np.repeat(vertices[None], self.sew_frames, axis=0), faces) for vertices, faces in obstacles]
        settings = replace(self._settings, steps=self.sew_steps, gravity=0.0, air_drag=np.inf, self_distance=0.0)
        return self._engine.simulate([cloth], still, fps, settings)[0][-1]

    def simulate(self, sewn: list[SewnGarment], body: MeshSequence, fps: float, steps: int) -> list[np.ndarray]:
        """See the base class; all garments are in one model and collide with each other."""
        cloths = []
        for piece in sewn:
            pinned = held(piece.pins)
            path = follow_surface(piece.vertices[pinned], body.vertices) if len(pinned) else np.empty((len(body), 0, 3))
            material = cloth_material(piece.source.material)
            cloths.append(self._engine.Cloth(piece.vertices, piece.faces, piece.uv, material, pinned, path))
        settings = replace(self._settings, steps=steps)
        return self._engine.simulate(cloths, [(body.vertices, body.faces)], fps, settings)


def held(pins: np.ndarray) -> np.ndarray:
    """Indices of the vertices that follow the body, from pin weights (V,)."""
    return np.flatnonzero(pins >= 1)


def _import_engine() -> ModuleType:
    try:
        import warp

        warp.config.quiet, warp.ScopedTimer.enabled = True, False  # must be set before Newton initialises Warp
        return importlib.import_module("projects.newton_cloth.style3d")
    except ImportError as error:
        raise MissingDependencyError(
            f"NewtonCloth needs the package newton ({error}). Install it from the checkout with: "
            "pip install -c requirements/constraints.txt -r projects/newton_cloth/requirements.txt"
        ) from error
