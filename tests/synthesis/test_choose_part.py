"""The part of a clip that is used: the drawn one, or another if its motion quality is insufficient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mviper.errors import SequenceRejected
from mviper.motion import DeepMimicMotion, TargetBody, busiest_start, resample
from mviper.structures import Motion
from mviper.structures.joints import SMPL_JOINTS
from mviper.synthesis import CONFIG_KEYS, choose_part

FRAMES = 30


@pytest.fixture(scope="module")
def target(body) -> TargetBody:
    return TargetBody.from_body(body)


@pytest.fixture(scope="module")
def walk(target) -> Motion:
    """13 s, 30 Hz."""
    source = DeepMimicMotion(names="walk", min_seconds=13.0)
    return resample(source.load(next(source.clips()), target), 30.0)


def spoilt(motion: Motion, frames: slice) -> Motion:
    """The motion with knees bent forwards in some frames."""
    poses = motion.poses.copy()
    poses[frames, SMPL_JOINTS.index("left_knee")] = [-1.0, 0.0, 0.0]
    return replace(motion, poses=poses)


def chosen(motion, target, seed=0, **config):
    config = {**CONFIG_KEYS, "max_frames": FRAMES, **config}
    part, leading, quality = choose_part(motion, 0.0, target, config, False, np.random.default_rng(seed))
    assert len(part) == len(leading) == FRAMES
    assert quality.limit_excess <= 25.0
    (start,) = (k for k in range(len(motion)) if np.array_equal(motion.transl[k], part.transl[0]))
    return start


def test_a_good_draw_is_shown(walk, target):
    for seed in range(4):
        first = int(np.random.default_rng(seed).integers(len(walk) - FRAMES + 1))
        assert chosen(walk, target, seed) == first


def test_another_part_is_shown_where_the_drawn_one_is_bad(walk, target):
    half = len(walk) // 2
    bad, starts = spoilt(walk, slice(0, half)), set()
    for seed in range(6):
        first = int(np.random.default_rng(seed).integers(len(walk) - FRAMES + 1))
        start = chosen(bad, target, seed)
        assert start >= half and (start == first or first < half)
        assert start == chosen(bad, target, seed)
        starts.add(start)
    assert len(starts) > 3


def test_the_busiest_part_goes_first(walk, target):
    busiest = busiest_start(walk, FRAMES, target.rest_joints)
    assert chosen(walk, target, clip_part="busiest") == busiest
    bad = spoilt(walk, slice(busiest, busiest + FRAMES))
    assert abs(chosen(bad, target, clip_part="busiest") - busiest) >= FRAMES


def test_a_clip_without_a_good_part_is_rejected_for_what_is_wrong_with_the_first(walk, target):
    config = {**CONFIG_KEYS, "max_frames": FRAMES}
    bad = spoilt(walk, slice(0, None))
    with pytest.raises(SequenceRejected, match="beyond its range") as caught:
        choose_part(bad, 0.0, target, config, False, np.random.default_rng(0))
    assert caught.value.quality["motion"]["limit_excess"] > 25
    with pytest.raises(SequenceRejected, match="min_seconds"):
        choose_part(walk[:20], 0.0, target, config, False, np.random.default_rng(0))
    short = spoilt(walk[:FRAMES], slice(0, 1))
    with pytest.raises(SequenceRejected, match="beyond its range"):
        choose_part(short, 0.0, target, config, False, np.random.default_rng(0))
