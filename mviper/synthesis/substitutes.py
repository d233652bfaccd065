"""Substitutes for missing data sets, and where to get the data sets."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from mviper.errors import ConfigError
from mviper.files import is_hidden

_LOGGER = logging.getLogger(__name__)

_KEY = "if_missing"


def with_substitutes(config: dict, keys: Iterable[str]) -> dict:
    """A config in which every component with ``if_missing`` reads data that exist.

    ``dict(type=..., root=..., if_missing=dict(get=..., use=dict(type=...)))`` becomes itself without ``if_missing`` if
    ``root`` is a folder with a file in it, otherwise ``use``.

    Args:
        config: A synthesis config as plain data.
        keys: The keys to process: the others are variables of the config file.

    Returns:
        The config, in which ``substitutes`` lists what was replaced: ``dict(place, missing`` the folder``, get`` where
        to get it``, type`` of what reads it``, use`` the substitute``)``. Each missing folder is also logged, once.

    Raises:
        ConfigError: An ``if_missing`` without ``get`` or ``use``, or of a component that has no ``root``.
    """
    replaced: list[dict] = list(config.get("substitutes", ()))
    known = {entry["missing"] for entry in replaced}
    config = {**config, **{name: _resolved(config[name], name, replaced) for name in keys if name in config}}
    for entry in replaced:
        if entry["missing"] not in known:
            known.add(entry["missing"])
            _LOGGER.warning(
                "%s is missing; using %s instead. To get it: %s", entry["missing"], entry["use"], entry["get"]
            )
    return {**config, "substitutes": replaced} if replaced else config


def _resolved(value: object, place: str, replaced: list[dict]) -> object:
    if isinstance(value, list | tuple):
        return type(value)(_resolved(item, f"{place}.{number}", replaced) for number, item in enumerate(value))
    if not isinstance(value, dict):
        return value
    if _KEY in value:
        value = dict(value)
        missing = value.pop(_KEY)
        if not isinstance(missing, dict) or {*missing} != {"get", "use"} or not value.get("root"):
            raise ConfigError(f"{place}: {_KEY} is dict(get=..., use=dict(type=...)) next to root, got {missing!r}")
        if not _holds_files(Path(value["root"]).expanduser()):
            entry = dict(place=place, missing=str(value["root"]), get=missing["get"], type=value["type"])
            replaced.append({**entry, "use": missing["use"]})
            value = missing["use"]
    return {name: _resolved(item, f"{place}.{name}", replaced) for name, item in value.items()}


def _holds_files(folder: Path) -> bool:
    return any(path.is_file() and not is_hidden(path, folder) for path in folder.rglob("*"))
