"""The commands in blocks of README and docs, and in README's table, run on data small enough for a test.

They run in one folder, in which later ones use what earlier ones made; options that make them small stand behind them.
Commands that differ only in values, or in options that another one has, too, run once. Those of large networks and
simulations, whose tools and configs other tests run, are in ``ELSEWHERE``. Tutorials run as printed
(``test_tutorials.py``); whether each command is right as it stands is checked by its tool's parser
(``test_commands.py``).
"""

import json
import re
import shutil
import time
from pathlib import Path

import native_sets
import pytest
import torch
from capture_files import MIXAMO, as_bvh, write_acclaim, write_bvh
from doc_pages import PAGES, SHELLS, blocks, commands_in, commands_of
from places import REPOSITORY

from mviper.body import SMPL
from mviper.graphics import read_video, write_video
from mviper.models import ResNetEncoder
from mviper.motion import DeepMimicMotion, TargetBody
from mviper.synthesis.farm import generation
from mviper.synthesis.farm.worker import build_factory, work

pytest.importorskip("bpy")
pytest.importorskip("mediapipe")

#: Commands that do not run here, by their beginning, and the test that runs the same tool or config on small data.
ELSEWHERE = {
    "make": ".ci/run or tools/release_check.sh",
    ".ci/run": "CI",
    "pip": "tests/test_wheel.py, tools/release_check.sh",
    "ray start": "tests/synthesis/test_farm.py, which starts Ray on this machine",
    "srun": "nothing, since it needs Slurm; tests/docs/test_commands.py parses what it starts",
    "sleep": "nothing: it waits for Slurm's nodes",
    "python tools/benchmark.py factory": "tests/tools/test_benchmark_factory.py",
    "python tools/benchmark.py wardrobe": "tests/tools/test_benchmark_wardrobe.py",
    "python tools/browse.py wardrobe": "tests/tools/test_browse_wardrobe.py, projects/poncho/tests",
    "python tools/compare_cloth.py": "tests/tools/test_compare_cloth.py",
    "python tools/convert_checkpoint.py": "tests/models/test_conversion.py",
    "python tools/export_model.py": "tests/inference/test_fast.py, tests/models/test_blazepose.py",
    "python tools/extract_features.py": "tests/test_configs.py",
    "python tools/generate.py configs/demo/data.py": "tests/test_second_body.py",
    "python tools/generate.py configs/demo/painted.py": "docs/tutorials/train_and_test.md",
    "python tools/generate.py configs/synthesis/cmu_asf_amc.py --out /shared/mviper": "tests/synthesis/test_farm.py",
    "python tools/generate.py configs/synthesis/company.py": "tests/synthesis/test_company.py",
    "python tools/generate.py configs/synthesis/paper.py": "tests/synthesis/test_paper.py",
    "python tools/generate.py configs/volume": "tests/test_configs.py, tests/synthesis/test_stored.py",
    "python tools/generate.py projects/newton_cloth": "projects/newton_cloth/tests",
    "python tools/generate.py projects/poncho": "projects/poncho/tests",
    "python tools/recover.py VIDEO --config": "tests/tools/test_recover.py",
    "python tools/recover.py dance.mp4 --config": "tests/inference/test_network.py, tests/inference/test_fast.py",
    "python tools/tables.py --table 1 --run": "tests/tools/test_tables.py",
    "python tools/tables.py --table 2 --setting demo --run": "tests/tools/test_tables.py",
    "python tools/tables.py --table 2 --setting volume": "tests/test_configs.py, tests/reports/test_tables.py",
    "python tools/tables.py --table ablation --setting demo --run": "tests/tools/test_tables.py",
    "python tools/test.py": "tests/test_configs.py, tests/engine/test_testing.py",
    "python tools/train.py configs/frame_blazepose.py": "tests/test_configs.py",
    "python tools/train.py configs/frame_landmarks.py": "tests/test_configs.py",
    "python tools/train.py configs/frame_r50.py --cfg-options train_cfg.type": "tests/engine/test_stock_components.py",
    "python tools/train.py configs/hmr": "tests/test_configs.py",
    "python tools/train.py configs/frame_blazepose_tuned.py": "tests/test_configs.py",
    "python tools/train.py configs/mviper_blazepose.py": "tests/test_configs.py",
    "python tools/train.py configs/mviper_landmarks.py": "tests/test_configs.py",
    "python tools/train.py projects/vibe_gru": "projects/vibe_gru/tests",
    "python tools/transfer.py": "tests/tools/test_transfer.py",
}
#: Stand-ins of the docs that are files here.
STAND_INS = {
    "FILE_OR_FOLDER": "data/cmu", "FOLDER": "data/raw/coco", "FOLDER_OF_THE_SET": "data/raw/h36m", "SET": "lsp",
}  # fmt: skip

#: Options that make a tool's work small; of an option given twice the last value counts.
SMALL = {
    "build_body_model": ["--samples", "20", "--held-out", "8", "--poses", "4"],
    "calibrate_detector": ["--every", "1", "--out", "blazepose.json"],
    "generate": [
        "--limit", "3", "--workers", "1", "--cfg-options", "variants=1", "max_frames=4", "min_seconds=0.1",
        "lead_in.frames=4", "lead_in.still=2", "simulator.type=PaintedCloth", "cameras.resolution=192",
        "cameras.views=[south]", "renderer.samples=1", "renderer.denoise=False",
    ],
    "recover": ["--no-tta"],
    "retarget": ["--limit", "2"],
    "train": [
        "--cfg-options", "train_cfg.max_iters=1", "val_dataloader=None", "val_cfg=None", "val_evaluator=None",
        "default_hooks.checkpoint.best=None", "train_dataloader.batch_size=2", "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False", "train_dataloader.dataset.leave_out_missing=True",
    ],
}  # fmt: skip


