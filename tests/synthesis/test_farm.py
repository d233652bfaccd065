"""The farm: with killed processes, full or read-only disks, every sequence exists once, complete and identical."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mviper.config import load_config
from mviper.errors import ConfigError, FileFormatError, MviperError
from mviper.synthesis import Factory, complete_config, list_jobs
from mviper.synthesis.farm import RejectionLog, Summary, build_factory, generate, work
from mviper.synthesis.farm.cluster import _Worker

#: Number of processes killed; CI can afford a few.
KILLS = int(os.environ.get("MVIPER_KILLS", "3"))

#: Eight sequences of one or two undressed bodies, two frames, flat images.
CONFIG = """
_base_ = ["{base}"]
source = dict(type="DeepMimicMotion", names=["walk"])
variants = 8
people = dict(count=(1, 2))
max_frames = 2
min_seconds = 0.05
outfit = []
cameras = dict(resolution=32)
renderer = dict(_delete_=True, type="FlatRenderer")
custom_imports = dict(imports=["flat_renderer"])
"""


@pytest.fixture(scope="module")
def config_file(tmp_path_factory, repository: Path) -> Path:
    os.environ["PYTHONPATH"] = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    sys.path.insert(0, str(Path(__file__).parent))
    path = tmp_path_factory.mktemp("config") / "flat.py"
    path.write_text(CONFIG.format(base=repository / "configs" / "synthesis" / "deepmimic.py"))
    return path


@pytest.fixture(scope="module")
def config(config_file: Path) -> dict:
    return load_config(config_file).to_dict()


@pytest.fixture(scope="module")
def factory(config: dict) -> Factory:
    return build_factory(complete_config(config), threads=1)


@pytest.fixture(scope="module")
def undisturbed(config: dict, tmp_path_factory) -> dict[str, bytes]:
    """Annotation of an undisturbed run with one worker."""
    out = tmp_path_factory.mktemp("undisturbed")
    summary = generate(config, out)
    assert len(summary.made) == 8 and not summary.failed and summary.frames == 8 * 2 * 4
    together = len(list(out.glob("*/*/motion_p1.npz")))
    assert 0 < together < 8 and len(list(out.glob("*/*/motion.npz"))) == 8 - together
    return annotations(out)


def annotations(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.npz"))}


def assert_whole(out: Path, undisturbed: dict[str, bytes]) -> None:
    assert annotations(out) == undisturbed
    assert len(list(out.glob("*/*/manifest.json"))) == 8 and len(list(out.glob("*/*/*.mp4"))) == 32
    assert not list(out.glob("*/.*"))


def descendants(pid: int) -> dict[int, str]:
    """Command lines of all descendants of a process."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):
            continue

    def under(child: int) -> bool:
        while child in parents:
            child = parents[child]
            if child == pid:
                return True
        return False

    return {child: command for child, command in commands.items() if under(child)}


