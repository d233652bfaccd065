"""Per-pixel annotation of a view (``<view>_passes.zip``): segmentation, depth, normals, optical flow.

A zip archive of PNG images, ``<pass>/<frame>.png``, with ``passes.json``, which says how to read their values: any
frame of any pass opens on its own, in any program.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mviper.errors import FileFormatError, MissingDataError
from mviper.files import atomic_path

#: Passes that a view's archive may hold.
IMAGE_PASSES = ("segmentation", "depth", "normals", "flow")

_FLOW_STEP, _FLOW_ZERO = 1 / 64, 2**15  # KITTI's encoding of optical flow


class PassWriter:
    """Writes a view's archive, under a temporary name until it is complete; equal content gives equal bytes.

    Use as a context manager.

    Args:
        path: The ``.zip``.
        frames: T.
        width: [px].
        height: [px].
        names: Passes to be written.
        labels: Names of the values in ``segmentation``, the background first.
        near: Least depth [m].
        far: Largest depth [m].
        people: Number of the person, from 1, that each label belongs to, 0 for the background; ``None``: there is only
            one.
    """

    def __init__(
        self, path: str | Path, frames: int, width: int, height: int, names: list[str], labels: list[str], near: float,
        far: float, people: list[int] | None = None,
    ) -> None:  # fmt: skip
        # 0.1 mm, or the step that spreads the range over 16 bits.
        self.near, self.step = near, max(1e-4, (far - near) / (2**16 - 2))
        self._info = dict(
            frames=frames, width=width, height=height, passes=list(names), labels=list(labels), depth_near=self.near,
            depth_step=self.step,
        )  # fmt: skip
        if people is not None:
            self._info["people"] = list(people)
        self._place = atomic_path(path)

    def __enter__(self) -> PassWriter:
        self._archive = zipfile.ZipFile(self._place.__enter__(), "w", zipfile.ZIP_STORED)
        self._put("passes.json", json.dumps(self._info, indent=1).encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()
        self._place.__exit__(kind, error, trace)

    def add(self, name: str, frame: int, values: np.ndarray) -> None:
        """Appends one frame of a pass, in the form that :meth:`PassFile.read` returns."""
        if name == "segmentation":
            picture = values.astype(np.uint8)
        elif name == "depth":
            there = np.isfinite(values)
            picture = np.zeros(values.shape, np.uint16)
            picture[there] = np.round((values[there] - self.near) / self.step).clip(0, 2**16 - 2) + 1
        elif name == "normals":
            picture = np.where(values.any(-1, keepdims=True), np.round(127 * values) + 128, 0).astype(np.uint8)
        else:
            picture = np.round(values * [1 / _FLOW_STEP, 1 / _FLOW_STEP, 1] + [_FLOW_ZERO, _FLOW_ZERO, 0])
            picture = picture.clip(0, 2**16 - 1).astype(np.uint16)
        if picture.ndim == 3:
            picture = picture[..., ::-1]  # OpenCV writes blue first
        _, png = cv2.imencode(".png", np.ascontiguousarray(picture), [cv2.IMWRITE_PNG_COMPRESSION, 6])
        self._put(_member(name, frame), png.tobytes())

    def _put(self, member: str, content: bytes) -> None:
        info = zipfile.ZipInfo(member)  # with a fixed time stamp
        info.external_attr = 0o644 << 16  # readable when unpacked
        self._archive.writestr(info, content)


class PassFile:
    """Reads a view's archive, frame by frame.

    Args:
        path: ``<view>_passes.zip``.

    Attributes:
        names: Passes in the archive.
        labels: Names of the values in ``segmentation``, by value.
        people: Number of the person, from 1, that each value belongs to, 0 for the background.
        frames: T.
        width: [px].
        height: [px].

    Raises:
        FileFormatError: Not such an archive.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                info = json.loads(archive.read("passes.json"))
            self.names, self.labels = tuple(info["passes"]), tuple(info["labels"])
            alone = [min(value, 1) for value in range(len(self.labels))]
            self.people = np.array(info.get("people", alone), np.uint8)
            self.frames, self.width, self.height = (int(info[key]) for key in ("frames", "width", "height"))
            self._near, self._step = float(info["depth_near"]), float(info["depth_step"])
            if len(self.people) != len(self.labels):
                raise ValueError(f"{len(self.labels)} labels, but {len(self.people)} numbers of people")
        except FileNotFoundError as error:
            raise FileFormatError(path, "no such file") from error
        except Exception as error:  # zipfile and zlib raise many kinds on damaged files
            raise FileFormatError(path, f"not an archive of annotation passes: {error!r}") from error

    def instances(self, frame: int) -> np.ndarray:
        """The person seen at each pixel: its number, from 1 in the order of the manifest, uint8 (H, W); 0 for nobody.

        Raises:
            MissingDataError: The archive has no segmentation, or no such frame.
            FileFormatError: It is damaged.
        """
        labels = self.read("segmentation", frame)
        if labels.max() >= len(self.people):
            raise FileFormatError(self.path, f"frame {frame} of segmentation has a value without a label")
        return self.people[labels]

    def read(self, name: str, frame: int) -> np.ndarray:
        """One frame of a pass.

        Args:
            name: One of :attr:`names`.
            frame: From 0; ``flow`` has none for the last frame.

        Returns:
            ``segmentation``: index into :attr:`labels`, uint8 (H, W). ``depth``: z in camera axes [m], float32 (H, W),
            infinite on the background. ``normals``: unit vectors in camera axes that point towards the camera, float32
            (H, W, 3), zero on the background. ``flow``: float32 (H, W, 3): displacement of the pixel's surface point to
            the next frame, x and y [px], and 1 where the point is visible there too, else 0.

        Raises:
            MissingDataError: The archive has no such pass or frame.
            FileFormatError: It is damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                content = archive.read(_member(name, frame))
        except KeyError as error:
            raise MissingDataError(
                f"{self.path}: no frame {frame} of pass {name!r}; it holds {', '.join(self.names) or 'no pass'} of "
                f"{self.frames} frames (flow: one less)"
            ) from error
        except Exception as error:
            raise FileFormatError(self.path, f"{_member(name, frame)} cannot be read: {error!r}") from error
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.shape[:2] != (self.height, self.width):
            raise FileFormatError(self.path, f"{_member(name, frame)} is not a picture of the view's size")
        if name == "segmentation":
            return picture
        if name == "depth":
            depth = self._near + self._step * (picture.astype(np.float64) - 1)
            return np.where(picture > 0, depth, np.inf).astype(np.float32)
        picture = picture[..., ::-1].astype(np.float32)
        if name == "normals":
            normals = np.where(picture.any(-1, keepdims=True), (picture - 128) / 127, 0)
            return normals / np.linalg.norm(normals, axis=-1, keepdims=True).clip(0.5)
        picture[..., :2] = (picture[..., :2] - _FLOW_ZERO) * _FLOW_STEP
        return picture


def _member(name: str, frame: int) -> str:
    return f"{name}/{frame:06d}.png"
