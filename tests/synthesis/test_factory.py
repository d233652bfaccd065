"""Complete sequences: contents, exactness, reproducibility, and no half-finished folders."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from mviper.errors import ConfigError
from mviper.motion.sources.base import Clip, split_of
from mviper.synthesis import Clock, Factory, complete_config, job_rng, list_jobs

#: Two undressed bodies, 3 frames, tiny pictures: everything but cloth in seconds.
TINY_CONFIG = """
_base_ = ["{base}"]
source = dict(type="DeepMimicMotion", names=["walk"])
variants = 2
max_frames = 3
min_seconds = 0.1
outfit = []
cameras = dict(resolution=64)
renderer = dict(samples=1)
"""


@pytest.fixture(scope="module")
def tiny_config(tmp_path_factory, repository: Path) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(TINY_CONFIG.format(base=repository / "configs" / "synthesis" / "deepmimic.py"))
    return path


def test_a_second_run_finds_all_made(tiny_config: Path, repository: Path, tmp_path, run_tool) -> None:
    done = run_tool("generate.py", tiny_config, "--out", tmp_path, "--workers", 2)
    assert done.returncode == 0 and "2 sequences made" in done.stdout, done.stdout + done.stderr
    assert len(list(tmp_path.glob("*/[!.]*/*.npz"))) == 2 * 6 and not list(tmp_path.glob("*/.*"))
    again = run_tool("generate.py", tiny_config, "--out", tmp_path)
    assert again.returncode == 0 and "0 sequences made, 2 already existed" in again.stdout


@pytest.mark.parametrize(
    ("option", "word"), [("min_seconds=600", "min_seconds"), ("motion_quality.turn_speed=10", "degrees/s, limit 10")]
)
def test_rejections_are_recorded_and_not_repeated(
    tiny_config: Path, repository: Path, tmp_path, run_tool, option: str, word: str
) -> None:
    options = ("--limit", 1, "--cfg-options", option)
    for _ in range(2):
        done = run_tool("generate.py", tiny_config, "--out", tmp_path, *options)
        assert done.returncode == 0 and "1 rejected" in done.stdout, done.stdout + done.stderr
    entry = json.loads((tmp_path / "rejected.json").read_text())["walk__00"]
    assert word in entry["reason"] and entry["split"] == "train"
    assert option == "min_seconds=600" or entry["quality"]["motion"]["turn_speed"] > 10
    assert not list(tmp_path.glob("*/walk*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["renderer.type=CyclesRendrer"], ["renderer.type", "CyclesRenderer"]),
        (["cameras.resolution=251"], ["resolution"]),
        (["source.type=CMUMotion", "source.root=/nowhere/at/all"], ["/nowhere/at/all"]),
        (["max_frames=0"], ["max_frames"]),
        (["motion_quality.skatin=1"], ["motion_quality", "skating", "skatin=1"]),
    ],
)
def test_bad_configs_stop_with_one_clear_error(
    mini_config: Path, repository: Path, tmp_path, run_tool, options: list[str], words: list[str]
) -> None:
    done = run_tool("generate.py", mini_config, "--out", tmp_path, "--cfg-options", *options)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not list(tmp_path.glob("*/*"))


def test_one_simulation_is_looked_at_again_in_another_light(tmp_path) -> None:
    """The factory's steps, combined differently than in ``make``."""
    config = complete_config(
        dict(
            source=dict(type="KeyPoseMotion", names="squat"), max_frames=2, min_seconds=0.05,
            cameras=dict(type="CompassCameras", views=["south"], resolution=32), renderer=dict(type="RasterRenderer"),
        )
    )  # fmt: skip
    factory, job, clock = Factory(config), list_jobs(config)[0], Clock()
    draws = [functools.partial(job_rng, 0, name) for name in (job.name, f"{job.name}/again")]
    people = factory.gather(job, draws[0], clock)
    folders = []
    for number, rng in enumerate(draws):
        take = factory.stage(people, rng)
        folders.append(tmp_path / f"{number}")
        folders[-1].mkdir()
        factory.render(folders[-1], take, clock)
        factory.write_take(folders[-1], people, take, factory.annotate(people, take), clock)
        factory.write(folders[-1], job, people, [take], clock)
    first, second = (json.loads((folder / "manifest.json").read_text()) for folder in folders)
    assert first["scene"]["lights"] != second["scene"]["lights"] and first["betas"] == second["betas"]
    for name, same in (("motion.npz", True), ("south.npz", True), ("south.mp4", False)):
        assert (folders[0].joinpath(name).read_bytes() == folders[1].joinpath(name).read_bytes()) is same, name
    made = factory.make(job, tmp_path / "made")
    assert all((made / name).read_bytes() == (folders[0] / name).read_bytes() for name in ("south.npz", "south.mp4"))
    assert {"retarget", "render", "write", "passes"} <= clock.seconds.keys()


