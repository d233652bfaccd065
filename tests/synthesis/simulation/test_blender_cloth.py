"""Real sewing and simulation in bpy on the open body, with coarse cloth and few frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mviper.body.smpl import SMPL
from mviper.body.surface import BodyShape
from mviper.errors import ConfigError, SequenceRejected
from mviper.structures import MeshSequence
from mviper.synthesis.garments import Draft, Edge, Panel, Pattern, Seam, Trousers, TShirt, cut_out
from mviper.synthesis.simulation import BlenderCloth
from mviper.synthesis.simulation.meshes import border_vertices, edges_of

bpy = pytest.importorskip("bpy")

FPS, STILL, MOVING = 30.0, 2, 8


@pytest.fixture(scope="module")
def shape() -> BodyShape:
    return BodyShape.from_body(SMPL(), np.zeros(10))


@pytest.fixture(scope="module")
def body(shape: BodyShape) -> MeshSequence:
    """The body starts at another position and heading than in the cut, then walks off and leans sideways."""
    frames = []
    for step in range(STILL + MOVING):
        share = max(0, step - STILL + 1) / MOVING
        lean = 0.3 * share * share
        x, y, z = shape.vertices.T
        leaning = np.stack(
            [x * np.cos(lean) + z * np.sin(lean), y - 0.3 * share**2, z * np.cos(lean) - x * np.sin(lean)], 1
        )
        turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
        frames.append(leaning @ turn.T + [1.0, 2.0, 0.0])
    return MeshSequence(np.array(frames), shape.faces, name="body")


@pytest.fixture(scope="module")
def dressed(shape: BodyShape, body: MeshSequence):
    rng = np.random.default_rng(3)
    garments = [Trousers(edge_length=0.035).cut(shape, rng), TShirt(edge_length=0.035).cut(shape, rng)]
    return BlenderCloth(drape_frames=6)(garments, body, FPS, lead_in=STILL)


def test_meshes_are_whole_and_as_long_as_the_body(dressed, body: MeshSequence) -> None:
    assert [mesh.name for mesh in dressed.meshes] == ["trousers", "t_shirt"]
    for mesh in dressed.meshes:
        assert mesh.vertices.shape[0] == len(body)
        assert np.isfinite(mesh.vertices).all()
        assert mesh.faces.max() == mesh.vertices.shape[1] - 1
        assert mesh.uv.shape == (*mesh.faces.shape, 2)


def test_seams_are_merged_and_only_hems_are_open(dressed) -> None:
    openings = {"trousers": 3, "t_shirt": 4}  # waist and two hems; neck, hem and two cuffs
    for mesh in dressed.meshes:
        sides = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
        _, count = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
        assert count.max() == 2  # a manifold surface
        border = border_vertices(mesh.faces)
        linked = {tuple(pair) for pair in edges_of(mesh.faces).tolist()}
        euler = mesh.vertices.shape[1] - len(linked) + len(mesh.faces)
        assert euler == 2 - openings[mesh.name]  # one piece, without holes except its openings
        assert 0 < len(border) < 0.25 * mesh.vertices.shape[1]


def test_quality_figures_are_within_the_limits(dressed) -> None:
    for name in ("trousers", "t_shirt"):
        figures = dressed.quality[name]
        assert figures["seams_closed"] == 100
        assert figures["finite"]
        assert figures["inside_mean"] <= 0.5
        assert figures["projected_inside_mean"] <= 0.1
        assert figures["bare_worst"] <= 25
        assert 1.0 < figures["stretch_p99"] < 1.5
    assert dressed.quality["t_shirt"]["layers_mean"] <= 3
    assert set(dressed.timings) == {"baste", "sew", "simulate", "project", "measure"}


def test_cloth_moves_with_the_body(dressed, body: MeshSequence) -> None:
    for mesh in dressed.meshes:
        low, high = body.vertices[-1].min(0) - 0.1, body.vertices[-1].max(0) + 0.1
        assert ((mesh.vertices[-1] > low) & (mesh.vertices[-1] < high)).all()


def tube() -> tuple[Pattern, dict]:
    """A short skirt of two half circles round a column of radius 0.1 m."""
    half = np.pi * 0.13
    corners = [("hem", (0.0, 0.0)), ("right", (half, 0.0)), ("top", (half, 0.2)), ("left", (0.0, 0.2))]
    panels = [Panel(name, tuple(Edge(*corner) for corner in corners)) for name in ("front", "back")]
    pattern = Pattern(
        tuple(panels), (Seam(("front", "right"), ("back", "left")), Seam(("back", "right"), ("front", "left")))
    )

    def place(start: float):
        def placement(flat: np.ndarray) -> np.ndarray:
            angle = start + np.pi * (0.02 + 0.96 * flat[:, 0] / half)
            return np.column_stack([0.13 * np.cos(angle), 0.13 * np.sin(angle), 0.4 + flat[:, 1]])

        return placement

    return pattern, {"front": place(np.pi), "back": place(0.0)}


def column(frames: int) -> MeshSequence:
    """A closed column, 0.1 m thick and 1 m high, that starts moving along x."""
    around, up = 24, 20
    angle = 2 * np.pi * np.arange(around) / around
    ring = np.column_stack([0.1 * np.cos(angle), 0.1 * np.sin(angle), np.zeros(around)])
    rings = [ring + np.array([0, 0, z]) for z in np.linspace(0, 1, up)]
    vertices = np.concatenate([*rings, [[0, 0, 0]], [[0, 0, 1]]])
    faces = []
    for level in range(up - 1):
        for k in range(around):
            a, b = level * around + k, level * around + (k + 1) % around
            faces += [[a, b, b + around], [a, b + around, a + around]]
    bottom, top = len(vertices) - 2, len(vertices) - 1
    faces += [[bottom, (k + 1) % around, k] for k in range(around)]
    faces += [[top, (up - 1) * around + k, (up - 1) * around + (k + 1) % around] for k in range(around)]
    moved = [vertices + np.array([0.01 * max(0, frame - 2) ** 2, 0, 0]) for frame in range(frames)]
    return MeshSequence(np.array(moved), np.array(faces), name="column")


def skirt(pinned: bool = True):
    pattern, placements = tube()
    pins = dict.fromkeys(("front", "back"), lambda flat: (flat[:, 1] > 0.19).astype(float)) if pinned else {}
    return cut_out(Draft(pattern, placements, pins), 0.04, "skirt", "bottom", "cotton")


def test_same_input_gives_the_same_vertices() -> None:
    first, again = (BlenderCloth(drape_frames=3)([skirt()], column(6), FPS) for _ in range(2))
    np.testing.assert_array_equal(first.meshes[0].vertices, again.meshes[0].vertices)
    assert np.ptp(first.meshes[0].vertices[:, :, 0].mean(axis=1)) > 0.05  # it moved along


def test_garment_that_falls_off_is_rejected_with_its_reason() -> None:
    simulator = BlenderCloth(solver_steps=(5, 8), drape_frames=20, friction=0.0)
    with pytest.raises(SequenceRejected, match=r"skirt: .* the limit .*\(8 solver steps per frame\)") as caught:
        simulator([skirt(pinned=False)], column(30), FPS)
    assert caught.value.quality["skirt"]["vertices"] > 50


def test_cloth_that_is_too_tight_is_refused_before_simulation() -> None:
    garment = skirt()
    tight = replace(garment, uv=garment.uv * [0.5, 1.0])  # cloth for 65 % of the column's girth
    with pytest.raises(SequenceRejected, match=r"skirt does not fit the body: panel '(front|back)' is stretched to"):
        BlenderCloth()([tight], column(3), FPS)


def test_cloth_underneath_does_not_make_a_garment_too_tight() -> None:
    garment = skirt()
    over = replace(garment, name="over", uv=garment.uv * [0.75, 1.0])  # of the column's girth, not the skirt's
    dressed = BlenderCloth(solver_steps=(5,), limits=dict(stretch_top=1.05))([garment, over], column(3), FPS)
    assert [mesh.name for mesh in dressed.meshes] == [garment.name, "over"]


def test_seams_that_stay_open_are_refused_before_simulation() -> None:
    far = skirt()
    far.vertices[far.panel == 1] += [0, 3.0, 0]
    with pytest.raises(SequenceRejected, match=r"widest gap .* between panels 'front' and 'back'"):
        BlenderCloth()([far], column(3), FPS)


def test_other_pose_or_body_in_frame_0_is_refused(shape: BodyShape, body: MeshSequence) -> None:
    garment = TShirt(edge_length=0.05).cut(shape, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="must be the T-pose that the garment was cut for"):
        BlenderCloth()([garment], MeshSequence(body.vertices[-1:] * [1, 1, 1.1], body.faces), FPS)
    with pytest.raises(ConfigError, match="was cut for a body of"):
        BlenderCloth()([garment], column(3), FPS)


def test_unknown_material_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown cloth material 'tin'; there are cotton"):
        BlenderCloth()([replace(skirt(), material="tin")], column(3), FPS)


def test_blender_is_silent(capfd) -> None:
    BlenderCloth(drape_frames=1)([skirt()], column(3), FPS)
    assert capfd.readouterr().out == ""
