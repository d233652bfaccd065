"""The crop's mapping, tested on coordinates and on pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from whole_sequences import from_crop_units

from mviper.datasets.crop import crop_frame, crop_squares, square_boxes, to_crop_units
from mviper.structures.joints import KEYPOINTS


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
    # A quarter turn takes x (right) to y (down); mirroring comes after it.
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
    # The mapping on pixels: centroids of discs are within 0.1 px of the prediction at any scale.
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


def people(frames=3, seed=0):
    """Random keypoints (T, 44, 2) [px] with hips below shoulders."""
    points = np.random.default_rng(seed).uniform(100, 300, (frames, len(KEYPOINTS), 2))
    for name, place in (("left_hip", (215, 250)), ("right_hip", (185, 250)), ("left_shoulder", (220, 150))):
        points[:, KEYPOINTS.index(name)] = place
    points[:, KEYPOINTS.index("right_shoulder")] = (180, 150)
    return points


def middle(points, joint):
    return points[:, [KEYPOINTS.index(f"left_{joint}"), KEYPOINTS.index(f"right_{joint}")]].mean(1)


def test_aligned_squares_stand_on_the_hips_with_the_torso_upright():
    points = people()
    turn = np.array([[np.cos(2.2), -np.sin(2.2)], [np.sin(2.2), np.cos(2.2)]])
    for moved in (points, points @ turn.T * 0.7 + [40, -90]):
        boxes, angles = crop_squares(moved, alignment="torso")
        units = to_crop_units(moved, boxes, angles)
        np.testing.assert_allclose(middle(units, "hip"), 0, atol=1e-12)
        np.testing.assert_allclose(middle(units, "shoulder")[:, 0], 0, atol=1e-12)
        assert (middle(units, "shoulder")[:, 1] < 0).all()
        np.testing.assert_allclose(np.linalg.norm(units, axis=-1).max(1), 2 / 2.5)
        np.testing.assert_allclose(units, to_crop_units(points, *crop_squares(points, alignment="torso")), atol=1e-12)
        np.testing.assert_allclose(from_crop_units(units, boxes, angles), moved)
    boxes, angles = crop_squares(points, scale=5.0, alignment="torso")
    assert np.linalg.norm(to_crop_units(points, boxes, angles), axis=-1).max() == pytest.approx(2 / 5)
    upright, none = crop_squares(points)
    np.testing.assert_array_equal(upright, square_boxes(points))
    assert not none.any()


def test_aligned_squares_of_frames_without_a_torso_lie_between_their_neighbours():
    points = people(5)
    hips = points[:, KEYPOINTS.index("left_hip")] / 2 + points[:, KEYPOINTS.index("right_hip")] / 2
    for frame, angle in ((0, 3.0), (4, -3.0)):  # across the wrap-around at upside down
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points[frame] = (points[frame] - hips[frame]) @ turn.T + hips[frame]
    valid = np.ones(points.shape[:2], bool)
    valid[1:4, KEYPOINTS.index("left_shoulder")] = False
    valid[1:4, [KEYPOINTS.index("neck"), KEYPOINTS.index("neck_extra")]] = False
    _, angles = crop_squares(points, valid, alignment="torso")
    np.testing.assert_allclose(np.abs(angles), [3, np.pi - 0.0708, np.pi, np.pi - 0.0708, 3], atol=1e-3)
    # Sets that label only surface joints are aligned by those.
    valid[:] = False
    for name in ("left_hip_extra", "right_hip_extra", "neck_extra"):
        valid[:, KEYPOINTS.index(name)] = True
    boxes, angles = crop_squares(points, valid, alignment="torso")
    np.testing.assert_allclose(boxes[:, :2], middle(points, "hip_extra"))
    units = to_crop_units(points[:, [KEYPOINTS.index("neck_extra")]], boxes, angles)
    np.testing.assert_allclose(units[..., 0], 0, atol=1e-12)
    valid[:, KEYPOINTS.index("neck_extra")] = False
    with pytest.raises(ValueError, match="hips and the shoulders"):
        crop_squares(points, valid, alignment="torso")


def test_a_turned_picture_gives_the_same_aligned_crop():
    rng = np.random.default_rng(3)
    frame = cv2.resize(rng.integers(0, 256, (12, 12, 3), np.uint8), (400, 400), interpolation=cv2.INTER_CUBIC)
    points = people(1)
    boxes, angles = crop_squares(points, alignment="torso")
    wanted = crop_frame(frame, boxes[0], 64, angles[0])
    # A quarter turn moves whole pixels: x (right) becomes y (down).
    quarter = np.stack([399 - points[..., 1], points[..., 0]], -1)
    boxes, angles = crop_squares(quarter, alignment="torso")
    crop = crop_frame(np.ascontiguousarray(np.rot90(frame, -1)), boxes[0], 64, angles[0])
    assert angles[0] == pytest.approx(-np.pi / 2)
    assert np.abs(crop.astype(int) - wanted).max() <= 2
    matrix = cv2.getRotationMatrix2D((200, 200), 33, 0.9)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    boxes, angles = crop_squares(moved, alignment="torso")
    crop = crop_frame(cv2.warpAffine(frame, matrix, (400, 400)), boxes[0], 64, angles[0])
    inner = slice(20, 44)  # the part visible in both frames
    assert np.abs(crop.astype(int) - wanted)[inner, inner].mean() < 2 < wanted[inner, inner].std() / 10
