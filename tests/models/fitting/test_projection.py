"""The fit's cameras."""

import math

import pytest
import torch

from mviper.errors import ConfigError
from mviper.models.fitting import Projection, guess_focal


def test_focal_length_is_given_or_guessed():
    assert guess_focal(640, 480) == pytest.approx(800)
    given, guessed = Projection.of_picture(3, 640, 480, 500.0), Projection.of_picture(3, 640, 480)
    assert given.focal.tolist() == [500.0] * 3 and guessed.focal.tolist() == [800.0] * 3
    assert given.centre[0].tolist() == [319.5, 239.5]  # pixel (0, 0) is the centre of the first
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="focal"):
            Projection.of_picture(1, 640, 480, bad)


@pytest.mark.parametrize("perspective", [True, False])
def test_derivatives(perspective):
    generator = torch.Generator().manual_seed(0)
    projection = Projection.of_picture(2, 640, 480, 600.0, perspective).to(torch.float64)
    points = torch.randn(2, 5, 3, generator=generator).double() + torch.tensor([0.0, 0.0, 4.0])
    root = points[:, 0].clone()

    def project(shift):
        return projection.project(points + shift[:, None], root + shift)

    jacobian = torch.zeros(2, 5, 3, 75).double()
    jacobian[..., 72:] = torch.eye(3)
    pixels, by_unknown = projection.linearized(points, jacobian, root)
    assert torch.allclose(pixels, project(torch.zeros(2, 3).double()))
    auto = torch.autograd.functional.jacobian(project, torch.zeros(2, 3).double())
    assert torch.allclose(by_unknown[..., 72:], torch.stack([auto[k, :, :, k] for k in range(2)]), atol=1e-9)


def test_crop_camera_and_back(joints):
    crops = torch.tensor([[300.0, 200.0, 350.0]]).expand(16, 3)
    projection = Projection.of_crops(crops)
    root = joints[:, 0]
    camera = projection.weak_camera(root, crops)
    # Eq. 6, in crop units, puts the joints where the projection does, in pixels.
    units = camera[:, None, :1] * (joints - root[:, None])[..., :2] + camera[:, None, 1:]
    pixels = crops[:, None, :2] + units * crops[:, None, 2:] / 2
    assert torch.allclose(pixels, projection.project(joints, root), atol=1e-2)
    assert torch.allclose(projection.root_of(camera, crops), root, atol=1e-4)


def test_crops_are_rotated_onto_their_ray():
    projection = Projection.of_picture(3, 640, 480, 500.0)
    pixels = torch.tensor([[319.5, 239.5], [819.5, 239.5], [100.0, 400.0]])
    turned = projection.turned_to(pixels)
    rays = torch.cat([(pixels - projection.centre) / 500, torch.ones(3, 1)], 1)
    assert torch.allclose(turned[:, :, 2], rays / rays.norm(dim=1, keepdim=True), atol=1e-6)  # the axis, onto the ray
    assert torch.allclose(turned[0], torch.eye(3))
    right = torch.tensor([[0.5**0.5, 0, 0.5**0.5], [0, 1, 0], [-(0.5**0.5), 0, 0.5**0.5]])  # 45 degrees, about y alone
    assert torch.allclose(turned[1], right, atol=1e-6)
    assert torch.allclose(turned @ turned.mT, torch.eye(3).expand(3, 3, 3), atol=1e-6)
    assert torch.allclose(Projection.of_crops(torch.ones(3, 3)).turned_to(pixels), torch.eye(3).expand(3, 3, 3))
