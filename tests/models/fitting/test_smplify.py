"""SMPLify on joints of known bodies: accuracy, invariants, robustness."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mviper.body.rotations import axis_angle_to_matrix, geodesic_angle, matrix_to_axis_angle
from mviper.evaluation.functional import similarity_align
from mviper.models.fitting import Bodies, Projection, SMPLify, SMPLifySettings, Support
from mviper.models.fitting.smplify import _flipped, _Stage
from mviper.motion.joint_limits import limit_excess
from mviper.structures import Motion


def pa(found, truth) -> torch.Tensor:
    """PA-MPJPE of each frame over SMPL's joints [mm]."""
    found, truth = found[:, :24].double(), truth[:, :24].double()
    return 1000 * (similarity_align(found, truth) - truth).norm(dim=-1).mean(-1)


def test_finds_a_known_body_again(alone, track, keypoints, joints, projection):
    truth2d = projection.project(joints, joints[:, 0])
    for name, fit in {"alone": alone, "track": track}.items():
        error = (fit.keypoints2d - truth2d).norm(dim=-1)
        print(f"{name}: PA-MPJPE {pa(fit.joints, joints).mean():.1f} mm, 2D {error.median():.2f} px")
        assert error.median() < 3  # of a person 250 px tall
        assert pa(fit.joints, joints).mean() < 80


def test_joint_limits_hold(alone, track, fitter):
    for fit in (alone, track):
        assert fitter.limits.excess(fit.bodies.rotmat).abs().max() < 1e-3
        poses = matrix_to_axis_angle(fit.bodies.rotmat.double()).numpy()
        assert limit_excess(Motion(poses, np.zeros((16, 3)), np.zeros(10), 30.0)).max() == 0


def test_bones_of_a_track_keep_their_length(track, fitter):
    assert torch.equal(track.bodies.betas, track.bodies.betas[:1].expand(16, -1))
    joints = track.joints[:, :24]
    parents = fitter.body.layer.parents[1:]
    lengths = (joints[:, 1:] - joints[:, parents]).norm(dim=-1)
    assert (lengths - lengths[0]).abs().max() < 1e-4


def test_tracks_are_smooth(alone, track, joints):
    def acceleration(values):
        values = values - values[:, :1]
        return (values[2:] - 2 * values[1:-1] + values[:-2]).norm(dim=-1).mean()

    assert acceleration(track.joints) < 0.6 * acceleration(alone.joints)
    assert acceleration(track.joints) < 2 * acceleration(joints)


def test_batched_equals_one_by_one(fitter, alone, keypoints, projection):
    for frame in (3, 12):
        one = fitter.fit(keypoints[frame : frame + 1], projection[frame : frame + 1])
        assert torch.allclose(one.joints[0], alone.joints[frame], atol=2e-3)
        assert torch.allclose(one.bodies.betas[0], alone.bodies.betas[frame], atol=2e-2)


def test_tracks_do_not_influence_one_another(fitter, keypoints, projection):
    both = fitter.fit(keypoints, projection, tracks=[6, 10])
    second = fitter.fit(keypoints[6:], projection[6:], tracks=[10])
    assert torch.allclose(both.joints[6:], second.joints, atol=2e-3)
    assert not torch.allclose(both.bodies.betas[0], both.bodies.betas[6])


def test_a_long_track_is_solved_in_windows_without_a_cut(body, kicker, keypoints, joints, projection):
    """Windows of 8 frames instead of 256: one shape, the same projection, and no jump where they meet."""
    fitter = SMPLify(body, settings=SMPLifySettings(batch=8))
    fit = fitter.fit(keypoints, projection, start=kicker, tracks=[16])
    assert torch.equal(fit.bodies.betas, fit.bodies.betas[:1].expand(16, -1))
    assert (fit.keypoints2d - keypoints[..., :2]).norm(dim=-1).mean(1).max() < 4  # the noise is 2.5
    found, wanted = ((j[2:] - 2 * j[1:-1] + j[:-2]).norm(dim=-1).mean(1) for j in (fit.joints, joints))
    assert (found < 1.5 * wanted).all()


