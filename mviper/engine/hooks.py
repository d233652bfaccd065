"""Hooks: the mean pose before training, a stop when the loss is not finite, a progress bar."""

from __future__ import annotations

import json
import logging
import math
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mviper.datasets import AnnotatedDataset, gather_annotations
from mviper.engine.sampling import SeededItems
from mviper.errors import ConfigError, MviperError
from mviper.files import atomic_path
from mviper.models.heads import compute_mean_phi
from mviper.registry import HOOKS


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stops training when the loss is NaN or infinite, before a checkpoint of corrupted weights can be written.

    The batch is described in ``work_dir/lost_loss.json``: step, terms of the loss, and each clip's sequence, file and
    frames (with several processes ``lost_loss_<rank>.json``, each for its own part of the batch).

    Args:
        interval: Steps between checks; each check synchronises with the device.
    """

    priority = "ABOVE_NORMAL"

    def __init__(self, interval: int = 1) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Raises :class:`MviperError` that names the terms of the loss and the batch's sequences."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        values = {name: float(torch.as_tensor(value).detach()) for name, value in outputs.items()}
        bad = {name: value for name, value in values.items() if not math.isfinite(value)}
        if bad:
            terms = ", ".join(f"{name} = {value}" for name, value in bad.items())
            clips = _clips(data_batch)
            name = f"lost_loss_{get_rank()}.json" if runner.world_size > 1 else "lost_loss.json"
            report = {"step": runner.iter + 1, "losses": {k: str(v) for k, v in values.items()}, "batch": clips}
            with atomic_path(Path(runner.work_dir, name)) as temporary:
                temporary.write_text(json.dumps(report, indent=1) + "\n")
            shown = "; ".join(f"{clip['sequence']} from frame {clip['frames'][0]}" for clip in clips) or "unknown"
            raise MviperError(
                f"step {runner.iter + 1}: {terms}. The batch was: {shown}. Its files are named in "
                f"{Path(runner.work_dir, name)}. The weights are now unusable; the newest good checkpoint is in "
                f"{runner.work_dir}. Try a smaller learning rate, or check the data."
            )


def _clips(data_batch: dict | None) -> list[dict]:
    """Sequence, file and frames of each clip that states them."""
    samples = (data_batch or {}).get("data_samples", (data_batch or {}).get("data_sample", []))
    return [
        {
            "sequence": sample.get("sequence"),
            "file": sample.get("video_path"),
            "frames": [int(frame) for frame in np.asarray(sample.get("frame_indices", [0]))],
        }
        for sample in samples
        if hasattr(sample, "get") and sample.get("sequence") is not None
    ]


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """A live bar with the loss and the remaining time on a terminal; elsewhere there are only the log's lines."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.progress = None

    def before_train(self, runner) -> None:
        """Starts the bar."""
        self._start(runner, "training", runner.max_iters, runner.iter)

    def after_train_iter(self, runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None) -> None:
        """Moves the bar on."""
        if self.progress is not None:
            self.progress.update(
                self.task, completed=runner.iter + 1, loss=f"loss {float(outputs['loss'].detach()):.3f}"
            )

    def after_train(self, runner) -> None:
        """Ends the bar."""
        self._stop()

    def before_test(self, runner) -> None:
        """Starts the bar."""
        self._start(runner, "testing", len(runner.test_dataloader), 0)

    def after_test_iter(self, runner, batch_idx: int, data_batch: object = None, outputs: object = None) -> None:
        """Moves the bar on."""
        if self.progress is not None:
            self.progress.update(self.task, completed=batch_idx + 1)

    def after_test(self, runner) -> None:
        """Ends the bar."""
        self._stop()

    def _start(self, runner, what: str, total: int, completed: int) -> None:
        if runner.rank != 0 or not sys.stdout.isatty():
            return
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"), transient=True,
        )  # fmt: skip
        self.task = self.progress.add_task(what, total=total, completed=completed, loss="")
        self.progress.start()
        self._redirect_log(runner)

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
            for handler, stream in self.redirected:
                handler.setStream(stream)

    def _redirect_log(self, runner) -> None:
        """Routes the log's lines through the bar's console, which prints them above the bar."""
        self.redirected = []
        for handler in runner.logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                self.redirected.append((handler, handler.setStream(sys.stdout)))


@HOOKS.register_module()
class MeanPhiHook(Hook):
    """Sets the head's phi_0 to the training split's mean parameters, unless loaded from a checkpoint.

    The mean is the paper's "mean SMPL parameters" (eq. 17); see ``mviper.models.heads.compute_mean_phi``.

    Args:
        max_frames: Larger splits are subsampled evenly to at most about this many frames.
    """

    priority = "HIGH"

    def __init__(self, max_frames: int = 100_000) -> None:
        self.max_frames = max_frames
        self.loaded = False

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Records whether the checkpoint holds phi_0."""
        self.loaded = "head.mean_phi" in checkpoint["state_dict"]

    def before_train(self, runner) -> None:
        """Computes phi_0 and writes it to the head's buffer.

        Raises:
            ConfigError: The training data cannot give their annotation.
        """
        if self.loaded:
            return
        dataset = runner.train_dataloader.dataset
        dataset = dataset.dataset if isinstance(dataset, SeededItems) else dataset
        if not isinstance(dataset, AnnotatedDataset):
            raise ConfigError(
                f"MeanPhiHook: phi_0 is the mean of the training data's annotation, which {type(dataset).__name__} "
                "does not give (mviper.datasets.AnnotatedDataset says how); take the hook out, or start from a "
                "checkpoint that holds phi_0 (load_from)"
            )
        frame_step = 1 + dataset.metainfo["frames"] // self.max_frames
        annotations = gather_annotations(dataset, frame_step)
        model = runner.bare_model
        phi = compute_mean_phi(**annotations)
        phi[-3:] = model.projection.camera_from_weak(phi[-3:])
        model.head.set_mean_phi(phi)
        counts = len(annotations["smpl_rotmat"]), int(annotations["has_betas"].sum()), len(annotations["betas"])
        runner.logger.info("phi_0 is the mean over {} poses, {} shapes and {} frames".format(*counts))
