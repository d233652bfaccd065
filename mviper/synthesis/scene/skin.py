"""A person's skin as pictures in the open body's texture layout: colour, roughness and specular reflection."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from mviper.body import OPEN_BODY, OPEN_BODY_SKIN, BodyShape
from mviper.files import load_npz
from mviper.graphics import uv_map
from mviper.synthesis.scene.hair import BEARDS, about_mouth
from mviper.synthesis.scene.scene import Material

#: The Monk Skin Tone scale (E. Monk, 2019, https://skintone.google), tones 1 to 10, sRGB.
MONK_SCALE = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")

#: Irises, sRGB, with their frequency in fair and in dark people.
EYE_COLOURS = (("2b1a10", 0.25, 0.75), ("4a2e18", 0.25, 0.2), ("6b4c26", 0.1, 0.05), ("5f6a3c", 0.1, 0.0),
               ("5c7a8a", 0.2, 0.0), ("7d8a90", 0.1, 0.0))  # fmt: skip

#: Where the eyes' texture lies in the layout (``tools/build_skin.py``): u, v of its middle, half side.
_EYE_PLACE = (0.055, 0.685, 0.045)
#: Radii of the iris and the pupil, as shares of the eyeball's.
_IRIS, _PUPIL = 0.46, 0.19


def rgb(code: str) -> np.ndarray:
    """SRGB in [0, 1], shape (3,), from six hexadecimal digits."""
    return np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)]) / 255


def to_linear(colour: np.ndarray) -> np.ndarray:
    """SRGB to linear light."""
    colour = np.asarray(colour, float)
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def skin_colour(tone: float) -> np.ndarray:
    """Reflectance of a tone of the Monk scale (1 to 10, also in between), as sRGB (3,).

    The scale shows how skin looks; its reflectance is between about 6 and 55 %, so the range is narrowed. Swatches 9
    and 10 are nearly grey, which skin under white light is not: their hue is that of tone 8.
    """
    swatches = to_linear(np.array([rgb(code) for code in MONK_SCALE]))
    luminance = swatches @ [0.2126, 0.7152, 0.0722]
    swatches[8:] = swatches[7] * (luminance[8:] / luminance[7])[:, None]
    swatch = np.array([np.interp(tone, range(1, 11), swatches[:, c]) for c in range(3)])
    # The swatches of fair tones lack the red of blood.
    swatch *= 1 + np.interp(tone, [1, 5, 10], [1.0, 0.8, 0.3]) * np.array([0.15, -0.15, -0.27])
    return to_srgb(0.05 * swatches[7] / luminance[7] + 0.58 * swatch)


@functools.cache
def _assets() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The open body's texture coordinates, with its eyes' own; masks in [0, 1]; its UV layout's faces."""
    body, stored = load_npz(OPEN_BODY), load_npz(OPEN_BODY_SKIN)
    corners = body["uv"].astype(float)[body["uv_faces"].astype(int)]
    original = corners.copy()
    corners[stored["eye_faces"]] = stored["eye_uv"]
    masks = {name: stored[name].astype(np.float32) / 255 for name in stored if stored[name].dtype == np.uint8}
    return corners, masks, original, stored["eye_faces"]


def skin_corners(shape: BodyShape) -> np.ndarray | None:
    """Texture coordinates of a body's faces, (F, 3, 2); ``None`` for bodies other than the open one, without maps."""
    corners, _, original, _ = _assets()
    own = shape.uv is not None and shape.uv.shape == original.shape and np.array_equal(shape.uv, original)
    return corners if own else None


def vertex_mask(shape: BodyShape, name: str) -> np.ndarray:
    """A mask's value at each vertex, (V,); zeros for bodies without maps."""
    result, corners = np.zeros(len(shape.vertices)), skin_corners(shape)
    if corners is not None:
        mask = _assets()[1][name]
        texel = (corners * [1, -1] + [0, 1]) * len(mask)
        column, row = np.moveaxis(texel.astype(int).clip(0, len(mask) - 1), -1, 0)
        result[shape.faces] = mask[row, column]
    return result


