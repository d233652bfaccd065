"""Sequence folders in formats that other programs read picture by picture: COCO's JSON, WebDataset's tars.

Both hold everyone in a picture. Instance masks come from the pass ``segmentation``; without it there are none, and a
person's box is that of the whole body instead of what is seen of the person.
"""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mviper.datasets.converters import COCO
from mviper.datasets.packed_views import PackedView, PackingSummary, Progress, jpeg, picture_names, read_views
from mviper.datasets.sequences import FactorySequence
from mviper.errors import FileFormatError, MviperError
from mviper.files import atomic_path
from mviper.structures import HumanData, PassFile, people_of

#: Largest number of pictures in a tar of a WebDataset.
SHARD = 5000

#: COCO's connections between keypoints, from 1.
_SKELETON = [
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10], [9, 11],
    [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
]  # fmt: skip


@dataclass
class _Shown:
    """A view and everyone in it.

    Attributes:
        people: By number.
        names: Their names.
        masks: Who is seen where; ``None`` without segmentation.
    """

    people: list[PackedView]
    names: list[str]
    masks: PassFile | None

    @property
    def view(self) -> PackedView:
        """The view, as of the first person."""
        return self.people[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width [px]."""
        height, width = self.view.pictures[0].shape[:2]
        return height, width


def _shown(
    sequences: Sequence[FactorySequence], summary: PackingSummary, progress: Progress
) -> Iterator[_Shown]:  # fmt: skip
    """Views of which all people can be read; the others are recorded."""
    for _, group in itertools.groupby(read_views(sequences, summary, progress, pictures=True), lambda one: one.shown):
        people = list(group)
        sequence, view = people[0].sequence, people[0].shown.rpartition("/")[2]
        names = [person.get("person", "") for person in people_of(sequence.manifest)]
        masks, path = None, sequence.folder / f"{view}_passes.zip"
        try:
            if len(people) != len(names):
                raise FileFormatError(sequence.folder / f"{view}.mp4", "the annotation of some people in it is damaged")
            if "segmentation" in sequence.manifest.get("passes", []):
                masks = PassFile(path)
                if masks.frames != len(people[0].data):
                    raise FileFormatError(path, f"it has {masks.frames} frames, the annotation {len(people[0].data)}")
        except FileFormatError as error:
            summary.skipped[str(error.path)] = error.problem
            summary.views -= len(people)
            summary.frames -= sum(len(person.data) for person in people)
            continue
        yield _Shown(people, names, masks)


def write_coco(
    sequences: Sequence[FactorySequence], out: Path, split: str, quality: int, summary: PackingSummary,
    progress: Progress,
) -> None:  # fmt: skip
    """Writes ``<split>_coco.json`` (person keypoints, boxes, masks) and ``<split>/<sequence>/<view>/<frame>.jpg``.

    People of whom nothing is seen are left out.

    Args:
        sequences: The split's sequences.
        out: Output folder.
        split: Its name.
        quality: Of JPEG.
        summary: Is filled in.
        progress: Called to report progress.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    for shown in _shown(sequences, summary, progress):
        height, width = shown.size
        for frame, name in enumerate(picture_names(split, shown.view)):
            content = jpeg(shown.view.pictures[frame], quality)
            with atomic_path(out / name) as temporary:
                temporary.write_bytes(content)
            summary.bytes += len(content)
            images.append(
                dict(
                    id=len(images) + 1, file_name=name, width=width, height=height, video=shown.view.shown, frame=frame
                )
            )
            masks = None if shown.masks is None else shown.masks.instances(frame)
            for number, person in enumerate(shown.people):
                told = coco_person(person.data, frame, (height, width), None if masks is None else masks == number + 1)
                if told:
                    place = dict(id=len(annotations) + 1, image_id=len(images), category_id=1, track=person.name)
                    annotations.append({**place, **told})
    names = [name.removesuffix("_extra") for name in COCO]
    category = dict(id=1, name="person", supercategory="person", keypoints=names, skeleton=_SKELETON)
    whole = dict(info=dict(description="MVIPER"), images=images, annotations=annotations, categories=[category])
    path = out / f"{split}_coco.json"
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(whole))
    summary.bytes += path.stat().st_size


def coco_person(data: HumanData, frame: int, size: tuple[int, int], mask: np.ndarray | None) -> dict:
    """One person of a picture as COCO annotates people.

    Args:
        data: The person's annotation.
        frame: The frame.
        size: Height and width of the picture [px].
        mask: Where the person is seen, shape (H, W) bool; ``None`` if unknown.

    Returns:
        ``bbox``, ``area``, ``iscrowd``, ``keypoints`` (x, y of a pixel, v: 0 outside the picture, 1 hidden, 2 visible),
        ``num_keypoints`` and, with a mask, ``segmentation``; empty if nothing of the person is seen.
    """
    # COCO's boxes count from the picture's corner, which lies half a pixel before the first pixel's centre.
    left, top, width, height = (float(side) for side in data.bbox_xywh[frame, :4] + [0.5, 0.5, 0, 0])
    area, told = width * height, {}
    if mask is not None:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) == 0:
            return {}
        left, top, area = int(columns[0]), int(rows[0]), int(mask.sum())
        width, height = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
        told["segmentation"] = dict(size=list(mask.shape), counts=encode_mask(mask))
    places = [data.names.index(name) for name in COCO]
    points = data.keypoints2d[frame, places, :2].astype(float)
    inside = ((points >= -0.5) & (points <= np.array(size[::-1]) - 0.5)).all(1)
    seen = inside if data.visibility is None else inside & (data.visibility[frame, places] > 0)
    if width <= 0 or height <= 0 or (mask is None and not seen.any()):
        return {}
    flags = inside.astype(int) + seen
    listed = [
        value
        for (x, y), flag in zip(points, flags)
        for value in ([round(float(x), 2), round(float(y), 2), int(flag)] if flag else [0, 0, 0])
    ]
    box = [round(side, 2) for side in (left, top, width, height)]
    return dict(bbox=box, area=round(area, 1), iscrowd=0, keypoints=listed, num_keypoints=int(inside.sum()), **told)


