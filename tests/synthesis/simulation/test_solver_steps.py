"""The number of solver steps for a motion, and the next one when a run exceeds a limit."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.cloth_laboratory import sheet

from mviper.errors import ConfigError, SequenceRejected
from mviper.structures import Garment, MeshSequence
from mviper.synthesis.simulation.dressing import STRIDE, ClothRejected, ClothSimulator, SewnGarment, first_rung
from mviper.synthesis.simulation.meshes import mean_by_group, merge_pairs

LADDER = (10, 20, 30)


@pytest.fixture
def cloth() -> SewnGarment:
    flat, faces = sheet(0.3, 0.3, 0.05)
    vertices, pins = np.column_stack([flat, np.zeros(len(flat))]), np.zeros(len(flat))
    garment = Garment("sheet", vertices, faces, flat, pins.astype(int), ("sheet",), np.zeros((0, 2), int), pins)
    return SewnGarment(garment, vertices, faces, flat[faces], vertices, np.zeros(0), pins, 100.0, 0.0)


def body(speed: float, covered: bool, fps: float = 30.0) -> np.ndarray:
    """A patch of skin below the cloth, or far from it, that moves in one frame only."""
    flat = sheet(0.2, 0.2, 0.02)[0]
    skin = np.column_stack([flat, np.full(len(flat), -0.01)])
    still = np.concatenate([skin, skin - np.array([0.0, 0.0, 1.0])])
    moved = still.copy()
    moved[: len(skin)] += [0.0, 0.0, speed / fps] if covered else 0.0
    moved[len(skin) :] += 0.0 if covered else [0.0, 0.0, speed / fps]
    return np.array([still, still, moved, moved])


@pytest.mark.parametrize(("speed", "rung"), [(0.0, 0), (3.4, 0), (10.8, 1), (16.0, 2), (60.0, 2)])
def test_fast_skin_under_cloth_takes_more_steps(cloth: SewnGarment, speed: float, rung: int) -> None:
    assert first_rung(LADDER, body(speed, covered=True), [cloth]) == rung


def test_bare_hands_and_feet_may_be_fast(cloth: SewnGarment) -> None:
    assert first_rung(LADDER, body(16.0, covered=False), [cloth]) == 0


def test_twice_the_frame_rate_needs_half_the_steps(cloth: SewnGarment) -> None:
    speed = 1.5 * STRIDE * 10 * 30
    assert first_rung(LADDER, body(speed, covered=True, fps=30.0), [cloth]) == 1
    assert first_rung(LADDER, body(speed, covered=True, fps=60.0), [cloth]) == 0


def test_a_still_body_starts_at_the_bottom(cloth: SewnGarment) -> None:
    assert first_rung(LADDER, body(0.0, covered=True)[:1], [cloth]) == 0


class Brittle(ClothSimulator):
    """An engine whose cloth stays still with 20 solver steps, and becomes NaN with fewer."""

    def sew(self, garment, placed, obstacles, fps):
        group = merge_pairs(garment.seams, len(placed))
        return mean_by_group(placed, group)[group]

    def simulate(self, sewn, body, fps, steps):
        broken = np.nan if steps < 20 else 0.0
        return [np.repeat(piece.vertices[None], len(body), 0) + broken for piece in sewn]


def cover(name: str, radius: float) -> Garment:
    """Two panels, sewn along one side, bent over the ball."""
    flat, faces = sheet(0.15, 0.3, 0.03)
    flat = flat - flat.min(axis=0)
    both = np.concatenate([flat - [0.15, 0.15], flat - [0.0, 0.15]])
    seam = np.column_stack([np.flatnonzero(flat[:, 0] > 0.1499), np.flatnonzero(flat[:, 0] < 1e-4) + len(flat)])
    x, turn = both[:, 0], both[:, 1] / radius
    vertices = np.column_stack([x, radius * np.sin(turn), 0.2 + radius * np.cos(turn)])
    panel = np.repeat([0, 1], len(flat))
    faces = np.concatenate([faces, faces + len(flat)])
    return Garment(name, vertices, faces, both, panel, ("left", "right"), seam, np.zeros(len(both)))


@pytest.fixture
def ball(make_sphere) -> MeshSequence:
    vertices, faces = make_sphere(800, 0.2)
    return MeshSequence(np.repeat(vertices[None] + [0.0, 0.0, 0.2], 3, axis=0), faces)


def test_a_run_that_breaks_a_limit_is_accepted_with_more_steps(ball: MeshSequence) -> None:
    pytest.importorskip("bpy")
    result = Brittle(drape_frames=2)([cover("inner", 0.212), cover("outer", 0.224)], ball, 30.0)
    assert result.quality["solver_steps"] == 20
    assert result.quality["breaches"] == ["10 solver steps: inner: the cloth has NaN vertices"]
    assert [mesh.name for mesh in result.meshes] == ["inner", "outer"]
    assert all(np.isfinite(mesh.vertices).all() and len(mesh) == 3 for mesh in result.meshes)
    assert [(attempt.steps, attempt.frames) for attempt in result.attempts] == [(10, 2 + 3), (20, 2 + 3)]
    assert 0 <= sum(attempt.seconds for attempt in result.attempts) <= result.timings["simulate"] + 1e-6


@pytest.mark.parametrize("names", [("inner",), ("inner", "outer")])
def test_cloth_that_is_never_numbers_is_rejected(ball: MeshSequence, names: tuple[str, ...]) -> None:
    pytest.importorskip("bpy")
    garments = [cover(name, 0.212 + 0.012 * index) for index, name in enumerate(names)]
    with pytest.raises(SequenceRejected, match=r"inner: .*cloth has NaN vertices"):
        Brittle((5, 10), drape_frames=2)(garments, ball, 30.0)


class Slipping(Brittle):
    """An engine whose cloth drops lower with more steps."""

    def simulate(self, sewn, body, fps, steps):
        still = [np.repeat(piece.vertices[None], len(body), 0) for piece in sewn]
        return [np.concatenate([cloth[:-1], cloth[-1:] - [0.0, 0.0, 0.01 * steps]]) for cloth in still]


@pytest.mark.parametrize(("engine", "reason"), [(Brittle, "NaN vertices"), (Slipping, "bare_worst|inside_")])
def test_a_rejection_holds_the_last_run_as_it_came_from_the_solver(ball: MeshSequence, engine, reason: str) -> None:
    pytest.importorskip("bpy")
    with pytest.raises(ClothRejected, match=reason) as rejection:
        engine((5, 15), drape_frames=2)([cover("inner", 0.212)], ball, 30.0)
    result = rejection.value.result
    assert [attempt.steps for attempt in result.attempts] == [5, 15] and len(result.quality["breaches"]) == 2
    assert result.quality == rejection.value.quality and result.quality["solver_steps"] == 15
    (mesh,) = result.meshes
    assert mesh.name == "inner" and len(mesh) == len(ball) and mesh.uv.shape == (*mesh.faces.shape, 2)
    dropped = mesh.vertices[0, :, 2] - mesh.vertices[-1, :, 2]
    assert np.isnan(dropped).all() if engine is Brittle else np.allclose(dropped, 0.15, atol=1e-6)


@pytest.mark.parametrize("steps", [10, (), (20, 10), (10, 10), (0, 10), (10.5,), "10"])
def test_steps_that_do_not_rise_are_refused(steps: object) -> None:
    with pytest.raises(ConfigError, match="expected solver_steps as increasing integers"):
        Brittle(steps)


@pytest.mark.parametrize("limits", [dict(bear=20), dict(bare="20"), [20]])
def test_unknown_limits_are_refused_by_name(limits: object) -> None:
    with pytest.raises(ConfigError, match="limits takes numbers"):
        Brittle(limits=limits)
