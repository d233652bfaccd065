"""Skeletons, labels, sheets."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.graphics.draw import (
    SIDE_COLOURS,
    contact_sheet,
    draw_label,
    draw_skeleton,
    enlarge,
    enlarge_points,
    side_by_side,
)
from mviper.structures.joints import KEYPOINTS


def test_joints_are_drawn_where_they_are_and_hollow_when_hidden():
    image = np.zeros((101, 101, 3), np.uint8)
    points = np.full((44, 2), np.nan)
    left, right = KEYPOINTS.index("left_wrist"), KEYPOINTS.index("right_wrist")
    points[left], points[right] = (30, 40), (70.0, 40.0)
    visible = np.ones(44)
    visible[right] = 0
    drawn = draw_skeleton(image, points, visible, size=5)
    assert tuple(drawn[40, 30]) == SIDE_COLOURS["left"]
    assert not drawn[40, 70].any() and drawn[40, 75].any()
    y, x = np.nonzero(drawn.any(-1) & (np.arange(101) < 50))
    np.testing.assert_allclose([x.mean(), y.mean()], [30, 40], atol=0.01)
    assert not image.any()


def test_bones_link_the_joints_of_a_shorter_list_of_names():
    names = ("left_knee", "left_ankle")
    drawn = draw_skeleton(np.zeros((60, 60, 3), np.uint8), np.array([[30.0, 10], [30, 50]]), names=names)
    assert drawn[30, 30].any() and not drawn[30, 20].any()


def test_far_away_joints_do_no_harm():
    points = np.full((24, 2), 1e12)
    draw_skeleton(np.zeros((20, 20, 3), np.uint8), points)


def test_enlarging_moves_points_with_the_picture():
    image = np.zeros((20, 20, 3), np.uint8)
    image[6, 9] = 255
    big = enlarge(image, 5)[..., 0].astype(float)
    y, x = np.mgrid[:100, :100]
    centre = [(x * big).sum() / big.sum(), (y * big).sum() / big.sum()]
    np.testing.assert_allclose(enlarge_points(np.array([9.0, 6.0]), 5), centre, atol=0.1)


def test_contact_sheet_has_room_for_every_picture():
    images = [np.full((30, 40, 3), 10 * i, np.uint8) for i in range(1, 6)] + [np.full((20, 30, 3), 200, np.uint8)]
    sheet = contact_sheet(images, columns=4, gap=5)
    assert sheet.shape == (2 * 30 + 3 * 5, 4 * 40 + 5 * 5, 3)
    assert (sheet[5:35, 5:45] == 10).all()
    assert (sheet[40:70, 5:45] == 50).all()
    assert (sheet == 200).all(-1).sum() == 20 * 30
    with pytest.raises(ValueError):
        contact_sheet([], 3)


def test_side_by_side_takes_the_tallest_height():
    strip = side_by_side([np.zeros((20, 10, 3), np.uint8), np.zeros((40, 30, 3), np.uint8)], ["a", "b"], gap=4)
    assert strip.shape == (40, 20 + 4 + 30, 3)


def test_label_is_readable_and_stays_in_its_corner():
    image = np.full((200, 300, 3), 120, np.uint8)
    labelled = draw_label(image, "Größe θ")
    changed = np.argwhere((labelled != image).any(-1))
    assert len(changed) > 200 and changed[:, 0].max() < 40 and changed[:, 1].max() < 150
    assert labelled.max() > 200
