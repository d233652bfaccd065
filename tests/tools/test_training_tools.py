"""The command lines of training: what a user sees when it works and when it does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sequence_files import write_sequences

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent
TOY = TESTS / "engine" / "toy_config.py"


def run(*command):
    """Runs a tool in a separate process."""
    path = os.pathsep.join([str(TOY.parent), str(REPOSITORY)])
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


@pytest.fixture
def with_toy(monkeypatch):
    monkeypatch.syspath_prepend(TOY.parent)


def assert_one_message(done, *words):
    assert done.returncode == 1
    assert done.stderr.count("Error: ") == 1 and "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("name", ["train", "test", "print_config"])
def test_help_has_an_example(run_tool, name):
    done = run_tool(f"{name}.py", "--help")
    assert done.returncode == 0 and f"Example: python tools/{name}.py configs/" in " ".join(done.stdout.split())


def test_train_then_test(tmp_path):
    done = run("tools/train.py", TOY, "--work-dir", tmp_path / "run", "--cfg-options", "train_cfg.max_iters=8")
    assert done.returncode == 0, done.stderr
    folder, checkpoint = tmp_path / "run", tmp_path / "run" / "iter_8.pth"
    assert f"Wrote {checkpoint}\nNext: python tools/test.py {TOY} {folder}\n" in done.stdout
    assert "eta:" in done.stdout
    done = run("tools/test.py", TOY, folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "| toy/mean |" in done.stdout and "metrics.md and " in done.stdout
    assert list((tmp_path / "out").glob("*/*.log"))  # beside the metrics, not in the config's work folder
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["rows"]["model"]["toy/size"] == 11 and metrics["checkpoint"] == str(checkpoint)
    assert (tmp_path / "out" / "metrics.md").read_text().startswith("| metric")


def test_print_config_shows_the_merged_values(run_tool):
    done = run_tool("print_config.py", "configs/mviper_r50.py", "--cfg-options", "train_dataloader.batch_size=2")
    assert done.returncode == 0 and "batch_size=2" in done.stdout and "lr=1e-05" in done.stdout


def test_unknown_type_is_one_message(run_tool, tmp_path):
    done = run_tool(
        "train.py", "configs/mviper_r50.py", "--work-dir", tmp_path / "w", "--cfg-options", "model.neck.type=LSTM2"
    )
    assert_one_message(done, "configs/mviper_r50.py: model.neck.type: there is no model 'LSTM2'", "AttentionLSTM")
    assert not (tmp_path / "w").exists()


def test_missing_data_is_one_message(run_tool, tmp_path):
    done = run_tool(
        "train.py", "configs/demo/mviper.py", "--work-dir", tmp_path / "w",
        "--cfg-options", f"train_dataloader.dataset.data_root={tmp_path}/none",
    )  # fmt: skip
    assert_one_message(done, f"python tools/generate.py configs/demo/data.py --out {tmp_path}/none")
    assert not (tmp_path / "w").exists()


def test_missing_frame_model_says_how_to_train_it(run_tool, tmp_path):
    write_sequences(tmp_path / "data", frames=4)
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    loaders = [f"{name}_dataloader.dataset.data_root=data" for name in ("train", "val", "test")]
    done = run_tool("train.py", "configs/demo/mviper.py", "--cfg-options", *loaders, cwd=tmp_path)
    assert_one_message(done, "work_dirs/demo/frame: no such checkpoint", "tools/train.py configs/demo/frame.py")


def test_options_reach_the_other_test_set(run_tool, tmp_path):
    done = run_tool(
        "test.py", "configs/smplify.py", "--on", "configs/test_sets/pw3d.py", "--out", tmp_path,
        "--cfg-options", f"test_dataloader.dataset.data_root={tmp_path}/none",
    )  # fmt: skip
    assert_one_message(done, f"{tmp_path}/none")


def test_checkpoint_of_another_model_is_one_message(run_tool, with_toy, tmp_path):
    done = run_tool("train.py", TOY, "--work-dir", tmp_path, "--cfg-options", "train_cfg.max_iters=5")
    assert done.returncode == 0, done.stderr
    done = run_tool("test.py", TOY, tmp_path, "--cfg-options", "model.width=5")
    assert_one_message(done, "iter_5.pth", "net.0.weight is (8, 4) there and (5, 4) here")


def test_damaged_checkpoint_is_one_message(run_tool, with_toy, tmp_path):
    (tmp_path / "last.pth").write_bytes(b"PK\x03\x04 cut off")
    assert_one_message(run_tool("test.py", TOY, tmp_path / "last.pth"), "last.pth", "not a checkpoint")
