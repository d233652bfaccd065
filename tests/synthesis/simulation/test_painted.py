"""Painted clothes on the open body: on the skin, with straight hems, complete, true to scale, hiding nothing."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mviper.body.surface import BodyShape
from mviper.errors import SequenceRejected
from mviper.registry import SIMULATORS
from mviper.structures import MeshSequence, Motion
from mviper.synthesis import pose_body
from mviper.synthesis.garments import Draft, Edge, Panel, Pattern, Seam, Trousers, TShirt, cut_out
from mviper.synthesis.scene import CompassCameras, Material, SceneMesh
from mviper.synthesis.scene.annotation import keypoint_parts, vertex_parts, visibility
from mviper.synthesis.simulation import PaintedCloth
from mviper.synthesis.simulation.meshes import edges_of, vertex_normals
from mviper.synthesis.simulation.surface_fields import nearest_faces

EDGE = 0.03


@pytest.fixture(scope="module")
def posed(body, moving: Motion):
    """The body at rest, then through a motion: mesh and keypoints, and its rest shape."""
    rest = np.zeros((1, 24, 3))
    rest[0, 0] = [np.pi / 2, 0, 0]
    motion = Motion(
        np.concatenate([rest, moving.poses]), np.concatenate([[[0, 0, 1.2]], moving.transl]), moving.betas, 30.0
    )
    vertices, keypoints = pose_body(body, motion)
    return (
        MeshSequence(vertices, body.faces, name="body"),
        keypoints.astype(float),
        BodyShape.from_body(body, moving.betas),
    )


@pytest.fixture(scope="module")
def garments(posed):
    rng = np.random.default_rng(2)
    return [
        Trousers(edge_length=EDGE, length=(0.95, 0.95)).cut(posed[2], rng), TShirt(edge_length=EDGE).cut(posed[2], rng)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def painted(posed, garments):
    mesh = posed[0]
    before = mesh.vertices.copy(), mesh.faces.copy()
    start = time.process_time()
    result = SIMULATORS.build(dict(type="PaintedCloth"))(garments, mesh, 30.0, lead_in=1)
    print(f"painted: {time.process_time() - start:.2f} CPU-s in all, {result.timings}")
    np.testing.assert_array_equal(before[0], mesh.vertices)  # no vertex and no face of the body is lost
    np.testing.assert_array_equal(before[1], mesh.faces)
    return result


def open_edges(faces: np.ndarray) -> np.ndarray:
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    sides, count = np.unique(sides, axis=0, return_counts=True)
    assert count.max() == 2
    return sides[count == 1]


def hems(mesh: MeshSequence) -> list[np.ndarray]:
    """The vertices of each opening in order."""
    sides = open_edges(mesh.faces)
    neighbours: dict[int, list[int]] = {}
    for a, b in sides.tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    assert {len(ends) for ends in neighbours.values()} == {2}
    loops, left = [], set(neighbours)
    while left:
        loop = [min(left)]
        while True:
            left.discard(loop[-1])
            following = [k for k in neighbours[loop[-1]] if k in left]
            if not following:
                break
            loop.append(following[0])
        loops.append(np.array(loop))
    return loops


def test_paint_stays_on_the_skin_in_every_frame(painted, posed) -> None:
    mesh = posed[0]
    for layer, cloth in enumerate(painted.meshes, start=1):
        assert cloth.vertices.shape[0] == len(mesh) and cloth.vertices.dtype == np.float32
        for frame in (0, 1, len(mesh) - 1):
            skin = mesh.vertices[frame].astype(float)
            points = cloth.vertices[frame].astype(float)
            corners = skin[mesh.faces]
            facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            facing /= np.linalg.norm(facing, axis=1, keepdims=True)
            normals = vertex_normals(points, cloth.faces)
            face, place = nearest_faces(points, normals, skin, mesh.faces, facing, turn=0.001, candidates=30)
            offset = points - np.einsum("nk,nki->ni", place, corners[face])
            assert np.linalg.norm(offset, axis=1).max() < 0.001
            # Above the skin, an outer garment above an inner one.
            assert np.median(np.einsum("ni,ni->n", offset, facing[face])) == pytest.approx(layer * 0.0003, rel=0.1)


def test_paint_is_whole_and_open_only_at_the_hems(painted) -> None:
    openings = {"trousers": 3, "t_shirt": 4}
    for cloth in painted.meshes:
        count = cloth.vertices.shape[1]
        edges = edges_of(cloth.faces)
        pieces, _ = connected_components(coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)))
        assert pieces == 1 and len(hems(cloth)) == openings[cloth.name]
        assert count - len(edges) + len(cloth.faces) == 2 - openings[cloth.name]


def test_hems_are_smooth_and_where_the_pattern_puts_them(painted) -> None:
    for cloth in painted.meshes:
        for loop in hems(cloth):
            line = cloth.vertices[0][loop].astype(float)
            steps = np.linalg.norm(np.roll(line, -1, axis=0) - line, axis=1)
            # Evenly spaced, smoothed over 25 mm: a jagged line would be much longer.
            along = np.concatenate([[0], np.cumsum(steps)])
            even = np.arange(0, along[-1], 0.005)
            points = np.stack([np.interp(even, along, np.append(line[:, k], line[0, k])) for k in range(3)], axis=1)
            smooth = np.mean([np.roll(points, k, axis=0) for k in range(-2, 3)], axis=0)
            length = np.linalg.norm(np.roll(smooth, -1, axis=0) - smooth, axis=1).sum()
            assert along[-1] / length < 1.05, cloth.name
    trousers, shirt = painted.meshes
    lowest = sorted(hems(trousers), key=lambda loop: trousers.vertices[0, loop, 2].mean())[:2]
    assert [np.ptp(trousers.vertices[0, loop, 2]) for loop in lowest] == pytest.approx([0, 0], abs=0.02)
    left, right = (trousers.vertices[0, loop, 2].mean() for loop in lowest)
    assert left == pytest.approx(right, abs=0.01)
    cuffs = sorted(hems(shirt), key=lambda loop: -np.abs(shirt.vertices[0, loop, 0].mean()))[:2]
    for line in (*(trousers.vertices[0][loop] for loop in lowest), *(shirt.vertices[0][loop] for loop in cuffs)):
        off_plane = (line - line.mean(axis=0)) @ np.linalg.svd(line - line.mean(axis=0))[2][2]
        assert np.abs(off_plane).max() < 0.01


def test_fabric_keeps_its_scale(painted, garments) -> None:
    for cloth, garment in zip(painted.meshes, garments):
        figures = painted.quality[garment.name]
        assert 15 < figures["covered"] < 60 and figures["vertices"] == cloth.vertices.shape[1]
        assert figures["fabric_scale"] < 1.06 and figures["fabric_scale_p95"] < 1.2
        assert cloth.uv.shape == (*cloth.faces.shape, 2) and np.isfinite(cloth.uv).all()
        assert (cloth.uv > garment.uv.min(axis=0) - 0.1).all() and (cloth.uv < garment.uv.max(axis=0) + 0.1).all()


def test_the_same_input_gives_the_same_bytes_and_needs_no_blender(painted, posed, garments, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "bpy", None)
    mesh = MeshSequence(posed[0].vertices[:2], posed[0].faces)
    again = PaintedCloth()(garments[1:], mesh, 30.0).meshes[0]
    single = painted.meshes[1]
    np.testing.assert_array_equal(again.faces, single.faces)
    np.testing.assert_array_equal(again.uv, single.uv)
    twice = PaintedCloth()(garments[1:], mesh, 30.0).meshes[0]
    np.testing.assert_array_equal(again.vertices, twice.vertices)


def test_visibility_is_that_of_the_skin(painted, posed) -> None:
    mesh, keypoints, shape = posed
    cameras = CompassCameras()(keypoints)
    parts = vertex_parts(shape.weights)
    own = keypoint_parts(shape.joints, shape.vertices, parts)
    skin = Material(np.full(3, 0.5))
    bare = [SceneMesh(mesh, skin, parts)]
    dressed = [*bare, *(SceneMesh(cloth, skin) for cloth in painted.meshes)]
    seen = np.stack(visibility(cameras, keypoints, own, bare))
    same = seen == np.stack(visibility(cameras, keypoints, own, dressed))
    assert 0.3 < seen.mean() < 1 and same.mean() > 0.995


def skirt(shape: BodyShape):
    """A knee-long skirt of two panels, wider below."""
    waist, length = shape.joint("spine_1"), 0.5
    widths = np.array([0.62, 0.44])  # hem and waist of one panel

    def place(side: float):
        def placement(flat: np.ndarray) -> np.ndarray:
            width = np.interp(flat[:, 1], [0, length], widths)
            angle, radius = np.pi * 0.98 * flat[:, 0] / width, width / np.pi
            x, y = side * 1.15 * radius * np.sin(angle), waist[1] - side * 0.85 * radius * np.cos(angle)
            return np.column_stack([x, y, waist[2] - length + flat[:, 1]])

        return placement

    hem, top = widths / 2
    corners = (("hem", (-hem, 0.0)), ("right", (hem, 0.0)), ("top", (top, length)), ("left", (-top, length)))
    panels = tuple(Panel(name, tuple(Edge(*corner) for corner in corners)) for name in ("front", "back"))
    seams = (Seam(("front", "right"), ("back", "left")), Seam(("back", "right"), ("front", "left")))
    pins = dict.fromkeys(("front", "back"), lambda flat: (flat[:, 1] > length - 0.02).astype(float))
    draft = Draft(Pattern(panels, seams), {"front": place(1.0), "back": place(-1.0)}, pins)
    return cut_out(draft, EDGE, "skirt", "bottom", "cotton")


def test_a_skirt_is_painted_onto_both_legs(posed) -> None:
    shape = posed[2]
    mesh = MeshSequence(shape.vertices[None], shape.faces)
    cloth = PaintedCloth()([skirt(shape)], mesh, 30.0).meshes[0]
    waist, *legs = sorted(hems(cloth), key=lambda loop: -cloth.vertices[0, loop, 2].mean())
    assert len(legs) == 2  # the crotch is covered
    middle = [cloth.vertices[0, loop].mean(axis=0) for loop in legs]
    assert middle[0][0] * middle[1][0] < 0
    wanted = shape.joint("spine_1")[2] - 0.5
    assert [place[2] for place in middle] == pytest.approx([wanted, wanted], abs=0.06)
    assert np.ptp(cloth.vertices[0, waist, 2]) < 0.03


def test_a_scrap_of_cloth_is_no_garment(posed) -> None:
    shape = posed[2]
    chest = shape.joint("spine_3") - np.array([0, 0.15, 0])
    scrap = Panel("scrap", (Edge("a", (0.0, 0.0)), Edge("b", (0.05, 0.0)), Edge("c", (0.02, 0.05))))
    place = {"scrap": lambda flat: chest + np.column_stack([flat[:, 0], 0 * flat[:, 0], flat[:, 1]])}
    garment = cut_out(Draft(Pattern((scrap,), ()), place), EDGE, "scrap", "top", "cotton")
    with pytest.raises(SequenceRejected, match="scrap: it covers no skin"):
        PaintedCloth()([garment], MeshSequence(shape.vertices[None], shape.faces), 30.0)