def draw_skin(rng: np.random.Generator, tone: int) -> dict:
    """Draws what distinguishes the skin of one person of a given tone from another's.

    Returns:
        ``dict(shade`` (tones to either side)``, red, freckles, moles, age, stubble, brows, lips, lipstick, iris,
        seed)``.
    """
    share = np.array([dark if tone > 5 else fair for _, fair, dark in EYE_COLOURS])
    stubble, lipstick = rng.uniform(size=2) < [0.35, 0.25]
    return dict(
        shade=float(rng.uniform(-0.45, 0.45)),
        red=float(rng.uniform(0.3, 1.0)),
        freckles=float(rng.uniform() ** 4 if tone < 6 else 0.0),
        moles=int(rng.integers(0, 25)),
        age=float(rng.uniform() ** 1.5),
        stubble=float(rng.uniform(0.2, 1.0) if stubble else 0.0),
        brows=float(rng.uniform(0.55, 1.0)),
        lips=float(rng.uniform(0.5, 1.0)),
        lipstick=[float(value) for value in (rng.uniform(0.2, 0.5), rng.uniform(0.03, 0.12), rng.uniform(0.05, 0.16))]
        if lipstick and not stubble
        else None,
        iris=EYE_COLOURS[rng.choice(len(EYE_COLOURS), p=share / share.sum())][0],
        seed=int(rng.integers(2**31)),
    )


