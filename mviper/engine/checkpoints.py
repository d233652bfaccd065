"""Checkpoints that torch reads with ``weights_only=True``, written atomically, never all removed.

mmengine 0.10.7 writes its history buffers and numpy scalars into checkpoints, which torch >= 2.6 refuses to load.
Here a checkpoint holds only tensors and plain Python values; reading it executes no code.
"""

from __future__ import annotations

import logging
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.logging.history_buffer import HistoryBuffer

from mviper.config import command
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import atomic_path, find_files, why_not_loaded
from mviper.registry import HOOKS

#: mmengine's text file in a work_dir that names the newest checkpoint.
LAST = "last_checkpoint"
#: Released weights, each named after its config.
RELEASED = Path(__file__).parents[1] / "models" / "released"
#: Name of the checkpoint with the best validation metric.
BEST = "best.pth"
#: Link to the newest checkpoint in work_dirs of earlier versions.
_EARLIER_LAST = "last.pth"


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
    """Inverse of :func:`to_plain` for a message hub's state: restores mmengine's history buffers."""
    scalars = {
        name: HistoryBuffer(item["log"], item["counts"], item["max_length"])
        for name, item in state["log_scalars"].items()
    }
    return {**state, "log_scalars": scalars}


def write_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """Writes a checkpoint atomically: the file appears only when it is complete."""
    with atomic_path(path) as temporary:
        torch.save(checkpoint, temporary)


def write_release(checkpoint: str | Path, path: str | Path) -> None:
    """Writes only a checkpoint's weights, in half precision, with a record of the training data.

    Args:
        checkpoint: A training checkpoint, or a work_dir.
        path: Output file.
    """
    content = read_checkpoint(checkpoint)
    # Prediction does not need the adversarial prior.
    state = {name: value for name, value in content["state_dict"].items() if not name.startswith("losses.")}
    state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    meta = content.get("meta", {})
    kept = {key: meta[key] for key in ("iter", "seed", "dataset_meta", "mviper_version") if key in meta}
    write_checkpoint({"state_dict": state, "meta": kept}, path)


def released_checkpoint(name: str | Path) -> Path | None:
    """The released weights for a config.

    Args:
        name: The config's file or name, e.g. ``mviper_blazepose``.

    Returns:
        The file; None if there are none.
    """
    path = RELEASED / f"{Path(name).stem}.pth"
    return path if path.is_file() else None


def record_last(path: Path) -> None:
    """Records a checkpoint as the newest of its folder, as mmengine does, without symbolic links.

    Args:
        path: The complete checkpoint.
    """
    with atomic_path(path.with_name(LAST)) as temporary:
        temporary.write_text(str(path))
    earlier = path.with_name(_EARLIER_LAST)
    if earlier.is_symlink():  # from an earlier version; would keep pointing to an older checkpoint
        earlier.unlink()


def read_checkpoint(path: str | Path, map_location: str | torch.device = "cpu") -> dict:
    """Reads a checkpoint without executing code.

    Args:
        path: A checkpoint, or a work_dir, see :func:`resolve_checkpoint`.
        map_location: Device of its tensors.

    Returns:
        ``state_dict`` and, for a training checkpoint, ``meta``, ``optimizer``, ``param_schedulers``, ``message_hub``.

    Raises:
        MissingDataError: No such file; the message says how to make it, if known.
        FileFormatError: Truncated, not a checkpoint, or with content that could execute code.
    """
    return _load(resolve_checkpoint(path), map_location=map_location)


