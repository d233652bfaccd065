"""Overlays: occlusion and pixel-exact coverage."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from whole_sequences import from_crop_units

from mviper.body import SMPL
from mviper.graphics.raster import (
    ScreenMesh,
    interpolate,
    overlay,
    perspective,
    rasterize,
    vertex_normals,
    view,
    weak_perspective,
)
from mviper.structures import Camera

QUAD_FACES = np.array([[0, 1, 2], [0, 2, 3]])


def quad(left: float, top: float, right: float, bottom: float, z: float = 2.0) -> np.ndarray:
    """A rectangle that faces a camera at the origin (counter-clockwise seen from there), (4, 3)."""
    return np.array([[left, top, z], [left, bottom, z], [right, bottom, z], [right, top, z]])


def on_screen(vertices: np.ndarray, faces: np.ndarray) -> ScreenMesh:
    """A camera for which x and y are already pixels."""
    return ScreenMesh(vertices[:, :2], -vertices[:, 2], vertex_normals(vertices, faces))


def sphere(rings: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere, faces counter-clockwise seen from outside."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, rings, endpoint=False), indexing="ij"
    )
    vertices = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1)
    index = np.arange(rings * (rings + 1)).reshape(rings + 1, rings)
    a, c = index[:-1], index[1:]
    b, d = np.roll(a, -1, 1), np.roll(c, -1, 1)
    return vertices.reshape(-1, 3), np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).reshape(-1, 3)


def brute_force(mesh: ScreenMesh, faces: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Nearest front face at the centres of N pixels by brute force, (N,), -1 for none."""
    p, sides = mesh.points[faces], []
    for k in range(3):
        (x0, y0), (x1, y1) = p[:, k].T, p[:, (k + 1) % 3].T
        sides.append((x1 - x0) * (y[:, None] - y0) - (y1 - y0) * (x[:, None] - x0))
    area = sum(sides)  # deterministic
    inside = np.all([side <= 0 for side in sides], axis=0) & (area < 0)
    weights = np.stack([sides[1], sides[2], sides[0]], -1) / np.where(area == 0, 1, area)[..., None]
    nearness = np.where(inside, (weights * mesh.nearness[faces]).sum(-1), -np.inf)
    return np.where(inside.any(1), nearness.argmax(1), -1)


@pytest.fixture(scope="module")
def body_surface() -> tuple[np.ndarray, np.ndarray]:
    """The open body 3 m before a camera, arms lowered, turned by 40 degrees; camera axes."""
    body = SMPL()
    turn = lambda axis, angle: torch.tensor(cv2.Rodrigues(np.eye(3)[axis] * np.radians(angle))[0])  # noqa: E731
    rotmat = torch.eye(3).repeat(1, 24, 1, 1)
    rotmat[0, 0] = turn(0, 180) @ turn(1, 40)  # upright in OpenCV's axes
    rotmat[0, 16], rotmat[0, 17] = turn(2, -60), turn(2, 60)
    output = body(torch.zeros(1, 10), rotmat)
    vertices = (output.vertices - output.joints[:, :1])[0].numpy()
    return vertices + np.array([0.0, 0.0, 3.0]), body.faces


def test_a_pixel_belongs_to_what_covers_its_centre():
    fragments = rasterize(on_screen(quad(0.5, 1.5, 3.5, 4.5), QUAD_FACES), QUAD_FACES, 8, 10)
    expected = np.zeros((8, 10), bool)
    expected[2:5, 1:4] = True
    np.testing.assert_array_equal(fragments.mask, expected)


def test_overlay_covers_the_share_of_each_edge_pixel():
    # Pixel 0 reaches from -0.5 to 0.5: the rectangle covers half of column 1, all of column 2, half of column 3.
    image = overlay(
        np.zeros((6, 8, 3), np.uint8), on_screen(quad(1, 0.5, 3, 4.5), QUAD_FACES), QUAD_FACES, alpha=1, samples=4
    )
    row = image[2, :, 0].astype(float)
    np.testing.assert_allclose(row[[0, 4]], 0)
    np.testing.assert_allclose(row[[1, 3]] / row[2], 0.5, atol=0.02)


