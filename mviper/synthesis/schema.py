"""Schema of a synthesis config: every key, its default, and what may change between runs into one folder."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass
from numbers import Real

from mviper.errors import ConfigError
from mviper.synthesis.scene import check_passes
from mviper.synthesis.substitutes import with_substitutes


@dataclass(frozen=True)
class Key:
    """One key of a synthesis config.

    Attributes:
        default: ``...``: required. A number requires a number, a dict of numbers requires numbers under these names; a
            dict with ``type`` is a component, which checks its own arguments.
        whole: Whether its numbers are integers.
        optional: Whether its numbers may be ``None``.
        may_change: Whether a run into a folder may have another value than earlier runs; names, if only these keys
            below it may change. Everything else determines a sequence's content.
    """

    default: object = ...
    whole: bool = False
    optional: bool = False
    may_change: bool | tuple[str, ...] = False


#: Most people in a scene.
MOST_PEOPLE = 5

#: Every key of a synthesis config. configs/synthesis/base.py says what each means.
SCHEMA: dict[str, Key] = {
    # The choice of clips may change; how they are read may not.
    "source": Key(may_change=("root", "data_root", "names", "index", "actions", "seconds", "sources", "count")),
    "seed": Key(0, whole=True),
    "splits": Key({"val": [], "test": []}, may_change=True),
    "variants": Key(1, whole=True, may_change=True),
    "renders_per_simulation": Key(1, whole=True),
    "people": Key({"count": (1, 1), "gap": 0.15, "room": 0.5}),
    "betas": Key({"scale": 1.0, "limit": 2.0}),
    "fps": Key(30),
    "max_frames": Key(120, whole=True),
    "clip_part": Key("random"),
    "arm_room": Key(0.03, optional=True),
    "min_seconds": Key(1.0),
    "motion_quality": Key(
        {
            "limb_error": 8.0, "skating": 1.0, "penetration": 0.05, "limit_excess": 25.0, "intersection": 0.9,
            "turn_speed": 3000.0, "joint_speed": 20.0,
        },
        optional=True,
    ),
    "lead_in": Key({"frames": 30, "still": 5, "pose": "t"}, whole=True),
    "body_model": Key({"type": "SMPL"}),
    "outfit": Key([]),
    "simulator": Key({"type": "BlenderCloth"}),
    "cameras": Key({"type": "CompassCameras"}),
    "lights": Key({"type": "AreaLights"}),
    "background": Key({"type": "SphericalBackground"}),
    "floor": Key(True),
    "fabric": Key({"type": "ProceduralFabric"}),
    "fabric_per": Key("garment"),
    "appearance": Key({"type": "SkinHairShoes"}),
    "renderer": Key({"type": "CyclesRenderer"}, may_change=("device", "threads")),
    "recording": Key({"type": "CleanRecording"}),
    "passes": Key(["garments"], may_change=True),
}  # fmt: skip

#: Every key's default (``...``: must be given).
CONFIG_KEYS: dict[str, object] = {name: key.default for name, key in SCHEMA.items()}


def complete_config(config: dict) -> dict:
    """Fills in defaults, checks values and replaces missing data sets by their substitutes.

    Args:
        config: A synthesis config as plain data; keys unknown to synthesis are kept.

    Returns:
        The config, with ``substitutes`` from :func:`with_substitutes`, if any.

    Raises:
        ConfigError: A key is missing or has an invalid value.
    """
    config = with_substitutes(config, SCHEMA)
    for name, key in SCHEMA.items():
        value, default = config.get(name, key.default), key.default
        if value is ...:
            raise ConfigError(f"not a synthesis config such as configs/synthesis/deepmimic.py: it lacks {name!r}")
        if not _is_group(default):
            _check_value(name, value, default, key)
            continue
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be a dict such as {default}, got {value!r}")
        unknown = [f"{inner}={given!r}" for inner, given in value.items() if inner not in default]
        if unknown:
            raise ConfigError(f"{name} takes {', '.join(default)}; got {', '.join(unknown)}")
        for inner, given in value.items():
            _check_value(f"{name}.{inner}", given, default[inner], key)
    full = with_defaults(config)
    if min(full["variants"], full["renders_per_simulation"]) < 1 or full["fps"] <= 0 or full["max_frames"] < 2:
        raise ConfigError(
            "variants, renders_per_simulation >= 1, fps > 0, max_frames >= 2 are needed, got "
            f"variants={full['variants']}, renders_per_simulation={full['renders_per_simulation']}, "
            f"fps={full['fps']}, max_frames={full['max_frames']}"
        )
    for name, choices in (("clip_part", ("random", "busiest")), ("fabric_per", ("garment", "video"))):
        if full[name] not in choices:
            raise ConfigError(f"{name} is {' or '.join(map(repr, choices))}, got {full[name]!r}")
    if full["lead_in"]["pose"] not in ("t", "a"):
        raise ConfigError(f"lead_in.pose is 't' or 'a', got {full['lead_in']['pose']!r}")
    least, most = full["people"]["count"]
    if not 1 <= least <= most <= MOST_PEOPLE:
        raise ConfigError(f"people.count is (least, most) from 1 to {MOST_PEOPLE}, got {full['people']['count']!r}")
    for name in ("betas", "motion_quality", "lead_in", "people"):
        for inner, number in full[name].items():
            if isinstance(number, Real) and number < 0:
                raise ConfigError(f"{name}.{inner} must be 0 or more, got {number!r}")
    full["passes"] = check_passes(full["passes"])
    return full


def _check_value(place: str, value: object, default: object, key: Key) -> None:
    """Raises if a value is not of the default's kind."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{place} must be True or False, got {value!r}")
    elif isinstance(default, Real):
        if value is None and key.optional:
            return
        number = isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)
        if not number or (key.whole and value != math.floor(value)):
            sort = "whole number" if number else "number"
            none = ", or None" if key.optional else ""
            raise ConfigError(f"{place} must be a {sort} such as {default:g}{none}, got {value!r}")
    elif place == "people.count":
        listed = isinstance(value, list | tuple) and len(value) == 2
        if not listed or not all(isinstance(number, int) and not isinstance(number, bool) for number in value):
            raise ConfigError(f"{place} must be two whole numbers such as (1, 3), got {value!r}")
    elif place.startswith("splits."):
        if not isinstance(value, list | tuple) or not all(isinstance(pattern, str) for pattern in value):
            raise ConfigError(f"{place} must be a list of clips' names or patterns such as ['07_*'], got {value!r}")
    elif place == "outfit":
        listed = isinstance(value, list | tuple)
        if not all(isinstance(part, dict) and "type" in part for part in (value if listed else [value])):
            raise ConfigError(f"{place} must be a list of garments, or one component that draws it, got {value!r}")
    elif default is ... or isinstance(default, dict):
        if not isinstance(value, dict) or "type" not in value:
            raise ConfigError(f"{place} must be a component, a dict with its type, got {value!r}")


def with_defaults(config: dict) -> dict:
    """A config with defaults for missing keys; nothing is checked.

    Args:
        config: A synthesis config as plain data.
    """
    full = {**config}
    for name, key in SCHEMA.items():
        if key.default is ...:
            continue
        default = copy.deepcopy(key.default)
        full[name] = {**default, **config.get(name, {})} if _is_group(default) else config.get(name, default)
    return full


def _is_group(default: object) -> bool:
    """Whether a key holds named values, not a component."""
    return isinstance(default, dict) and "type" not in default


def decisive_settings(config: dict) -> dict[str, object]:
    """Values that determine a sequence's content, as in a manifest: ``{"seed": 0, "cameras.resolution": 250, ...}``.

    Args:
        config: A completed config, or one stored by an earlier version: missing keys have their defaults.
    """
    full = with_defaults(config)
    kept = {name: full[name] for name, key in SCHEMA.items() if key.may_change is not True}
    settings: dict[str, object] = {}
    for name, value in json.loads(json.dumps(kept, default=str)).items():
        if not isinstance(value, dict):
            settings[name] = value
            continue
        changing = SCHEMA[name].may_change or ()
        settings |= {f"{name}.{inner}": given for inner, given in value.items() if inner not in changing}
    return settings
