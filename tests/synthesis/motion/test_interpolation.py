"""The distance D of the paper's data generation, against hand-computed values and a brute-force loop."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.synthesis.motion.interpolation import contrasting_pair, interpolated_poses, pose_distances


def test_distance_by_hand() -> None:
    x, y = np.zeros((2, 24, 3)), np.zeros((1, 24, 3))
    x[0, 4, 0], x[0, 5, 1] = 0.3, 0.4  # two joints: sqrt(0.3^2 + 0.4^2) = 0.5
    x[1, 18] = [0, 1.0, 0]
    y[0, 18] = [0, -0.5, 0]  # 1.5 from x[1], sqrt(0.25 + 0.25) from x[0]
    x[:, 0] = [0, 3, 0]  # the heading does not count
    np.testing.assert_allclose(pose_distances(x, y), [[np.sqrt(0.5)], [1.5]], atol=1e-12)
    assert contrasting_pair(x, y) == (1, 0, pytest.approx(1.5))


def test_distance_does_not_depend_on_turns_by_two_pi() -> None:
    x = np.zeros((1, 24, 3))
    x[0, 7] = [0.2, 0, 0]
    same = x.copy()
    same[0, 7] = [0.2 + 2 * np.pi, 0, 0]
    assert pose_distances(x, same)[0, 0] == pytest.approx(0, abs=1e-6)


def test_argmax_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 24, 3)) * 0.4, rng.normal(size=(9, 24, 3)) * 0.4
    brute = [[np.sqrt(((a[1:] - b[1:]) ** 2).sum()) for b in y] for a in x]
    np.testing.assert_allclose(pose_distances(x, y), brute, atol=1e-9)
    assert contrasting_pair(x, y)[:2] == np.unravel_index(np.argmax(brute), (7, 9))


def test_interpolation_takes_the_short_way_and_ends_at_the_end() -> None:
    start, end = np.zeros((24, 3)), np.zeros((24, 3))
    start[4], end[4] = [3.0, 0, 0], [-3.0, 0, 0]  # 0.28 rad apart through pi, 6 rad the long way
    poses = interpolated_poses(start, end, frames_per_radian=2.0)
    assert len(poses) == int(np.ceil(2 * 6.0)) + 2
    steps = np.diff(poses[:, 4], axis=0)
    assert np.abs(steps).sum() == pytest.approx(2 * np.pi - 6, abs=1e-9)
    turn = Rotation.from_rotvec(poses[-1, 4]) * Rotation.from_rotvec(end[4]).inv()
    assert turn.magnitude() == pytest.approx(0, abs=1e-9)