def test_gradient_is_the_energys(body, kicker, keypoints, projection):
    """Also with missing joints."""
    double = SMPLify(body, settings=SMPLifySettings(start=0.3))
    double.parts = double.parts.to(torch.float64)
    double.points, double.sums = double.parts, double.sums.double()
    double.share, double.mean_pose = double.share.double(), double.mean_pose.double()
    double.torso, double.precision = double.torso.double(), double.precision.double()
    double.prior, double.limits = double.prior.double(), double.limits.double()
    double.intersection.ends = double.intersection.ends.to(torch.float64)
    holes = keypoints.clone()
    holes[0, ::2] = float("nan")
    holes[1, :, 2] = 0
    for perspective in (True, False):
        camera = Projection(projection.focal, projection.centre, perspective)
        frames, _ = double._prepared(holes[:3], camera[:3])
        noise = torch.randn(3, 24, 3, generator=torch.Generator().manual_seed(0)).double()
        near = Bodies(*(values[:3].double() for values in kicker))
        start = near._replace(rotmat=axis_angle_to_matrix(0.2 * noise) @ near.rotmat)
        frames = replace(frames, start=near.rotmat)
        step = torch.zeros(3, 85).double().requires_grad_()
        moved = Bodies(
            axis_angle_to_matrix(step[:, :72].unflatten(1, (24, 3))) @ start.rotmat,
            start.transl + step[:, 72:75], start.betas + step[:, 75:],
        )  # fmt: skip
        energy = double.energy(frames, moved)
        (auto,) = torch.autograd.grad(energy.sum(), step)
        stage = _Stage(double.settings.outlier, True, intersection=True)
        value, hessian, gradient = double._linearized(frames, start, stage)
        assert torch.allclose(value, energy)
        assert auto.isfinite().all() and gradient.isfinite().all()
        # Weak perspective ignores the shape's influence on the root's depth.
        kept = slice(0, 85 if perspective else 75)
        assert torch.allclose(auto[:, kept], gradient[:, kept], rtol=1e-5, atol=1e-5 * gradient.abs().max().item())
        assert (torch.linalg.eigvalsh(hessian) > -1e-3).all()


def test_missing_joints_and_frames(fitter, keypoints, projection, joints):
    holes = keypoints.clone()
    holes[:, 24:] = float("nan")  # as from a detector of only SMPL's joints
    holes[2] = float("nan")
    holes[3, :, 2] = 0
    holes[5, 4:24, 2] = 0  # four joints are too few
    alone = fitter.fit(holes, projection)
    track = fitter.fit(holes, projection, tracks=[16], fps=30)
    for fit in (alone, track):
        assert all(values.isfinite().all() for values in (*fit.bodies, fit.joints, fit.keypoints2d, fit.energy))
        assert fit.seen.tolist() == [number not in (2, 3, 5) for number in range(16)]
    bridged = pa(track.joints, joints)[~track.seen]
    print(f"frames that were not seen: PA-MPJPE {bridged.mean():.1f} mm")
    assert bridged.max() < 120
    nothing = fitter.fit(torch.zeros_like(keypoints), projection, tracks=[16])
    assert nothing.joints.isfinite().all() and not nothing.seen.any()


def test_from_a_networks_prediction(fitter, kicker, keypoints, projection, joints):
    noise = torch.randn(1, 24, 3, generator=torch.Generator().manual_seed(0))
    start = kicker._replace(
        rotmat=axis_angle_to_matrix(0.15 * noise) @ kicker.rotmat, transl=kicker.transl + torch.tensor([0.05, 0, 0.3])
    )
    before = fitter.body(start.betas, start.rotmat, start.transl, return_vertices=False).joints
    near = SMPLify(fitter.body, settings=SMPLifySettings(start=0.2))
    for each in (fitter, near):
        for tracks in (None, [16]):
            fit = each.fit(keypoints, projection, start=start, tracks=tracks, fps=30)
            assert pa(fit.joints, joints).mean() < pa(before, joints).mean()
            assert (fit.keypoints2d - keypoints[..., :2]).norm(dim=-1).median() < 3
    moved = geodesic_angle(fit.bodies.rotmat, start.rotmat)
    assert moved.mean() < 0.3


