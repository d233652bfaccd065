"""Weights from files and URLs: read without executing code, loaded strictly, with errors that name the keys."""

from __future__ import annotations

import contextlib
import http.client
import pickle
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeGuard, overload
from urllib.parse import urlsplit

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import why_not_loaded

#: Official URLs of torchvision's ImageNet weights (IMAGENET1K_V1); each name holds the beginning of its SHA-256.
TORCHVISION = {
    name: f"https://download.pytorch.org/models/{name}-{sha256}.pth"
    for name, sha256 in {
        "resnet18": "f37072fd",
        "resnet34": "b627a593",
        "resnet50": "0676ba61",
        "resnet101": "63fe2227",
        "resnet152": "394f9c45",
    }.items()
}
_TORCHVISION_SCHEME = "torchvision://"
#: Network timeout [s].
TIMEOUT = 20.0


@overload
def pretrained_source(owner: str, init_cfg: None) -> None: ...
@overload
def pretrained_source(owner: str, init_cfg: str | Mapping) -> tuple[str, str]: ...
def pretrained_source(owner: str, init_cfg: str | Mapping | None) -> tuple[str, str] | None:
    """Source of an encoder's initial weights according to its ``init_cfg``.

    Args:
        owner: The encoder's name, for error messages.
        init_cfg: A path, a URL or ``torchvision://NAME``; also in mmengine's form ``dict(type="Pretrained",
            checkpoint=..., prefix=...)``; None: no source.

    Returns:
        Path or URL (torchvision names become the official URL), and the prefix of the encoder's keys.

    Raises:
        ConfigError: It is none of these.
    """
    if init_cfg is None:
        return None
    given = {"type": "Pretrained", "checkpoint": init_cfg} if isinstance(init_cfg, str) else dict(init_cfg)
    source = given.get("checkpoint")
    if (
        given.get("type") != "Pretrained"
        or not isinstance(source, str)
        or set(given) - {"type", "checkpoint", "prefix", "map_location"}
    ):
        raise ConfigError(
            f"{owner}: init_cfg={init_cfg!r}, expected a path, a URL, torchvision://NAME, or "
            "dict(type='Pretrained', checkpoint=one of these, prefix=that of the keys)"
        )
    if source.startswith(_TORCHVISION_SCHEME):
        name = source.removeprefix(_TORCHVISION_SCHEME)
        if name not in TORCHVISION:
            known = ", ".join(f"{_TORCHVISION_SCHEME}{known}" for known in TORCHVISION)
            raise ConfigError(f"{owner}: init_cfg: unknown {source}; known are {known}, paths and URLs")
        source = TORCHVISION[name]
    prefix = given.get("prefix") or ""
    return source, f"{prefix}." if prefix and not prefix.endswith(".") else prefix


def is_pretrained(init_cfg: object) -> TypeGuard[str | Mapping]:
    """Whether an ``init_cfg`` names weights rather than an initialiser (as mmengine's encoders may have)."""
    return isinstance(init_cfg, str) or (isinstance(init_cfg, Mapping) and init_cfg.get("type") == "Pretrained")


def fetch_pretrained(init_cfg: object) -> None:
    """Checks that an encoder's initial weights are available before anything slow is built; downloads them once.

    Raises:
        MissingDataError: They are not; the message names both remedies.
    """
    if is_pretrained(init_cfg):
        source, _ = pretrained_source("model.backbone", init_cfg)
        _local_file(source, _WHAT, _hint(source))


@CheckpointLoader.register_scheme(prefixes=_TORCHVISION_SCHEME, force=True)
def load_from_torchvision(filename: str, map_location: object = None) -> dict[str, Tensor]:
    """Replaces mmengine's loader of ``torchvision://NAME``, used by every ``BaseModule``: needs no torchvision."""
    source, _ = pretrained_source("init_cfg", filename)
    return read_weights(source, _WHAT, _hint(source))


def load_pretrained(module: nn.Module, init_cfg: str | Mapping | None, classifier: str) -> None:
    """Loads an encoder's initial weights; does nothing if ``init_cfg`` is None.

    Args:
        module: The encoder.
        init_cfg: See :func:`pretrained_source`.
        classifier: Prefix of the keys that are left out.

    Raises:
        MissingDataError: They are missing or cannot be downloaded; the message names both remedies.
        FileFormatError: They are not this network's.
    """
    found = pretrained_source(type(module).__name__, init_cfg)
    if found is None:
        return
    source, prefix = found
    weights = read_weights(source, _WHAT, _hint(source))
    own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    if not own:
        raise FileFormatError(source, f"no key begins with the prefix {prefix!r}; there are {some(weights)}")
    load_strictly(module, {key: value for key, value in own.items() if not key.startswith(classifier)}, source)


_WHAT = "the encoder's pretrained weights"


def _hint(source: str) -> str:
    official = source if _is_url(source) else TORCHVISION["resnet50"]
    return (
        f"Either get the file ({official}) and name it (--cfg-options model.backbone.init_cfg=FILE), or train "
        "from scratch (--cfg-options model.backbone.init_cfg=None)."
    )


def _is_url(source: str | Path) -> bool:
    return str(source).startswith(("http://", "https://"))


def _local_file(source: str | Path, what: str, hint: str) -> Path:
    """The file of a path, or a URL's copy in torch's hub cache, downloaded if missing.

    Raises:
        MissingDataError: No such file, or the URL cannot be downloaded.
    """
    if not _is_url(source):
        path = Path(source).expanduser()
        if not path.is_file():
            raise MissingDataError(f"{source}: no such file for {what}. {hint}")
        return path
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(str(source)).path).name)
    if path.is_file():
        return path
    sha256 = re.search(r"-([a-f0-9]{8,})\.", path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _timeout(TIMEOUT):
            torch.hub.download_url_to_file(str(source), str(path), sha256 and sha256[1])
    # No DNS, no server, an HTTP error, a timeout, a truncated file (hash mismatch).
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        raise MissingDataError(f"{source}: {what} cannot be downloaded: {error}. {hint}") from error
    return path


@contextlib.contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read_weights(source: str | Path, what: str, hint: str) -> dict[str, Tensor]:
    """Reads a state dict with ``weights_only=True``.

    Args:
        source: Path or ``http(s)://`` URL (kept in torch's hub cache, checked against the hash in its name) of a state
            dict, or of a checkpoint that holds one under ``state_dict``.
        what: What it is, for error messages.
        hint: How to get it, for error messages.

    Returns:
        Tensors on the CPU by name, ``module.`` of data-parallel training stripped.

    Raises:
        MissingDataError: No such file, or the URL cannot be downloaded.
        FileFormatError: It cannot be read, or holds no tensors.
    """
    path = _local_file(source, what, hint)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
        raise FileFormatError(source, f"not readable as {what}: {why_not_loaded(error, source)}", hint=hint) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise FileFormatError(source, f"holds no weights; expected {what}", hint=hint)
    return {key.removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Copies weights into a module; all keys and shapes must match (BatchNorm's step counters may be absent).

    Args:
        module: The module.
        weights: State dict.
        source: Where the weights come from, for error messages.

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