def test_sphere_silhouette_is_the_analytic_one():
    vertices, faces = sphere()
    centre, radius = np.array([0.3, -0.2, 4.0]), 0.9
    K = np.array([[300.0, 0, 127.5], [0, 300.0, 127.5], [0, 0, 1]])
    mask = rasterize(perspective(vertices * radius + centre, faces, K), faces, 256, 256).mask
    y, x = np.mgrid[:256, :256]
    rays = np.stack([(x - 127.5) / 300, (y - 127.5) / 300, np.ones_like(x)], -1)
    truth = (rays @ centre) ** 2 >= (rays**2).sum(-1) * (centre @ centre - radius**2)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.99
    np.testing.assert_allclose(np.argwhere(mask).mean(0), np.argwhere(truth).mean(0), atol=0.05)


def test_nearness_is_the_depth_along_the_ray():
    vertices = np.array([[-1.0, -1, 2], [-1, 1, 2], [1, 1, 4], [1, -1, 4]])  # the plane z = x + 3
    K = np.array([[50.0, 0, 31.5], [0, 50.0, 31.5], [0, 0, 1]])
    fragments = rasterize(perspective(vertices, QUAD_FACES, K), QUAD_FACES, 64, 64)
    y, x = np.nonzero(fragments.mask)
    np.testing.assert_allclose(1 / fragments.nearness[y, x], 3 / (1 - (x - 31.5) / 50), rtol=1e-5)


@pytest.mark.parametrize("first", [0, 1])
def test_the_nearer_surface_wins_whatever_the_order(first):
    near, far = quad(10, 10, 20, 20, z=1.0), quad(5, 5, 25, 25, z=2.0)
    vertices = np.concatenate([near, far])
    parts = [QUAD_FACES, QUAD_FACES + 4]
    faces = np.concatenate([parts[first], parts[1 - first]])
    colours = np.repeat([[1.0, 0, 0], [0, 1.0, 0]], 4, axis=0)
    image = overlay(np.zeros((32, 32, 3), np.uint8), on_screen(vertices, faces), faces, colour=colours, alpha=1)
    assert image[15, 15, 0] > 100 and image[15, 15, 1] == 0
    assert image[7, 7, 1] > 100 and image[7, 7, 0] == 0


def test_body_agrees_with_trying_all_faces(body_surface):
    vertices, faces = body_surface
    K = np.array([[225.0, 0, 71.5], [0, 225.0, 95.5], [0, 0, 1]])
    mesh = perspective(vertices, faces, K)
    x, y = np.random.default_rng(0).integers([40, 20], [104, 172], (400, 2)).T
    reference = brute_force(mesh, faces, x, y)
    found = rasterize(mesh, faces, 192, 144).face[y, x]
    assert 0.1 < (reference >= 0).mean() < 0.9
    np.testing.assert_array_equal(found, reference)


def test_body_silhouette_matches_its_projected_faces(body_surface):
    vertices, faces = body_surface
    K = np.array([[800.0, 0, 255.5], [0, 800.0, 255.5], [0, 0, 1]])
    mesh = perspective(vertices, faces, K)
    mask = rasterize(mesh, faces, 512, 512).mask
    painted = np.zeros((512, 512), np.uint8)
    for corners in np.round(mesh.points[faces] * 16).astype(np.int32):
        cv2.fillConvexPoly(painted, corners, 1, cv2.LINE_8, 4)
    painted = painted > 0  # cv2 also draws border pixels: half a pixel more all round
    assert not (mask & ~painted).any()
    assert (mask & painted).sum() / painted.sum() > 0.95
    around = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    y, x = np.argwhere(around & ~mask[1:-1, 1:-1]).T + 1
    assert (brute_force(mesh, faces, x, y) == -1).all()  # gaps between fingers, but no pinholes


def test_weak_perspective_uses_the_crop_of_the_data_set(body_surface):
    vertices, faces = body_surface[0] - np.array([0, 0, 3]), body_surface[1]
    camera, crop = np.array([0.9, 0.1, -0.2]), np.array([120.0, 80.0, 200.0])
    mesh = weak_perspective(vertices, faces, camera, crop)
    units = camera[0] * vertices[None, :, :2] + camera[1:]
    np.testing.assert_allclose(mesh.points, from_crop_units(units, crop[None])[0], atol=1e-9)


