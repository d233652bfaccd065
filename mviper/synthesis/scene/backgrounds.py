"""Backgrounds: a picture, spherical or flat, that lights the scene and is seen behind it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

from mviper.errors import FileFormatError, MissingDataError
from mviper.extras import import_extra, missing_extra
from mviper.files import is_hidden
from mviper.registry import BACKGROUNDS
from mviper.synthesis.scene.cameras import direction
from mviper.synthesis.scene.mixture import Mixture
from mviper.synthesis.scene.photos import PhotoFolder, read_photo

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)

#: Panoramas are downscaled to this width for the camera and for the light: an 8k one would take 1.6 GB in Blender [px].
_VISIBLE_WIDTH, _LIGHT_WIDTH = 4096, 1024
#: Pixels brighter than this multiple of the mean are cut out of a panorama, as its sun or discarded.
_SUN = 12.0
#: Photographs are downscaled to this shorter side [px].
_PHOTO_SIDE = 1024


def blender_worlds() -> Path:
    """Folder of the eight panoramas in Blender's wheel (found without importing it)."""
    # Not find_spec: Blender, once imported, puts another package bpy on sys.path, which spawned workers inherit.
    try:
        folder = Path(metadata.distribution("bpy").locate_file("bpy"))
    except metadata.PackageNotFoundError as error:
        raise missing_extra("bpy", error) from error
    found = sorted(folder.glob("**/datafiles/studiolights/world"))
    if not found:
        raise MissingDataError(f"no datafiles/studiolights/world under {folder}; set background.root to a folder")
    return found[0]


