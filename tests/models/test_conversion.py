"""MMHuman3D's HMR converted to our names: the same weights and images give the same bodies and projected joints.

``TheirHead`` and ``their_projection`` are what MMHuman3D 0.11 computes (``HMRHead``, ``rot6d_to_rotmat``,
``project_points``), reimplemented; ``tests/interop/head_with_mmhuman3d.py`` does the same with its original code.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mviper.config import load_config
from mviper.engine import read_checkpoint
from mviper.errors import ConfigError, FileFormatError
from mviper.models.conversion import from_mmhuman3d
from mviper.models.heads import IEFHead
from mviper.models.parameters import default_phi, join_phi, split_phi
from mviper.registry import MODELS

FOCAL, RESOLUTION = 5000.0, 224


class TheirHead(nn.Module):
    def __init__(self, features=512):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(features + 157, 1024), nn.Linear(1024, 1024)
        self.decpose, self.decshape, self.deccam = (nn.Linear(1024, width) for width in (144, 10, 3))
        pose, shape, camera = default_phi().split([144, 10, 3])
        self.register_buffer("init_pose", pose[None])
        self.register_buffer("init_shape", shape[None] + 0.1)
        self.register_buffer("init_cam", camera[None])

    def forward(self, features):
        pose, shape, camera = (
            mean.expand(len(features), -1) for mean in (self.init_pose, self.init_shape, self.init_cam)
        )
        for _ in range(3):
            hidden = self.fc2(self.fc1(torch.cat([features, pose, shape, camera], 1)))  # no activation between them
            pose, shape, camera = (
                pose + self.decpose(hidden), shape + self.decshape(hidden), camera + self.deccam(hidden)
            )  # fmt: skip
        matrices = []
        for six in pose.reshape(-1, 6):
            first, second = six[0::2], six[1::2]  # interleaved
            first = first / first.norm()
            second = second - (first @ second) * first
            second = second / second.norm()
            matrices.append(torch.stack([first, second, torch.linalg.cross(first, second)], 1))
        return torch.stack(matrices).reshape(-1, 24, 3, 3), shape, camera


def their_projection(points, camera):
    """Pixels relative to the image centre."""
    shift = torch.stack([camera[:, 1], camera[:, 2], 2 * FOCAL / (RESOLUTION * camera[:, 0] + 1e-9)], -1)
    points = points + shift[:, None]
    return FOCAL * points[..., :2] / points[..., 2:]


@pytest.fixture(scope="module")
def theirs():
    """Their model with random weights: an 18-layer ResNet with torchvision's names, and the head."""
    torch.manual_seed(0)
    backbone = MODELS.build({"type": "mviper.ResNetEncoder", "depth": 18}).eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    head = TheirHead().eval()
    weights = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    weights |= {f"head.{key}": value for key, value in head.state_dict().items()}
    weights |= {"disc.shape.weight": torch.ones(2), "body_model_train.betas": torch.zeros(1, 10)}
    return backbone, head, weights


def make_ours(repository):
    config = load_config(repository / "configs" / "hmr_mmhuman3d_r50.py").model
    config.backbone.depth = 18
    return MODELS.build(config).eval()


def test_bodies_and_projected_joints_are_theirs(theirs, repository, run_tool, tmp_path):
    backbone, head, weights = theirs
    path, out = tmp_path / "hmr.pth", tmp_path / "ours.pth"
    torch.save({"meta": {"epoch": 100}, "state_dict": weights, "optimizer": {}}, path)
    done = run_tool("convert_checkpoint.py", path, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "configs/hmr_mmhuman3d_r50.py" in done.stdout
    ours = make_ours(repository)
    own = {key for key in ours.state_dict() if key.startswith(("backbone.", "head."))}
    converted = read_checkpoint(out)["state_dict"]
    assert set(converted) == own
    ours.load_state_dict(converted, strict=False)

    pictures = torch.randn(6, 3, RESOLUTION, RESOLUTION)
    with torch.no_grad():
        rotmat, betas, camera = head(backbone(pictures)[0])
        prediction = ours(pictures[:, None], mode="tensor")
        joints = ours.body_model(betas, rotmat).joints
        pixels = their_projection(joints, camera)
    assert rotmat.std() > 0.1 and betas.std() > 0.01 and (camera[:, 0] - 0.9).abs().max() > 0.01
    for name, value in (("pred_rotmat", rotmat), ("pred_betas", betas)):
        torch.testing.assert_close(prediction[name][:, 0], value, atol=1e-4, rtol=0)
    torch.testing.assert_close(prediction["pred_keypoints2d"][:, 0], pixels * 2 / RESOLUTION, atol=1e-4, rtol=0)
    # The rendering camera agrees with eq. 6 at the pelvis's depth.
    drawn = prediction["pred_camera"][..., None, :1] * prediction["pred_keypoints3d"][..., :2]
    drawn = drawn + prediction["pred_camera"][..., None, 1:]
    torch.testing.assert_close(drawn[:, :, 0], prediction["pred_keypoints2d"][:, :, 0], atol=1e-5, rtol=0)
    assert (drawn - prediction["pred_keypoints2d"]).abs().max() < 0.05


def test_other_checkpoints_are_refused(theirs):
    weights = dict(theirs[2])
    with pytest.raises(FileFormatError, match=r"x\.pth.*lacks head\.deccam\.weight"):
        from_mmhuman3d({key: value for key, value in weights.items() if key != "head.deccam.weight"}, "x.pth")
    smplx = {**weights, "head.init_pose": torch.zeros(1, 318)}
    with pytest.raises(FileFormatError, match="not an SMPL body"):
        from_mmhuman3d(smplx, "x.pth")


def test_layouts_of_six_numbers(make_sample):
    sample = make_sample()
    parts = (sample.smpl_rotmat, sample.betas, torch.tensor([[0.9, 0.1, 0.2]]).expand(4, 3))
    phi = join_phi(*parts, "rows")
    torch.testing.assert_close(phi[:, :6], parts[0][:, 0, :2].flatten(1))  # PyTorch3D: the first two rows
    for value, again in zip(parts, split_phi(phi, "rows")):
        torch.testing.assert_close(value, again, atol=1e-6, rtol=0)
    heads = [IEFHead(8, hidden=4, rotation_layout=layout).eval() for layout in ("interleaved", "rows")]
    mean = join_phi(*(part[0] for part in parts))
    for head in heads:
        head.set_mean_phi(mean)
        nn.init.zeros_(head.out.weight)
        found = head.parameters_of(head(torch.zeros(1, 8)))
        torch.testing.assert_close(found.rotmat[0], parts[0][0], atol=1e-6, rtol=0)
    assert not torch.equal(heads[0].mean_phi, heads[1].mean_phi)
    with pytest.raises(ConfigError, match="rotation_layout"):
        IEFHead(8, rotation_layout="columns")
    with pytest.raises(ConfigError, match="activation"):
        IEFHead(8, activation="tanh")