def skin_material(
    shape: BodyShape, tone: int, drawn: dict, hair: np.ndarray, painted: list, beard: str = "none"
) -> Material:
    """Composes a person's skin.

    Args:
        shape: The body at rest, with :func:`skin_corners`.
        tone: Of the Monk scale.
        drawn: From :func:`draw_skin`.
        hair: Colour of brows and beard, sRGB (3,).
        painted: Values of vertices (V,) and sRGB colours (3,): the skin has the colour where the value is above 0, as
            under hair and shoes.
        beard: Of :data:`mviper.synthesis.scene.hair.BEARDS`; the skin under it is nearly hidden.

    Returns:
        A material with pictures for :func:`skin_corners`.
    """
    corners, masks, _, _ = _assets()
    side = len(masks["lips"])
    rng = np.random.default_rng(drawn["seed"])
    base = to_linear(skin_colour(np.clip(tone + drawn["shade"], 1, 10))).astype(np.float32)
    dark = float(np.clip((tone - 4) / 4, 0, 1))
    hair = to_linear(hair).astype(np.float32)
    picture = np.tile(base, (side, side, 1))

    def tint(mask: np.ndarray, factor: tuple[float, float, float]) -> None:
        picture[:] *= 1 - mask[..., None] * (1 - np.array(factor, np.float32))

    def cover(mask: np.ndarray, colour: np.ndarray) -> None:
        picture[:] += mask[..., None] * (np.asarray(colour, np.float32) - picture)

    def noise(cell: int) -> np.ndarray:
        coarse = rng.normal(size=(side // cell, side // cell)).astype(np.float32)
        return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)

    picture *= 1 + 0.045 * noise(64)[..., None] + 0.03 * noise(12)[..., None] + 0.03 * noise(3)[..., None]
    tint(0.5 * drawn["red"] * np.clip(0.5 + 0.4 * noise(40), 0, 1), (1.03, 0.88, 0.88))
    tint(drawn["red"] * masks["blush"], (1.0, 0.74 + 0.12 * dark, 0.72 + 0.12 * dark))
    cover(masks["palms"] * (0.25 + 0.35 * dark), to_linear(skin_colour(max(1, tone - 2))) * [1.05, 0.85, 0.8])
    tint(masks["areolae"], (0.75, 0.5, 0.5))
    tint(masks["bags"] * (0.25 + 0.5 * drawn["age"]), (0.78, 0.68, 0.72))
    tint(np.clip(masks["wrinkles"] * (1.1 * drawn["age"] - 0.1), 0, 1), (0.74, 0.66, 0.64))
    tint(_dots(rng, masks["freckles"], int(1500 * drawn["freckles"]), 0.7), (0.62, 0.5, 0.42))
    tint(_dots(rng, np.ones((side, side), np.float32), 4 * drawn["moles"], 1.3), (0.35, 0.25, 0.22))
    tint(0.75 * masks["hollows"], (0.6, 0.5, 0.48))
    lip = np.array(drawn["lipstick"]) if drawn["lipstick"] else base * np.array([0.88, 0.46, 0.5])
    cover(masks["lips"] * (0.6 if drawn["lipstick"] else 0.9 * drawn["lips"]), lip)
    cover(0.8 * masks["nails"], base * 0.75 + np.array([0.16, 0.11, 0.10]))
    cover(masks["mouth"], [0.12, 0.02, 0.02])
    stubble = np.maximum(masks["beard"], masks["moustache"]) * np.clip(0.8 + 0.3 * noise(2), 0.3, 1.2)
    cover(np.clip(0.75 * drawn["stubble"] * stubble, 0, 1), 0.75 * hair + 0.12 * base)
    for region, share in zip(("beard", "moustache"), BEARDS[beard][:2]):
        if not share:
            continue
        grown = 0.85 * masks[region] * np.clip(0.85 + 0.15 * noise(2), 0, 1)
        if share < 1:
            grown *= about_mouth(uv_map(shape.faces, corners, shape.vertices[:, :1], side)[..., 0])
        cover(grown, 0.9 * hair + 0.08 * base)
    cover(drawn["brows"] * masks["brows"], np.minimum(0.7 * hair, 0.4 * base))
    cover(0.85 * masks["lashes"], base * 0.18)
    roughness = (
        np.full((side, side), 0.52, np.float32) - 0.14 * masks["oil"] - 0.08 * masks["lips"] - 0.2 * masks["nails"]
    )
    specular = np.full((side, side), 0.32, np.float32) - 0.25 * np.maximum(masks["brows"], masks["hollows"])
    for value, colour in painted:
        most = max(float(value.max()), 1e-9)
        at = uv_map(shape.faces, corners, value.clip(-most, most)[:, None], side)[..., 0].astype(np.float32)
        inside = np.clip(at / most * 12, 0, 1)
        cover(inside, to_linear(colour))
        roughness += inside * (0.75 - roughness)
    _paint_eyes(picture, roughness, specular, to_linear(rgb(drawn["iris"])), rng)
    surface = np.stack([roughness, specular, np.zeros_like(specular)], -1)
    return Material(
        to_srgb(base), 0.52, image=np.round(255 * to_srgb(picture)).astype(np.uint8), metres=1.0,
        surface=np.round(255 * np.clip(surface, 0, 1)).astype(np.uint8),
    )  # fmt: skip


def _dots(rng: np.random.Generator, density: np.ndarray, count: int, radius: float) -> np.ndarray:
    """Soft dots of random strength, spread by a density, (S, S) in [0, 1]."""
    side = len(density)
    dots = np.zeros((side, side), np.float32)
    places = rng.integers(0, side, size=(4 * count, 2))
    strength = rng.uniform(0.2, 1.0, size=4 * count)
    kept = rng.uniform(size=4 * count) < density[places[:, 1], places[:, 0]]
    dots[places[kept][:count, 1], places[kept][:count, 0]] = strength[kept][:count]
    return np.clip(cv2.GaussianBlur(dots, (0, 0), radius) * 2 * np.pi * radius**2, 0, 1)


def _paint_eyes(
    picture: np.ndarray, roughness: np.ndarray, specular: np.ndarray, iris: np.ndarray, rng: np.random.Generator
) -> None:
    """Paints the white, iris and pupil of the eyes."""
    side = len(picture)
    u, v, half = _EYE_PLACE
    left, top, size = round((u - half) * side) - 6, round((1 - v - half) * side) - 6, round(2 * half * side) + 12
    y, x = (np.mgrid[top : top + size, left : left + size] + 0.5) / side
    across, up = (x - u) / half, (1 - y - v) / half
    radius, angle = np.hypot(across, up), np.arctan2(up, across)
    waves = sum(rng.uniform(0.3, 1) * np.sin(k * angle + rng.uniform(0, 6)) for k in (7, 11, 17, 23))
    white = np.array([0.78, 0.74, 0.71]) * (1 - 0.35 * np.clip(np.abs(across) - 0.35, 0, 1))[..., None]
    ring = np.clip((_IRIS - radius) / 0.05, 0, 1)[..., None]
    shade = (1 + 0.15 * waves) * np.interp(radius, [_PUPIL, _IRIS - 0.1, _IRIS - 0.02], [1.25, 1.0, 0.35])
    colour = white + ring * (iris * np.clip(shade, 0.2, 1.6)[..., None] * 1.4 - white)
    colour *= 1 - 0.97 * np.clip((_PUPIL - radius) / 0.04, 0, 1)[..., None]
    # The upper lid and its lashes shade the eye.
    colour *= np.interp(up, [0.1, 0.6], [1.0, 0.5])[..., None]
    place = slice(top, top + size), slice(left, left + size)
    picture[place], roughness[place], specular[place] = colour, 0.06, 0.9
