"""Appearance of fabrics."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mviper.errors import ConfigError
from mviper.registry import FABRICS
from mviper.synthesis.scene.mixture import Mixture
from mviper.synthesis.scene.photos import PhotoFolder, read_photo


def random_colour(rng: np.random.Generator) -> list[float]:
    """A random colour of clothes: often dark, grey or muted, sometimes bright. sRGB in [0, 1]."""
    hue, kind = rng.uniform(), rng.uniform()
    if kind < 0.25:
        saturation, value = rng.uniform(0, 0.12), rng.uniform(0.08, 0.95)
    elif kind < 0.7:
        saturation, value = rng.uniform(0.2, 0.6), rng.uniform(0.25, 0.85)
    else:
        saturation, value = rng.uniform(0.6, 0.95), rng.uniform(0.3, 0.9)
    return [float(channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value)]


def _band(position: np.ndarray, share: float) -> np.ndarray:
    """1 in the first ``share`` of each period of 1, 0 elsewhere, with a soft edge of about two texels."""
    distance = np.abs((position % 1) - share / 2)
    distance = np.minimum(distance, 1 - distance)
    return np.clip((share / 2 - distance) * 64 + 0.5, 0, 1)


def _plain(u: np.ndarray, v: np.ndarray, drawn: dict) -> np.ndarray:
    return np.zeros_like(u)[None]


def _stripes(u: np.ndarray, v: np.ndarray, drawn: dict) -> np.ndarray:
    axis = u if drawn["vertical"] else v
    return np.stack([_band(axis, drawn["share"]), _band(axis + 0.5, drawn["share"] / 4)])


def _plaid(u: np.ndarray, v: np.ndarray, drawn: dict) -> np.ndarray:
    wide = (_band(u, drawn["share"]) + _band(v, drawn["share"])) / 2
    thin = np.maximum(_band(u + 0.5, 0.06), _band(v + 0.5, 0.06))
    return np.stack([wide, 0.8 * thin])


def _dots(u: np.ndarray, v: np.ndarray, drawn: dict) -> np.ndarray:
    def disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        distance = np.hypot((x + 0.5) % 1 - 0.5, (y + 0.5) % 1 - 0.5)
        return np.clip((0.45 * np.sqrt(drawn["share"]) - distance) * 64 + 0.5, 0, 1)

    return np.maximum(disc(u, v), disc(u + 0.5, v + 0.5))[None]


def _weave(u: np.ndarray, v: np.ndarray, drawn: dict) -> np.ndarray:
    warp = np.floor(8 * u) + np.floor(8 * v)
    twill = _band((8 * u - 8 * v) / 4, drawn["share"])
    return np.stack([twill, 0.25 * (warp % 2)])


def _herringbone(u: np.ndarray, v: np.ndarray, drawn: dict) -> np.ndarray:
    zigzag = np.abs((2 * u) % 2 - 1)
    return np.stack([_band(8 * v + 4 * zigzag, drawn["share"])])


def _houndstooth(u: np.ndarray, v: np.ndarray, drawn: dict) -> np.ndarray:
    """A 2/2 twill of four dark and four light threads, both ways."""
    x, y = np.floor(8 * u), np.floor(8 * v)
    warp_on_top = (x + y) % 4 < 2
    return np.where(warp_on_top, x % 8 < 4, y % 8 < 4).astype(float)[None]


def _print(u: np.ndarray, v: np.ndarray, drawn: dict) -> np.ndarray:
    """Scattered rosettes of random size, rotation and number of petals."""
    rng = np.random.default_rng(drawn["seed"])
    petals, hearts = np.zeros_like(u), np.zeros_like(u)
    count = rng.integers(3, 8)
    for x, y, size, turn in rng.uniform([0, 0, 0.08, 0], [1, 1, 0.22, 2 * np.pi], size=(14, 4)):
        dx, dy = (u - x + 0.5) % 1 - 0.5, (v - y + 0.5) % 1 - 0.5
        distance, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
        edge = size * (0.7 + 0.3 * np.cos(count * angle + turn))
        petals = np.maximum(petals, np.clip((edge - distance) * 64 + 0.5, 0, 1))
        hearts = np.maximum(hearts, np.clip((0.25 * size - distance) * 64 + 0.5, 0, 1))
    return np.stack([petals, hearts])


#: Pattern functions: weights of the second (and third) colour, (1 or 2, S, S), for u, v in [0, 1) of one repeat.
_PATTERNS = {
    "plain": _plain, "stripes": _stripes, "plaid": _plaid, "dots": _dots, "weave": _weave,
    "herringbone": _herringbone, "houndstooth": _houndstooth, "print": _print,
}  # fmt: skip
#: Range of the length of one repeat [m].
_REPEAT = {
    "plain": (0.05, 0.1), "stripes": (0.025, 0.16), "plaid": (0.05, 0.2), "dots": (0.03, 0.14), "weave": (0.02, 0.08),
    "herringbone": (0.03, 0.1), "houndstooth": (0.02, 0.1), "print": (0.08, 0.3),
}  # fmt: skip


@FABRICS.register_module()
class ProceduralFabric:
    """Procedural woven, striped, checked, dotted or printed cloth.

    Args:
        patterns: Patterns to draw from: ``plain, stripes, plaid, dots, weave, herringbone, houndstooth, print``.
        size: Side of the picture of one repeat [px].
    """

    def __init__(self, patterns: tuple[str, ...] = tuple(_PATTERNS), size: int = 256) -> None:
        unknown = [name for name in patterns if name not in _PATTERNS]
        if unknown or not patterns:
            raise ConfigError(f"ProceduralFabric: expected patterns among {', '.join(_PATTERNS)}; got {patterns}")
        self.patterns, self.size = tuple(patterns), size

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws one fabric.

        Returns:
            ``dict(pattern, colours`` three sRGB triples``, metres`` side of one repeat``, share, vertical, roughness,
            seed)``.
        """
        pattern = self.patterns[rng.integers(len(self.patterns))]
        return dict(
            pattern=pattern,
            colours=[random_colour(rng) for _ in range(3)],
            metres=float(np.exp(rng.uniform(*np.log(_REPEAT[pattern])))),
            share=float(rng.uniform(0.25, 0.6)),
            vertical=bool(rng.integers(2)),
            roughness=float(rng.uniform(0.6, 0.95)),
            seed=int(rng.integers(2**31)),
        )

    def image(self, drawn: dict) -> np.ndarray:
        """Picture of one repeat of ``drawn['metres']``.

        Args:
            drawn: From :meth:`draw`.

        Returns:
            sRGB, uint8 (size, size, 3), tileable.
        """
        v, u = np.mgrid[: self.size, : self.size] / self.size
        picture = np.broadcast_to(np.array(drawn["colours"][0]), (self.size, self.size, 3))
        for weight, colour in zip(_PATTERNS[drawn["pattern"]](u, v, drawn), drawn["colours"][1:]):
            picture = picture + weight[..., None] * (np.array(colour) - picture)
        # Yarns vary: slight light and shade along both thread directions.
        rng = np.random.default_rng(drawn["seed"])
        yarn = rng.normal(size=(self.size, 1)) + rng.normal(size=(1, self.size)) + rng.normal(size=u.shape)
        return np.round(255 * np.clip(picture * (1 + 0.03 * yarn[..., None]), 0, 1)).astype(np.uint8)


