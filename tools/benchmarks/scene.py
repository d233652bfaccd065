"""Cost of each piece of a scene: the same walk in painted clothes, with one piece left out or added."""

from __future__ import annotations

import argparse
import copy
import json
import re
import tempfile
from pathlib import Path

from benchmarks import Result
from mviper.config import load_config
from mviper.synthesis import build_factory, complete_config, list_jobs

#: A short walk; clothes are painted, since only what surrounds them is measured.
OPTIONS = {"source.names": ["walk"], "max_frames": 12, "min_seconds": 0.3, "variants": 2, "passes": []}
#: What is changed, by name of the piece.
WITHOUT = {
    "hair and beard": {"appearance.hair": False},
    "shoes": {"appearance.shoes": False},
    "skin maps": {"appearance.maps": False},
    "floor": {"floor": False},
    "lamps": {"lights.count": 0},
}
ADDED = {
    "recording by a phone": {"recording.type": "PhoneRecording"},
    "depth of field": {"recording.type": "PhoneRecording", "recording.aperture": (0.005, 0.01)},
    "moving cameras": {"cameras": {"_delete_": True, "type": "HandheldCameras"}},
    "all passes": {"passes": ["segmentation", "depth", "normals", "flow", "vertices"]},
    "a second person": {"people.count": (2, 2)},
}
#: The config's renderer, which path-traces, and the z-buffer.
RENDERERS = {"path-traced": {}, "z-buffer": {"renderer": {"_delete_": True, "type": "RasterRenderer"}}}
#: Stages of a sequence that the pieces take part in; simulation and retargeting do not count.
_STAGES = ("scene", "render", "write", "annotate", "passes")


def measure(arguments: argparse.Namespace) -> Result:
    """Renders the walk of two people once for each piece, with either renderer."""
    rows: list[tuple[str, ...]] = [("piece", *(f"{label} [CPU-ms a frame]" for label in RENDERERS))]
    figures: dict[str, float] = {}
    changes = {"everything": {}} | WITHOUT | ADDED
    for label, renderer in RENDERERS.items():
        _cost(OPTIONS | renderer | {"variants": 1})  # compiles code, reads pictures
        for name, change in changes.items():
            cost = _cost(OPTIONS | renderer | change | {"seed": arguments.seed})
            figures[_key(label, name)] = cost
            print(f"{label}, {name}: {cost:.1f} CPU-ms a frame", flush=True)
    for name in changes:
        cells = []
        for label in RENDERERS:
            whole = figures[_key(label, "everything")]
            own = figures[_key(label, name)]
            cells.append(
                f"{own:.0f}" if name == "everything" else f"{whole - own if name in WITHOUT else own - whole:+.0f}"
            )
        rows.append((name, *cells))
    return rows, figures, {}


def _key(renderer: str, piece: str) -> str:
    return re.sub(r"\W", "_", f"{renderer} {piece} cpu ms")


def _cost(options: dict[str, object]) -> float:
    """CPU milliseconds per rendered frame."""
    config = complete_config(load_config("configs/synthesis/painted.py", copy.deepcopy(options)).to_dict())
    shop = build_factory(config, threads=1)
    seconds, frames = 0.0, 0
    with tempfile.TemporaryDirectory() as out:
        for job in list_jobs(config):
            folder = shop.make(job, Path(out))
            manifest = json.loads((folder / "manifest.json").read_text())
            seconds += sum(manifest["timings"].get(stage, 0.0) for stage in _STAGES)
            frames += manifest["frames"] * len(list(folder.glob("*.mp4")))
    return 1e3 * seconds / frames