def _load(path: Path, **options: object) -> dict:
    try:
        checkpoint = torch.load(path, weights_only=True, **options)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        raise FileFormatError(
            path, f"not a checkpoint that can be read safely: {why_not_loaded(error, path)}"
        ) from error
    if not isinstance(checkpoint, dict):
        raise FileFormatError(path, f"expected a dict with 'state_dict', found a {type(checkpoint).__name__}")
    if "state_dict" not in checkpoint:
        checkpoint = {"state_dict": checkpoint}
    state = checkpoint["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise FileFormatError(path, "expected tensors by name in 'state_dict'")
    return checkpoint


def resolve_checkpoint(path: str | Path) -> Path:
    """Resolves a path given by a user to a checkpoint file.

    Args:
        path: A checkpoint, a work_dir (its newest complete checkpoint) or, if neither exists, the name of a config (its
            released weights). ``<work_dir>/last.pth``, used by commands of earlier versions, stands for the work_dir if
            there is no such file.

    Raises:
        MissingDataError: No such file, or none in the folder; the message gives the command that makes it, if known.
        FileFormatError: None in the folder is complete.
    """
    path = Path(path)
    if path.is_file():
        return path
    folder = path.parent if path.name == _EARLIER_LAST else path
    found = find_checkpoint(folder)
    if found is None and path.name == str(path):
        found = released_checkpoint(path)
    if found is None:
        what = "no checkpoint in this folder" if path.is_dir() else "no such checkpoint"
        raise MissingDataError(f"{path}: {what}{_how_to_train(path)}")
    return found


def find_checkpoint(work_dir: str | Path, *, resumable: bool = False) -> Path | None:
    """The newest complete checkpoint in a work_dir.

    mmengine's ``last_checkpoint`` names it; only the file's name is used, since the folder may have been copied or
    moved. If ``last_checkpoint``, or the file that it names, is missing or damaged, the times stored in the checkpoints
    decide, which survive copying, with a warning.

    Args:
        work_dir: The folder.
        resumable: Only one from which training can resume: with optimiser and history.

    Returns:
        The file; None if there is no checkpoint at all, or, for resuming, only untrained weights.

    Raises:
        FileFormatError: All are damaged, or training cannot resume from any.
    """
    folder = Path(work_dir)
    named = _named_last(folder)
    files = {path.resolve(): path for path in reversed(find_files(folder, "*.pth")) if path.is_file()}
    if named is not None:
        files[named.resolve()] = named  # mmengine's CheckpointHook may have another out_dir
    problems, found = {}, {}
    for path in sorted(files.values(), key=lambda path: path != named):
        try:
            checkpoint = _glance(path)
        except FileFormatError as error:
            problems[path.name] = error.problem
            continue
        meta = checkpoint.get("meta", {})
        can_resume = {"optimizer", "message_hub"} <= checkpoint.keys() and {"iter", "seed"} <= meta.keys()
        if resumable and not can_resume:
            if meta.get("iter") == 0:  # best.pth of a run that ended before its first step: nothing to continue
                continue
            problems[path.name] = "it holds weights only"
            continue
        if path == named:
            return path
        found[path] = (can_resume, str(meta.get("time", "")), meta.get("iter", 0), path.stat().st_mtime_ns)
    if found:
        newest = max(found, key=found.get)
        why = (
            "; ".join(f"{name}: {problem}" for name, problem in problems.items())
            or f"no {LAST} says which is the newest"
        )
        print_log(f"{folder}: {why}; the newest complete checkpoint is {newest.name}", "current", logging.WARNING)
        return newest
    if not problems:
        return None
    text = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
    what = "training cannot resume from any of its checkpoints" if resumable else "none of its checkpoints is complete"
    raise FileFormatError(folder, f"{what} ({text})", hint="Restore a complete one, or use another work_dir")


def _named_last(folder: Path) -> Path | None:
    """The file that ``last_checkpoint``, or the link of earlier versions, names."""
    record = folder / LAST
    text = record.read_text(errors="replace").strip() if record.is_file() else ""
    if text.endswith(".pth") and "\0" not in text:
        own = folder / Path(text).name
        return Path(text) if Path(text).is_file() and not own.is_file() else own
    link = folder / _EARLIER_LAST
    return folder / link.resolve().name if link.is_file() else None


def _glance(path: Path) -> dict:
    """A memory-mapped checkpoint."""
    if not path.is_file():
        raise FileFormatError(path, "no such file")
    return _load(path, map_location="cpu", mmap=zipfile.is_zipfile(path))


def steps_done(path: str | Path) -> int | None:
    """Training steps of a checkpoint, or of a work_dir's newest; None if it does not say."""
    return _glance(resolve_checkpoint(path)).get("meta", {}).get("iter")


def _how_to_train(path: Path) -> str:
    """``work_dirs/demo/frame``, and any file in it, comes from training ``configs/demo/frame.py``."""
    parts = path.parts
    if "work_dirs" in parts:
        place = parts.index("work_dirs")
        for run in (parts[place + 1 :], parts[place + 1 : -1]):
            config = Path("configs", *run).with_suffix(".py")
            if run and Path(*parts[:place], config).is_file():
                return f". Train it first: {command('train', config)}"
    return ""


def load_state_dict(model: torch.nn.Module, state_dict: dict, path: str | Path, *, strict: bool) -> list[str]:
    """Copies weights into a model.

    Args:
        model: The model.
        state_dict: Weights by name.
        path: Where they come from, for error messages.
        strict: All names must match (testing). Otherwise names may be missing on either side, as when the video model
            starts from the frame model, but shapes must match and so must some names.

    Returns:
        The model's names that are not in ``state_dict``.

    Raises:
        ConfigError: The checkpoint is not of this model.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state_dict]
    known = {**dict(model.named_parameters()), **own}  # a frozen encoder's state_dict leaves out weights from a file
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
        problems.append("no weight has a name that occurs in the model")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ConfigError(f"{path}: does not fit the config's model: {'; '.join(problems[:3])}{more}")
    model.load_state_dict(state_dict, strict=False)
    return missing


@HOOKS.register_module()
class ResumableCheckpointHook(Hook):
    """Writes ``iter_<n>.pth``, mmengine's ``last_checkpoint``, which names the newest, and ``best.pth``.

    An older checkpoint is removed only when the newer one is complete (mmengine's hook removes first).

    Args:
        interval: Steps between checkpoints; the last step is always written.
        keep: Number of ``iter_<n>.pth`` kept.
        best: Validation metric to minimise for ``best.pth``; ``None``: no ``best.pth``.
    """

    priority = "VERY_LOW"

    def __init__(self, interval: int, keep: int = 2, best: str | None = None) -> None:
        if interval < 1 or keep < 1:
            raise ConfigError(f"ResumableCheckpointHook: interval ({interval}) and keep ({keep}) must be positive")
        self.interval, self.keep, self.best = interval, keep, best
        self.best_score = float("inf")

    def before_train(self, runner) -> None:
        """Restores the best score of the resumed run."""
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
                record_last(Path(runner.work_dir, name))
                self._remove_old(Path(runner.work_dir, name))

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Writes ``best.pth`` when validation improves."""
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

    def _remove_old(self, newest: Path) -> None:
        # By age, not by number: an earlier, longer run may have left higher numbers in the same folder.
        others = [path for path in newest.parent.glob("iter_*.pth") if path != newest]
        others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in others[self.keep - 1 :]:
            path.unlink()
