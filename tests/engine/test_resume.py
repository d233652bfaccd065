"""A training run that is killed and resumed ends with exactly the weights of an uninterrupted one."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mviper.engine import Runner, read_checkpoint, require_inputs
from mviper.errors import FileFormatError

TOY = Path(__file__).with_name("toy_config.py")


def weights(folder):
    return read_checkpoint(folder)


def assert_same(a, b):
    assert a["state_dict"].keys() == b["state_dict"].keys()
    for name, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][name]), name
    for x, y in zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values()):
        assert all(torch.equal(x[key], y[key]) for key in x)
    # Of schedulers, mmengine also stores counters that do not matter; what matters is the learning rate.
    assert [g["lr"] for g in a["optimizer"]["param_groups"]] == [g["lr"] for g in b["optimizer"]["param_groups"]]
    for key in ("train/loss", "train/lr"):
        assert a["message_hub"]["log_scalars"][key] == b["message_hub"]["log_scalars"][key]


def train(config):
    torch.set_num_threads(1)  # like the runs in separate processes
    Runner.from_cfg(config).train()


@pytest.fixture
def undisturbed(toy_config, tmp_path):
    train(toy_config("undisturbed"))
    return weights(tmp_path / "undisturbed")


def test_killed_run_resumes_bit_exactly(undisturbed, tmp_path, repository):
    command = [
        sys.executable, repository / "tools" / "train.py", TOY, "--work-dir", tmp_path / "killed", "--resume",
        "--cfg-options", "train_dataloader.dataset.delay=0.02", "train_dataloader.num_workers=1",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{TOY.parent}{os.pathsep}{repository}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    started = time.time()
    while not (tmp_path / "killed" / "last_checkpoint").exists():  # step 7 of 20, in the middle of a pass over the data
        assert process.poll() is None and time.time() - started < 60, process.stderr.read().decode()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert weights(tmp_path / "killed")["meta"]["iter"] < 20
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert_same(weights(tmp_path / "killed"), undisturbed)


def test_number_of_workers_does_not_matter(undisturbed, toy_config, tmp_path):
    train(toy_config("workers", **{"train_dataloader.num_workers": 2, "train_dataloader.persistent_workers": True}))
    assert_same(weights(tmp_path / "workers"), undisturbed)


def test_validation_does_not_change_training(undisturbed, toy_config, tmp_path):
    train(toy_config("often", **{"train_cfg.val_interval": 2}))
    assert_same(weights(tmp_path / "often"), undisturbed)


def test_longer_schedule_continues(toy_config, tmp_path):
    train(toy_config("a"))
    low = weights(tmp_path / "a")["optimizer"]["param_groups"][0]["lr"]
    config = toy_config("a", **{"train_cfg.max_iters": 30})
    config.resume = True
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.iter == 30
    schedulers = runner.param_schedulers
    assert schedulers[1].end == 30 and schedulers[1].T_max == 26
    assert runner.optim_wrapper.get_lr()["lr"][0] == pytest.approx(1e-4, rel=0.05)
    assert low > 1e-4


def test_finished_run_does_nothing_more(undisturbed, toy_config, tmp_path):
    config = toy_config("undisturbed")
    config.resume = True
    train(config)
    assert_same(weights(tmp_path / "undisturbed"), undisturbed)


def test_resume_prefers_the_own_checkpoint_to_load_from(toy_config, tmp_path):
    train(toy_config("stage1", **{"train_cfg.max_iters": 7}))
    config = toy_config("stage2", **{"train_cfg.max_iters": 8, "load_from": str(tmp_path / "stage1")})
    config.resume = True
    first = Runner.from_cfg(config)
    first.train()
    assert first.iter == 8  # nothing to resume: started from step 0 with stage 1's weights
    second = Runner.from_cfg(toy_config("stage2", **{"train_cfg.max_iters": 9, "load_from": "no such file"}))
    second._resume = True
    second.train()
    assert second.iter == 9


def test_random_seed_is_taken_up(toy_config, tmp_path):
    for steps, name in ((20, "whole"), (7, "parts"), (20, "parts")):
        config = toy_config(name, **{"train_cfg.max_iters": steps, "param_scheduler": []})
        config.randomness = dict(seed=11 if (steps, name) != (20, "parts") else None)
        config.resume = True
        train(config)
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])


def test_without_symbolic_links(toy_config, tmp_path, monkeypatch):
    """As on exFAT, SMB, and Google Drive in Colab."""

    def refuse(*arguments, **options):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported", str(arguments[1]))

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)
    train(toy_config("plain", **{"train_cfg.max_iters": 7}))
    config = toy_config("plain")
    config.resume = True
    train(config)
    assert (tmp_path / "plain" / "last_checkpoint").read_text().endswith("iter_20.pth")


def test_copied_run_goes_on_without_last_checkpoint(undisturbed, toy_config, tmp_path):
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "undisturbed" / "iter_14.pth", tmp_path / "copy")
    config = toy_config("copy")
    config.resume = True
    require_inputs(config)
    train(config)
    assert_same(weights(tmp_path / "copy"), undisturbed)


def test_resume_never_starts_over_beside_a_checkpoint(toy_config, tmp_path):
    train(toy_config("run", **{"train_cfg.max_iters": 7}))
    path = tmp_path / "run" / "iter_7.pth"
    path.write_bytes(path.read_bytes()[:1000])
    config = toy_config("run")
    config.resume = True
    for start in (require_inputs, train):
        with pytest.raises(FileFormatError, match=r"training cannot resume from any.*iter_7\.pth"):
            start(config)
