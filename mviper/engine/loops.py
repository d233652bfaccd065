"""The training loop: counted in iterations, with bit-exact resuming at any of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from mmengine.dist import get_rank
from mmengine.runner import BaseLoop

from mviper.engine.distributed import mean_over_ranks
from mviper.engine.sampling import is_resumable, seed_everything
from mviper.errors import ConfigError
from mviper.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(BaseLoop):
    """Trains for ``max_iters`` steps; each step depends only on weights, optimiser, seed and step number.

    When resuming, mmengine's ``IterBasedTrainLoop`` decodes all data already seen once more, and the state of the
    generators for dropout and augmentation is lost. Here the sampler jumps to its position and the generators are
    seeded for each step, so no state has to be saved. With mmengine's samplers data already seen are decoded again here
    too, and resuming is not bit-exact.

    Args:
        runner: The runner.
        dataloader: Config of the loader, with any sampler; a ``ResumableSampler`` makes resuming fast and exact.
        max_iters: Total number of steps.
        val_interval: Steps between validations (also after the last step).
        val_begin: First step of validation; 0 also validates before training.
    """

    def __init__(self, runner, dataloader: dict, max_iters: int, val_interval: int = 1000, val_begin: int = 1) -> None:
        super().__init__(runner, dataloader)
        if max_iters < 1 or val_interval < 1:
            raise ConfigError(f"train_cfg: max_iters ({max_iters}) and val_interval ({val_interval}) must be positive")
        self.max_iters, self.val_interval, self.val_begin = max_iters, val_interval, val_begin
        self._iter = 0
        # Interface of mmengine's hooks; to them the whole training is one epoch.
        self._epoch, self.max_epochs = 0, 1
        self.stop_training = False

    @property
    def iter(self) -> int:
        """Steps done so far."""
        return self._iter

    @property
    def epoch(self) -> int:
        """Always 0: training is counted in steps."""
        return self._epoch

    def run(self):
        """Trains from the current step to the last one.

        Returns:
            The runner's model.
        """
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        if self._iter < self.max_iters:
            self._run_steps()
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def _run_steps(self) -> None:
        if self._iter == 0 and self.val_begin == 0 and self.runner.val_loop is not None:
            self.runner.val_loop.run()
        batches = self._batches()
        self.runner.model.train()
        while self._iter < self.max_iters and not self.stop_training:
            self._run_step(next(batches))
            due = self._iter % self.val_interval == 0 or self._iter == self.max_iters
            if self.runner.val_loop is not None and due and self._iter >= self.val_begin:
                self.runner.val_loop.run()
                self.runner.model.train()

    def _batches(self) -> Iterator[dict]:
        """Endless batches, from the current step on."""
        sampler, skipped = self.dataloader.sampler, self._iter
        if is_resumable(sampler):
            sampler.start, skipped = self._iter * self.dataloader.batch_size, 0
        elif skipped:
            self.runner.logger.warning(
                f"Decoding the data of {skipped} steps again: {type(sampler).__name__} cannot jump, as "
                "ResumableSampler does"
            )
        return itertools.islice(self._passes(), skipped, None)

    def _passes(self) -> Iterator[dict]:
        for number in itertools.count():
            if hasattr(self.dataloader.sampler, "set_epoch"):
                self.dataloader.sampler.set_epoch(number)
            empty = True
            for batch in self.dataloader:
                empty = False
                yield batch
            if empty:
                raise ConfigError(
                    f"train_dataloader: no batch of {self.dataloader.batch_size} in {len(self.dataloader.dataset)} "
                    "clips: use a smaller batch_size, or drop_last=False"
                )

    def _run_step(self, data_batch: dict) -> None:
        runner = self.runner
        seed_everything(runner.seed, get_rank(), self._iter)
        runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = runner.model.train_step(data_batch, optim_wrapper=runner.optim_wrapper)
        # Log the whole batch's losses; all processes stop together when one has a non-finite loss.
        outputs = mean_over_ranks(outputs)
        runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1
