"""COCO keypoints (Lin et al., ECCV 2014)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np

from mviper.datasets.converters.base import HumanDataConverter, inside, with_confidence
from mviper.datasets.converters.conventions import COCO
from mviper.errors import FileFormatError
from mviper.files import read_text
from mviper.registry import DATA_CONVERTERS
from mviper.structures import HumanData

#: The keypoints' names in COCO's files.
_NAMES = [name.removesuffix("_extra") for name in COCO]
#: Upper bound on a picture's pixels.
_LARGEST = 1e5


@DATA_CONVERTERS.register_module()
class COCOConverter(HumanDataConverter):
    """COCO's people with keypoints, single ones only (no ``iscrowd`` regions).

    Each keypoint has x, y (pixels from 0) and v: 0 not labelled, 1 labelled but hidden, 2 labelled and visible.
    Redundant fields (``num_keypoints``, ``iscrowd``, ``width``, ``height``, ``categories``) may be absent; joints that
    ``categories`` lists in another order are reordered, those unknown to COCO are ignored.
    """

    name = "coco"
    splits = ("train2014", "val2014", "train2017", "val2017")
    stills = True
    licence = "annotation CC BY 4.0; pictures under their Flickr licences"
    source = "https://cocodataset.org/#download (pictures and annotations of 2014 or 2017)"
    layout = """  ROOT/annotations/person_keypoints_<split>.json
  ROOT/<split>/*.jpg                           (<split>: train2014, val2014, train2017 or val2017)"""

    def sequences(self, split: str) -> list[str]:
        """One collection of stills."""
        self.require(self.root / "annotations" / f"person_keypoints_{split}.json")
        self.require(self.root / split)
        return [split]

    def read(self, split: str, sequence: str) -> HumanData:
        """All people with a labelled keypoint; joints follow the names of the person's category, if given."""
        path = self.root / "annotations" / f"person_keypoints_{split}.json"
        try:
            content = json.loads(read_text(path))
            pictures = {picture["id"]: picture for picture in content["images"]}
            order = {category["id"]: category.get("keypoints") for category in content.get("categories", [])}
            kept = []
            for person in content["annotations"]:
                if person.get("iscrowd"):
                    self.dropped["of a crowd (iscrowd)"] += 1
                elif (keypoints := _in_our_order(person, order.get(person.get("category_id")), path)) is None:
                    self.dropped["without a labelled keypoint"] += 1
                elif person["image_id"] not in pictures:
                    self.dropped["of a picture that the file does not list"] += 1
                else:
                    kept.append((pictures[person["image_id"]], keypoints))
            people = [(f"{split}/{picture['file_name']}", picture, keypoints) for picture, keypoints in kept]
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise FileFormatError(path, f"not COCO's person keypoints: {error!r}") from error
        people = list(itertools.compress(people, self.rows_with_pictures([name for name, *_ in people])))
        names = [name for name, *_ in people]
        keypoints = np.array([points for *_, points in people]).reshape(-1, len(COCO), 3)
        sizes = self._sizes(path, names, [picture for _, picture, _ in people])
        labelled = keypoints[..., 2] > 0
        return HumanData(
            keypoints2d=with_confidence(keypoints[..., :2], labelled),
            keypoints3d=None,
            bbox_xywh=np.zeros((len(keypoints), 5)),
            smpl=None,
            visibility=((keypoints[..., 2] == 2) & inside(keypoints, sizes)).astype(np.uint8),
            image_path=names,
            frame_idx=np.zeros(len(keypoints), int),
            meta={"width": sizes[:, 0].tolist(), "height": sizes[:, 1].tolist()},
            names=COCO,
        )

    def _sizes(self, path: Path, names: list[str], pictures: list[dict]) -> np.ndarray:
        """Width and height [px], shape (N, 2): the file's or, if it does not state all, the pictures'."""
        if not all("width" in picture and "height" in picture for picture in pictures):
            return self.picture_sizes(names)
        try:
            sizes = np.array([(picture["width"], picture["height"]) for picture in pictures], np.float64)
        except (ValueError, TypeError) as error:
            raise FileFormatError(path, f"width and height of an image are not numbers: {error}") from error
        if not (np.abs(sizes) < 1e6).all():
            raise FileFormatError(path, "width or height of an image is not a number of pixels")
        return sizes.astype(int).reshape(-1, 2)


def _in_our_order(person: dict, names: list[str] | None, path: Path) -> np.ndarray | None:
    """A person's keypoints in the order of :data:`COCO`, (17, 3) with v = 0, 1 or 2; None if none is labelled."""
    given = person.get("keypoints") or []
    if not given:
        return None
    places = list(range(len(COCO)))
    if names:
        named = [str(name).strip().lower().replace(" ", "_") for name in names]
        places = [_NAMES.index(name) if name in _NAMES else -1 for name in named]
        if len(set(places) - {-1}) < len([place for place in places if place >= 0]) or max(places) < 0:
            raise FileFormatError(path, f"its keypoints are {', '.join(named)}; expected COCO's: {', '.join(_NAMES)}")
    values = np.array(given, np.float64).ravel()
    if values.size != 3 * len(places) or not np.isfinite(values).all():
        raise FileFormatError(
            path, f"a person's keypoints are {values.size} numbers, expected {3 * len(places)} finite ones: x, y, v"
        )
    keypoints = np.zeros((len(COCO), 3))
    for place, point in zip(places, values.reshape(-1, 3)):
        if place >= 0:
            keypoints[place] = point
    if not np.isin(keypoints[:, 2], (0, 1, 2)).all():
        raise FileFormatError(path, "a keypoint's v is not 0 (not labelled), 1 (hidden) or 2 (visible)")
    if np.abs(keypoints).max() > _LARGEST:
        raise FileFormatError(path, f"a keypoint's coordinates exceed {_LARGEST:g} pixels")
    return keypoints if keypoints[:, 2].any() else None