def test_a_config_without_source_or_with_an_unknown_choice() -> None:
    with pytest.raises(ConfigError, match="source"):
        complete_config({})
    with pytest.raises(ConfigError, match="busiest"):
        complete_config({"source": {"type": "KeyPoseMotion"}, "clip_part": "liveliest"})
    with pytest.raises(ConfigError, match=r"betas takes scale, limit; got scael=2"):
        complete_config({"source": {"type": "KeyPoseMotion"}, "betas": {"scael": 2}})
    with pytest.raises(ConfigError, match=r"max_frames must be a number such as 120, got 'ten'"):
        complete_config({"source": {"type": "KeyPoseMotion"}, "max_frames": "ten"})


def test_splits_and_random_numbers() -> None:
    splits = dict(val=["*jump*"], test=["07_*"])
    names = {"07_01": "test", "jump": "val", "walk": "train"}
    assert {name: split_of(Clip(name, "", Path()), splits) for name in names} == names
    first = job_rng(0, "walk__00", "betas").normal(size=3)
    np.testing.assert_array_equal(first, job_rng(0, "walk__00", "betas").normal(size=3))
    for other in ((1, "walk__00", "betas"), (0, "walk__01", "betas"), (0, "walk__00", "cut")):
        assert not np.allclose(first, job_rng(*other).normal(size=3))


def test_every_clip_comes_before_the_next_variant() -> None:
    config = complete_config(dict(source=dict(type="DeepMimicMotion"), variants=2))
    jobs = list_jobs(config)
    clips = len(jobs) // 2
    assert clips > 5 and [job.variant for job in jobs] == [0] * clips + [1] * clips
    assert list_jobs(config, 3) == jobs[:3] and len({job.name for job in jobs}) == len(jobs)


def test_only_the_splits_that_are_asked_for() -> None:
    config = complete_config(dict(source=dict(type="DeepMimicMotion"), splits=dict(val=["jump"], test=["kick*"])))
    everything = list_jobs(config)
    assert [job.clip.name for job in list_jobs(config, splits=["val"])] == ["jump"]
    assert list_jobs(config, 4, ["train", "val"]) == [job for job in everything if job.split != "test"][:4]


def test_clothes_are_put_on_in_a_t_pose_before_an_a_pose() -> None:
    config = complete_config(
        dict(
            source=dict(type="KeyPoseMotion", names="squat"), max_frames=3, min_seconds=0.05,
            lead_in=dict(frames=6, still=2, pose="a"), outfit=[dict(type="TShirt", edge_length=0.05)],
            simulator=dict(type="PaintedCloth"), renderer=dict(type="RasterRenderer"),
        )
    )  # fmt: skip
    factory, job = Factory(config), list_jobs(config)[0]
    draws = functools.partial(job_rng, 0, job.name)
    performance = factory.perform(job.clip, np.zeros(10), draws("motion"))
    assert performance.lead_in == 2 + 15 + 2 + 6  # T-pose, half a second down, A-pose, to the first frame
    shoulders = np.linalg.norm(performance.leading.poses[:, [16, 17]], axis=-1)
    assert (shoulders[:2] == 0).all() and np.allclose(shoulders[17:19], np.pi / 4)
    simulation = factory.dress(performance, factory.cut(performance.shape, draws("cut")))
    assert len(simulation.cloth[0]) == len(simulation.motion) == 3
    with pytest.raises(ConfigError, match=r"lead_in\.pose is 't' or 'a', got 'sit'"):
        complete_config(dict(source=dict(type="KeyPoseMotion"), lead_in=dict(pose="sit")))
