"""Packs sequence folders: a tar of JPEGs with an index, one HumanData per split, pictures, COCO, WebDataset."""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mviper.body import distinct_bodies
from mviper.datasets.interchange import write_coco, write_webdataset
from mviper.datasets.packed_views import PackingSummary, Progress, jpeg, picture_names, read_views
from mviper.datasets.sequences import FactorySequence
from mviper.errors import ConfigError
from mviper.files import atomic_path, save_npz
from mviper.structures import Camera, HumanData

#: Output kinds and the names of their files after ``<split>``.
PACKED_KINDS = ("tar", "human_data", "images", "coco", "webdataset")

_TAR_BLOCK = 512


def pack_split(
    sequences: Sequence[FactorySequence], out: Path, split: str, kind: str, quality: int = 95,
    progress: Progress = lambda done, total, name: None,
) -> PackingSummary:  # fmt: skip
    """Writes one split.

    Args:
        sequences: Its sequences, in the order of writing.
        out: Output folder.
        split: Its name.
        kind: ``'tar'``: ``<split>.tar`` and ``<split>.index.npz`` for
            :class:`mviper.datasets.packed.PackedHumanVideo`. ``'human_data'``: ``<split>_human_data.npz``, all rows in
            one file. ``'images'``: ``<split>/<sequence>/<view>/<frame>.jpg``, and ``<split>_arrays.npz`` with plain
            arrays. ``'coco'``, ``'webdataset'``: see :mod:`mviper.datasets.interchange`.
        quality: Of JPEG, 1 to 100.
        progress: Called to report progress.

    Returns:
        A summary. A view with a damaged video or annotation is left out and named.

    Raises:
        ConfigError: An unknown kind, or betas of different bodies, which cannot be in one file.
        MviperError: It cannot be written.
    """
    if kind not in PACKED_KINDS:
        raise ConfigError(f"data sets are packed as {', '.join(PACKED_KINDS)}; got {kind!r}")
    if not 1 <= quality <= 100:
        raise ConfigError(f"expected a JPEG quality from 1 to 100, got {quality}")
    summary = PackingSummary()
    write = {
        "tar": _write_tar, "human_data": _write_human_data, "images": _write_images, "coco": write_coco,
        "webdataset": write_webdataset,
    }[kind]  # fmt: skip
    write(sequences, out, split, quality, summary, progress)
    return summary