def encode_mask(mask: np.ndarray) -> str:
    """A mask (H, W) bool as COCO's compressed run lengths."""
    pixels = mask.T.reshape(-1)  # column by column; the first run is of zeros
    edges = np.flatnonzero(pixels != np.concatenate([[False], pixels[:-1]]))
    counts = np.diff([0, *edges, len(pixels)])
    text = []
    for index, count in enumerate(counts.tolist()):
        value = count - int(counts[index - 2]) if index > 2 else count
        more = True
        while more:
            digit, value = value & 0x1F, value >> 5
            more = value != (-1 if digit & 0x10 else 0)
            text.append(chr(48 + digit + 0x20 * more))
    return "".join(text)


def write_webdataset(
    sequences: Sequence[FactorySequence], out: Path, split: str, quality: int, summary: PackingSummary,
    progress: Progress,
) -> None:  # fmt: skip
    """Writes ``<split>-<number>.tar``: for each picture ``<sequence>/<view>/<frame>`` with the endings of its parts.

    ``.jpg`` the picture, ``.json`` camera and people (see :func:`sample`), ``.masks.png`` who is seen at each pixel:
    the person's number in ``people``, from 1, 0 for nobody.

    Args:
        sequences: The split's sequences.
        out: Output folder.
        split: Its name.
        quality: Of JPEG.
        summary: Is filled in.
        progress: Called to report progress.

    Raises:
        MviperError: A file in the folder cannot be written.
    """
    for old in out.glob(f"{split}-[0-9][0-9][0-9][0-9][0-9][0-9].tar"):
        old.unlink()
    count = 0
    with ExitStack() as stack:
        for shown in _shown(sequences, summary, progress):
            for frame, picture in enumerate(shown.view.pictures):
                if count % SHARD == 0:
                    stack.close()  # the last tar gets its name
                    path = out / f"{split}-{count // SHARD:06d}.tar"
                    tar = stack.enter_context(tarfile.open(stack.enter_context(atomic_path(path)), "w"))
                count += 1
                parts = {"jpg": jpeg(picture, quality), "json": json.dumps(sample(shown, frame)).encode()}
                if shown.masks is not None:
                    png = cv2.imencode(".png", shown.masks.instances(frame))[1]
                    parts["masks.png"] = png.tobytes()
                for ending, content in parts.items():
                    entry = tarfile.TarInfo(f"{shown.view.shown}/{frame:06d}.{ending}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
                    summary.bytes += len(content)


def sample(shown: _Shown, frame: int) -> dict:
    """A picture's content as plain data.

    Args:
        shown: The view.
        frame: The frame.

    Returns:
        ``sequence, view, frame, width, height, fps, body_model, K, R, t, keypoint_names`` and ``people``: for each
        ``person, visible`` (chi), ``bbox`` (left, top, width, height of the whole body [px]), ``keypoints2d`` [px],
        ``keypoints3d`` [m], ``global_orient, body_pose`` [rad], ``betas, transl`` [m], all in the camera's axes.

    Raises:
        MviperError: The annotation lacks some of it.
    """
    view, (height, width), camera = shown.view, shown.size, shown.view.data.camera
    if camera is None:
        raise _incomplete(view)
    people = []
    for name, person in zip(shown.names, shown.people):
        data = person.data
        if data.smpl is None or data.keypoints3d is None or data.visibility is None:
            raise _incomplete(person)
        people.append(
            dict(
                person=name, visible=data.visibility[frame].tolist(), bbox=_listed(data.bbox_xywh[frame, :4]),
                keypoints2d=_listed(data.keypoints2d[frame, :, :2]),
                keypoints3d=_listed(data.keypoints3d[frame, :, :3]),
                **{key: _listed(values[frame]) for key, values in data.smpl.items()},
            )
        )  # fmt: skip
    return dict(
        sequence=view.sequence.folder.name, view=view.shown.rpartition("/")[2], frame=frame, width=width, height=height,
        fps=view.sequence.manifest.get("fps"), body_model=view.data.body_model, K=_listed(camera.K),
        R=_listed(camera.R[frame]), t=_listed(camera.t[frame]), keypoint_names=list(view.data.names),
        people=people,
    )  # fmt: skip


def _incomplete(view: PackedView) -> MviperError:
    return MviperError(f"{view.name}: its annotation lacks what the factory writes")


def _listed(values: np.ndarray) -> list:
    """Numbers with five decimals: 0.01 mm, 0.0006 degrees."""
    return np.asarray(values, np.float64).round(5).tolist()