def small(line):
    """The command's words with options that make it small."""
    _, tool, *words = (STAND_INS.get(word, word) for word in line.split())
    tool = Path(tool).stem
    more = list(SMALL.get(tool, ()))
    if tool == "generate":  # a folder is for one config; one clip of each split
        deepmimic = "deepmimic" in words[0]
        more += ["source.names=[walk,jump,kick]"] if deepmimic else ["--out", f"data/{Path(words[0]).stem}"]
        if Path(words[0]).stem == "painted":  # the detector has to find people in it
            more[more.index("cameras.resolution=192")] = "cameras.resolution=360"
            more.remove("cameras.views=[south]")
    return [f"{tool}.py", *words, *more]


def kind(line):
    """Tool, configs and option names of a command."""
    words = line.split()
    options = {word.partition("=")[0] for word in words if re.match(r"--|[\w.]+=|configs/|.*\.xml", word)}
    return " ".join(word for word in words[1:3] if not word.startswith("--")), options


def listed():
    """The commands of all blocks and of README's table, with their pages, in the order in which one needs another."""
    found = {}
    for page in PAGES:
        if "tutorials" in page.parts:
            continue
        commands = [words for block in blocks(page, *SHELLS) for words in commands_in(block)]
        if page == REPOSITORY / "README.md":
            commands += [words for words in commands_of(page) if words[0] == "python" and "--help" not in words]
        for words in commands:
            line = " ".join(words).replace("$MVIPER_DATA", "data")
            found.setdefault(
                re.sub(r"^mviper (\w+)", r"python tools/\1.py", line), page.relative_to(REPOSITORY).as_posix()
            )
    order = ["generate", "convert_dataset", "train"]
    return dict(sorted(found.items(), key=lambda item: next(
        (place for place, tool in enumerate(order) if f"/{tool}.py" in item[0]), len(order)
    )))  # fmt: skip


COMMANDS = listed()
_HERE = [line for line in COMMANDS if not line.startswith(tuple(ELSEWHERE))]
RUN = [
    line for line in _HERE
    if not any(kind(line)[0] == kind(other)[0] and kind(line)[1] < kind(other)[1] for other in _HERE)
]  # fmt: skip
RUN = [line for place, line in enumerate(RUN) if kind(line) not in map(kind, RUN[:place])]


class ThisProcess:
    """A worker pool without processes: each would import torch and Blender for the sake of a few frames."""

    size = 1

    def __init__(self, config, out, size):
        self.factory, self.out = build_factory(config, 1), out

    def assign(self, worker, job):
        self.job = job

    def events(self):
        yield 0, *work(self.factory, self.job, self.out, lambda stage, done, total: None)

    def release(self, worker):
        pass

    def close(self):
        pass


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with what the commands name: a video, motion capture, public sets, ImageNet's weights."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("configs", "projects"):
        (folder / name).symlink_to(REPOSITORY / name)
    write_video(folder / "dance.mp4", read_video(REPOSITORY / "mviper" / "app" / "example.mp4", 6), 24)
    source, target = DeepMimicMotion(names=["walk"], min_seconds=1.2, fps=120), TargetBody.from_body(SMPL())
    walk = source.load(next(source.clips()), target)[:320]
    mocap = folder / "data" / "mocap"
    for name in ("cmu_dance", "bvh"):
        (mocap / name).mkdir(parents=True)
    write_acclaim(mocap / "asf_amc", walk, target.rest_joints)
    write_bvh(mocap / "bvh" / "dab.bvh", as_bvh(walk, target.rest_joints, MIXAMO, 100.0))  # of the val split
    write_bvh(mocap / "cmu_dance" / "indian_01.bvh", as_bvh(walk, target.rest_joints, MIXAMO, 100.0))
    (folder / "data" / "cmu").symlink_to("mocap/asf_amc")
    (folder / "data" / "cmu" / "cmu-mocap-index-text.txt").write_text("07_01\twalk\n")
    raw = folder / "data" / "raw"
    native_sets.write_samples(raw / "samples")
    native_sets.write_coco(raw / "coco", raw / "samples" / "coco")
    people = json.loads((raw / "samples" / "mpii" / "test_mpii.json").read_text())
    native_sets.write_mpii(raw / "mpii", people)
    shutil.copytree(raw / "samples" / "mpii", raw / "mpii" / "images")
    native_sets.write_h36m(raw / "h36m")
    for subject in raw.glob("h36m/S*[!9]"):
        shutil.rmtree(subject)  # train has no pictures
    torch.save(ResNetEncoder(depth=50).state_dict(), folder / "resnet50-0676ba61.pth")
    return folder


def test_exceptions_are_documented_and_run_elsewhere():
    assert all(any(line.startswith(start) for line in COMMANDS) for start in ELSEWHERE)
    for where in ELSEWHERE.values():
        for path in re.findall(r"(?:tests|projects|tools|docs)/[\w/.]+\w", where):
            assert (REPOSITORY / path).exists(), path


@pytest.mark.parametrize("line", RUN, ids=lambda line: line.removeprefix("python tools/"))
def test_command_runs(line, workplace, run_tool, monkeypatch):
    monkeypatch.setattr(generation, "LocalPool", ThisProcess)
    done = run_tool(*small(line), cwd=workplace)
    assert done.returncode == 0, f"{COMMANDS[line]}: {line}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    time.sleep(1)  # mmengine names a run's folder by config and second