def start(repository: Path, config_file: Path, out: Path, *options: object) -> subprocess.Popen:
    command = [sys.executable, str(repository / "tools/generate.py"), str(config_file), "--out", str(out)]
    return subprocess.Popen(
        [*command, *map(str, options)], cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_one(driver: subprocess.Popen, wanted: Callable[[str], bool], out: Path, rng: random.Random) -> bool:
    """Kills a chosen process at a random moment after work has begun; False if the run ended before."""
    deadline, remains = time.monotonic() + 600, set(out.glob("*/.*.tmp"))
    while not set(out.glob("*/.*.tmp")) - remains:
        if driver.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    time.sleep(rng.uniform(0, 0.8))
    victims = [pid for pid, command in descendants(driver.pid).items() if wanted(command)]
    if driver.poll() is not None or not victims:
        return False
    os.kill(rng.choice(victims), signal.SIGKILL)
    return True


def test_whatever_is_killed_a_rerun_ends_with_the_same_bytes(
    config: dict, config_file: Path, undisturbed: dict[str, bytes], repository: Path, tmp_path, capsys
) -> None:
    with_ray = importlib.util.find_spec("ray") is not None
    rng = random.Random(os.environ.get("MVIPER_SEED", "0"))
    killed = {"worker": 0, "driver": 0, "node": 0}
    for attempt in range(10 * KILLS):
        if sum(killed.values()) >= KILLS:
            break
        out = tmp_path / f"{attempt}"
        driver = start(repository, config_file, out, "--workers", 2)
        try:
            killed["worker"] += kill_one(driver, lambda command: "spawn_main" in command, out, rng)
            time.sleep(rng.uniform(0, 1))
            if driver.poll() is None:
                os.kill(driver.pid, signal.SIGKILL)
                killed["driver"] += 1
        finally:
            driver.kill()
            driver.wait()
        if with_ray:
            driver = start(repository, config_file, out, "--launcher", "ray", "--address", "local", "--workers", 2)
            try:
                killed["node"] += kill_one(driver, lambda command: "/raylet/raylet " in command, out, rng)
                assert driver.wait(timeout=600) in (0, 1)  # it ends by itself, keeping all finished sequences
            finally:
                driver.kill()
                driver.wait()
        for folder in out.glob("*/[!.]*"):
            assert (folder / "manifest.json").is_file(), f"{folder} is half-written"
        time.sleep(0.5)
        summary = generate(config, out, workers=2)
        assert not summary.failed and len(summary.made) + summary.existing == 8
        assert_whole(out, undisturbed)
    with capsys.disabled():
        print(f"\nkilled with SIGKILL, then the same bytes: {killed}")
    assert sum(killed.values()) >= KILLS


def test_ray_makes_the_same_bytes(config: dict, undisturbed: dict[str, bytes], tmp_path) -> None:
    ray = pytest.importorskip("ray")
    events = []
    summary = generate(config, tmp_path, workers=3, launcher="ray", address="local", on_event=events.append)
    assert len(summary.made) == 8 and not summary.failed and not ray.is_initialized()
    assert {event.kind for event in events} == {"made"} and summary.frames == 64
    assert_whole(tmp_path, undisturbed)


def test_clothes_are_the_same_bytes_whoever_makes_them(config: dict, tmp_path) -> None:
    pytest.importorskip("bpy")
    dressed = {
        **config, "variants": 2, "max_frames": 4, "betas": dict(scale=0.5), "lead_in": dict(frames=8, still=2),
        "outfit": [dict(type="Shorts", edge_length=0.04)], "simulator": dict(type="BlenderCloth", drape_frames=4),
    }  # fmt: skip
    made = {workers: generate(dressed, tmp_path / f"{workers}", workers) for workers in (1, 2)}
    assert all(len(summary.made) == 2 for summary in made.values())
    alone = annotations(tmp_path / "1")
    clothes = [name for name in alone if "/garments" in name]
    assert annotations(tmp_path / "2") == alone
    assert len({Path(name).parent for name in clothes}) == 2 and all(len(alone[name]) > 10_000 for name in clothes)
    if importlib.util.find_spec("ray"):
        generate(dressed, tmp_path / "ray", workers=1, limit=1, launcher="ray", address="local")
        assert annotations(tmp_path / "ray") == {name: alone[name] for name in alone if "walk__00" in name}


def test_a_cluster_that_is_not_there(config: dict, tmp_path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(MviperError, match=r"no Ray cluster at 127\.0\.0\.1:1.*ray start --head"):
        generate(config, tmp_path, launcher="ray", address="127.0.0.1:1")
    with pytest.raises(ConfigError, match="launcher"):
        generate(config, tmp_path, launcher="slurm")


def test_a_full_disk_stops_with_one_error_and_leaves_nothing(factory: Factory, tmp_path, monkeypatch) -> None:
    job = list_jobs(factory.config, 1)[0]
    monkeypatch.chdir(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 300, 1500, 4000):  # the failing write: the video's first bytes, its end, annotation, the manifest
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            kind, text = work(factory, job, Path(), lambda stage, done, total: None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert kind == "fatal" and "cannot be written" in text and "too large" in text, (room, kind, text)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert work(factory, job, tmp_path, lambda stage, done, total: None)[0] == "made"
    # Another run was faster: its folder is kept, this one's is removed.
    before = (job.folder(tmp_path) / "manifest.json").stat().st_ino
    assert work(factory, job, tmp_path, lambda stage, done, total: None)[0] == "made"
    assert (job.folder(tmp_path) / "manifest.json").stat().st_ino == before and not list(tmp_path.glob("*/.*"))


def test_a_file_that_cannot_be_read_is_named(factory: Factory, tmp_path, monkeypatch) -> None:
    def load(drawn: dict) -> None:
        open(tmp_path / "none.exr")

    monkeypatch.setattr(factory.background, "load", load)
    kind, text = work(factory, list_jobs(factory.config, 1)[0], tmp_path / "out", lambda stage, done, total: None)
    assert kind == "fatal" and text == f"{tmp_path / 'none.exr'}: No such file or directory"


def test_components_that_cannot_be_built_stop_the_run_at_once(config: dict, tmp_path) -> None:
    broken = {**config, "custom_imports": dict(imports=["no_such_renderer"])}
    with pytest.raises(MviperError, match=r"components cannot be built:\n(.|\n)*no_such_renderer"):
        generate(broken, tmp_path)
    job = list_jobs(complete_config(config), 1)[0]
    kind, text = _Worker(complete_config(broken), str(tmp_path), os.getcwd()).make(job)
    assert kind == "fatal" and "no_such_renderer" in text


class _Planned(Exception):
    pass


def left_to_do(config: dict, out: Path, limit: int | None = None) -> tuple[int, int]:
    """How many sequences a run would make and how many exist, without making any."""

    def plan(jobs: list, existing: int) -> None:
        raise _Planned(len(jobs), existing)

    with pytest.raises(_Planned) as planned:
        generate(config, out, limit=limit, on_plan=plan)
    return planned.value.args


def test_another_seed_or_config_is_refused_by_what_differs(config: dict, factory: Factory, tmp_path) -> None:
    job = list_jobs(factory.config, 1)[0]
    assert work(factory, job, tmp_path, lambda stage, done, total: None)[0] == "made"
    renderer = {**config["renderer"], "device": "cpu"}
    further = {**config, "variants": 9, "splits": dict(test=["*_none"]), "passes": [], "renderer": renderer}
    further["source"] = {**config["source"], "names": ["walk", "run"]}
    assert left_to_do(config, tmp_path) == (7, 1) and left_to_do(config, tmp_path, limit=3) == (2, 1)
    assert left_to_do(further, tmp_path) == (17, 1)
    for other, words in (
        ({"seed": 1}, "seed = 0, now 1"),
        ({"max_frames": 3}, "max_frames = 2, now 3"),
        ({"cameras": {**config["cameras"], "resolution": 64}}, "cameras.resolution = 32, now 64"),
        ({"source": {**config["source"], "cycles": 2}}, "source.cycles = None, now 2"),
    ):
        with pytest.raises(ConfigError, match=rf"walk__00 was made with another config: {re.escape(words)}; give"):
            generate({**config, **other}, tmp_path)
    (job.folder(tmp_path) / "manifest.json").write_text("{")
    with pytest.raises(FileFormatError, match=r"delete .*walk__00 to generate it again"):
        generate(config, tmp_path)


def test_rejections_of_another_seed_are_tried_again(config: dict, tmp_path) -> None:
    log = RejectionLog(tmp_path)
    for job in list_jobs(complete_config(config), 3):
        log.add(job, 1, "clip of 0.01 s", {})
    assert left_to_do(config, tmp_path) == (8, 0) and left_to_do({**config, "seed": 1}, tmp_path) == (5, 0)


def test_a_folder_that_cannot_be_written(config: dict, tmp_path) -> None:
    tmp_path.chmod(0o755)
    out = tmp_path / "read_only"
    out.mkdir(mode=0o555)
    user = os.geteuid()
    if user == 0:  # file modes do not stop root
        if any(not os.stat(parent).st_mode & 0o001 for parent in out.parents):
            out = Path("/proc/mviper")
        else:
            os.seteuid(65534)
    try:
        with pytest.raises(MviperError, match=r"cannot be written: "):
            generate(config, out)
    finally:
        os.seteuid(user)


def test_one_run_a_folder_and_only_remains_are_swept(config: dict, tmp_path) -> None:
    half = tmp_path / "train" / ".walk__00.elsewhere.1.tmp"
    half.mkdir(parents=True)
    (half / "east.mp4").write_bytes(b"half")
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MviperError, match="another run"):
            generate(config, tmp_path)
    assert half.is_dir()
    log = RejectionLog(tmp_path)
    for job in list_jobs(complete_config(config)):
        log.add(job, 0, "standing feet slide at 1.03 m/s, limit 1; limbs are 9.1 % off, limit 8", {})
    summary = generate(config, tmp_path)  # nothing left to do
    assert not half.exists() and len(summary.rejected) == 8
    assert summary.reasons() == {"standing feet slide at # m/s, limit #": 8, "limbs are # % off, limit #": 8}
    assert len(json.loads((tmp_path / "rejected.json").read_text())) == 8
    (tmp_path / "train" / "walk__00").mkdir()
    with pytest.raises(MviperError, match="holds 1 of these sequences"):
        generate(config, tmp_path, resume=False)


def test_a_summary_counts_each_reason_once_a_sequence() -> None:
    summary = Summary(rejected={"a": "turns at 3100 degrees/s; turns at 4000 degrees/s", "b": "no pattern"})
    assert summary.reasons() == {"turns at # degrees/s": 1, "no pattern": 1}
