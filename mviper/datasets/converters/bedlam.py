"""BEDLAM, synthetic people in simulated clothing (Black et al., CVPR 2023), from its SMPL-X annotation."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np

from mviper.datasets.converters.base import HumanDataConverter, check_numbers, inside, with_confidence
from mviper.errors import FileFormatError
from mviper.files import load_npz
from mviper.registry import DATA_CONVERTERS
from mviper.structures import SMPL_JOINTS, HumanData

#: Joints that SMPL-X and SMPL share, in the same order: all of SMPL's but the hands.
_SHARED = len(SMPL_JOINTS) - 2


@DATA_CONVERTERS.register_module()
class BEDLAMConverter(HumanDataConverter):
    """BEDLAM's training pictures as stills, with 2D joints and SMPL's pose.

    SMPL-X' rotations of the 22 joints that it shares with SMPL are used as SMPL's; the hands are left straight. Its
    betas and translation are not SMPL's: the file names the body ``smplx``, which matches no body, so training uses
    pose and 2D joints but neither betas nor 3D joints. The ``closeup`` scenes, whose pictures are rotated by 90
    degrees, are left out.
    """

    name = "bedlam"
    splits = ("train",)
    stills = True
    licence = "research, registration, no redistribution"
    source = "https://bedlam.is.tue.mpg.de (training_labels, training_images at 6 frames/s)"
    layout = """  ROOT/training_labels/20221010_3_1000_batch01hand_6fps.npz ...
  ROOT/training_images/20221010_3_1000_batch01hand_6fps/png/seq_000000/seq_000000_0000.png ..."""

    def sequences(self, split: str) -> list[str]:
        """A scene each."""
        return [path.stem for path in self.find("training_labels/*.npz")]

    def read(self, split: str, sequence: str) -> HumanData:
        """One scene."""
        path = self.root / "training_labels" / f"{sequence}.npz"
        content = load_npz(path, ("imgname", "pose_cam", "shape", "trans_cam", "cam_ext", "cam_int", "gtkps"))
        try:
            names = [str(name) for name in np.atleast_1d(content["imgname"])]
            points = content["gtkps"][:, :_SHARED, :2]
            pose, betas = content["pose_cam"][:, : 3 * _SHARED], content["shape"][:, :10]
            place, extrinsics = content["trans_cam"], content["cam_ext"]
        except (KeyError, IndexError, TypeError) as error:
            raise FileFormatError(path, f"not an annotation of BEDLAM: {error!r}") from error
        count = len(names)
        points = check_numbers(path, "gtkps", points, (count, _SHARED, 2))
        pose = check_numbers(path, "pose_cam", pose, (count, 3 * _SHARED))
        betas = check_numbers(path, "shape", betas, (count, 10))
        place = check_numbers(path, "trans_cam", place, (count, 3))
        place = place + check_numbers(path, "cam_ext", extrinsics, (count, 4, 4))[:, :3, 3]

        names = [f"{self._pictures(sequence)}/{name}" for name in names]
        if "closeup" in sequence:
            self.dropped["in close-up scenes, whose images are rotated"] += count
            keep = np.zeros(count, bool)
        else:
            keep = self.rows_with_pictures(names)
        names, points, pose = list(itertools.compress(names, keep)), points[keep], pose[keep]
        sizes = self.picture_sizes(names)
        poses = np.concatenate([pose.reshape(-1, _SHARED, 3), np.zeros((len(pose), 2, 3))], axis=1)
        return HumanData(
            keypoints2d=with_confidence(points, np.ones(points.shape[:2], bool)),
            keypoints3d=None,
            bbox_xywh=np.zeros((len(points), 5)),
            smpl={
                "global_orient": poses[:, 0], "body_pose": poses[:, 1:],
                "betas": betas[keep].astype(np.float32), "transl": place[keep],
            },
            body_model="smplx",
            visibility=inside(points, sizes).astype(np.uint8),
            image_path=names,
            frame_idx=np.zeros(len(points), int),
            meta={"width": sizes[:, 0].tolist(), "height": sizes[:, 1].tolist()},
            names=SMPL_JOINTS[:_SHARED],
        )  # fmt: skip

    def _pictures(self, sequence: str) -> str:
        """A scene's folder of pictures, whose name may lack the frame rate in the annotation's name."""
        folders = [Path("training_images", name) for name in (sequence, re.sub(r"_\d+fps$", "", sequence))]
        folder = next((folder for folder in folders if (self.root / folder).is_dir()), folders[0])
        return (folder / "png" if (self.root / folder / "png").is_dir() else folder).as_posix()