def _write_tar(
    sequences: Sequence[FactorySequence], out: Path, split: str, quality: int, summary: PackingSummary,
    progress: Progress,
) -> None:  # fmt: skip
    index = out / f"{split}.index.npz"
    index.unlink(missing_ok=True)  # it belongs to the old tar
    names: list[str] = []
    shown: list[str] = []
    frames, annotation, pictures, checks = [], [], [], []
    written: tuple[str, list] = ("", [])  # the last view's pictures, which all people in it share
    with atomic_path(out / f"{split}.tar") as temporary:
        with tarfile.open(temporary, "w") as tar:

            def add(name: str, content: bytes) -> tuple[int, int]:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
                return tar.offset - -(-len(content) // _TAR_BLOCK) * _TAR_BLOCK, len(content)

            for view in read_views(sequences, summary, progress, pictures=True):
                if view.name.rpartition("/")[0] not in {name.rpartition("/")[0] for name in names[-1:]}:
                    add(f"{view.sequence.folder.name}/manifest.json", json.dumps(view.sequence.manifest).encode())
                names.append(view.name)
                shown.append(view.shown)
                frames.append(len(view.pictures))
                annotation.append(add(f"{view.name}.npz", view.content))
                if view.shown != written[0]:
                    written = (view.shown, [])
                    for number, picture in enumerate(view.pictures):
                        content = jpeg(picture, quality)
                        place = add(f"{view.shown}/{number:06d}.jpg", content)
                        written[1].append((place, zlib.crc32(content)))
                pictures += [place for place, _ in written[1]]
                checks += [check for _, check in written[1]]
        summary.bytes = temporary.stat().st_size
    save_npz(
        index,
        names=np.array(names, str),
        views=np.array(shown, str),
        frames=np.array(frames, np.int64),
        annotation=np.array(annotation, np.int64).reshape(-1, 2),
        pictures=np.array(pictures, np.int64).reshape(-1, 2),
        checks=np.array(checks, np.uint32),
        tar_bytes=np.int64(summary.bytes),
    )


def _write_human_data(
    sequences: Sequence[FactorySequence], out: Path, split: str, quality: int, summary: PackingSummary,
    progress: Progress,
) -> None:  # fmt: skip
    parts = [
        replace(view.data, image_path=picture_names(split, view))
        for view in read_views(sequences, summary, progress, pictures=False)
    ]
    path = out / f"{split}_human_data.npz"
    if parts:
        join_rows(parts).save(path, compressed=True)
        summary.bytes = path.stat().st_size


def _write_images(
    sequences: Sequence[FactorySequence], out: Path, split: str, quality: int, summary: PackingSummary,
    progress: Progress,
) -> None:  # fmt: skip
    arrays: dict[str, list[np.ndarray]] = {}
    names: tuple[str, ...] = ()
    bodies: Counter[str] = Counter()
    written = ""
    for view in read_views(sequences, summary, progress, pictures=True):
        paths = picture_names(split, view)
        for name, picture in zip(paths, view.pictures) if view.shown != written else ():
            content = jpeg(picture, quality)
            with atomic_path(out / name) as temporary:
                temporary.write_bytes(content)
            summary.bytes += len(content)
        written = view.shown
        names = view.data.names
        bodies[view.data.body_model] += 1
        for key, values in plain_arrays(view.data, paths).items():
            arrays.setdefault(key, []).append(values)
    if arrays:
        whole = {key: np.concatenate(values) for key, values in arrays.items()}
        save_npz(
            out / f"{split}_arrays.npz", **whole, keypoint_names=np.array(names, str), body_model=_one_body(bodies)
        )


def plain_arrays(data: HumanData, pictures: Sequence[str]) -> dict[str, np.ndarray]:
    """A view's annotation as plain arrays, a row per frame, for loaders of other projects.

    Returns:
        ``imgname`` (N,), ``center`` (N, 2) and ``scale`` (N,) (the box's longer side over 200 px), ``pose`` (N, 72) and
        ``shape`` (N, B) in the camera's axes, as in SPIN's loaders; ``transl`` (N, 3), ``keypoints2d`` (N, J, 3) with
        chi as third, ``keypoints3d`` (N, J, 4), ``K`` (N, 3, 3), ``R`` (N, 3, 3), ``t`` (N, 3).

    Raises:
        ConfigError: The annotation lacks what the factory writes.
    """
    if data.smpl is None or data.camera is None or data.keypoints3d is None or data.visibility is None:
        raise ConfigError(
            f"{pictures[0] if pictures else 'a view'}: plain arrays need everything that the factory annotates"
        )
    frames = len(data)
    keypoints2d = np.array(data.keypoints2d, np.float32)
    keypoints2d[..., 2] = data.visibility
    box = np.asarray(data.bbox_xywh, np.float32)
    poses = np.concatenate([data.smpl["global_orient"][:, None], data.smpl["body_pose"]], axis=1)
    return {
        "imgname": np.array(pictures, str),
        "center": box[:, :2] + box[:, 2:4] / 2,
        "scale": box[:, 2:4].max(axis=1) / 200,
        "pose": poses.reshape(frames, -1).astype(np.float32),
        "shape": np.asarray(data.smpl["betas"], np.float32),
        "transl": np.asarray(data.smpl["transl"], np.float32),
        "keypoints2d": keypoints2d,
        "keypoints3d": np.asarray(data.keypoints3d, np.float32),
        "K": np.broadcast_to(data.camera.K, (frames, 3, 3)).astype(np.float32),
        "R": np.asarray(data.camera.R, np.float32),
        "t": np.asarray(data.camera.t, np.float32),
    }


def join_rows(parts: Sequence[HumanData]) -> HumanData:
    """Concatenates the rows of several HumanData.

    The camera is kept if all have the same intrinsics; the videos' names are dropped, since a file can hold only one.

    Raises:
        ConfigError: Their betas belong to different bodies, or some lack what others have.
    """
    first = parts[0]
    body = _one_body(Counter(part.body_model for part in parts))
    for name in ("keypoints3d", "smpl", "visibility", "frame_idx"):
        if len({getattr(part, name) is None for part in parts}) > 1:
            raise ConfigError(f"some views have {name}, others do not: they cannot be in one file")

    def rows(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    def rows_if_any(name: str) -> np.ndarray | None:
        return None if getattr(first, name) is None else rows(name)

    cameras = [part.camera for part in parts if part.camera is not None]
    same = len({(camera.K.tobytes(), camera.width, camera.height) for camera in cameras}) == 1
    camera = None
    if same and len(cameras) == len(parts):
        camera = Camera(
            cameras[0].K, np.concatenate([c.R for c in cameras]), np.concatenate([c.t for c in cameras]),
            cameras[0].width, cameras[0].height,
        )  # fmt: skip
    tables = [part.smpl for part in parts if part.smpl is not None]
    smpl = first.smpl and {key: np.concatenate([table[key] for table in tables]) for key in first.smpl}
    return HumanData(
        keypoints2d=rows("keypoints2d"),
        keypoints3d=rows_if_any("keypoints3d"),
        bbox_xywh=rows("bbox_xywh"),
        smpl=smpl,
        body_model=body,
        visibility=rows_if_any("visibility"),
        image_path=[name for part in parts for name in part.image_path],
        frame_idx=rows_if_any("frame_idx"),
        camera=camera,
        meta={
            key: [entry for part in parts for entry in _listed(part.meta[key], len(part))]
            for key in first.meta
            if all(key in part.meta for part in parts)
        },
        names=first.names,
    )


def _listed(value: object, length: int) -> list:
    return list(value) if isinstance(value, list | tuple | np.ndarray) else [value] * length


def _one_body(bodies: Mapping[str, int]) -> str:
    if len(distinct_bodies(bodies)) > 1:
        counts = ", ".join(f"{count} views of {body or 'an unknown body'}" for body, count in bodies.items())
        raise ConfigError(f"betas of different bodies cannot be in one file: {counts}")
    return next(iter(bodies), "")
