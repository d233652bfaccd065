"""Points on a body: positions as on the full mesh, and derivatives as from autograd."""

import pytest
import torch
from body_points import at_vertices
from open_body.assembly import thinner_body, write_pkl

from mviper.body import SMPL
from mviper.body.attached_points import AttachedPoints
from mviper.body.rotations import axis_angle_to_matrix
from mviper.body.smpl import OPEN_BODY, load_body_arrays


@pytest.fixture(scope="module", params=["open body", "5000 vertices"])
def body(request, tmp_path_factory):
    if request.param == "open body":
        return SMPL()
    path = tmp_path_factory.mktemp("body") / "second.pkl"
    write_pkl(path, thinner_body(load_body_arrays(OPEN_BODY), 5000, "second"))
    return SMPL(path)


@pytest.fixture(scope="module")
def pose():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return normal(10), axis_angle_to_matrix(0.6 * normal(3, 24, 3)), normal(3, 3)


def test_are_where_the_mesh_and_the_joints_are(body, pose):
    betas, rotmat, transl = pose
    full = body(betas.expand(3, -1), rotmat, transl)
    chosen = torch.arange(0, body.num_vertices, 97)
    assert torch.allclose(at_vertices(body, chosen).posed(*pose), full.vertices[:, chosen], atol=2e-6)
    joints = torch.tensor([20, 3, 0, 23])
    assert torch.allclose(AttachedPoints.at_joints(body, joints).posed(*pose), full.joints[:, joints], atol=2e-6)
    corners = AttachedPoints.on_surface(body, torch.tensor([5, 5, 5]), torch.eye(3))
    assert torch.allclose(corners.posed(*pose), full.vertices[:, torch.tensor(body.faces[5])], atol=2e-6)


def test_keypoints_are_the_bodys(body, pose):
    betas, rotmat, transl = pose
    shapes = betas * torch.tensor([[1.0], [-0.5], [0.2]])  # one per frame
    parts, share = AttachedPoints.at_keypoints(body)
    assert torch.allclose(share.sum(1), torch.ones(44), atol=1e-5)
    posed = parts.posed(shapes, rotmat, transl)
    full = body(shapes, rotmat, transl, return_vertices=False)
    assert torch.allclose(share @ posed, full.joints, atol=3e-6)
    for frame in range(3):
        one = slice(frame, frame + 1)
        assert torch.allclose(parts.posed(shapes[frame], rotmat[one], transl[one])[0], posed[frame], atol=1e-6)
        linearized = parts.linearized(shapes, rotmat, transl)[1][frame]
        assert torch.allclose(parts.linearized(shapes[frame], rotmat[one], transl[one])[1][0], linearized, atol=1e-5)


def test_joined_and_chosen(body, pose):
    vertices, joints = (
        at_vertices(body, torch.arange(9)),
        AttachedPoints.at_joints(body, torch.arange(4)),
    )
    both = vertices + joints
    assert len(both) == 13
    assert torch.allclose(both[torch.tensor([12, 2])].posed(*pose)[:, 1], both.posed(*pose)[:, 2], atol=1e-6)
    assert torch.allclose(both.posed(*pose)[:, 9:], joints.posed(*pose), atol=1e-6)


def test_derivatives(body, pose):
    points = at_vertices(body, torch.arange(0, 5000, 900)).to(torch.float64)
    betas, rotmat, transl = (value.double() for value in pose)
    offsets = torch.randn(len(points), 3, generator=torch.Generator().manual_seed(1)).double() * 0.01

    def posed(turns, betas, transl, offsets):
        return points.posed(betas, axis_angle_to_matrix(turns) @ rotmat, transl, offsets)

    positions, by_pose, by_offset = points.linearized(betas, rotmat, transl, offsets)
    by_shape = points.shape_derivative(rotmat)
    turns = torch.zeros(3, 24, 3, dtype=torch.float64)
    assert torch.allclose(positions, posed(turns, betas, transl, offsets), atol=1e-9)
    for n in range(1, 3):
        auto = torch.autograd.functional.jacobian(
            lambda t, b, x, o, n=n: posed(t, b, x, o)[n], (turns, betas, transl, offsets)
        )
        assert torch.allclose(by_pose[n, ..., :72], auto[0][:, :, n].flatten(-2), atol=1e-6)
        assert torch.allclose(by_pose[n, ..., 72:], auto[2][:, :, n], atol=1e-9)
        assert torch.allclose(by_shape[n], auto[1], atol=1e-6)
        own = auto[3][torch.arange(len(points)), :, torch.arange(len(points))]
        assert torch.allclose(by_offset[n], own, atol=1e-9)
