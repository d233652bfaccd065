"""Pictures of a running training: predictions on validation frames, and learning curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mviper.errors import ConfigError
from mviper.graphics import (
    TRUTH_COLOUR,
    contact_sheet,
    draw_label,
    enlarge,
    overlay,
    plot_curves,
    read_scalars,
    save_image,
    turned,
    weak_perspective,
)
from mviper.models.heads import fit_camera
from mviper.registry import HOOKS

#: Smaller pictures are enlarged to this size, so that the mesh can be judged [px].
_LEAST_SIDE = 256


@HOOKS.register_module()
class SampleOverlayHook(Hook):
    """Draws the predicted mesh over validation frames: ``work_dir/samples/iter_<n>.png``, a row per sequence.

    A row shows the input, the prediction over it, the prediction seen from the picture's right, and the true mesh if
    the sample has one. The same frames are drawn each time, so the pictures can be compared.

    Args:
        frames: Number of sequences drawn, evenly spaced in the split; the middle frame of each.
        interval: Draws at every n-th validation.
    """

    priority = "LOW"

    def __init__(self, frames: int = 4, interval: int = 1) -> None:
        if frames < 1 or interval < 1:
            raise ConfigError(f"SampleOverlayHook: frames ({frames}) and interval ({interval}) must be positive")
        self.frames, self.interval = frames, interval
        self._validations, self._rows = 0, []

    def before_val_epoch(self, runner) -> None:
        """Chooses the batches."""
        batches = len(runner.val_dataloader)
        due = is_main_process() and self._validations % self.interval == 0
        self._chosen = set(np.linspace(0, batches - 1, min(self.frames, batches)).astype(int)) if due else set()
        self._validations += 1
        self._rows = []

    def after_val_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: list | None = None
    ) -> None:
        """Draws the first sample of a chosen batch."""
        if batch_idx in self._chosen:
            self._rows += _row(data_batch["inputs"][0], outputs[0], runner.bare_model.body_model)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Writes the sheet."""
        if self._rows:
            path = Path(runner.work_dir, "samples", f"iter_{runner.iter:06d}.png")
            save_image(path, contact_sheet(self._rows, columns=4))
            self._rows = []


@torch.no_grad()
def _row(clip: torch.Tensor, sample: object, body: torch.nn.Module) -> list[np.ndarray]:
    """Four pictures of a clip's middle frame."""
    frame = len(clip) // 2
    picture = np.ascontiguousarray(clip[frame].permute(1, 2, 0).cpu().numpy())
    if "picture_rotation" in sample:  # of an aligned crop; the prediction has been rotated back
        picture = turned(picture, -sample.picture_rotation[frame])
    factor = max(1.0, _LEAST_SIDE / len(picture))
    picture = np.ascontiguousarray(picture if factor == 1 else enlarge(picture, factor))
    side = len(picture)
    crop = ((side - 1) / 2, (side - 1) / 2, side)

    def vertices_of(rotmat: torch.Tensor, betas: torch.Tensor) -> np.ndarray:
        device = sample.pred_rotmat.device
        output = body(betas[frame][None].to(device), rotmat[frame][None].to(device))
        return (output.vertices - output.joints[:, :1])[0].float().cpu().numpy()

    camera = sample.pred_camera[frame].float().cpu().numpy()
    predicted = vertices_of(sample.pred_rotmat, sample.pred_betas)
    from_side = predicted[:, [2, 1, 0]] * [1, 1, -1]  # a quarter turn about the vertical
    blank = np.full_like(picture, 60)
    shapes = [
        ("prediction", picture, predicted, camera, {}),
        ("from the side", blank, from_side, np.array([camera[0], 0, camera[2]]), {}),
    ]
    true_camera = _true_camera(sample, frame)
    if true_camera is not None:
        truth = vertices_of(sample.smpl_rotmat, sample.betas)
        shapes.append(("truth", picture, truth, true_camera, {"colour": TRUTH_COLOUR}))
    row = [draw_label(picture, str(sample.get("sequence", "")))]
    for label, ground, vertices, view, options in shapes:
        drawn = overlay(ground, weak_perspective(vertices, body.faces, view, crop), body.faces, **options)
        row.append(draw_label(drawn, label))
    return row + [blank] * (4 - len(row))


def _true_camera(sample: object, frame: int) -> np.ndarray | None:
    """The camera of eq. 6 that best fits the annotation; None for a sample without a true mesh."""
    if not (sample.get("has_smpl", 0) and sample.get("has_betas", 0)):
        return None
    image, space = sample.keypoints2d[frame][None].cpu(), sample.keypoints3d[frame][None].cpu()
    cameras, determined = fit_camera(image[..., :2], space[..., :3], image[..., 2] * space[..., 3])
    return cameras[0].numpy() if determined[0] else None


@HOOKS.register_module()
class MetricsPlotHook(Hook):
    """Draws losses and validation metrics so far to ``work_dir/curves.png``, after each validation and at the end.

    Args:
        metrics: Validation metrics to draw; those not measured are left out.
    """

    priority = "LOWEST"  # after the logger hook

    def __init__(self, metrics: tuple[str, ...] = ("MPJPE_mm", "PA-MPJPE_mm")) -> None:
        self.metrics = tuple(metrics)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Draws."""
        self._draw(runner)

    def after_train(self, runner) -> None:
        """Draws."""
        self._draw(runner)

    def _draw(self, runner) -> None:
        if not is_main_process():
            return
        scalars = read_scalars(runner.work_dir)
        losses = {name.removeprefix("loss_"): series for name, series in scalars.train.items() if "loss" in name}
        errors = {name: series for name, series in scalars.val.items() if name in self.metrics}
        titles = ("training losses", "validation [mm]")
        plot_curves(Path(runner.work_dir, "curves.png"), losses, errors, titles=titles, transparent=False)
