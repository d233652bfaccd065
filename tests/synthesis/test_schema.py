"""The schema of synthesis configs: it agrees with configs/synthesis/base.py, and old folders can be resumed."""

from __future__ import annotations

import copy
import inspect

import pytest

from mviper.config import load_config
from mviper.errors import ConfigError
from mviper.registry import (
    APPEARANCES,
    BACKGROUNDS,
    CAMERAS,
    FABRICS,
    LIGHTS,
    MODELS,
    RECORDINGS,
    RENDERERS,
    SIMULATORS,
)
from mviper.synthesis import SCHEMA, complete_config
from mviper.synthesis.schema import decisive_settings

COMPONENTS = {
    "body_model": MODELS, "simulator": SIMULATORS, "cameras": CAMERAS, "lights": LIGHTS, "background": BACKGROUNDS,
    "fabric": FABRICS, "appearance": APPEARANCES, "renderer": RENDERERS,
    "recording": RECORDINGS,
}  # fmt: skip

#: As in the manifests of early large-scale simulations, which represent hours of work and must stay resumable.
STORED = {
    "seed": 0, "splits": {"val": ["jump"], "test": ["dance_b"]}, "variants": 20, "body_model": {"type": "SMPL"},
    "betas": {"scale": 1.0, "limit": 2.5}, "fps": 30, "max_frames": 90, "clip_part": "random", "min_seconds": 1.0,
    "motion_quality": {
        "limb_error": 8.0, "skating": 1.0, "penetration": 0.05, "limit_excess": 25.0, "intersection": 0.9,
        "turn_speed": 3000.0, "joint_speed": 20.0,
    },
    "arm_room": 0.03, "lead_in": {"frames": 30, "still": 5},
    "outfit": {
        "type": "RandomOutfit",
        "tops": [
            {"type": "TShirt", "material": "jersey"}, {"type": "TShirt", "material": "cotton"},
            {"type": "LongSleevedShirt", "material": "cotton"}, {"type": "LongSleevedShirt", "material": "silk"},
            {"type": "TankTop", "material": "jersey"}, {"type": "TankTop", "material": "cotton"},
            {"type": "Hoodie", "material": "jersey"}, {"type": "OpenJacket", "material": "wool"},
            {"type": "OpenJacket", "material": "leather"},
        ],
        "bottoms": [
            {"type": "Trousers", "material": "cotton"}, {"type": "Trousers", "material": "denim"},
            {"type": "Trousers", "material": "wool"}, {"type": "Shorts", "material": "cotton"},
            {"type": "Shorts", "material": "denim"}, {"type": "CircleSkirt", "material": "cotton"},
            {"type": "CircleSkirt", "material": "silk"}, {"type": "PencilSkirt", "material": "wool"},
        ],
        "whole": [{"type": "Dress", "material": "cotton"}, {"type": "Dress", "material": "silk"}],
        "share": 0.1,
    },
    "simulator": {"type": "BlenderCloth"},
    "cameras": {
        "type": "CompassCameras", "resolution": 128, "lens": 180.0, "sensor": 32.0, "margin": 0.08, "views": ["south"],
    },
    "lights": {"type": "AreaLights", "count": 4}, "background": {"type": "SphericalBackground", "root": None},
    "fabric": {"type": "ProceduralFabric"}, "appearance": {"type": "SkinHairShoes"},
    "renderer": {"type": "CyclesRenderer", "samples": 1, "denoise": False, "device": "auto"}, "passes": ["garments"],
    "source": {"type": "MixedMotion", "sources": [{"type": "CMUMotion", "root": "somewhere"}]},
    "default_scope": "mviper",
}  # fmt: skip


def test_base_config_says_what_the_schema_says(repository) -> None:
    base = load_config(repository / "configs/synthesis/base.py").to_dict()
    assert set(base) - {"default_scope"} == set(SCHEMA) - {"source"}
    for name, key in SCHEMA.items():
        if name in COMPONENTS:  # base.py states the most important values
            assert base[name]["type"] == key.default["type"], name
            parameters = inspect.signature(COMPONENTS[name].get(base[name]["type"])).parameters
            for argument, value in base[name].items():
                assert argument == "type" or parameters[argument].default == value, f"{name}.{argument}"
        elif name not in ("source", "outfit"):  # undressed by default; base.py sets an outfit
            assert base[name] == key.default, name


def test_stored_simulations_are_resumed(repository) -> None:
    # Clips were longer then.
    now = complete_config(load_config(repository / "configs/volume/simulations.py", {"max_frames": 90}).to_dict())
    assert decisive_settings(STORED) == decisive_settings(now)
    lit = {**STORED, "lights": {"type": "AreaLights", "count": 3}}
    assert decisive_settings(lit) != decisive_settings(now)


@pytest.mark.parametrize("name", ["arm_room", "appearance", "lead_in", "clip_part"])
def test_keys_that_a_stored_config_lacks_are_the_default(name: str) -> None:
    stored = copy.deepcopy(STORED)
    del stored[name]
    assert decisive_settings(stored) == decisive_settings(STORED)
    del stored["motion_quality"]["skating"]
    assert decisive_settings(stored) == decisive_settings(STORED)


def test_completed_configs_share_nothing() -> None:
    first = complete_config({"source": {"type": "KeyPoseMotion"}})
    first["simulator"]["solver_steps"] = (1,)
    first["splits"]["test"].append("walk")
    second = complete_config({"source": {"type": "KeyPoseMotion"}})
    assert second["simulator"] == {"type": "BlenderCloth"} and second["splits"] == {"val": [], "test": []}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fps": None}, r"fps must be a number such as 30, got None"),
        ({"fps": float("nan")}, r"fps must be a number such as 30, got nan"),
        ({"seed": True}, r"seed must be a number such as 0, got True"),
        ({"max_frames": 9.5}, r"max_frames must be a whole number such as 120, got 9\.5"),
        ({"arm_room": "wide"}, r"arm_room must be a number such as 0\.03, or None, got 'wide'"),
        ({"betas": {"scale": "much"}}, r"betas\.scale must be a number such as 1, got 'much'"),
        ({"betas": {"limit": -1.0}}, r"betas\.limit must be 0 or more, got -1\.0"),
        ({"lead_in": {"frames": 2.5}}, r"lead_in\.frames must be a whole number such as 30, got 2\.5"),
        ({"motion_quality": {"skating": -1}}, r"motion_quality\.skating must be 0 or more, got -1"),
        ({"splits": {"val": "jump"}}, r"splits\.val must be a list of clips' names .*, got 'jump'"),
        ({"splits": {"train": []}}, r"splits takes val, test; got train=\[\]"),
        ({"simulator": "BlenderCloth"}, r"simulator must be a component, a dict with its type, got 'BlenderCloth'"),
        ({"source": {}}, r"source must be a component"),
        ({"outfit": ["TShirt"]}, r"outfit must be a list of garments, .*, got \['TShirt'\]"),
        ({"outfit": None}, r"outfit must be a list of garments"),
    ],
)
def test_impossible_values_are_named(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        complete_config({"source": {"type": "KeyPoseMotion"}, **options})
    limits = {"motion_quality": dict.fromkeys(SCHEMA["motion_quality"].default), "arm_room": None}
    complete_config({"source": {"type": "KeyPoseMotion"}, **limits})
