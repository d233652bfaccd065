"""Human3.6M (Ionescu et al., TPAMI 2014), from its own videos and CDF files."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from mviper.apart import load_cdf
from mviper.datasets.converters.base import HumanDataConverter, check_numbers, inside, with_confidence
from mviper.datasets.converters.conventions import H36M
from mviper.errors import FileFormatError
from mviper.files import find_files
from mviper.registry import DATA_CONVERTERS
from mviper.structures import HumanData

_SUBJECTS = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}

#: Width and height of each camera's pictures [px].
_SIZES = {"54138969": (1000, 1002), "55011271": (1000, 1000), "58860488": (1000, 1000), "60457274": (1000, 1002)}

#: A video that ends before its annotation (damaged since the set's release).
_DAMAGED = {("S11", "Directions.54138969")}


@DATA_CONVERTERS.register_module()
class Human36MConverter(HumanDataConverter):
    """Human3.6M: 2D and 3D joints in each camera's axes; S1, S5-S8 for training, S9 and S11 for testing.

    Videos have 50 frames/s; 25 are kept for training and 10 for testing (every fifth frame, as in HMR's protocols). A
    sequence is called ``<subject>_<action>.<camera>``; protocol 1 is all four cameras, protocol 2 the frontal one,
    ``60457274``. Positions are in millimetres. The set has no SMPL parameters.
    """

    name = "h36m"
    splits = ("train", "test")
    default_fps = {"train": 25.0, "test": 10.0}
    licence = "research, by registration, no redistribution"
    source = "http://vision.imar.ro/human3.6m (for each subject: Videos, 2D Positions, 3D Positions Mono)"
    layout = """  ROOT/S1/Videos/Directions.54138969.mp4 ...
  ROOT/S1/MyPoseFeatures/D2_Positions/Directions.54138969.cdf ...
  ROOT/S1/MyPoseFeatures/D3_Positions_mono/Directions.54138969.cdf ...
  and S5, S6, S7, S8 (train), S9, S11 (test) alike"""

    def sequences(self, split: str) -> list[str]:
        """``<subject>_<action>.<camera>`` of all annotation files."""
        names, needed = [], []
        folders = [f"{subject}/MyPoseFeatures/D3_Positions_mono" for subject in _SUBJECTS[split]]
        there = self.present(folders, "subjects' folders of 3D positions")
        for subject, folder in itertools.compress(zip(_SUBJECTS[split], folders), there):
            for path in find_files(self.root, f"{folder}/*.cdf"):
                if path.stem.startswith("_ALL"):
                    continue
                if (subject, path.stem) in _DAMAGED:
                    self.missing["usable videos (damaged in the set itself)"] = [f"{subject}/Videos/{path.stem}.mp4"]
                    continue
                if path.stem.rpartition(".")[2] not in _SIZES:
                    raise FileFormatError(path, f"its name does not end in a camera: {', '.join(_SIZES)}")
                names.append(f"{subject}_{path.stem}")
                needed += [f"{subject}/Videos/{path.stem}.mp4", f"{subject}/MyPoseFeatures/D2_Positions/{path.name}"]
        whole = self.present(needed, "videos and files of 2D positions").reshape(-1, 2).all(axis=1)
        return list(itertools.compress(names, whole))

    def read(self, split: str, sequence: str) -> HumanData:
        """One camera's video of one action."""
        subject, _, stem = sequence.partition("_")
        features = self.root / subject / "MyPoseFeatures"
        step = self.frame_step(split, 50.0)
        keypoints2d = _positions(features / "D2_Positions" / f"{stem}.cdf", 2)
        keypoints3d = _positions(features / "D3_Positions_mono" / f"{stem}.cdf", 3) / 1000
        frames = self.thinned(min(len(keypoints2d), len(keypoints3d)), step)
        keypoints2d, keypoints3d = keypoints2d[frames], keypoints3d[frames]
        width, height = _SIZES[stem.rpartition(".")[2]]
        return HumanData(
            keypoints2d=with_confidence(keypoints2d),
            keypoints3d=with_confidence(keypoints3d),
            bbox_xywh=np.zeros((len(frames), 5)),
            smpl=None,
            visibility=inside(keypoints2d, (width, height)).astype(np.uint8),
            image_path=[f"{subject}/{stem}/{frame:06d}.jpg" for frame in frames],
            video_path=f"{subject}/Videos/{stem}.mp4",
            frame_idx=frames,
            meta={"width": width, "height": height, "fps": 50.0 / step, "frame_step": step},
            names=tuple(H36M.values()),
        )


def _positions(path: Path, dimensions: int) -> np.ndarray:
    """The 17 joints in use of a CDF file, (F, 17, dimensions)."""
    pose = load_cdf(path, "Pose")
    frames = pose[0] if pose.ndim == 3 and len(pose) == 1 else pose  # one record of F frames: (1, F, 64 or 96)
    pose = check_numbers(path, "Pose", frames, (None, 32 * dimensions))
    return pose.reshape(-1, 32, dimensions)[:, list(H36M)]
