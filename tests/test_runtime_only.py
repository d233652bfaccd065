"""With only the runtime requirements, training and testing work, and missing extras name their install command.

``make test-runtime`` runs this in a separate environment.
"""

import importlib.util
import os
import subprocess
import sys

import pytest
from sequence_files import write_sequences

EXTRAS = ("bpy", "mediapipe", "onnx", "openvino", "ray", "viser", "pybullet_data", "anny", "c3d")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bpy") is not None, reason="bpy is installed here; make test-runtime has its own .venv"
)


def run(repository, *arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=repository, capture_output=True, text=True, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_no_extra_is_installed():
    assert [name for name in EXTRAS if importlib.util.find_spec(name)] == []


def test_both_stages_train_and_test(repository, tmp_path):
    data = write_sequences(tmp_path / "data")
    checkpoint = None
    for name in ("frame", "mviper"):
        config, work_dir = f"configs/demo/{name}.py", tmp_path / name
        loaders = [f"{split}_dataloader" for split in ("train", "val", "test")]
        options = [f"{loader}.dataset.data_root={data}" for loader in loaders]
        options += [f"{loader}.num_workers=0" for loader in loaders]
        options += [f"{loader}.persistent_workers=False" for loader in loaders]
        start = [f"load_from={checkpoint}"] if checkpoint else []
        trained = run(
            repository, "tools/train.py", config, "--work-dir", work_dir, "--cfg-options", *options, *start,
            "train_dataloader.batch_size=1", "train_cfg.max_iters=1", "train_cfg.val_interval=1",
        )  # fmt: skip
        assert trained.returncode == 0, trained.stdout + trained.stderr
        checkpoint = work_dir
        tested = run(repository, "tools/test.py", config, checkpoint, "--cfg-options", *options)
        assert tested.returncode == 0, tested.stdout + tested.stderr
        assert "PA-MPJPE" in tested.stdout


def test_generating_names_the_install_command(repository, tmp_path):
    result = run(repository, "tools/generate.py", "configs/synthesis/deepmimic.py", "--out", tmp_path, "--limit", 1)
    assert result.returncode == 1
    assert "pip install -c requirements/constraints.txt -r requirements/synthesis.txt" in result.stderr
    assert "Traceback" not in result.stderr
