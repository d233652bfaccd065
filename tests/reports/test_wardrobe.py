"""Dressed bodies seen from all sides, and flat patterns."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.reports.wardrobe import CLOTH_COLOURS, SKIN_COLOUR, dressed_views, labelled, pattern_picture
from mviper.structures import MeshSequence
from mviper.synthesis.garments import Edge, Panel, Pattern, Seam


def box(low: tuple[float, float, float], high: tuple[float, float, float], name: str = "") -> MeshSequence:
    """A closed box, its faces counter-clockwise seen from outside."""
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return MeshSequence(corners[None].astype(float), faces, name=name)


def share_of(picture: np.ndarray, colour: tuple[float, float, float]) -> float:
    """Fraction of pixels with a hue, independent of lighting."""
    pixels = picture.reshape(-1, 3).astype(float)
    unit = pixels / np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1)
    return float((unit @ (np.array(colour) / np.linalg.norm(colour)) > 0.998).mean())


@pytest.mark.parametrize("heading", [0.0, np.pi / 2])
def test_a_patch_before_the_chest_is_seen_from_the_front_only(heading):
    body = box((-0.2, -0.15, 0.0), (0.2, 0.15, 1.6))
    patch = box((-0.1, -0.2, 0.8), (0.1, -0.17, 1.2))  # south of a body that faces south
    turn = np.array([[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]])
    for mesh in (body, patch):
        mesh.vertices = mesh.vertices @ turn.T
    front, side, back = dressed_views(body, [patch], 0, heading, size=128)
    assert share_of(front, CLOTH_COLOURS[0]) > 0.02
    assert 0 < share_of(side, CLOTH_COLOURS[0]) < 0.5 * share_of(front, CLOTH_COLOURS[0])
    assert share_of(back, CLOTH_COLOURS[0]) < 0.001 < 0.1 < share_of(back, SKIN_COLOUR)


def test_cloth_that_is_not_a_number_is_left_out():
    body, patch = box((-0.2, -0.15, 0.0), (0.2, 0.15, 1.6)), box((-0.1, -0.2, 0.8), (0.1, -0.17, 1.2))
    patch.vertices[:] = np.nan
    (front,) = dressed_views(body, [patch], 0, views=["front"], size=64)
    assert share_of(front, SKIN_COLOUR) > 0.1


def test_both_sides_of_a_seam_have_its_colour():
    square = (Edge("a", (0.0, 0.0)), Edge("b", (0.3, 0.0)), Edge("c", (0.3, 0.3)), Edge("d", (0.0, 0.3)))
    pattern = Pattern((Panel("one", square), Panel("two", square)), (Seam(("one", "b"), ("two", "d")),))
    picture = pattern_picture(pattern, scale=200, width=300, gap=20)
    assert picture.shape == (100, 180, 3)
    bright = (picture.max(axis=2).astype(int) - picture.min(axis=2)) > 90  # coloured, neither paper, cloth nor ink
    columns = np.flatnonzero(bright.any(axis=0))
    assert set(columns) <= set(range(77, 84)) | set(range(97, 104)) and len(columns) >= 4
    narrow = pattern_picture(pattern, scale=200, width=120, gap=20)
    assert narrow.shape[0] > 150  # the second panel goes in the next row


def test_label_widens():
    assert labelled(np.zeros((40, 50, 3), np.uint8), "shirt", width=120).shape == (40, 120, 3)
