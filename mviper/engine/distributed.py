"""Distributed training without CUDA, where mmengine would set a CUDA device."""

from __future__ import annotations

import torch
from mmengine.dist import get_world_size
from mmengine.model import MMDistributedDataParallel
from torch import distributed

from mviper.registry import MODEL_WRAPPERS


def init_process_group(launcher: str) -> None:
    """Joins ``torchrun``'s process group with gloo; with CUDA, mmengine does it."""
    if launcher == "pytorch" and not torch.cuda.is_available() and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def mean_over_ranks(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Means of scalars over all processes, in one all-reduce.

    Args:
        values: Scalars by name, the same names on all ranks.
    """
    if get_world_size() == 1:
        return values
    together = torch.stack([value.detach().float() for value in values.values()])
    distributed.all_reduce(together)
    return dict(zip(values, (together / get_world_size()).unbind()))


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """``MMDistributedDataParallel`` for a module on the CPU.

    Args:
        module: The model.
        device_ids: Passed by mmengine (the local rank as a CUDA device); not used on the CPU.
        **kwargs: For ``torch.nn.parallel.DistributedDataParallel``.
    """

    def __init__(self, module: torch.nn.Module, device_ids: object = None, **kwargs) -> None:
        super().__init__(module=module, device_ids=None, **kwargs)