def read_panorama(path: str | Path) -> np.ndarray:
    """Reads an OpenEXR or Radiance picture.

    Returns:
        Linear RGB, float32 (H, W, 3), top row first.

    Raises:
        FileFormatError: It cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() == ".exr":
        try:
            channels = import_extra("OpenEXR").File(str(path), separate_channels=True).channels()
            image = np.stack([np.asarray(channels[name].pixels, np.float32) for name in "RGB"], -1)
        except (KeyError, RuntimeError, ValueError, OSError) as error:
            raise FileFormatError(path, f"not an OpenEXR picture with channels R, G, B: {error}") from error
    else:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_COLOR)
        if image is None or image.dtype != np.float32:
            raise FileFormatError(path, "not a Radiance (.hdr) picture")
        image = image[..., ::-1]
    return np.ascontiguousarray(np.nan_to_num(image, nan=0.0, posinf=1e4, neginf=0.0).clip(0))


@BACKGROUNDS.register_module()
class SphericalBackground:
    """A spherical picture, as light and as visible background.

    Its sun, or other brightest source, becomes a lamp in its direction; the rest is environment light. The strength of
    both follows the picture's exposure, compressed like film: under a bright sky people are not twice as bright.

    A telephoto lens sees 10 degrees, 29 pixels of a 1024-wide panorama. So with long lenses the camera sees a wider
    part of it, scaled to the frame (see :func:`mviper.synthesis.scene.backdrop.place_backdrop`).

    Args:
        root: Folder with ``.exr`` or ``.hdr`` panoramas, searched recursively; ``None``: those of Blender's wheel.
        visible: Range of the angle that fills the frame's width, with long lenses [rad].
        min_pixels: Minimum number of source pixels across such a frame; widens ``visible`` for small panoramas.
        light: Range of the light's strength (1: following the picture's exposure).
        brightness: Range of the visible part's median.
        pitch: Range of the horizon's position below the middle, with long lenses [rad].
        patterns: Patterns of panoramas to use, by path within the folder (``"forest*"``); all by default.
    """

    def __init__(
        self, root: str | Path | None = None, visible: tuple[float, float] = (np.pi / 3, np.pi / 2),
        min_pixels: int = 200, light: tuple[float, float] = (0.8, 1.25), brightness: tuple[float, float] = (0.1, 0.4),
        pitch: tuple[float, float] = (-0.1, 0.15), patterns: Sequence[str] = ("*",),
    ) -> None:  # fmt: skip
        self.root, self.patterns, self.visible, self.min_pixels = root, tuple(patterns), visible, min_pixels
        self.light, self.brightness, self.pitch = light, brightness, pitch
        self._files: list[Path] | None = None

    @property
    def folder(self) -> Path:
        """The panoramas' folder."""
        return Path(self.root).expanduser() if self.root is not None else blender_worlds()

    @property
    def files(self) -> list[Path]:
        """The panoramas, sorted.

        Raises:
            MissingDataError: There are none.
        """
        if self._files is None:
            found = sorted(
                path
                for path in self.folder.rglob("*")
                if path.suffix.lower() in (".exr", ".hdr") and not is_hidden(path, self.folder)
            )
            names = [path.relative_to(self.folder).as_posix() for path in found]
            self._files = [
                path for path, name in zip(found, names) if any(fnmatch(name, pattern) for pattern in self.patterns)
            ]
            if not self._files:
                there = f"; there is {', '.join(names[:20])}" if names else ""
                raise MissingDataError(
                    f"SphericalBackground: no .exr or .hdr file in {self.folder} that matches "
                    f"{', '.join(self.patterns)}{there}"
                )
        return self._files

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws a panorama and how it is used.

        Returns:
            ``dict(file, yaw`` (the panorama's bearing in the north)``, light, visible, pitch [rad], brightness)``.
        """
        path = self.files[rng.integers(len(self.files))]
        return dict(
            file=path.relative_to(self.folder).as_posix(),
            yaw=float(rng.uniform(0, 2 * np.pi)),
            light=float(rng.uniform(*self.light)),
            visible=float(rng.uniform(*self.visible)),
            pitch=float(rng.uniform(*self.pitch)),
            brightness=float(rng.uniform(*self.brightness)),
        )

    def load(self, drawn: dict) -> dict:
        """Reads the drawn panorama and scales it.

        Args:
            drawn: From :meth:`draw`.

        Returns:
            ``dict(kind='sphere', light_image`` (without the sun)``, visible_image`` linear float32 (H, W, 3)``, sun``
            (see :func:`find_sun`; its bearing is the compass')``, light_yaw, visible_yaw, visible, pitch)``.
        """
        image = shrunk(read_panorama(self.folder / drawn["file"]), _VISIBLE_WIDTH)
        height, width = image.shape[:2]
        luminance = image @ _LUMINANCE
        elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
        gain = drawn["brightness"] / max(float(np.median(luminance[np.abs(elevation) < 0.6])), 1e-6)
        sun, sky = find_sun(shrunk(image, _LIGHT_WIDTH))
        strength = drawn["light"] * _exposed(gain * upright_white(sun, sky)) * gain
        if sun:
            sun |= dict(bearing=sun["bearing"] - drawn["yaw"], exposure=strength * sun["exposure"])
        return dict(
            kind="sphere",
            light_image=sky * np.float32(strength),
            visible_image=_rolled_off(image * gain),
            sun=sun,
            light_yaw=np.pi / 2 - drawn["yaw"],  # the visible one's direction in Blender's convention
            visible_yaw=drawn["yaw"],
            visible=max(drawn["visible"], 2 * np.pi * self.min_pixels / width),
            pitch=drawn["pitch"],
        )


def find_sun(image: np.ndarray) -> tuple[dict | None, np.ndarray]:
    """Removes the sun from a panorama: the spot, window or lamp that gives the most light.

    Args:
        image: Linear RGB, float32 (H, W, 3), top row first.

    Returns:
        ``dict(bearing`` in the picture, from its left border``, elevation, radius [rad], exposure`` (3,)``)``, where
        ``exposure`` is the light that a facing white surface reflects of it; ``None`` if it gives less than a twentieth
        of all light. And the picture without it, shape (H, W, 3).
    """
    height, width = image.shape[:2]
    # Place the seam away from the brightest spot.
    turn = width // 2 - int((image @ _LUMINANCE).max(0).argmax())
    image = np.roll(image, turn, axis=1)
    luminance = image @ _LUMINANCE
    elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    patch = np.broadcast_to((np.cos(elevation) * (np.pi / height) * (2 * np.pi / width))[:, None], luminance.shape)
    total = float((luminance * patch).sum())
    limit = _SUN * total / (4 * np.pi)
    _, labels = cv2.connectedComponents((luminance > limit).astype(np.uint8))
    given = np.bincount(labels.ravel(), ((luminance - limit) * patch).ravel())
    given[0] = 0
    spot = labels == given.argmax()
    # Filled like its surroundings: nothing is left that four samples per pixel would hit only by chance.
    sky = np.where(luminance[..., None] > limit, image * (limit / np.maximum(luminance, limit))[..., None], image)
    if given.max() < total / 20:
        return None, np.roll(sky, -turn, axis=1)
    excess = (image - sky)[spot] * patch[spot][:, None]
    weight = excess @ _LUMINANCE
    rows, columns = np.nonzero(spot)
    bearing = (columns - turn + 0.5) / width * 2 * np.pi
    east, north, up = weight @ direction(bearing, elevation[rows])
    return dict(
        bearing=float(np.arctan2(east, north)),
        elevation=float(np.arctan2(up, np.hypot(east, north))),
        radius=float(np.sqrt(patch[spot].sum() / np.pi)),
        exposure=excess.sum(0) / np.pi,
    ), np.roll(sky, -turn, axis=1)


def upright_white(sun: dict | None, sky: np.ndarray) -> float:
    """Light that an upright white surface reflects, mean over the compass, from :func:`find_sun`'s results.

    This is what a camera's meter sees of people, who face anywhere.
    """
    elevation = (0.5 - (np.arange(len(sky)) + 0.5) / len(sky)) * np.pi
    # The mean over the compass of the part of a unit vector along a horizontal direction, where it is positive.
    rows = (sky @ _LUMINANCE).mean(1)
    light = (rows * np.cos(elevation) ** 2).sum() * (np.pi / len(sky)) * 2 / np.pi
    return float(light + (sun["exposure"] @ _LUMINANCE * np.cos(sun["elevation"]) / np.pi if sun else 0.0))


def _exposed(white: float) -> float:
    """Gain of the light with which white looks as if exposed together with the background."""
    return float(np.clip(0.65 * white**0.4, 0.4, 0.9)) / max(white, 1e-6)


def shrunk(image: np.ndarray, width: int) -> np.ndarray:
    """A panorama downscaled to a maximum width by averaging pixels."""
    if image.shape[1] <= width:
        return image
    return cv2.resize(image, (width, round(image.shape[0] * width / image.shape[1])), interpolation=cv2.INTER_AREA)


@BACKGROUNDS.register_module()
class PhotoBackground:
    """Flat photographs behind the person, e.g. of Places365, at random scale, position and rotation.

    A good part of the photograph fills the frame with any lens: all cameras see the same one as a backdrop round the
    scene, scaled to span what the camera sees as it rotates. Beyond its borders it is mirrored. It lights the scene in
    its own colours, its upper rows from above, and a sun in the colour of its brightest parts shines from a random
    direction, since the photograph does not tell the true one.

    Args:
        root: Folder with ``.jpg``, ``.jpeg``, ``.png``, ``.bmp``, ``.tif``, ``.tiff`` or ``.webp`` files, searched
            recursively.
        patterns: Patterns of files to use, by path within it (``"b/bamboo_forest/*"``); all by default.
        share: Range of the part of the photograph's shorter side that fills the frame.
        roll: Range of its rotation [rad].
        min_pixels: Minimum number of source pixels across the frame, even if the camera rotates past the border.
        light: Range of the light's strength (1: following the photograph's exposure).
        brightness: Range of the photograph's gain, in linear light.
        sun: Range of the sun's share of the light.
    """

    def __init__(
        self, root: str | Path, patterns: Sequence[str] = ("*",), share: tuple[float, float] = (0.5, 0.95),
        roll: tuple[float, float] = (-0.15, 0.15), min_pixels: int = 100, light: tuple[float, float] = (0.8, 1.25),
        brightness: tuple[float, float] = (0.6, 1.0), sun: tuple[float, float] = (0.1, 0.7),
    ) -> None:  # fmt: skip
        self.photos = PhotoFolder(root, patterns, "PhotoBackground")
        self.share, self.roll, self.min_pixels = share, roll, min_pixels
        self.light, self.brightness, self.sun = light, brightness, sun

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws a photograph and how it is used.

        Returns:
            ``dict(file, share, roll [rad], place`` (x, y in [-1, 1]: position of the frame in the photograph, within
            its room)``, light, brightness, sun=dict(share, bearing, elevation, radius [rad]))``.

        Raises:
            MissingDataError: The folder has none.
        """
        return dict(
            file=self.photos.draw(rng),
            share=float(rng.uniform(*self.share)),
            roll=float(rng.uniform(*self.roll)),
            place=[float(value) for value in rng.uniform(-1, 1, size=2)],
            light=float(rng.uniform(*self.light)),
            brightness=float(rng.uniform(*self.brightness)),
            sun=dict(
                share=float(rng.uniform(*self.sun)),
                bearing=float(rng.uniform(0, 2 * np.pi)),
                elevation=float(rng.uniform(0.3, 1.2)),
                radius=float(np.exp(rng.uniform(*np.log((0.005, 0.2))))),
            ),
        )

    def load(self, drawn: dict) -> dict:
        """Reads the drawn photograph.

        Args:
            drawn: From :meth:`draw`.

        Returns:
            ``dict(kind='photo', light_image, visible_image`` linear float32 (H, W, 3)``, sun, light_yaw, share, roll,
            place, min_pixels)``.

        Raises:
            FileFormatError: It cannot be read.
        """
        image = read_photo(self.photos.root / drawn["file"], _PHOTO_SIDE).astype(np.float32) / 255
        image = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4).astype(np.float32)
        # The photograph's sky: means of its rows, from the zenith down to the nadir.
        rows = cv2.resize(image, (1, 16), interpolation=cv2.INTER_AREA).repeat(32, axis=1)
        image = image * np.float32(drawn["brightness"])
        luminance = image @ _LUMINANCE
        # Photographed surfaces reflect about a third of the light.
        white = 3 * float(luminance.mean())
        strength = drawn["light"] * _exposed(white) * white
        share, sky = drawn["sun"]["share"], rows / max(upright_white(None, rows), 1e-6)
        brightest = image[luminance >= np.quantile(luminance, 0.98)].mean(0)
        exposure = strength * share * brightest / max(float(brightest @ _LUMINANCE), 1e-6)
        return dict(
            kind="photo",
            light_image=sky * np.float32(strength * (1 - share)),
            visible_image=image,
            sun={name: drawn["sun"][name] for name in ("bearing", "elevation", "radius")} | dict(exposure=exposure),
            light_yaw=0.0,
            share=drawn["share"],
            roll=drawn["roll"],
            place=drawn["place"],
            min_pixels=self.min_pixels,
        )


@BACKGROUNDS.register_module()
class MixedBackground(Mixture):
    """A random kind of background for each sequence.

    Args:
        backgrounds: Configs of background samplers.
        weights: Relative frequencies; equal by default.
    """

    def __init__(self, backgrounds: Sequence[dict], weights: Sequence[float] | None = None) -> None:
        super().__init__([BACKGROUNDS.build(one) for one in backgrounds], weights)

    def load(self, drawn: dict) -> dict:
        """Loads the draw with the sampler that made it."""
        return self.chosen(drawn).load(drawn)


def _rolled_off(image: np.ndarray, knee: float = 0.4, white: float = 0.9) -> np.ndarray:
    """Compresses highlights above ``knee`` towards ``white``, like film: pale people stand out at bright windows."""
    room = white - knee
    return np.where(image < knee, image, knee + room * (1 - np.exp(-(image - knee).clip(0) / room))).astype(np.float32)
