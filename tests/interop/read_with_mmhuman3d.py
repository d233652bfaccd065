#!/usr/bin/env python
"""Reads our annotation files with the original MMHuman3D 0.11 and writes one back with it.

MMHuman3D cannot share an environment with MVIPER (it asserts mmcv <= 1.6.1), so this script runs in its own, does not
import MVIPER, and is not part of `make test`. An environment for it (Python 3.11):

    python3.11 -m venv mmh && . mmh/bin/activate
    pip install "setuptools<81" wheel "numpy<2" torch==2.13.0 opencv-python==4.11.0.86
    pip install addict pyyaml yapf Pillow packaging tqdm
    MMCV_WITH_OPS=0 pip install --no-deps --no-build-isolation mmcv==1.6.0
    git clone https://github.com/open-mmlab/mmhuman3d && export PYTHONPATH=$PWD/mmhuman3d
    python tests/interop/read_with_mmhuman3d.py data/mviper/train/walk__00/south.npz --write /tmp/back.npz

Prints one line per check and exits with code 1 if one fails. MVIPER can read the written file:
`python -c "from mviper.structures.human_data import HumanData; print(len(HumanData.load('/tmp/back.npz')))"`.
"""

import argparse
import importlib.util
import sys
import types
from pathlib import Path


def load_human_data():
    """MMHuman3D's HumanData and its keypoint names, without the parts of the package that need pytorch3d."""
    root = Path(importlib.util.find_spec("mmhuman3d").origin).parent
    for name in ("mmhuman3d.data", "mmhuman3d.data.data_structures", "mmhuman3d.core", "mmhuman3d.core.conventions"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    from mmhuman3d.core.conventions.keypoints_mapping.human_data import HUMAN_DATA
    from mmhuman3d.data.data_structures.human_data import HumanData

    return HumanData, HUMAN_DATA


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "files", nargs="+", type=Path, help="<view>.npz of sequence folders, or packed <split>_human_data.npz"
    )
    parser.add_argument("--write", type=Path, help="let MMHuman3D write the last file again here, compressed")
    arguments = parser.parse_args()
    human_data_class, names = load_human_data()
    failures = 0
    for path in arguments.files:
        data = human_data_class.fromfile(str(path))
        if data.check_keypoints_compressed():  # packed splits are compressed, like its own converters' files
            data.decompress_keypoints()
        frames = len(data["bbox_xywh"])
        mask = data["keypoints2d_mask"]
        cut = getattr(data, "get_slice", None) or data.get_temporal_slice
        head, pelvis = (data["keypoints2d"][:, names.index(name), 1] for name in ("head", "pelvis"))
        checks = {
            "keypoints2d (N, 190, 3)": data["keypoints2d"].shape == (frames, 190, 3),
            "keypoints3d (N, 190, 4)": data["keypoints3d"].shape == (frames, 190, 4),
            "bbox_xywh (N, 5)": data["bbox_xywh"].shape == (frames, 5),
            "44 keypoints are there": int(mask.sum()) == 44 and bool(mask[names.index("pelvis")]),
            "smpl": data["smpl"]["body_pose"].shape == (frames, 23, 3) and data["smpl"]["betas"].shape[0] == frames,
            "image_path": isinstance(data["image_path"], list) and len(data["image_path"]) == frames,
            "config states the body": isinstance(data["config"], str) and ":" in data["config"],
            "meta": data["meta"]["gender"][0] == "n",
            "a slice of frames": len(cut(0, 2)["bbox_xywh"]) == 2,
            "the head is above the pelvis in most frames": bool((head < pelvis).mean() > 0.8),
        }
        for check, passed in checks.items():
            print(f"{path.name}: {check}: {'OK' if passed else 'FAILED'}")
            failures += not passed
        if arguments.write and path == arguments.files[-1]:
            data.compress_keypoints_by_mask()
            data.dump(str(arguments.write))
            print(f"wrote {arguments.write}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