@FABRICS.register_module()
class PhotoFabric:
    """Photographed cloth, e.g. of DTD (Cimpoi et al., 2014) or Fabrics (Kampouris et al., 2016), at random scale.

    A random square of the photograph is rotated by quarter turns and tiled with its mirror images.

    Args:
        root: Folder with pictures, searched recursively.
        patterns: Patterns of files to use, by path within it (``("*/banded/*", "*/woven/*")``); all by default.
        metres: Range of the side of the square on the cloth [m].
        size: Side of the square [px].
    """

    def __init__(
        self, root: str | Path, patterns: Sequence[str] = ("*",), metres: tuple[float, float] = (0.08, 0.6),
        size: int = 256,
    ) -> None:  # fmt: skip
        self.photos = PhotoFolder(root, patterns, "PhotoFabric")
        self.metres, self.size = metres, size

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws one fabric.

        Returns:
            ``dict(file, side`` (the square's, as a share of the shorter one)``, place`` (of the square, x and y in
            [0, 1])``, quarters`` (turns by 90 degrees)``, metres`` side of one repeat, mirror images included``,
            roughness)``.

        Raises:
            MissingDataError: The folder has no picture.
        """
        return dict(
            file=self.photos.draw(rng),
            side=float(rng.uniform(0.5, 1.0)),
            place=[float(value) for value in rng.uniform(size=2)],
            quarters=int(rng.integers(4)),
            metres=2 * float(np.exp(rng.uniform(*np.log(self.metres)))),
            roughness=float(rng.uniform(0.6, 0.95)),
        )

    def image(self, drawn: dict) -> np.ndarray:
        """Picture of one repeat of ``drawn['metres']``.

        Args:
            drawn: From :meth:`draw`.

        Returns:
            sRGB, uint8 (2 size, 2 size, 3), tileable.

        Raises:
            FileFormatError: The photograph cannot be read.
        """
        photo = read_photo(self.photos.root / drawn["file"], 2 * self.size)
        side = max(1, int(drawn["side"] * min(photo.shape[:2])))
        left, top = (int(share * (length - side)) for share, length in zip(drawn["place"], photo.shape[1::-1]))
        square = np.rot90(photo[top : top + side, left : left + side], drawn["quarters"])
        method = cv2.INTER_AREA if side > self.size else cv2.INTER_LINEAR
        square = cv2.resize(np.ascontiguousarray(square), (self.size, self.size), interpolation=method)
        wide = np.concatenate([square, square[:, ::-1]], 1)
        return np.concatenate([wide, wide[::-1]])


@FABRICS.register_module()
class MixedFabric(Mixture):
    """A random kind of fabric for each garment.

    Args:
        fabrics: Configs of fabric samplers.
        weights: Relative frequencies; equal by default.
    """

    def __init__(self, fabrics: Sequence[dict], weights: Sequence[float] | None = None) -> None:
        super().__init__([FABRICS.build(one) for one in fabrics], weights)

    def image(self, drawn: dict) -> np.ndarray:
        """Picture of the draw from the sampler that made it."""
        return self.chosen(drawn).image(drawn)
