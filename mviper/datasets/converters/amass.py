"""AMASS (Mahmood et al., ICCV 2019): motion without pictures, for pose priors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mviper.datasets.converters.base import HumanDataConverter, check_numbers
from mviper.errors import FileFormatError
from mviper.files import load_npz, names_in
from mviper.registry import DATA_CONVERTERS
from mviper.structures import HumanData, are_degrees

#: The subsets that AMASS' authors reserve for validation and testing, by their old and new names.
_HELD_OUT = {
    "val": {"HumanEva", "MPI_HDM05", "HDM05", "SFU", "MPI_mosh", "MoSh"},
    "test": {"Transitions_mocap", "Transitions", "SSM_synced", "SSM"},
}
_FRAME_RATES = ("mocap_framerate", "mocap_frame_rate")
#: Plausible frame rates of motion capture [1/s].
_RATES = (1, 10_000)
_KEYS = ("poses", "trans", "betas", "gender", *_FRAME_RATES)


@DATA_CONVERTERS.register_module()
class AMASSConverter(HumanDataConverter):
    """AMASS: SMPL parameters from its SMPL-H (``*_poses.npz``) or SMPL-X (``*_stageii.npz``) files, at 30 frames/s.

    The 22 joints of the body are kept, the hands are at rest. There are no pictures and no keypoints, and axes are the
    world's (z up): enough for a pose prior, not for a clip data set (the factory reads AMASS directly).
    """

    name = "amass"
    splits = ("train", "val", "test")
    default_fps = dict.fromkeys(splits, 30.0)
    licence = "research, by registration, no redistribution"
    source = "https://amass.is.tue.mpg.de (SMPL-H or SMPL-X, one archive for each subset)"
    layout = """  ROOT/CMU/01/01_01_poses.npz ...              (<subset>/<subject>/*_poses.npz or *_stageii.npz)
  val and test are the subsets HDM05, HumanEva, MoSh, SFU and SSM, Transitions; train is all others"""

    def sequences(self, split: str) -> list[str]:
        """``<subset>__<subject>__<file>``."""
        paths = self.find("*/*/*_poses.npz", "*/*/*_stageii.npz")
        held_out = set().union(*_HELD_OUT.values())
        names = []
        for path in paths:
            subset = path.relative_to(self.root).parts[0]
            if subset in _HELD_OUT[split] if split in _HELD_OUT else subset not in held_out:
                names.append("__".join(path.relative_to(self.root).with_suffix("").parts))
        return names

    def read(self, split: str, sequence: str) -> HumanData:
        """One motion."""
        path = self.root / Path(*f"{sequence}.npz".split("__", 2))
        arrays = load_npz(path, _KEYS)
        stated = next((key for key in _FRAME_RATES if key in arrays), None)
        if stated is None or not {"poses", "trans", "betas"} <= set(arrays):
            wanted = f"{', '.join(_KEYS[:4])} and a frame rate"
            raise FileFormatError(path, f"not a motion of AMASS: expected {wanted}; it holds {names_in(path)}")
        rate = float(check_numbers(path, stated, arrays[stated].reshape(-1), (1,))[0])
        width = np.shape(arrays["poses"])[-1:]
        if width not in ((156,), (165,)):
            raise FileFormatError(path, f"'poses' has shape {np.shape(arrays['poses'])}, expected (T, 156 or 165)")
        poses = check_numbers(path, "poses", arrays["poses"], (None, *width))
        transl = check_numbers(path, "trans", arrays["trans"], (len(poses), 3))
        betas = check_numbers(path, "betas", arrays["betas"].reshape(-1)[:10], (10,))
        if are_degrees(poses[:, 3:66].reshape(-1, 21, 3)):
            raise FileFormatError(path, "turns a joint by more than 6.3 in half of its frames: expected radians")
        if not _RATES[0] <= rate <= _RATES[1]:
            raise FileFormatError(path, f"has {rate:g} frames a second, expected {_RATES[0]} to {_RATES[1]}")
        step = self.frame_step(split, rate)
        frames = self.thinned(len(poses), step)
        body_pose = np.zeros((len(frames), 23, 3))
        body_pose[:, :21] = poses[frames, 3:66].reshape(-1, 21, 3)
        gender = str(arrays.get("gender", "neutral")).strip("b'\"") or "neutral"
        model = "smplh" if poses.shape[1] == 156 else "smplx"
        return HumanData(
            keypoints2d=np.zeros((len(frames), 0, 3)),
            keypoints3d=None,
            bbox_xywh=np.zeros((len(frames), 5)),
            smpl={
                "global_orient": poses[frames, :3],
                "body_pose": body_pose,
                "betas": np.tile(betas, (len(frames), 1)),
                "transl": transl[frames],
            },
            body_model=f"{model}_{gender}",
            frame_idx=frames,
            meta={"gender": [gender[0]] * len(frames), "fps": rate / step, "frame_step": step},
            names=(),
        )
