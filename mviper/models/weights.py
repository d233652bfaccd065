"""Weights from files and URLs: read without executing anything, loaded strictly, with errors that name the keys."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from mviper.errors import FileFormatError, MissingDataError
from mviper.files import why_not_loaded


def read_weights(source: str | Path, what: str, hint: str) -> dict[str, Tensor]:
    """Reads a state dict with ``weights_only=True``.

    Args:
        source: Path or ``http(s)://`` URL (kept in torch's hub cache, checked against the hash in its name) of a state
            dict, or of a checkpoint that holds one under ``state_dict``.
        what: What it is, for the error.
        hint: How the user gets it, for the error.

    Returns:
        Tensors on the CPU by name, ``module.`` of data-parallel training stripped.

    Raises:
        MissingDataError: No such file, or the URL cannot be had.
        FileFormatError: It cannot be read, or holds no tensors.
    """
    try:
        if str(source).startswith(("http://", "https://")):
            content = torch.hub.load_state_dict_from_url(
                str(source), map_location="cpu", check_hash=True, weights_only=True
            )
        else:
            content = torch.load(Path(source).expanduser(), map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise MissingDataError(f"{source}: no such file for {what}. {hint}") from error
    except URLError as error:  # HTTPError is one
        raise MissingDataError(f"{source}: {what} cannot be downloaded: {error}. {hint}") from error
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
        raise FileFormatError(source, f"not readable as {what}: {why_not_loaded(error)}", hint=hint) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise FileFormatError(source, f"holds no weights; expected {what}", hint=hint)
    return {key.removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Copies weights into a module; every key and shape must agree (BatchNorm's step counters may be absent).

    Args:
        module: Where to.
        weights: State dict.
        source: Where the weights come from, for the error.

    Raises:
        FileFormatError: Keys are missing, unexpected or of another shape; some of each are named.
    """
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in weights and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in weights if key not in wanted]
    reshaped = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in weights and weights[key].shape != value.shape
    ]
    problems = {"it lacks": missing, "it has unknown": unexpected, "of another shape:": reshaped}
    if any(problems.values()):
        text = "; ".join(f"{label} {some(keys)}" for label, keys in problems.items() if keys)
        raise FileFormatError(source, f"weights of another architecture than {type(module).__name__}: {text}")
    module.load_state_dict(weights, strict=False)


def some(keys: Iterable[str], limit: int = 5) -> str:
    """Names the first few keys."""
    keys = list(keys)
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(keys[:limit]) + more
