"""tools/tables.py from data to the printed tables, with the demo's models made small."""

from __future__ import annotations

import dataclasses
import runpy
import shutil
import sys
import time
from pathlib import Path

import pytest

from mviper.registry import DATA_CONVERTERS
from mviper.reports import tables

SMALL = """
_base_ = ["{base}"]
model = dict(backbone=dict(_delete_=True, type="ResNetEncoder", depth=18, norm_eval=True), head=dict(hidden=16){neck})
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=1{poses})
val_dataloader = test_dataloader = loader
train_cfg = dict(max_iters=2, val_interval=2, val_begin=2)
custom_hooks = [dict(type="MeanPhiHook")]
"""
NECK = ", neck=dict(attention_hidden=8, init_hidden=8)"
POSES = ', dataset=dict(poses=dict(files=["train/*/*.npz"]))'  # these data have no motion.npz
WORKERS = ("num_workers=0", "persistent_workers=False")
MODELS = {"frame": ("", ""), "mviper": (NECK, ""), "hmr": ("", POSES), "hmr_dagger": ("", POSES)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repository):
    """A working directory like the repository, with the demo's data and small models."""
    sys.path.insert(0, str(repository / "tests"))
    from sequence_files import write_sequences

    folder = tmp_path_factory.mktemp("small")
    for name in ("tools", "configs"):
        (folder / name).symlink_to(repository / name)
    write_sequences(folder / "data" / "demo", frames=6)
    (folder / "data" / "demo_painted").symlink_to("demo")
    for name, (neck, poses) in MODELS.items():
        base = repository / "configs" / "demo" / f"{name}.py"
        (folder / f"{name}.py").write_text(SMALL.format(base=base, neck=neck, poses=poses))
    return folder


def in_this_process(words):
    """Runs a command in this process, since a new interpreter takes seconds to import torch."""
    started = time.time()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", list(words))
        runpy.run_path(words[0], run_name="__main__")
    time.sleep(max(0.0, started + 1.01 - time.time()))  # mmengine names runs by config and second
    return end.value.code


@pytest.fixture(scope="module")
def human36m(folder):
    """One frame of each Human3.6M action from the frontal camera, of one action from two, in the set's own layout."""
    pytest.importorskip("cdflib")
    import native_sets

    root = folder / "h36m"
    native_sets.write_h36m(root)
    subject = root / "S9"
    film = next(path for path in subject.glob("Videos/*.mp4") if path.stat().st_size)
    for camera, names in [("54138969", ("Walking",)), *(("60457274", names) for names in tables.ACTIONS.values())]:
        for kind in ("D2_Positions", "D3_Positions_mono"):
            positions = subject / "MyPoseFeatures" / kind
            if names[-1] != "Walking":
                shutil.copy(positions / f"Walking 1.{camera}.cdf", positions / f"{names[-1]} 1.{camera}.cdf")
        video = subject / "Videos" / f"{names[-1]} 1.{camera}.mp4"
        if video != film:
            shutil.copy(film, video)
    shutil.rmtree(root / "S11")
    converter = DATA_CONVERTERS.build({"type": "mviper.Human36MConverter", "root": str(root), "fps": 1})
    converter.convert(folder / "data" / "converted", "test")


@pytest.mark.parametrize("table", ["2", "ablation"])
def test_from_data_to_the_printed_table(folder, human36m, monkeypatch, capsys, table):
    monkeypatch.chdir(folder)
    configs = {name: Path(f"{name}.py") for name in MODELS}
    runs = tables.plan(
        tables.TABLES[table], "demo", config_root=Path("configs"), root=Path(f"runs_{table}"), configs=configs
    )
    ran = []
    tables.execute(runs, lambda words: ran.append(words) or in_this_process(words))
    trained = [words for words in ran if words[0] == "tools/train.py"]
    assert (len(trained), len(ran)) == {"2": (4, 9), "ablation": (10, 15)}[table]
    tables.execute(runs, ran.append)
    assert len(ran) == len(trained) + len(runs)  # nothing is left
    # Table 3 uses the same runs; tables 1 and 4 are these models on Human3.6M.
    for number in ("2", "3", "1") if table == "2" else (table, "4"):
        if tables.TABLES[number].human36m:
            options = {"test_options": ["test_dataloader.num_workers=0", "test_dataloader.dataset.clip_length=1"]}
            where = {"config_root": Path("configs"), "root": Path(f"runs_{table}"), "configs": configs}
            left = tables.plan(tables.TABLES[number], "demo", **where, **options)
            tables.execute(left, in_this_process)
        capsys.readouterr()
        options = ["--setting", "demo", "--work-dirs", f"runs_{table}", "--configs"]
        words = ["tools/tables.py", "--table", number, *options, *(f"{k}={v}" for k, v in configs.items())]
        assert in_this_process(words) == 0
        printed, _, ranges = capsys.readouterr().out.partition("Ratios with intervals")
        assert number in ("1", "4") or ranges.count("PA-MPJPE |") == len(runs) - 1 + (
            len(runs) - 2 if tables.TABLES[number].also else 0
        )
        for line in ranges.splitlines():
            if line.startswith("| ") and "95 %" not in line:
                ratio, low, high = (float(cell) for cell in line.strip("| ").split(" | ")[1:])
                assert low <= ratio <= high
        lines = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")]
        assert "Still to do" not in printed and len(lines) == 1 + len(runs)
        for line in lines[1:]:
            assert all(float(cell.replace(",", "")) >= 0 for cell in line[2::4])
        assert "1.00" in [line[4] for line in lines[1:]]  # the base row's ratio to itself
        assert (folder / "work_dirs" / "tables" / f"{'table_' * number.isdigit()}{number}.html").is_file()


