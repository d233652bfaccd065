"""mmengine 0.10.7's runner, fixed for current torch: each method says what changed and why."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine import Config
from mmengine import runner as mmengine_runner
from mmengine.dataset import InfiniteSampler
from mmengine.device import get_device
from mmengine.dist import master_only
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop
from torch.utils.data import DataLoader

import mviper
from mviper.engine import checkpoints, distributed, optimizers
from mviper.engine.sampling import ResumableSampler, SeededItems, is_resumable
from mviper.errors import ConfigError, MissingDataError
from mviper.models import fetch_pretrained, is_pretrained
from mviper.registry import DATASETS

#: Scheduler attributes that a checkpoint must not overwrite: the config decides.
_SCHEDULE_LENGTH = ("end", "total_iters", "T_max")


def require_model(config: Config) -> None:
    """Raises :class:`ConfigError` if a config has no model: a synthesis config, or a part under ``_base_``."""
    if not config.get("model"):
        raise ConfigError(f"{config.filename}: it has no model; synthesis configs are for tools/generate.py")


def require_inputs(config: Config) -> None:
    """Checks that a training config's input files exist, before anything slow is built.

    Raises:
        MissingDataError: A data set's folder, the initial checkpoint or the encoder's initial weights are missing; the
            message says how to get them.
    """
    problems, hints = [], []
    for name in ("train_dataloader", "val_dataloader"):
        for dataset, mix in _data_sets((config.get(name) or {}).get("dataset", {}), f"{name}.dataset"):
            folder = Path(dataset["data_root"], dataset.get("split", ""))
            if next(folder.glob("*/manifest.json"), None) is None:
                try:
                    DATASETS.build(dataset)
                except MissingDataError as error:  # the message says how to make it
                    problems.append(str(error))
                    if mix:
                        hints.append(f"To train without them: --cfg-options {mix}.leave_out_missing=True")
    if problems:
        raise MissingDataError("\n".join(dict.fromkeys([*problems, *hints])))
    resumes = config.get("resume") and checkpoints.find_checkpoint(config.work_dir, resumable=True) is not None
    if config.get("load_from") and not resumes:
        checkpoints.resolve_checkpoint(config.load_from)
    elif not resumes:
        fetch_pretrained(config.model.get("backbone", {}).get("init_cfg"))


def _data_sets(dataset: dict, place: str, mix: str = "") -> Iterator[tuple[dict, str]]:
    """A data set's config, or those of the data sets that it wraps or mixes, each with the path of the mix, or "".

    Data sets that a mix may leave out are not included, unless these are all: then building the mix raises.
    """
    if dataset.get("leave_out_missing"):
        return
    if "data_root" in dataset:
        yield dataset, mix
    for part in dataset.get("datasets", []):
        yield from _data_sets(part, place, place)
    if "dataset" in dataset:
        yield from _data_sets(dataset["dataset"], f"{place}.dataset")


class Runner(mmengine_runner.Runner):
    """Builds everything from a config, trains and tests.

    Differences from mmengine's: checkpoints are plain data, atomic, and load with ``weights_only=True``; resuming
    continues the run's own newest checkpoint bit-exactly, also with more steps than before; distributed training works
    on the CPU; the log starts with one line about the machine instead of two pages.
    """

    def setup_env(self, env_cfg: dict) -> None:
        """Sets up processes and threads; on the CPU with gloo instead of CUDA."""
        distributed.init_process_group(self.launcher)
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: torch.nn.Module) -> torch.nn.Module:
        """Moves the model to the device and wraps it for several processes."""
        if self.distributed and model_wrapper_cfg is None and not torch.cuda.is_available():
            model_wrapper_cfg = dict(type="mviper.CPUDistributedDataParallel", broadcast_buffers=False)
        return super().wrap_model(model_wrapper_cfg, model)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, seed: int | None = None, **options: object) -> DataLoader:
        """Builds a loader; with a ``ResumableSampler`` its data set is wrapped in ``SeededItems``, for any loop.

        Args:
            dataloader: Its config, or built.
            seed: The run's.
            **options: As in mmengine.
        """
        if isinstance(dataloader, dict) and is_resumable(dataloader.get("sampler")):
            items = dict(type="mviper.SeededItems", dataset=dataloader["dataset"], seed=seed)
            dataloader = {**dataloader, "dataset": items}
        return mmengine_runner.Runner.build_dataloader(dataloader, seed, **options)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Builds the training loop.

        Raises:
            ConfigError: An epoch-based loop with an endless sampler.
        """
        loop = super().build_train_loop(loop)
        sampler = loop.dataloader.sampler
        if isinstance(loop, EpochBasedTrainLoop) and isinstance(sampler, (ResumableSampler, InfiniteSampler)):
            raise ConfigError(
                f"train_dataloader.sampler: {type(sampler).__name__} has no end, but train_cfg counts passes over the "
                "data: use DefaultSampler, or a loop that counts steps (train_cfg.type=ResumableTrainLoop)"
            )
        return loop

    @property
    def bare_model(self) -> torch.nn.Module:
        """The model without the wrapper of distributed training."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def _log_env(self, env_cfg: dict) -> None:
        # mmengine's collect_env runs a compiler, and fails if torchvision is installed but broken.
        device = (
            torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
        )
        self.logger.info(
            f"mviper {mviper.__version__}, torch {torch.__version__}, {device}, {self.world_size} process(es), "
            f"seed {self.seed}, work_dir {self.work_dir}"
        )

    def get_hooks_info(self) -> str:
        """The hooks' names in order (mmengine prints a page)."""
        return ", ".join(type(hook).__name__ for hook in self.hooks)

    @functools.cached_property
    def last_checkpoint(self) -> Path | None:
        """The checkpoint to resume; None: nothing."""
        return checkpoints.find_checkpoint(self.work_dir, resumable=True) if self._resume else None

    def _init_model_weights(self) -> None:
        """Initialises weights; published encoder weights are not fetched if a checkpoint is about to replace them."""
        if self.last_checkpoint is not None or self._load_from is not None:
            encoder = getattr(self.bare_model, "backbone", None)
            if is_pretrained(getattr(encoder, "init_cfg", None)):
                encoder.init_cfg = None
        super()._init_model_weights()

    def load_or_resume(self) -> None:
        """Resumes this run's newest checkpoint, if requested and present; otherwise loads ``load_from``.

        mmengine would resume ``load_from``, which for the video model is the frame model's checkpoint.
        """
        if self._has_loaded:
            return
        if self.last_checkpoint is not None:
            self.resume(str(self.last_checkpoint))
        else:
            if self._resume:
                self.logger.info(f"Nothing to resume in {self.work_dir}; starting from the beginning")
            self._resume = False  # read by EMAHook: the averages in load_from belong to another run
            if self._load_from is not None:
                self.load_checkpoint(str(self._load_from))
        self._has_loaded = True

    def load_checkpoint(self, filename: str, map_location: object = "cpu", strict: bool = False) -> dict:
        """Loads weights.

        Args:
            filename: The checkpoint, or a work_dir for its newest.
            map_location: Device of what is returned.
            strict: Whether all names must match; see ``checkpoints.load_state_dict``.

        Returns:
            The checkpoint.
        """
        filename = checkpoints.resolve_checkpoint(filename)
        checkpoint = checkpoints.read_checkpoint(filename, map_location)
        if "message_hub" in checkpoint:
            checkpoint["message_hub"] = checkpoints.restore_message_hub(checkpoint["message_hub"])
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        missing = checkpoints.load_state_dict(self.bare_model, checkpoint["state_dict"], filename, strict=strict)
        self._has_loaded = True
        self.logger.info(
            f"Loaded {filename}" + (f"; {len(missing)} of the model's tensors are not in it" if missing else "")
        )
        return checkpoint

    def resume(self, filename: str) -> None:
        """Restores weights, optimiser, schedulers, history and step number of a checkpoint.

        The schedule's length comes from the config, so that a finished run can be continued with more steps (mmengine
        restores the old end, after which the learning rate stays constant).
        """
        checkpoint = self.load_checkpoint(filename, map_location=get_device(), strict=True)
        self.train_loop._iter = checkpoint["meta"]["iter"]
        if isinstance(self.train_loop, EpochBasedTrainLoop):  # in other loops the whole training is one epoch
            passes = self.iter // len(self.train_dataloader)
            self.train_loop._epoch = checkpoint["meta"].get("epoch", passes)
        if checkpoint["meta"]["seed"] != self.seed:
            self._take_up_seed(checkpoint["meta"]["seed"])
        self.message_hub.load_state_dict(checkpoint["message_hub"])
        self.optim_wrapper.load_state_dict(checkpoint["optimizer"])
        optimizers.lay_out_like_weights(self.optim_wrapper)
        for scheduler, state in zip(self._schedulers(), checkpoint.get("param_schedulers", [])):
            length = {key: getattr(scheduler, key) for key in _SCHEDULE_LENGTH if hasattr(scheduler, key)}
            scheduler.load_state_dict({**state, **length})
        self.logger.info(f"Resumed at step {self.iter} of {self.max_iters}")

    def _schedulers(self) -> list:
        """All schedulers; with several optimisers mmengine has a list for each."""
        schedulers = self.param_schedulers or []
        return [one for part in schedulers.values() for one in part] if isinstance(schedulers, dict) else schedulers

    def _take_up_seed(self, seed: int) -> None:
        self.logger.info(f"Continues with the checkpoint's seed {seed}")
        self._seed = self.train_dataloader.sampler.seed = seed
        if isinstance(self.train_dataloader.dataset, SeededItems):
            self.train_dataloader.dataset.seed = seed

    @master_only
    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Writes a checkpoint of plain data, atomically.

        Args:
            out_dir: Folder.
            filename: Name in it.
            file_client_args: mmengine's; not supported: checkpoints are files.
            save_optimizer: Whether to include the optimiser's state; needed for resuming.
            save_param_scheduler: Whether to include the schedulers' state; needed for resuming.
            meta: Must hold ``iter``, the steps done, and ``epoch`` for an ``EpochBasedTrainLoop``.
            by_epoch: mmengine's; redundant with ``meta``.
            backend_args: As ``file_client_args``.

        Raises:
            ConfigError: The target is not a file system.
        """
        if file_client_args or backend_args:
            raise ConfigError("default_hooks.checkpoint: file_client_args and backend_args: checkpoints are files only")
        checkpoint = dict(
            meta=dict(
                **(meta or {}),
                seed=self.seed,
                time=time.strftime("%Y-%m-%d %H:%M:%S"),
                mviper_version=mviper.__version__,
                config_file=str(self.cfg.filename),
                config=self.cfg.to_dict(),
                dataset_meta=getattr(self.train_dataloader.dataset, "metainfo", {}),
            ),
            state_dict=self.bare_model.state_dict(),
            message_hub=self.message_hub.state_dict(),
        )
        if save_optimizer:
            checkpoint["optimizer"] = self.optim_wrapper.state_dict()
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint["param_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers()]
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        checkpoints.write_checkpoint(checkpoints.to_plain(checkpoint), Path(out_dir, filename))
