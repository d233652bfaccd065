"""COCO keypoints (Lin et al., ECCV 2014)."""

from __future__ import annotations

import json

import numpy as np

from mviper.datasets.converters.base import HumanDataConverter, inside, with_confidence
from mviper.datasets.converters.conventions import COCO
from mviper.errors import FileFormatError
from mviper.registry import DATA_CONVERTERS
from mviper.structures.human_data import HumanData


@DATA_CONVERTERS.register_module()
class COCOConverter(HumanDataConverter):
    """COCO's people with keypoints, single ones only (no ``iscrowd`` regions).

    Each keypoint has x, y (pixels from 0) and v: 0 not labelled, 1 labelled but hidden, 2 labelled and visible.
    """

    name = "coco"
    splits = ("train2014", "val2014", "train2017", "val2017")
    stills = True
    licence = "annotation CC BY 4.0; pictures under their Flickr licences"
    source = "https://cocodataset.org/#download (pictures and annotations of 2014 or 2017)"
    layout = """  ROOT/annotations/person_keypoints_<split>.json
  ROOT/<split>/*.jpg                           (<split>: train2014, val2014, train2017 or val2017)"""

    def sequences(self, split: str) -> list[str]:
        """One pile of stills."""
        self.require(self.root / "annotations" / f"person_keypoints_{split}.json")
        self.require(self.root / split)
        return [split]

    def read(self, split: str, sequence: str) -> HumanData:
        """All people with a labelled keypoint."""
        path = self.root / "annotations" / f"person_keypoints_{split}.json"
        try:
            content = json.loads(path.read_text())
            pictures = {picture["id"]: picture for picture in content["images"]}
            people = [
                person
                for person in content["annotations"]
                if person.get("num_keypoints", 0) > 0 and not person.get("iscrowd")
            ]
            keypoints = np.array([person["keypoints"] for person in people], np.float64).reshape(-1, len(COCO), 3)
            of_person = [pictures[person["image_id"]] for person in people]
            names = [f"{split}/{picture['file_name']}" for picture in of_person]
            sizes = np.array([(picture["width"], picture["height"]) for picture in of_person], int).reshape(-1, 2)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(path, f"not COCO's person keypoints: {error!r}") from error
        self.require_all(list(dict.fromkeys(names)), "pictures")
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
