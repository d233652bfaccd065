"""Combined sources: names, splits, interpolated motions, and robustness to bad files."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError, MissingDataError
from mviper.motion import heading, resample
from mviper.motion.contact import body_points, lowest, posed_points
from mviper.motion.interpolation import pose_distances
from mviper.motion.quality import foot_skating
from mviper.motion.sources.base import split_of
from mviper.registry import MOTION_SOURCES
from mviper.synthesis import complete_config, list_jobs


@pytest.fixture(scope="module")
def deepmimic():
    return dict(type="DeepMimicMotion", names=["walk", "crawl", "run", "jump"])


@pytest.fixture(scope="module")
def interpolated(deepmimic):
    source = MOTION_SOURCES.build(dict(type="InterpolatedMotion", sources=[deepmimic], count=4))
    return source, list(source.clips())


def test_mixed_source_keeps_every_sources_clips(acclaim, deepmimic, target):
    cmu = dict(type="CMUMotion", root=str(acclaim), names="07_*")
    source = MOTION_SOURCES.build(dict(type="MixedMotion", sources=[cmu, deepmimic, deepmimic]))
    clips = list(source.clips())
    assert [clip.name for clip in clips] == [
        "07_01", "crawl", "jump", "run", "walk", "crawl_3", "jump_3", "run_3", "walk_3",
    ]  # fmt: skip
    assert clips[0].subject == "07"
    for clip, member in ((clips[0], 0), (clips[-1], 2)):
        own = source.sources[member].load(clip.original, target)
        motion, captured = source.fit(clip, target)
        assert np.allclose(motion.poses, own.poses) and motion.name == clip.name and motion.fps == own.fps
        assert len(captured) == len(motion) == len(source.read(clip))


def test_the_first_clips_are_of_all_sources_if_they_take_turns(deepmimic):
    some, one = {**deepmimic, "names": ["run", "walk"]}, {**deepmimic, "names": ["walk"]}
    source = MOTION_SOURCES.build(dict(type="MixedMotion", sources=[some, one, deepmimic], in_turn=True))
    clips = list(source.clips())
    assert [(clip.name, clip.member) for clip in clips] == [
        ("run", 0), ("walk", 1), ("crawl", 2), ("walk_1", 0), ("jump", 2), ("run_3", 2), ("walk_3", 2),
    ]  # fmt: skip
    assert {clip.name: clip.original.name for clip in clips}["walk_1"] == "walk"


def test_interpolated_motions_are_the_argmax_of_their_clips(interpolated, deepmimic, target):
    source, clips = interpolated
    assert len(clips) == 4 and all(a.distance >= b.distance for a, b in pairwise(clips))
    library = MOTION_SOURCES.build(deepmimic)
    poses = {clip.name: resample(library.load(clip, target), 30).poses for clip in library.clips()}
    clip = clips[0]
    first, second = (poses[part.name] for part in clip.parts)
    distances = pose_distances(first, second)
    assert distances[clip.frames] == distances.max() == pytest.approx(clip.distance)
    assert clip.distance == max(pose_distances(a, b).max() for a in poses.values() for b in poses.values())
    assert clip.name == f"{clip.parts[0].name}-{clip.frames[0]}_to_{clip.parts[1].name}-{clip.frames[1]}"
    assert set(clip.subject.split("+")) == {part.subject for part in clip.parts}
    motion, captured = source.fit(clip, replace(target, betas=np.full(10, 0.5), body_model="body"))
    assert captured is None and len(motion) == int(np.ceil(8 * clip.distance)) + 2 and motion.fps == 30
    assert motion.body_model == "body" and motion.betas[0] == 0.5 and motion.name == clip.name
    for frame, pose in ((0, first[clip.frames[0]]), (-1, second[clip.frames[1]])):
        turn = Rotation.from_rotvec(motion.poses[frame, 1:]) * Rotation.from_rotvec(pose[1:]).inv()
        assert turn.magnitude().max() < 1e-6


def test_interpolated_motions_stay_on_the_floor_and_do_not_spin_or_slide(interpolated, target):
    source, clips = interpolated
    for clip in clips:
        motion = source.load(clip, target)
        bottom = body_points(target.rest_joints, target.soles)
        points = posed_points(motion.poses, motion.transl, target.rest_joints, bottom)
        assert np.abs(lowest(points)).max() < 1e-9
        steps = [Rotation.from_rotvec(p) for p in (motion.poses[:-1].reshape(-1, 3), motion.poses[1:].reshape(-1, 3))]
        turned = (steps[0].inv() * steps[1]).magnitude().reshape(-1, 24).sum(axis=0)
        assert turned[1:].max() < np.pi + 1e-6  # no joint rotates the long way round
        assert np.abs(np.diff(motion.transl, axis=0)).max() * motion.fps < 3
        skating = foot_skating(motion, target.rest_joints, target.soles)
        assert np.isnan(skating).all() or np.nanmedian(skating) < 0.2
        faced = heading(motion.poses[[0, -1], 0])
        assert abs(np.angle(np.exp(1j * (faced[1] - faced[0])))) < 1e-6


def test_a_clip_is_used_so_often_and_splits_are_not_mixed(deepmimic):
    splits = dict(test=["walk", "run"])
    source = MOTION_SOURCES.build(
        dict(type="InterpolatedMotion", sources=[deepmimic], count=9, uses=1, splits=splits, stride=3)
    )
    clips = list(source.clips())
    assert sorted(sorted(part.name for part in clip.parts) for clip in clips) == [["crawl", "jump"], ["run", "walk"]]
    assert {split_of(clip, splits) for clip in clips} == {"train", "test"}
    assert all(frame % 3 == 0 for clip in clips for frame in clip.frames)
    assert pickle.loads(pickle.dumps(clips)) == clips  # clips are pickled for workers


def test_the_factory_leaves_out_what_mixes_splits(deepmimic):
    config = dict(
        source=dict(type="MixedMotion", sources=[deepmimic, dict(type="InterpolatedMotion", sources=[deepmimic])]),
        splits=dict(test=["walk"]), motion_quality=dict(skating=None),
    )  # fmt: skip
    jobs = list_jobs(complete_config(config))
    made = [job for job in jobs if job.clip.parts]
    assert len(jobs) - len(made) == 4 and made
    assert all("walk" not in job.name and job.split == "train" for job in made)


def test_bad_files_are_left_out(tmp_path, deepmimic, caplog):
    for name in ("walk", "run"):
        shutil.copy(MOTION_SOURCES.build(deepmimic).root / f"humanoid3d_{name}.txt", tmp_path)
    (tmp_path / "humanoid3d_cut.txt").write_text('{"Frames": [[')
    source = MOTION_SOURCES.build(
        dict(type="InterpolatedMotion", sources=[dict(type="DeepMimicMotion", root=str(tmp_path))])
    )
    assert len(list(source.clips())) == 1 and "humanoid3d_cut.txt" in caplog.text
    (tmp_path / "humanoid3d_run.txt").unlink()
    with pytest.raises(MissingDataError, match="add sources"):
        list(source.clips())


@pytest.mark.parametrize("wrong", [dict(sources=[]), dict(count=0), dict(frames_per_radian=0), dict(uses=0)], ids=str)
def test_impossible_settings(deepmimic, wrong):
    with pytest.raises(ConfigError, match=r"InterpolatedMotion|MixedMotion"):
        MOTION_SOURCES.build(dict(type="InterpolatedMotion", **{"sources": [deepmimic], **wrong}))


def test_clips_of_another_source_are_refused(deepmimic, target):
    """A foreign clip would silently be mapped to the first source and the first frames."""
    clip = next(MOTION_SOURCES.build(deepmimic).clips())
    for kind in ("MixedMotion", "InterpolatedMotion", "RecombinedMotion"):
        source = MOTION_SOURCES.build(dict(type=kind, sources=[deepmimic]))
        with pytest.raises(TypeError, match=rf"crawl is not of {kind}.clips\(\)"):
            source.fit(clip, target)
