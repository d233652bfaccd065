"""Several optimisers for one model, as in adversarial training, with a single backward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn

from mviper.errors import ConfigError
from mviper.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS


def lay_out_like_weights(wrapper: OptimWrapper | OptimWrapperDict) -> None:
    """Gives the optimiser's averages the memory layout of the weights.

    A checkpoint may come from a run with another ``channels_last``, and Adam's fused step on the CPU (torch 2.13) walks
    both in memory order and ignores strides.

    Args:
        wrapper: With its state loaded.
    """
    for one in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
        for weight, state in one.optimizer.state.items():
            for name, value in state.items():
                if torch.is_tensor(value) and value.shape == weight.shape and value.stride() != weight.stride():
                    state[name] = torch.empty_like(weight).copy_(value)


class JointOptimWrapperDict(OptimWrapperDict):
    """Optimisers of disjoint parameters that step together, each with its own gradient clipping and learning rate.

    mmengine's version leaves the backward pass to the model's ``train_step``, which its ``DistributedDataParallel``
    does not call. If no loss reaches another optimiser's parameters (see ``AdversarialLoss``), one backward pass of the
    sum gives each optimiser its own gradient, and all that works with one optimiser works: distributed training,
    autocast.
    """

    @property
    def _first(self) -> OptimWrapper:
        return next(iter(self.optim_wrappers.values()))

    def update_params(self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None) -> None:
        """One backward pass, then a step of each optimiser.

        Args:
            loss: Scalar.
            step_kwargs: Passed to each ``step``.
            zero_kwargs: Passed to each ``zero_grad``.
        """
        self._first.backward(self._first.scale_loss(loss))
        for wrapper in self.optim_wrappers.values():
            if wrapper is not self._first:
                wrapper._inner_count += 1
            if wrapper.should_update():
                wrapper.step(**(step_kwargs or {}))
                wrapper.zero_grad(**(zero_kwargs or {}))

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The first optimiser's: autocast and gradient accumulation are the same for all."""
        with self._first.optim_context(model):
            yield

    def initialize_count_status(self, model: nn.Module, cur_iter: int, max_iters: int) -> None:
        """Sets the current and the maximum number of steps of each."""
        for wrapper in self.optim_wrappers.values():
            wrapper.initialize_count_status(model, cur_iter, max_iters)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SeparateOptimizers:
    """Builds an optimiser for each part of the model.

    The config's ``optim_wrapper`` is::

        dict(
            constructor="SeparateOptimizers",
            generator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-5)),
            discriminator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4)),
        )

    Each optimiser but the first takes the parameters of modules with its own name
    (``losses.adversarial.discriminator.*``); the first takes all others. One without parameters is left out, so a model
    can drop its discriminator without a change here.

    Args:
        optim_wrapper_cfg: Configs of the optimisers by name.
        paramwise_cfg: mmengine's; not supported.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg or not all(
            isinstance(part, dict) and "optimizer" in part for part in optim_wrapper_cfg.values()
        ):
            raise ConfigError(
                "optim_wrapper: SeparateOptimizers takes name=dict(type='OptimWrapper', optimizer=dict(...)) for each "
                f"part and nothing else; found {', '.join(optim_wrapper_cfg)}"
            )
        counts = {part.get("accumulative_counts", 1) for part in optim_wrapper_cfg.values()}
        types = {part.get("type", "OptimWrapper") for part in optim_wrapper_cfg.values()}
        if len(counts) > 1 or len(types) > 1:
            raise ConfigError("optim_wrapper: type and accumulative_counts must be the same for all parts")
        self.configs = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Builds them.

        Args:
            model: The model, wrapped or not.
        """
        first, *others = self.configs
        parameters = {name: [] for name in self.configs}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                owner = next((part for part in others if part in name.split(".")), first)
                parameters[owner].append(parameter)
        wrappers = {}
        for name, config in self.configs.items():
            if parameters[name]:
                optimizer = OPTIMIZERS.build({**config["optimizer"], "params": parameters[name]})
                wrappers[name] = OPTIM_WRAPPERS.build({"type": "OptimWrapper", **config, "optimizer": optimizer})
        return JointOptimWrapperDict(**wrappers)
