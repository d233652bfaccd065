"""Recombined motions: which parts come from which clip, joints within range, feet on the floor."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError
from mviper.motion import forward_kinematics, mirrored, resample
from mviper.motion.contact import body_points, lowest, posed_points
from mviper.motion.joint_limits import limit_excess
from mviper.motion.sources.base import split_of
from mviper.motion.sources.recombine import ARMS, LEGS
from mviper.registry import MOTION_SOURCES
from mviper.structures.joints import mirror_indices

CLIPS = dict(type="DeepMimicMotion", names=["walk", "kick", "punch", "jump"])
SPLITS = dict(val=["jump"], test=["kick"])


def build(**options):
    return MOTION_SOURCES.build(dict(type="RecombinedMotion", sources=[CLIPS], splits=SPLITS, **options))


def test_a_mirrored_motion_is_what_a_mirror_shows(target) -> None:
    source = MOTION_SOURCES.build(CLIPS)
    motion = source.load(next(source.clips()), target)
    rest = (target.rest_joints + target.rest_joints[mirror_indices()[:24]] * [-1, 1, 1]) / 2  # a symmetric body
    there = forward_kinematics(motion.poses, motion.transl, rest)[0]
    back = forward_kinematics(mirrored(motion).poses, mirrored(motion).transl, rest)[0]
    np.testing.assert_allclose(back, there[:, mirror_indices()[:24]] * [-1, 1, 1], atol=1e-9)
    np.testing.assert_allclose(mirrored(mirrored(motion)).poses, motion.poses, atol=1e-12)


def test_variants_stay_within_their_split_and_repeat_exactly(target) -> None:
    clips = list(build(variants=3).clips())
    assert len(clips) == 12 and len({clip.name for clip in clips}) == 12
    assert all(split_of(clip, SPLITS) is not None for clip in clips)
    one = next(clip for clip in clips if clip.name.startswith("walk"))
    first, again = (build(variants=3).load(one, target) for _ in range(2))
    assert np.array_equal(first.poses, again.poses) and first.betas is target.betas


def test_without_noise_each_limb_is_one_clips(target) -> None:
    source = build(variants=6, exchange=0.6, noise=0.0, mirror=0.0)
    library = MOTION_SOURCES.build(CLIPS)
    poses = {clip.name: resample(library.load(clip, target), 30).poses for clip in library.clips()}
    borrowed = 0
    for clip in source.clips():
        own, other = (poses[part.name] for part in clip.parts)
        made = source.load(clip, target).poses
        assert len(made) == len(own)
        trunk = [joint for joint in range(24) if all(joint not in limb for limb in (*ARMS, *LEGS))]
        np.testing.assert_allclose(made[:, trunk], own[:, trunk], atol=1e-9)
        for limb in (*ARMS, *LEGS):
            if np.allclose(made[:, limb], own[:, limb], atol=1e-9):
                continue
            borrowed += 1
            gaps = np.abs(made[:, None, limb] - other[None][:, :, limb]).max((2, 3))
            assert gaps.min(1).max() < 1e-9  # each frame is one of the other clip
    assert borrowed > 5


def test_noise_is_as_large_as_asked_and_keeps_joints_in_their_range(target) -> None:
    quiet, noisy = build(noise=0.0, exchange=0.0, mirror=0.0), build(noise=0.08, exchange=0.0, mirror=0.0)
    clip = next(iter(quiet.clips()))
    before, after = quiet.load(clip, target), noisy.load(clip, target)
    turn = (Rotation.from_rotvec(before.poses[:, 1:].reshape(-1, 3)).inv()
            * Rotation.from_rotvec(after.poses[:, 1:].reshape(-1, 3))).as_rotvec()  # fmt: skip
    assert 0.05 < turn.std() < 0.085
    assert (limit_excess(after).max(0) <= limit_excess(before).max(0) + 1e-5).all()


@pytest.mark.parametrize("exchange", [0.0, 1.0])
def test_somebody_stands_on_the_floor_or_jumps_as_high_as_before(target, exchange) -> None:
    source = build(variants=1, exchange=exchange, mirror=0.0)
    points = body_points(target.rest_joints, target.soles)
    library = MOTION_SOURCES.build(CLIPS)
    captured = {clip.name: resample(library.load(clip, target), 30) for clip in library.clips()}
    for clip in source.clips():
        motion = source.load(clip, target)
        low = lowest(posed_points(motion.poses, motion.transl, target.rest_joints, points))
        own = captured[clip.parts[0].name]
        expected = lowest(posed_points(own.poses, own.transl, target.rest_joints, points)) if exchange == 0 else 0.0
        np.testing.assert_allclose(low, expected, atol=1e-9)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="exchange"):
        build(exchange=1.5)