def test_flips_of_the_root_are_told_from_spins():
    """Two turns a second, at 15 frames a second, are no flips; single and paired frames that face away are."""
    angles = torch.arange(30)[:, None] * torch.tensor([[0.0, 4 * torch.pi / 15, 0.0]])
    spin = axis_angle_to_matrix(angles)
    assert not _flipped(spin, 15.0).any()
    slow = axis_angle_to_matrix(0.3 * angles)
    wrong = [0, 5, 12, 13, 29]
    slow[wrong] = slow[wrong] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    assert torch.nonzero(_flipped(slow, 15.0)).flatten().tolist() == wrong


def test_front_and_back(fitter, body):
    """From the side, the torso looks the same facing either way: feet and face decide."""
    for yaw in (1.45, -1.45, 0.0, 3.0):
        rotmat = torch.eye(3).repeat(1, 24, 1, 1)
        rotmat[0, 1:] = fitter.mean_pose
        turn = axis_angle_to_matrix(torch.tensor([0.0, yaw, 0.0]))
        rotmat[0, 0] = turn @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        joints = body(torch.zeros(1, 10), rotmat, torch.tensor([[0.0, 0.0, 6.0]]), return_vertices=False).joints
        projection = Projection.of_picture(1, 640, 480, 800.0)
        pixels = projection.project(joints, joints[:, 0])
        fit = fitter.fit(torch.cat([pixels, torch.ones(1, 44, 1)], -1), projection)
        assert geodesic_angle(fit.bodies.rotmat[:, 0], rotmat[:, 0]).item() < 0.3, yaw


def test_who_stands_still_does_not_jitter_in_depth(fitter, kicker, projection):
    """One frame held for 16, seen with noise: the refit allows no more motion in depth than across the sight."""
    still = kicker.at(torch.zeros(16, dtype=torch.long))
    joints = fitter.body(still.betas, still.rotmat, still.transl, return_vertices=False).joints
    generator = torch.Generator().manual_seed(3)
    pixels = projection.project(joints, joints[:, 0]) + 1.0 * torch.randn(16, 44, 2, generator=generator)
    seen = torch.cat([pixels, torch.ones(16, 44, 1)], -1)
    jittery = still._replace(transl=still.transl + 0.05 * torch.randn(16, 1, generator=generator) * joints[:, 0] / 4)
    nothing = torch.full((16, 4, 3), float("nan"))
    support = Support(nothing, torch.tensor([0.0, -1.0, 0.0]).expand(16, 3), torch.full((16,), float("nan")))
    depth = fitter.stand(seen, projection, jittery, support, 15.0).root[:, 2]
    free = fitter._smoothed(fitter._prepared(seen, projection)[0], jittery, 15.0, (0.1,)).transl[:, 2]
    jitter, before = ((values[2:] - 2 * values[1:-1] + values[:-2]).abs().mean() for values in (depth, free))
    assert jitter < 0.5 * before


def test_wrong_shapes_are_refused(fitter, keypoints, projection):
    with pytest.raises(ValueError, match=r"\(N, 44, 3\)"):
        fitter.fit(keypoints[:, :17], projection)
    with pytest.raises(ValueError, match="tracks of 12"):
        fitter.fit(keypoints, projection, tracks=[12])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda(body, keypoints, projection, alone):
    import copy

    there = SMPLify(copy.deepcopy(body).cuda()).fit(keypoints, projection)
    assert torch.allclose(there.joints.cpu(), alone.joints, atol=5e-3)
