"""Training a small HMR on files: several processes, resuming both optimisers, averaged weights, clipping, pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sequence_files import write_sequences

from mviper.config import load_config
from mviper.engine import Runner, read_checkpoint, use_mixed_precision
from mviper.graphics.plots import read_scalars

HERE = Path(__file__).parent
CONFIG = HERE / "adversarial_config.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_sequences(tmp_path_factory.mktemp("data"), frames=8)


def options(data, **more):
    train, val = "train_dataloader.dataset", "val_dataloader.dataset"
    roots = dict.fromkeys([f"{train}.dataset.data_root", f"{train}.poses.data_root", f"{val}.data_root"], str(data))
    return {**roots, **more}


def train(data, folder, name, amp=False, **more):
    config = load_config(CONFIG, options(data, work_dir=str(folder), experiment_name=name, **more))
    config.resume = True
    if amp:
        use_mixed_precision(config.optim_wrapper)
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def read(folder):
    return read_checkpoint(folder)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(data, folder, "whole")
    return folder


def test_two_processes_draw_the_loss_curve_of_one(data, whole, tmp_path, repository):
    environment = {
        **os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{repository}", "PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    changes = options(data, **{"train_dataloader.batch_size": 2})  # of each of the two
    done = subprocess.run(
        [
            repository / "tools" / "dist_train.sh", CONFIG, "2", "--work-dir", tmp_path, "--cfg-options",
            *(f"{key}={value}" for key, value in changes.items()),
        ],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = read_scalars(whole).train, read_scalars(tmp_path).train
    assert {"loss", "loss_smpl", "loss_adversarial", "loss_discriminator"} <= set(one)
    for name in [name for name in one if "loss" in name]:
        np.testing.assert_array_equal(one[name][0], np.arange(1, 7))
        np.testing.assert_allclose(two[name][1], one[name][1], rtol=1e-4, atol=1e-5, err_msg=name)
    assert one["loss_discriminator"][1][0] != pytest.approx(
        one["loss_discriminator"][1][-1], rel=0.02
    )  # it was updated


def test_both_optimisers_and_the_average_resume_bit_exactly(data, whole, tmp_path):
    train(data, tmp_path, "first", **{"train_cfg.max_iters": 4})
    train(data, tmp_path, "second")
    parts, undisturbed = read(tmp_path), read(whole)
    for name in ("state_dict", "ema_state_dict"):
        assert parts[name].keys() == undisturbed[name].keys()
        assert all(torch.equal(value, undisturbed[name][key]) for key, value in parts[name].items())
    for part, rate in (("generator", 2e-4), ("discriminator", 1e-3)):
        one, two = parts["optimizer"][part], undisturbed["optimizer"][part]
        rates = [group["lr"] for optimizer in (one, two) for group in optimizer["param_groups"]]
        assert rates == pytest.approx([rate, rate], rel=1e-9) and rates[0] == rates[1]
        for place, state in one["state"].items():
            assert all(torch.equal(value, two["state"][place][key]) for key, value in state.items())


def test_the_average_is_what_is_kept(toy_config, tmp_path):
    changes = {"default_hooks.checkpoint.interval": 1, "default_hooks.checkpoint.keep": 9, "train_cfg.max_iters": 8}
    config = toy_config("averaged", **changes)
    config.custom_hooks.append(dict(type="EMAHook", momentum=0.3))
    runner = Runner.from_cfg(config)
    runner.train()
    average = None
    for step in range(1, 9):
        checkpoint = torch.load(tmp_path / "averaged" / f"iter_{step}.pth", weights_only=True)
        # state_dict is the average, for testing; ema_state_dict holds the weights with which training continues.
        weights = checkpoint["ema_state_dict"]["module.net.0.weight"]
        average = weights if average is None else 0.7 * average + 0.3 * weights
        torch.testing.assert_close(checkpoint["state_dict"]["net.0.weight"], average)
    assert torch.equal(runner.model.net[0].weight, weights) and not torch.equal(average, weights)

    # Another run that starts from it uses the tested weights, whether or not it resumes.
    second = toy_config("second", **{"train_cfg.max_iters": 1, "load_from": str(tmp_path / "averaged")})
    second.custom_hooks.append(dict(type="EMAHook", momentum=0.3))
    second.resume = True
    runner = Runner.from_cfg(second)
    runner.call_hook("before_run")
    runner.load_or_resume()
    torch.testing.assert_close(runner.model.net[0].weight.detach(), average)
    averaged = next(hook for hook in runner.hooks if type(hook).__name__ == "EMAHook").ema_model
    torch.testing.assert_close(averaged.module.net[0].weight, average)
    assert averaged.steps == 0


def test_clipped_gradients_mixed_precision_and_tensorboard(data, tmp_path):
    backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
    changes = {
        "optim_wrapper.generator.clip_grad.max_norm": 1e-3, "train_cfg.max_iters": 1, "val_dataloader": None,
        "val_cfg": None, "val_evaluator": None, "visualizer": dict(type="Visualizer", vis_backends=backends),
    }  # fmt: skip
    runner = train(data, tmp_path, "clipped", amp=True, **changes)
    assert len(list(tmp_path.glob("*/vis_data/events.out.tfevents*"))) == 1
    assert {type(part).__name__ for part in runner.optim_wrapper.values()} <= {"BF16OptimWrapper", "AmpOptimWrapper"}
    wrapper = runner.optim_wrapper["generator"]
    parameters = [parameter for group in wrapper.param_groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    wrapper._clip_grad()
    norm = torch.stack([parameter.grad.norm() for parameter in parameters]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=0.01)  # a float32 sum of 11 million squares
    assert read_scalars(tmp_path).train["grad_norm"][1][0] > 1  # logged, before clipping


def test_pictures_of_a_run(whole):
    assert sorted(path.name for path in (whole / "samples").iterdir()) == ["iter_000003.png", "iter_000006.png"]
    sheet = cv2.imread(str(whole / "samples" / "iter_000006.png"))
    assert sheet.shape == (256 + 2 * 6, 4 * 256 + 5 * 6, 3)  # one sequence: seen, prediction, from the side, truth
    cells = [sheet[6:-6, 6 + k * 262 : 262 + k * 262].astype(int) for k in range(4)]
    differs = [np.abs(cell - cells[0]).max(-1) > 20 for cell in cells]
    assert 0.02 < differs[1].mean() < 0.6 and 0.02 < differs[3].mean() < 0.6
    blue, _, red = (cells[k][differs[k]].mean(0) for k in (1, 2, 3))
    assert blue[0] > blue[2] and red[2] > red[0]  # the prediction is blue, the truth sand (BGR)
    curves = cv2.imread(str(whole / "curves.png"), cv2.IMREAD_UNCHANGED)
    assert curves.shape[1] > 1000 and curves[..., :3].std() > 5
