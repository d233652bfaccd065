"""What surrounds the person: a picture, spherical or flat, that lights the scene and stands behind it."""

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
from mviper.synthesis.scene.mixture import Mixture
from mviper.synthesis.scene.photos import PhotoFolder, read_photo

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)

#: Panoramas are shrunk to this width for the eye and for the light: an 8k one would take 1.6 GB in Blender [px].
_VISIBLE_WIDTH, _LIGHT_WIDTH = 4096, 1024
#: Photographs are shrunk to this shorter side [px].
_PHOTO_SIDE = 1024


def blender_worlds() -> Path:
    """Folder of the eight panoramas that Blender's wheel brings (found without importing it)."""
    # Not by find_spec: Blender, once imported, puts another package bpy on sys.path, which spawned workers inherit.
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
    """A spherical picture as light and as what the camera sees, mapped apart.

    A telephoto lens sees 10 degrees, 29 pixels of a 1024-wide panorama. So the camera sees a wider part of it,
    magnified into the frame, with random yaw and scale; what lights the scene is the panorama itself, turned at random.

    Args:
        root: Folder with ``.exr`` or ``.hdr`` panoramas, searched in depth; ``None``: those of Blender's wheel.
        visible: Range of the angle that fills the frame's width [rad].
        min_pixels: At least so many source pixels across the frame; widens ``visible`` for small panoramas.
        light: Range of the light's strength (1: a white surface under its mean is white).
        brightness: Range of the visible part's median.
        pitch: Range of the horizon's place below the middle [rad].
        patterns: Which of the panoramas, by their path within the folder (``"forest*"``); all by default.
    """

    def __init__(
        self, root: str | Path | None = None, visible: tuple[float, float] = (np.pi / 3, np.pi / 2),
        min_pixels: int = 200, light: tuple[float, float] = (0.2, 0.55), brightness: tuple[float, float] = (0.1, 0.4),
        pitch: tuple[float, float] = (-0.1, 0.15), patterns: Sequence[str] = ("*",),
    ) -> None:  # fmt: skip
        self.root, self.patterns, self.visible, self.min_pixels = root, tuple(patterns), visible, min_pixels
        self.light, self.brightness, self.pitch = light, brightness, pitch
        self._files: list[Path] | None = None

    @property
    def folder(self) -> Path:
        """Where the panoramas are."""
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
            ``dict(file, light_yaw, light, visible_yaw, visible, pitch [rad], brightness)``.
        """
        path = self.files[rng.integers(len(self.files))]
        return dict(
            file=path.relative_to(self.folder).as_posix(),
            light_yaw=float(rng.uniform(0, 2 * np.pi)),
            light=float(rng.uniform(*self.light)),
            visible_yaw=float(rng.uniform(0, 2 * np.pi)),
            visible=float(rng.uniform(*self.visible)),
            pitch=float(rng.uniform(*self.pitch)),
            brightness=float(rng.uniform(*self.brightness)),
        )

    def load(self, drawn: dict) -> dict:
        """Reads the drawn panorama and scales it.

        Args:
            drawn: What :meth:`draw` returned.

        Returns:
            ``dict(kind='sphere', light_image, visible_image`` linear float32 (H, W, 3)``, light_yaw, visible_yaw,
            visible, pitch)``.
        """
        image = shrunk(read_panorama(self.folder / drawn["file"]), _VISIBLE_WIDTH)
        height, width = image.shape[:2]
        luminance = image @ _LUMINANCE
        elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
        mean = float((luminance.mean(1) * np.cos(elevation)).sum() / np.cos(elevation).sum())
        median = float(np.median(luminance[np.abs(elevation) < 0.6]))
        # A sun of a few pixels cannot be sampled cleanly with four samples: spread what is above 60 times the mean.
        light = shrunk(np.minimum(image, 60 * mean), _LIGHT_WIDTH)
        return dict(
            kind="sphere",
            light_image=light * (drawn["light"] / max(mean, 1e-6)),
            visible_image=_rolled_off(image * (drawn["brightness"] / max(median, 1e-6))),
            light_yaw=drawn["light_yaw"],
            visible_yaw=drawn["visible_yaw"],
            visible=max(drawn["visible"], 2 * np.pi * self.min_pixels / width),
            pitch=drawn["pitch"],
        )


def shrunk(image: np.ndarray, width: int) -> np.ndarray:
    """A panorama at most so wide, each pixel the mean of those it replaces."""
    if image.shape[1] <= width:
        return image
    return cv2.resize(image, (width, round(image.shape[0] * width / image.shape[1])), interpolation=cv2.INTER_AREA)


@BACKGROUNDS.register_module()
class PhotoBackground:
    """Flat photographs behind the person, as of Places365, at random scale, place and rotation.

    However long the lens, a good part of the photograph fills the frame: behind each camera's person stands the same
    one, as a backdrop that surrounds the scene, scaled so that it spans what the camera sees of it as it turns. Beyond
    its borders it goes on mirrored. It lights the scene in its own colours, its upper rows from above, beside the
    lamps.

    Args:
        root: Folder with ``.jpg``, ``.jpeg``, ``.png``, ``.bmp``, ``.tif``, ``.tiff`` or ``.webp`` files, searched in
            depth.
        patterns: Which of them, by their path within it (``"b/bamboo_forest/*"``); all by default.
        share: Range of the part of the photograph's shorter side that fills the frame.
        roll: Range of its rotation [rad].
        min_pixels: At least so many source pixels across the frame, even if the camera turns past the border.
        light: Range of the light's strength (1: a white surface under its mean is white).
        brightness: Range of the photograph's gain, in linear light.
    """

    def __init__(
        self, root: str | Path, patterns: Sequence[str] = ("*",), share: tuple[float, float] = (0.5, 0.95),
        roll: tuple[float, float] = (-0.15, 0.15), min_pixels: int = 100, light: tuple[float, float] = (0.2, 0.55),
        brightness: tuple[float, float] = (0.6, 1.0),
    ) -> None:  # fmt: skip
        self.photos = PhotoFolder(root, patterns, "PhotoBackground")
        self.share, self.roll, self.min_pixels = share, roll, min_pixels
        self.light, self.brightness = light, brightness

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws a photograph and how it is used.

        Returns:
            ``dict(file, share, roll [rad], place`` (x, y in [-1, 1]: where in the photograph the frame lies, as far as
            there is room)``, light, brightness)``.

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
        )

    def load(self, drawn: dict) -> dict:
        """Reads the drawn photograph.

        Args:
            drawn: What :meth:`draw` returned.

        Returns:
            ``dict(kind='photo', light_image, visible_image`` linear float32 (H, W, 3)``, light_yaw, share, roll, place,
            min_pixels)``.

        Raises:
            FileFormatError: It cannot be read.
        """
        image = read_photo(self.photos.root / drawn["file"], _PHOTO_SIDE).astype(np.float32) / 255
        image = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4).astype(np.float32)
        # The sky of the photograph: its rows' means, from the zenith down to the nadir.
        rows = cv2.resize(image, (1, 16), interpolation=cv2.INTER_AREA).repeat(32, axis=1)
        elevation = (0.5 - (np.arange(16) + 0.5) / 16) * np.pi
        mean = float(((rows @ _LUMINANCE)[:, 0] * np.cos(elevation)).sum() / np.cos(elevation).sum())
        return dict(
            kind="photo",
            light_image=rows * (drawn["light"] / max(mean, 1e-6)),
            visible_image=image * np.float32(drawn["brightness"]),
            light_yaw=0.0,
            share=drawn["share"],
            roll=drawn["roll"],
            place=drawn["place"],
            min_pixels=self.min_pixels,
        )


@BACKGROUNDS.register_module()
class MixedBackground(Mixture):
    """One kind of background or another, drawn for each sequence.

    Args:
        backgrounds: Configs of background samplers.
        weights: How often each is drawn, in proportion; equally often by default.
    """

    def __init__(self, backgrounds: Sequence[dict], weights: Sequence[float] | None = None) -> None:
        super().__init__([BACKGROUNDS.build(one) for one in backgrounds], weights)

    def load(self, drawn: dict) -> dict:
        """Loads what was drawn, as the sampler that drew it does."""
        return self.chosen(drawn).load(drawn)


def _rolled_off(image: np.ndarray, knee: float = 0.4, white: float = 0.9) -> np.ndarray:
    """Bends highlights above ``knee`` towards ``white``, as film does: pale people stand out before a bright window."""
    room = white - knee
    return np.where(image < knee, image, knee + room * (1 - np.exp(-(image - knee).clip(0) / room))).astype(np.float32)
