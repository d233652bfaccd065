"""One child of mmengine's registries per kind of component, under scope ``mviper``.

Packages named in ``locations`` are imported on first look-up, so configs need no imports. Extensions outside the
package are imported by ``custom_imports`` in their config (docs/training.md, "Components of your own").
"""

from __future__ import annotations

import mmengine.registry
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

SCOPE = "mviper"


def _child(name: str, parent: Registry | None, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope=SCOPE, locations=[f"mviper.{place}" for place in locations])


MODELS = _child("model", MMENGINE_MODELS, "models", "body")
DATASETS = _child("dataset", MMENGINE_DATASETS, "datasets")
DATA_CONVERTERS = _child("data converter", None, "datasets.converters")
TRANSFORMS = _child("transform", MMENGINE_TRANSFORMS, "datasets.transforms")
METRICS = _child("metric", MMENGINE_METRICS, "evaluation")
DATA_SAMPLERS = _child("data sampler", MMENGINE_DATA_SAMPLERS, "engine")
LOOPS = _child("loop", MMENGINE_LOOPS, "engine")
HOOKS = _child("hook", MMENGINE_HOOKS, "engine")
OPTIM_WRAPPERS = _child("optim_wrapper", MMENGINE_OPTIM_WRAPPERS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child("optimizer wrapper constructor", MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, "engine")
MODEL_WRAPPERS = _child("model_wrapper", MMENGINE_MODEL_WRAPPERS, "engine")

# Kinds without components in MVIPER: without a child in its scope, mmengine would warn at each look-up.
_MMENGINE_ONLY = [
    _child(registry.name, registry)
    for registry in (
        mmengine.registry.OPTIMIZERS, mmengine.registry.PARAM_SCHEDULERS,
        mmengine.registry.EVALUATOR, mmengine.registry.VISUALIZERS, mmengine.registry.VISBACKENDS,
        mmengine.registry.LOG_PROCESSORS, mmengine.registry.FUNCTIONS, mmengine.registry.WEIGHT_INITIALIZERS,
    )
]  # fmt: skip

# The factory's kinds.
MOTION_SOURCES = _child("motion_source", None, "motion", "synthesis.stored")
GARMENTS = _child("garment", None, "synthesis.garments")
OUTFITS = _child("outfit", None, "synthesis.garments")  # what draws a list of garments
SIMULATORS = _child("simulator", None, "synthesis.simulation")
BACKGROUNDS = _child("background", None, "synthesis.scene")
LIGHTS = _child("light", None, "synthesis.scene")
CAMERAS = _child("camera", None, "synthesis.scene")
FABRICS = _child("fabric", None, "synthesis.scene")
APPEARANCES = _child("appearance", None, "synthesis.scene")  # skin, hair, shoes
RENDERERS = _child("renderer", None, "synthesis.rendering")
RECORDINGS = _child("recording", None, "synthesis.rendering")  # lens, sensor, encoder

#: Every registry by name, for tools that list or validate components.
ALL_REGISTRIES = {
    registry.name: registry
    for registry in (
        MODELS, DATASETS, DATA_CONVERTERS, TRANSFORMS, METRICS, DATA_SAMPLERS, LOOPS, HOOKS, OPTIM_WRAPPERS,
        OPTIM_WRAPPER_CONSTRUCTORS, MODEL_WRAPPERS, MOTION_SOURCES, GARMENTS, OUTFITS, SIMULATORS, BACKGROUNDS, LIGHTS,
        CAMERAS, FABRICS, APPEARANCES, RENDERERS, RECORDINGS,
    )
}  # fmt: skip
