"""Leeds Sports Pose (Johnson and Everingham, BMVC 2010) and its extension (CVPR 2011)."""

from __future__ import annotations

import itertools

import numpy as np

from mviper.datasets.converters.base import HumanDataConverter, inside, with_confidence
from mviper.datasets.converters.conventions import LSP
from mviper.registry import DATA_CONVERTERS
from mviper.structures import HumanData


class _LeedsConverter(HumanDataConverter):
    stills = True

    def sequences(self, split: str) -> list[str]:
        """One collection of stills."""
        self.require(self.root / "joints.mat")
        return [split]

    def human_data(self, points: np.ndarray, labelled: np.ndarray, visible: np.ndarray, names: list[str]) -> HumanData:
        """HumanData of pictures with 14 joints each.

        Args:
            points: MATLAB pixels, counted from 1, shape (N, 14, 2).
            labelled: Shape (N, 14) bool.
            visible: Shape (N, 14) bool.
            names: Pictures relative to the root.
        """
        there = self.rows_with_pictures(names)
        points, labelled, visible = points[there] - 1.0, labelled[there], visible[there]
        names = list(itertools.compress(names, there))
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
            names=LSP,
        )


@DATA_CONVERTERS.register_module()
class LSPConverter(_LeedsConverter):
    """Leeds Sports Pose: 2000 pictures, the first 1000 for training.

    ``joints.mat`` holds ``joints`` (3, 14, 2000): x, y and whether the joint is HIDDEN (1) or seen (0), the reverse of
    the extension's flag; hidden joints are labelled too.
    """

    name = "lsp"
    splits = ("train", "test")
    licence = "research; pictures from Flickr"
    source = "http://sam.johnson.io/research/lsp.html (lsp_dataset_original.zip, or the small lsp_dataset.zip)"
    layout = """  ROOT/joints.mat
  ROOT/images/im0001.jpg ... im2000.jpg"""

    def read(self, split: str, sequence: str) -> HumanData:
        """The split's half."""
        joints = self.mat(self.root / "joints.mat", "joints", (3, len(LSP), None)).transpose(2, 1, 0)
        numbers = np.arange(len(joints))
        half = len(joints) // 2
        rows = numbers[:half] if split == "train" else numbers[half:]
        joints = joints[rows].astype(np.float64)
        labelled = np.isfinite(joints[..., :2]).all(-1)
        return self.human_data(
            joints[..., :2], labelled, joints[..., 2] == 0, [f"images/im{row + 1:04d}.jpg" for row in rows]
        )


@DATA_CONVERTERS.register_module()
class LSPExtendedConverter(_LeedsConverter):
    """LSP extended: 10000 pictures for training, labelled by crowd workers.

    ``joints.mat`` holds ``joints`` (14, 3, 10000): x, y and whether the joint is seen (1); unseen joints were not
    labelled, and their x, y are meaningless. Both the original release (``images/*.jpg``) and the high-resolution one
    (``*.png`` next to ``joints.mat``) are read.
    """

    name = "lsp_extended"
    splits = ("train",)
    licence = "research; pictures from Flickr"
    source = (
        "http://sam.johnson.io/research/lspet.html (lspet_dataset.zip) or in high resolution "
        "http://datasets.d2.mpi-inf.mpg.de/hr-lspet/hr-lspet.zip"
    )
    layout = """  ROOT/joints.mat
  ROOT/images/im00001.jpg ... im10000.jpg     (hr-lspet: ROOT/im00001.png ...)"""

    def read(self, split: str, sequence: str) -> HumanData:
        """All pictures."""
        joints = self.mat(self.root / "joints.mat", "joints", (len(LSP), 3, None)).transpose(2, 0, 1)
        joints = joints.astype(np.float64)
        high_resolution = (self.root / "im00001.png").is_file()
        pattern = "im{:05d}.png" if high_resolution else "images/im{:05d}.jpg"
        labelled = (joints[..., 2] > 0) & np.isfinite(joints[..., :2]).all(-1)
        return self.human_data(
            joints[..., :2], labelled, labelled, [pattern.format(number + 1) for number in range(len(joints))]
        )