def test_weak_perspective_sees_what_a_far_camera_sees(body_surface):
    vertices, faces = body_surface[0] - np.array([0, 0, 3]), body_surface[1]
    distance, focal = 500.0, 500.0 * 100
    K = np.array([[focal, 0, 127.5], [0, focal, 127.5], [0, 0, 1]])
    far = rasterize(perspective(vertices + np.array([0, 0, distance]), faces, K), faces, 256, 256)
    weak = rasterize(weak_perspective(vertices, faces, (1.0, 0, 0), (127.5, 127.5, 200.0)), faces, 256, 256)
    assert (far.mask & weak.mask).sum() / (far.mask | weak.mask).sum() > 0.99
    assert (far.face == weak.face).mean() > 0.98


def test_view_applies_the_camera_of_the_frame(body_surface):
    vertices, faces = body_surface
    R = cv2.Rodrigues(np.array([0.2, 0.4, -0.1]))[0]
    t = np.array([0.1, -0.3, 1.0])
    K = np.array([[300.0, 0, 99.5], [0, 300.0, 99.5], [0, 0, 1]])
    camera = Camera(K, np.stack([np.eye(3), R]), np.stack([np.zeros(3), t]), 200, 200)
    mesh = view(vertices, faces, camera, 1)
    np.testing.assert_allclose(mesh.points, camera.project(np.stack([vertices] * 2))[1], atol=1e-9)


def test_normals_of_what_is_seen_point_to_the_camera(body_surface):
    vertices, faces = body_surface
    K = np.array([[200.0, 0, 63.5], [0, 200.0, 63.5], [0, 0, 1]])
    mesh = perspective(vertices, faces, K)
    fragments = rasterize(mesh, faces, 128, 128)
    normals = interpolate(mesh, faces, fragments, mesh.normals[faces])
    assert (normals[:, 2] < 0.1).mean() > 0.98  # on an inside-out body they would face away


@pytest.mark.parametrize("colour", [(0.45, 0.66, 0.95), "each vertex"])
def test_a_body_painted_in_one_go_looks_as_painted_pixel_by_pixel(body_surface, colour):
    """Without edge smoothing the numba painter is used; on a closed body drawing back faces changes nothing."""
    vertices, faces = body_surface
    colour = np.random.default_rng(0).uniform(0, 1, vertices.shape) if colour == "each vertex" else colour
    picture = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    K = np.array([[400.0, 0, 150], [0, 400, 90], [0, 0, 1]])  # its feet are outside the image
    mesh = perspective(vertices, faces, K)
    fast, slow = (overlay(picture, mesh, faces, colour=colour, samples=1, cull=cull) for cull in (True, False))
    assert (fast != picture).any(-1).mean() > 0.05
    assert np.abs(fast.astype(int) - slow).max() <= 1


def test_open_cloth_is_lit_from_both_sides():
    vertices = quad(4, 4, 12, 12)
    away = QUAD_FACES[:, ::-1]
    black = np.zeros((16, 16, 3), np.uint8)
    mesh = on_screen(vertices, away)
    assert not overlay(black, mesh, away).any()
    from_behind = overlay(black, mesh, away, cull=False)
    np.testing.assert_array_equal(from_behind, overlay(black, on_screen(vertices, QUAD_FACES), QUAD_FACES))


def test_faces_behind_the_camera_or_outside_the_picture_are_not_drawn():
    image = np.full((16, 16, 3), 7, np.uint8)
    K = np.array([[10.0, 0, 7.5], [0, 10.0, 7.5], [0, 0, 1]])
    for vertices in (quad(-1, -1, 1, 1, z=-2.0), quad(90, 90, 91, 91, z=2.0)):
        np.testing.assert_array_equal(overlay(image, perspective(vertices, QUAD_FACES, K), QUAD_FACES), image)
    crossing = quad(-1, -1, 1, 1, z=2.0)
    crossing[0, 2] = -1.0  # one corner behind the camera: its two faces are left out and do not smear over the image
    assert rasterize(perspective(crossing, QUAD_FACES, K), QUAD_FACES, 16, 16).mask.sum() == 0
