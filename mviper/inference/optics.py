"""Focal length of a camera, from the file's metadata or a prior over common cameras."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

#: Diagonal of 35 mm film [mm], the reference of equivalent focal lengths (CIPA DCG-001).
_FILM = math.hypot(36.0, 24.0)
#: Phone sensors have the aspect ratio 4:3; videos use their full width, minus a margin for stabilisation.
_SENSOR, _STABILIZED = math.hypot(4.0, 3.0) / 4.0, 1.08
#: Images with a larger aspect ratio were cropped from a narrower sensor.
_WIDE = 1.55
#: Equivalent focal lengths of common cameras [mm], from data sheets: phones' main cameras (in video, after the sensor's
#: edges are cut off), phones' wide and portrait lenses, laptop and USB webcams, action cameras, compact and system
#: cameras, camcorders; each kind with a weight.
_CAMERAS = {
    "phone": (6.0, (31, 31, 29, 29, 28, 28, 28, 27, 27, 32, 34)),
    "phone, other lens": (1.5, (15, 16, 17, 56, 60, 83)),
    "webcam": (1.0, (27, 27, 30, 34, 35)),
    "action camera": (0.5, (16, 18, 22)),
    "camera": (2.0, (24, 28, 28, 35, 35, 50, 50, 70, 85)),
    "camcorder": (1.0, (29, 35, 50, 80)),
}


class Optics(NamedTuple):
    """Estimate of a camera's focal length.

    Attributes:
        focal: [px].
        spread: Standard deviation of its logarithm.
        origin: Where the estimate comes from, as readable text.
    """

    focal: float
    spread: float
    origin: str


def optics_of(metadata: Mapping[str, object], width: int, height: int) -> Optics:
    """Focal length from a file's metadata.

    Args:
        metadata: Names and values as in the container (``com.apple.quicktime.*``, ``com.android.*``, ``make``), or EXIF
            tags by their standard names (``FocalLengthIn35mmFilm``, ``FocalLength``, ``FocalPlaneXResolution``,
            ``FocalPlaneResolutionUnit``, ``ExifImageWidth``).
        width: Of the upright picture [px].
        height: Of the upright picture [px].
    """
    known = {str(name).rpartition(".")[2].lower(): value for name, value in metadata.items()}
    long, diagonal = max(width, height), math.hypot(width, height)
    video = "focallengthin35mmfilm" not in known
    equivalent = _positive(known.get("35mm_equivalent", known.get("focallengthin35mmfilm")))
    if equivalent and 4 < equivalent < 2000:
        wide = long > _WIDE * min(width, height)
        focal = equivalent / _FILM * (long * _SENSOR if wide else diagonal)
        if video:
            return Optics(focal * _STABILIZED, 0.08, f"the file's 35 mm equivalent, {equivalent:g} mm")
        return Optics(focal, 0.06 if wide else 0.03, f"EXIF's 35 mm equivalent, {equivalent:g} mm")
    length, density = _positive(known.get("focallength")), _positive(known.get("focalplanexresolution"))
    taken = _positive(known.get("exifimagewidth"))
    unit = {2: 25.4, 3: 10.0, 4: 1.0}.get(int(_positive(known.get("focalplaneresolutionunit")) or 2))
    if length and density and taken and unit:
        sides = long if taken >= (_positive(known.get("exifimageheight")) or 0) else min(width, height)
        focal = length / unit * density * sides / taken
        if 0.2 < focal / diagonal < 50:
            return Optics(focal, 0.05, f"EXIF's focal length, {length:g} mm, and size of the sensor")
    return _guessed(known, diagonal)


def _guessed(known: Mapping[str, object], diagonal: float) -> Optics:
    make = " ".join(str(known.get(name, "")) for name in ("make", "manufacturer", "model", "lens_model")).lower()
    if re.search(r"gopro|hero\d|osmo action|insta360", make):
        middle, spread = _of_kinds("action camera")
        return Optics(middle * diagonal, spread, "a guess: an action camera")
    if re.search(r"iphone|ipad", make) or {"android", "manufacturer"} & known.keys() or re.search("pixel|galaxy", make):
        middle, spread = _of_kinds("phone")
        return Optics(middle * diagonal, max(spread, 0.15), "a guess: a phone's main camera")
    middle, spread = _of_kinds(*_CAMERAS)
    return Optics(middle * diagonal, spread, "a guess: the file does not name its camera")


def _of_kinds(*kinds: str) -> tuple[float, float]:
    """Mean focal length over some kinds of camera, in diagonals, and the spread of its logarithm."""
    entries = [(math.log(mm / _FILM), _CAMERAS[k][0] / len(_CAMERAS[k][1])) for k in kinds for mm in _CAMERAS[k][1]]
    total = sum(weight for _, weight in entries)
    mean = sum(weight * value for value, weight in entries) / total
    return math.exp(mean), math.sqrt(sum(weight * (value - mean) ** 2 for value, weight in entries) / total)


def _positive(value: object) -> float | None:
    """Parses a positive number that may be given as text or fraction; None if it is not one."""
    try:
        number = float(str(value).split()[0]) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
