"""The crop's mapping, on numbers and on pixels."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.datasets.crop import crop_frame, from_crop_units, square_boxes, to_crop_units


def test_box_is_the_joints_times_scale():
    keypoints = np.array([[[10.0, 20.0], [30.0, 100.0], [np.nan, 0.0]]])
    np.testing.assert_allclose(square_boxes(keypoints), [[20, 60, 96]])
    valid = np.array([[True, False, True]])
    np.testing.assert_allclose(square_boxes(keypoints, valid), [[10, 20, 2]])


def test_frames_without_joints_take_their_neighbours_box():
    keypoints = np.full((5, 2, 2), np.nan)
    keypoints[1] = [[0, 0], [10, 10]]
    keypoints[3] = [[0, 0], [30, 30]]
    boxes = square_boxes(keypoints, scale=1.0)
    np.testing.assert_allclose(boxes[:, 2], [10, 10, 20, 30, 30])
    np.testing.assert_allclose(boxes[:, 0], [5, 5, 10, 15, 15])
    with pytest.raises(ValueError, match="no frame has a 2D joint"):
        square_boxes(keypoints[:1])


def test_crop_units_by_hand():
    boxes = np.array([[100.0, 50.0, 40.0]])
    points = np.array([[[100.0, 50.0], [120.0, 30.0], [80.0, 70.0]]])
    np.testing.assert_allclose(to_crop_units(points, boxes), [[[0, 0], [1, -1], [-1, 1]]])
    # A quarter turn takes x (right) to y (down); the mirror comes after it.
    np.testing.assert_allclose(to_crop_units(points, boxes, np.pi / 2), [[[0, 0], [1, 1], [-1, -1]]], atol=1e-12)
    np.testing.assert_allclose(to_crop_units(points, boxes, np.pi / 2, True), [[[0, 0], [-1, 1], [1, -1]]], atol=1e-12)
    turned = to_crop_units(points, boxes, 0.3, True)
    np.testing.assert_allclose(from_crop_units(turned, boxes, 0.3, True), points)


def test_crop_of_whole_pixels_copies_them():
    frame = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    # 20 pixels from 10 to 29: the square's edges are at 9.5 and 29.5.
    np.testing.assert_array_equal(crop_frame(frame, np.array([19.5, 24.5, 20.0]), 20), frame[15:35, 10:30])
    np.testing.assert_array_equal(crop_frame(frame, np.array([19.5, 24.5, 20.0]), 20, flip=True), frame[15:35, 29:9:-1])
    turned = crop_frame(frame, np.array([19.5, 24.5, 20.0]), 20, np.pi / 2)
    np.testing.assert_array_equal(turned, np.rot90(frame[15:35, 10:30], -1))  # clockwise on the screen: x goes to y


def test_shrinking_averages():
    frame = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    crop = crop_frame(frame, np.array([19.5, 19.5, 40.0]), 10)
    expected = frame.reshape(10, 4, 10, 4, 3).mean((1, 3))
    np.testing.assert_allclose(crop, expected, atol=0.51)


def test_outside_is_black():
    frame = np.full((20, 20, 3), 200, np.uint8)
    crop = crop_frame(frame, np.array([0.0, 9.5, 20.0]), 20)
    assert crop[:, :9].max() == 0 and crop[:, 11:].min() == 200


@pytest.mark.parametrize(
    "rotation, flip, size", [(0.0, False, 224), (0.4, True, 224), (-0.7, False, 96), (0.2, True, 48)]
)
def test_drawn_discs_lie_where_crop_units_say(rotation, flip, size):
    # The stated mapping on pixels: centroids of discs within 0.1 px of the prediction, whatever the scale.
    y, x = np.mgrid[:250, :250]
    centres = np.array([[90.3, 80.7], [150.6, 95.2], [120.1, 160.9]])
    box = np.array([[121.7, 118.2, 170.4]])
    for centre in centres:
        disc = np.clip(6.5 - np.hypot(x - centre[0], y - centre[1]), 0, 1)
        frame = np.repeat((disc * 255).round().astype(np.uint8)[..., None], 3, 2)
        crop = crop_frame(frame, box[0], size, rotation, flip)[..., 0].astype(float)
        v, u = np.mgrid[:size, :size]
        found = np.array([(u * crop).sum(), (v * crop).sum()]) / crop.sum()
        units = to_crop_units(centre[None, None], box, rotation, flip)[0, 0]
        np.testing.assert_allclose(found, ((units + 1) * size - 1) / 2, atol=0.05)