def test_the_video_model_is_trained_without_its_parts(folder, monkeypatch):
    monkeypatch.chdir(folder)
    some = dict.fromkeys(["without attention", "without recurrence"], (None,) * 4)
    table = dataclasses.replace(tables.TABLES["parts"], rows=some)
    where = {"config_root": Path("configs"), "root": Path("runs_2"), "configs": {m: Path(f"{m}.py") for m in MODELS}}
    runs = tables.plan(table, "demo", **where)
    tables.execute(runs, in_this_process)
    assert not any(run.left() for run in runs.values())
    assert all(None not in tables.measured(run, table) for run in runs.values())


def test_the_large_data_tables_from_their_commands(folder, monkeypatch, capsys):
    """As docs/scale.md and docs/metrics.md say, but on six frames a split: features of both kinds of data and of the
    test set, then table 3's rows with a seed.
    """
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MVIPER_DATA", raising=False)
    for name in ("raster", "painted", "test"):
        (folder / "data" / name).symlink_to("demo")
    for name in ("hmr", "hmr_dagger"):
        (folder / f"{name}_large.py").write_text(
            f"_base_ = ['{folder}/configs/{name}_blazepose.py']\n"
            "train_dataloader = dict(dataset=dict(poses=dict(files=['train/*/*.npz'])))\n"
        )
    on = ["--on", "configs/test_sets/volume_features.py"]
    for config, options in (("frame", []), ("hmr", []), ("frame", on)):
        assert in_this_process(["tools/extract_features.py", f"configs/{config}_blazepose.py", *options]) == 0
    assert {path.parent.name for path in folder.glob("data/features*/store.json")} == {
        "features", "features_painted", "features_test"
    }  # fmt: skip
    small = ["train_dataloader.batch_size=1", "train_cfg.max_iters=2", "train_cfg.val_interval=2"]
    small += [f"{loader}_dataloader.{key}" for loader in ("train", "val") for key in WORKERS]
    words = ["tools/tables.py", "--table", "3", "--setting", "volume", "--seeds", "7", "--work-dirs", "runs_large"]
    words += ["--configs", "hmr=hmr_large.py", "hmr_dagger=hmr_dagger_large.py"]
    words += ["--train-options", *small, "--test-options", "test_dataloader.num_workers=0"]
    where = {"config_root": Path("configs"), "root": Path("runs_large"), "seed": 7}
    where["configs"] = {name: Path(f"{name}_large.py") for name in ("hmr", "hmr_dagger")}
    runs = tables.plan(
        tables.TABLES["3"], "volume", **where, train_options=small, test_options=["test_dataloader.num_workers=0"]
    )
    tables.execute({row: runs[row] for row in ("hmr", "hmr_dagger", "mviper")}, in_this_process)
    capsys.readouterr()
    assert in_this_process(words) == 0
    printed = capsys.readouterr().out
    assert "MVIPER / HMR†, MPVPE" in printed and "Still to do" in printed  # SMPLify, which learns nothing
    figures = {line.split(" | ")[0].strip("| "): line.split(" | ")[2] for line in printed.splitlines() if " | " in line}
    assert all(float(figures[row].replace(",", "")) > 0 for row in ("HMR", "HMR†", "MVIPER"))
