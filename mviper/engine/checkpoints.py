"""Checkpoints that torch reads with ``weights_only=True``, are never half written, and are never all removed.

mmengine 0.10.7 writes its history buffers and numpy scalars into checkpoints, which torch >= 2.6 refuses to load.
Here a checkpoint holds tensors and plain Python values only; nothing in it is executed when it is read.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging.history_buffer import HistoryBuffer

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import atomic_path, why_not_loaded
from mviper.registry import HOOKS

#: Name of the link to the newest checkpoint in a work_dir.
LAST = "last.pth"
#: Name of the checkpoint with the best validation metric.
BEST = "best.pth"


def to_plain(value: object) -> object:
    """Turns numpy values and mmengine's history buffers, at any depth, into tensors and plain Python values."""
    if isinstance(value, HistoryBuffer):
        log, counts = value.data
        return dict(log=log.tolist(), counts=counts.tolist(), max_length=value.max_length)
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind in "OUS" else torch.from_numpy(value.copy())
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def restore_message_hub(state: dict) -> dict:
    """The inverse of :func:`to_plain` on a message hub's state: history buffers are what mmengine expects."""
    scalars = {
        name: HistoryBuffer(item["log"], item["counts"], item["max_length"])
        for name, item in state["log_scalars"].items()
    }
    return {**state, "log_scalars": scalars}


def write_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """Writes a checkpoint atomically: the name exists only once the content is whole."""
    with atomic_path(path) as temporary:
        torch.save(checkpoint, temporary)


def require_checkpoint(path: str | Path) -> None:
    """Raises :class:`MissingDataError`, with the command that makes it where that can be known, if there is none."""
    if not Path(path).is_file():
        raise MissingDataError(f"{path}: no such checkpoint{_how_to_train(Path(path))}")


def read_checkpoint(path: str | Path, map_location: str | torch.device = "cpu") -> dict:
    """Reads a checkpoint without executing anything in it.

    Returns:
        ``state_dict`` and, for one written by training, ``meta``, ``optimizer``, ``param_schedulers``,
        ``message_hub``.

    Raises:
        MissingDataError: No such file; the message says how to make it, where that can be known.
        FileFormatError: Truncated, not a checkpoint, or it asks for something that could execute code.
    """
    require_checkpoint(path)
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        raise FileFormatError(path, f"not a checkpoint that can be read safely: {why_not_loaded(error)}") from error
    if not isinstance(checkpoint, dict):
        raise FileFormatError(path, f"expected a dict with 'state_dict', found a {type(checkpoint).__name__}")
    if "state_dict" not in checkpoint:
        checkpoint = {"state_dict": checkpoint}
    if not all(isinstance(value, torch.Tensor) for value in checkpoint["state_dict"].values()):
        raise FileFormatError(path, "expected tensors by name in 'state_dict'")
    return checkpoint


def _how_to_train(path: Path) -> str:
    """``work_dirs/demo/frame/last.pth`` is what training ``configs/demo/frame.py`` leaves."""
    parts = path.parts
    if "work_dirs" in parts[:-1]:
        place = parts.index("work_dirs")
        config = Path("configs", *parts[place + 1 : -1]).with_suffix(".py")
        if Path(*parts[:place], config).is_file():
            return f". Train it first: python tools/train.py {config}"
    return ""


def load_state_dict(model: torch.nn.Module, state_dict: dict, path: str | Path, *, strict: bool) -> list[str]:
    """Copies weights into a model.

    Args:
        model: The model.
        state_dict: Weights by name.
        path: Where they come from, for the error.
        strict: Every name must match (testing). Otherwise names may be missing on either side, as when the video
            model starts from the frame model, but none may have another shape and some must match.

    Returns:
        The model's names that were not in ``state_dict``.

    Raises:
        ConfigError: The checkpoint is not of this model.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state_dict]
    known = {**dict(model.named_parameters()), **own}  # a frozen encoder keeps weights that are a file's out of its own
    unexpected = [name for name in state_dict if name not in known]
    misshapen = [
        f"{name} is {tuple(state_dict[name].shape)} there and {tuple(known[name].shape)} here"
        for name in known
        if name in state_dict and state_dict[name].shape != known[name].shape
    ]
    problems = misshapen[:]
    if strict:
        problems += [f"{name} is missing there" for name in missing]
        problems += [f"{name} is not in the model" for name in unexpected]
    elif own and len(missing) == len(own):
        problems.append("no weight has a name that the model knows")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ConfigError(f"{path}: does not fit the config's model: {'; '.join(problems[:3])}{more}")
    model.load_state_dict(state_dict, strict=False)
    return missing


@HOOKS.register_module()
class ResumableCheckpointHook(Hook):
    """Writes ``iter_<n>.pth`` with the link ``last.pth`` to the newest, and ``best.pth``.

    An older checkpoint is removed only after the newer one is whole (mmengine's hook removes first).

    Args:
        interval: Steps between checkpoints; the last step is always written.
        keep: How many ``iter_<n>.pth`` stay.
        best: Validation metric whose smallest value decides ``best.pth``; ``None``: no ``best.pth``.
    """

    priority = "VERY_LOW"

    def __init__(self, interval: int, keep: int = 2, best: str | None = None) -> None:
        if interval < 1 or keep < 1:
            raise ConfigError(f"ResumableCheckpointHook: interval ({interval}) and keep ({keep}) must be positive")
        self.interval, self.keep, self.best = interval, keep, best
        self.best_score = float("inf")

    def before_train(self, runner) -> None:
        """Takes up the best score of the run that is resumed."""
        path = Path(runner.work_dir, BEST)
        if self.best and runner.iter > 0 and path.is_file():
            meta = read_checkpoint(path).get("meta", {})
            if meta.get("iter", 0) <= runner.iter:
                self.best_score = meta.get("score", self.best_score)

    def after_train_iter(self, runner, batch_idx: int, data_batch: object = None, outputs: object = None) -> None:
        """Writes ``iter_<n>.pth`` when due."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            name = f"iter_{runner.iter + 1}.pth"
            runner.save_checkpoint(runner.work_dir, name, meta=dict(iter=runner.iter + 1))
            if is_main_process():
                self._link_last(Path(runner.work_dir), name)
                self._remove_old(Path(runner.work_dir))

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Writes ``best.pth`` when validation got better."""
        if not self.best or not metrics:
            return
        if self.best not in metrics:
            raise ConfigError(
                f"default_hooks.checkpoint.best: no validation metric {self.best!r}; there are {', '.join(metrics)}"
            )
        if metrics[self.best] < self.best_score:
            self.best_score = float(metrics[self.best])
            meta = dict(iter=runner.iter, metric=self.best, score=self.best_score)
            runner.save_checkpoint(runner.work_dir, BEST, save_optimizer=False, save_param_scheduler=False, meta=meta)

    @staticmethod
    def _link_last(work_dir: Path, name: str) -> None:
        temporary = work_dir / f".{LAST}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(name)
        os.replace(temporary, work_dir / LAST)

    def _remove_old(self, work_dir: Path) -> None:
        # By age, not by number: an earlier, longer run may have left higher numbers in the same folder.
        checkpoints = sorted(work_dir.glob("iter_*.pth"), key=lambda path: path.stat().st_mtime_ns)
        for path in checkpoints[: -self.keep]:
            path.unlink()
