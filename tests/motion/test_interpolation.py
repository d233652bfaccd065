"""The distance D of the paper's data generation, compared with hand-computed values and a brute-force loop."""

import tracemalloc
from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.motion import DeepMimicMotion, heading, interpolation, resample
from mviper.motion.interpolation import (
    contrasting_pairs,
    interpolate,
    interpolated_poses,
    pose_distances,
    pose_vectors,
)
from mviper.motion.rotations import Y_UP_TO_Z_UP


def test_distance_by_hand() -> None:
    x, y = np.zeros((2, 24, 3)), np.zeros((1, 24, 3))
    x[0, 4, 0], x[0, 5, 1] = 0.3, 0.4  # two joints: sqrt(0.3^2 + 0.4^2) = 0.5
    x[1, 18] = [0, 1.0, 0]
    y[0, 18] = [0, -0.5, 0]  # 1.5 from x[1], sqrt(0.25 + 0.25) from x[0]
    x[:, 0] = [0, 3, 0]  # the heading does not count
    np.testing.assert_allclose(pose_distances(x, y), [[np.sqrt(0.5)], [1.5]], atol=1e-12)
    (pair,) = contrasting_pairs([pose_vectors(x), pose_vectors(y)], 1)
    assert (pair.first_frame, pair.second_frame, pair.distance) == (1, 0, pytest.approx(1.5))


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
    (pair,) = contrasting_pairs([pose_vectors(x), pose_vectors(y)], 1)
    assert (pair.first_frame, pair.second_frame) == np.unravel_index(np.argmax(brute), (7, 9))


def test_interpolation_takes_the_short_way_and_ends_at_the_end() -> None:
    start, end = np.zeros((24, 3)), np.zeros((24, 3))
    start[4], end[4] = [3.0, 0, 0], [-3.0, 0, 0]  # 0.28 rad apart through pi, 6 rad the long way
    poses = interpolated_poses(start, end, frames_per_radian=2.0)
    assert len(poses) == int(np.ceil(2 * 6.0)) + 2
    steps = np.diff(poses[:, 4], axis=0)
    assert np.abs(steps).sum() == pytest.approx(2 * np.pi - 6, abs=1e-9)
    turn = Rotation.from_rotvec(poses[-1, 4]) * Rotation.from_rotvec(end[4]).inv()
    assert turn.magnitude() == pytest.approx(0, abs=1e-9)


def library(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, 69)) * 0.4 for length in lengths]


def brute_force_pairs(sequences):
    found = []
    for a, x in enumerate(sequences):
        for b in range(a + 1, len(sequences)):
            distances = np.sqrt(((x[:, None] - sequences[b][None]) ** 2).sum(-1))
            i, j = np.unravel_index(distances.argmax(), distances.shape)
            found.append((distances[i, j], a, b, i, j))
    return sorted(found, reverse=True)


def test_top_pairs_equal_brute_force_whatever_the_blocks(monkeypatch) -> None:
    sequences = library([5, 1, 40, 17, 3, 29])
    brute = brute_force_pairs(sequences)
    for block in (1024, 16, 7):
        monkeypatch.setattr(interpolation, "_BLOCK", block)
        pairs = contrasting_pairs(sequences, 6)
        assert [astuple(pair)[1:] for pair in pairs] == [pair[1:] for pair in brute[:6]]
        np.testing.assert_allclose([pair.distance for pair in pairs], [pair[0] for pair in brute[:6]], atol=1e-9)
    everything = contrasting_pairs(sequences, 100)
    assert len(everything) == 15


def test_pairs_by_use_and_group() -> None:
    sequences = library([9] * 7)
    greedy, used = [], np.zeros(7, int)
    for _, a, b, i, j in brute_force_pairs(sequences):
        if used[a] < 2 and used[b] < 2:
            greedy.append((a, b, i, j))
            used[[a, b]] += 1
    assert [astuple(pair)[1:] for pair in contrasting_pairs(sequences, 100, uses=2)] == greedy
    groups = list("xyxyxyy")
    pairs = contrasting_pairs(sequences, 100, groups=groups)
    assert len(pairs) == 3 + 6 and all(groups[pair.first] == groups[pair.second] for pair in pairs)


def test_argmax_equals_brute_force_on_real_pairs(target) -> None:
    source = DeepMimicMotion(names=["walk", "spinkick", "dance_a"])
    poses = [resample(source.load(clip, target), 30).poses for clip in source.clips()]
    vectors = [pose_vectors(p) for p in poses]
    brute = brute_force_pairs(vectors)
    assert [astuple(pair)[1:] for pair in contrasting_pairs(vectors, 3)] == [pair[1:] for pair in brute]
    for distance, a, b, i, j in brute:
        distances = pose_distances(poses[a], poses[b])
        assert distances[i, j] == distances.max() == pytest.approx(distance)


def test_memory_does_not_grow_with_the_frames() -> None:
    """D of two of these sequences would take 200 MB."""
    frame = np.random.default_rng(0).normal(size=(1, 69))

    class Long:
        def __len__(self):
            return 2

        def __getitem__(self, number):
            return np.linspace(0, 1 + number, 5000)[:, None] * frame

    tracemalloc.start()
    try:
        (pair,) = contrasting_pairs(Long(), 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (pair.first_frame, pair.second_frame) == (0, 4999) and pair.distance == pytest.approx(
        2 * np.linalg.norm(frame)
    )
    assert peak < 60e6


def test_interpolated_body_faces_as_it_starts_and_turns_the_short_way(target) -> None:
    rng = np.random.default_rng(1)
    start, end = rng.normal(size=(2, 24, 3)) * 0.3
    for pose, turn in ((start, 2.9), (end, -2.9)):
        pose[0] = (Rotation.from_euler("z", turn) * Y_UP_TO_Z_UP * Rotation.from_rotvec(pose[0])).as_rotvec()
    motion = interpolate(start, end, target.rest_joints, target.soles)
    turned = [Rotation.from_rotvec(motion.poses[k, 0]) for k in (0, -1)]
    between = [Rotation.from_rotvec(a).inv() * Rotation.from_rotvec(b) for a, b in pairwise(motion.poses[:, 0])]
    assert sum(step.magnitude() for step in between) < (turned[0].inv() * turned[1]).magnitude() * 1.2
    assert np.abs(np.diff(np.unwrap(heading(motion.poses[:, 0])))).max() < 0.1
    assert heading(motion.poses[-1:, 0])[0] == pytest.approx(heading(start[None, 0])[0])
