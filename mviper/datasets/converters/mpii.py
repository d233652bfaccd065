"""MPII Human Pose (Andriluka et al., CVPR 2014), from its own MATLAB file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mviper.apart import load_mat
from mviper.datasets.converters.base import HumanDataConverter, inside, with_confidence
from mviper.datasets.converters.conventions import MPII
from mviper.errors import FileFormatError
from mviper.registry import DATA_CONVERTERS
from mviper.structures import HumanData

_FILE = "mpii_human_pose_v1_u12_1.mat"


@DATA_CONVERTERS.register_module()
class MPIIConverter(HumanDataConverter):
    """MPII Human Pose: the people of the training pictures (those of the test pictures are not published).

    Each joint has ``x``, ``y`` (MATLAB pixels, counted from 1), ``id`` and ``is_visible``; hidden joints are labelled.
    The top of the head and the upper neck have no flag and count as visible.
    """

    name = "mpii"
    splits = ("train",)
    stills = True
    licence = "Simplified BSD for the annotation; pictures for research"
    source = "http://human-pose.mpi-inf.mpg.de (mpii_human_pose_v1.tar.gz and mpii_human_pose_v1_u12_2.zip)"
    layout = f"""  ROOT/{_FILE}
  ROOT/images/000001163.jpg ..."""

    def sequences(self, split: str) -> list[str]:
        """One collection of stills."""
        self._annotation_path()
        self.require(self.root / "images")
        return [split]

    def read(self, split: str, sequence: str) -> HumanData:
        """All labelled people of the training pictures."""
        path = self._annotation_path()
        try:
            release = load_mat(path, struct_as_record=False, squeeze_me=True, variable_names=["RELEASE"])["RELEASE"]
            pictures, for_training = np.atleast_1d(release.annolist), np.atleast_1d(release.img_train)
            everybody = [
                (f"images/{picture.image.name}", person)
                for picture, training in zip(pictures, for_training, strict=True)
                if training
                for person in _each(picture, "annorect")
            ]
            people = [(name, *_joints(person)) for name, person in everybody if any(True for _ in _points(person))]
        except FileFormatError:
            raise
        except Exception as error:  # scipy raises many kinds on damaged files; other files lack the fields
            raise FileFormatError(path, f"not MPII's annotation: {error!r}") from error
        self.dropped["without a labelled joint"] += len(everybody) - len(people)
        people = list(itertools.compress(people, self.rows_with_pictures([name for name, *_ in people])))
        names = [name for name, *_ in people]
        points = np.array([points for _, points, _, _ in people]).reshape(-1, len(MPII), 2) - 1.0
        labelled, visible = (np.array([person[i] for person in people], bool).reshape(-1, len(MPII)) for i in (2, 3))
        sizes = self.picture_sizes(names)
        return HumanData(
            keypoints2d=with_confidence(points, labelled),
            keypoints3d=None,
            bbox_xywh=np.zeros((len(points), 5)),
            smpl=None,
            visibility=(labelled & visible & inside(points, sizes)).astype(np.uint8),
            image_path=names,
            frame_idx=np.zeros(len(points), int),
            meta={"width": sizes[:, 0].tolist(), "height": sizes[:, 1].tolist()},
            names=MPII,
        )

    def _annotation_path(self) -> Path:
        nested = self.root / "mpii_human_pose_v1_u12_2" / _FILE  # as unpacked from its .zip
        return nested if nested.is_file() else self.require(self.root / _FILE)


def _each(struct: object, field: str) -> Iterator[Any]:
    """Elements of a MATLAB struct array, which may be absent, empty, one struct or several."""
    for element in np.atleast_1d(getattr(struct, field, ())):
        if hasattr(element, "_fieldnames"):
            yield element


def _points(person: object) -> Iterator[Any]:
    for annotation in _each(person, "annopoints"):
        yield from _each(annotation, "point")


def _joints(person: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (16, 2), and whether they are labelled (16,) and visible (16,)."""
    points, labelled, visible = np.zeros((len(MPII), 2)), np.zeros(len(MPII), bool), np.zeros(len(MPII), bool)
    for point in _points(person):
        joint = int(point.id)
        points[joint] = float(point.x), float(point.y)
        labelled[joint] = np.isfinite(points[joint]).all()
        flag = np.ravel(getattr(point, "is_visible", ()))
        text = str(flag[0]) if flag.size else ""  # a number or text; empty for head and neck
        visible[joint] = text == "" or float(text) > 0
    return points, labelled, visible
