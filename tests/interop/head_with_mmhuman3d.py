#!/usr/bin/env python
"""Compares the converted HMR head with the genuine one of MMHuman3D 0.11, on the same random weights and features.

MMHuman3D cannot be installed alongside MVIPER, but its head and projection are two files that need only torch and
einops:

    pip download --no-deps mmhuman3d==0.11.0 -d work_dirs
    python tests/interop/head_with_mmhuman3d.py work_dirs/mmhuman3d-0.11.0-py2.py3-none-any.whl

Exits with code 1 if rotations, betas or projected joints differ by more than 1e-4.
"""

import argparse
import importlib
import importlib.util
import sys
import types
from pathlib import Path

import torch
from mmengine.model import BaseModule

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mviper.body import SMPL
from mviper.models.conversion import from_mmhuman3d
from mviper.models.heads import IEFHead
from mviper.models.projections import Perspective


def load_mmhuman3d(wheel: Path) -> tuple[type, object]:
    """Loads ``HMRHead`` and ``project_points`` from the wheel, without the packages' own ``__init__``."""
    for name in ("mmhuman3d", "mmhuman3d.models", "mmhuman3d.models.heads", "mmhuman3d.utils"):
        package = types.ModuleType(name)
        package.__path__ = [f"{wheel}/{name.replace('.', '/')}"]
        sys.modules[name] = package
    base = types.ModuleType("mmcv.runner.base_module")  # of mmcv 1.x
    base.BaseModule = BaseModule
    sys.modules |= {"mmcv.runner": types.ModuleType("mmcv.runner"), "mmcv.runner.base_module": base}
    if importlib.util.find_spec("einops") is None:  # rot6d_to_rotmat uses two of its functions
        einops = types.ModuleType("einops")
        shapes = {"b n d -> (b n) d": lambda x: x.flatten(0, 1), "b (k l) -> b k l": lambda x: x.reshape(-1, 3, 2)}
        einops.rearrange = lambda x, pattern, **sizes: shapes[pattern](x)
        sys.modules |= {"einops": einops, "einops.einops": einops}
    head = importlib.import_module("mmhuman3d.models.heads.hmr_head")
    geometry = importlib.import_module("mmhuman3d.utils.geometry")
    return head.HMRHead, geometry.project_points


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="mmhuman3d-0.11.0-py2.py3-none-any.whl, or a folder with its content")
    head_class, project_points = load_mmhuman3d(parser.parse_args().wheel)
    torch.manual_seed(0)
    theirs = head_class(2048).eval()
    for layer in (theirs.decpose, theirs.decshape, theirs.deccam):
        torch.nn.init.xavier_uniform_(layer.weight, gain=0.3)
    ours = IEFHead(2048, activation="none").eval()
    theirs.init_pose.copy_(ours.mean_phi[None, :144])
    weights = {f"head.{key}": value for key, value in theirs.state_dict().items()}
    converted = from_mmhuman3d({**weights, "backbone.conv1.weight": torch.zeros(1)}, parser.prog)
    ours.load_state_dict({k.removeprefix("head."): v for k, v in converted.items() if k.startswith("head.")})

    features = torch.rand(16, 2048)
    expected = theirs(features)
    found = ours.parameters_of(ours(features))
    joints = SMPL()(expected["pred_shape"], expected["pred_pose"]).joints
    pixels = project_points(joints, expected["pred_cam"], 5000.0, 224)
    points, _ = Perspective(5000.0, 224)(SMPL()(found.betas, found.rotmat).joints, found.camera)
    pairs = {
        "rotations": (found.rotmat, expected["pred_pose"]),
        "betas": (found.betas, expected["pred_shape"]),
        "projected joints [crop units]": (points, pixels * 2 / 224),
    }
    worst = 0.0
    for name, (mine, other) in pairs.items():
        difference = float((mine - other).abs().max())
        worst = max(worst, difference)
        print(f"{name:30} difference {difference:.1e}")
    return int(worst > 1e-4)


if __name__ == "__main__":
    sys.exit(main())
