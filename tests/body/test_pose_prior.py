"""The pose prior: its energy, its training poses, its file."""

import numpy as np
import pytest
import torch
from open_body.pose_statistics import fit_mixture, joint_ranges, log_likelihoods, mirrored, write_prior
from scipy.special import logsumexp

from mviper.body.pose_prior import POSE_PRIOR, PosePrior, pose_features
from mviper.body.rotations import axis_angle_to_matrix
from mviper.errors import FileFormatError
from mviper.files import load_npz, save_npz
from mviper.structures.joints import SMPL_JOINTS


def poses(count, spread, seed=0):
    turns = spread * torch.randn(count, 24, 3, generator=torch.Generator().manual_seed(seed))
    return axis_angle_to_matrix(turns.double())


@pytest.fixture(scope="module")
def prior():
    return PosePrior()


def test_likely_poses_have_little_energy(prior):
    from mviper.body import SMPL
    from mviper.motion import DeepMimicMotion

    source = DeepMimicMotion(names=["dance_b"], fps=20)  # not in the prior
    clip = next(source.clips())
    rotmat = axis_angle_to_matrix(torch.tensor(source.load_for_body(clip, SMPL(), np.zeros(10)).poses)).float()
    real = prior.energy(rotmat)
    shuffled = rotmat[:, torch.randperm(24, generator=torch.Generator().manual_seed(0))]
    inverse = rotmat.transpose(-1, -2)  # knees and elbows bend the wrong way
    assert real.shape == (len(rotmat),)
    assert (real < prior.energy(inverse)).all() and (real < prior.energy(shuffled)).all()
    assert prior.limit_energy(rotmat).mean() < 0.05 < 0.5 < prior.limit_energy(inverse).mean()


def test_root_does_not_count_and_batches_do_not_mix(prior):
    rotmat = poses(6, 0.3).float()
    turned = rotmat.clone()
    turned[:, 0] = poses(6, 2.0, seed=1)[:, 0].float()
    assert torch.equal(prior.energy(rotmat), prior.energy(turned))
    assert torch.allclose(prior.energy(rotmat.view(2, 3, 24, 3, 3))[1, 2], prior.energy(rotmat[5]), rtol=1e-4)


def test_gradients(prior):
    double = PosePrior().double()
    rotmat = poses(3, 0.2)
    base = torch.zeros(3, 24, 3, dtype=torch.float64, requires_grad=True)
    for energy in (double.energy, double.limit_energy):
        assert torch.autograd.gradcheck(
            lambda turns, energy=energy: energy(axis_angle_to_matrix(turns) @ rotmat), (base,), fast_mode=True
        )
    value, gradient, curvature = double.quadratic(rotmat)
    assert torch.allclose(value, double.energy(rotmat))
    features = rotmat.clone().requires_grad_()
    (auto,) = torch.autograd.grad(double.energy(features).sum(), features)
    assert torch.allclose(pose_features(auto), gradient)
    assert (torch.linalg.eigvalsh(curvature) > 0).all()


def test_energy_is_the_mixtures(tmp_path):
    rotmat = np.concatenate([poses(400, 0.1).numpy(), poses(300, 0.4, seed=2).numpy()])
    features = pose_features(torch.tensor(rotmat)).numpy()
    weights, means, covariances = fit_mixture(features, np.ones(700), 2, seed=0, iterations=5)
    write_prior(tmp_path / "prior.npz", weights, means, covariances, joint_ranges(np.zeros((5, 23, 3))))
    energy = PosePrior(tmp_path / "prior.npz").energy(torch.tensor(rotmat[::50]).float()).double().numpy()
    likelihood = -logsumexp(log_likelihoods(features[::50], weights, means, covariances), axis=1)
    difference = energy - likelihood
    assert difference == pytest.approx(difference[0], abs=0.1)


def test_mirrored_is_left_for_right():
    rotmat = poses(4, 0.5).numpy()
    assert np.allclose(mirrored(mirrored(rotmat)), rotmat)
    flip = np.diag([-1.0, 1.0, 1.0])
    left, right = (SMPL_JOINTS.index(f"{side}_knee") for side in ("left", "right"))
    assert np.allclose(mirrored(rotmat)[:, left], flip @ rotmat[:, right] @ flip)


def test_is_symmetric(prior):
    rotmat = poses(8, 0.3)
    other = torch.tensor(mirrored(rotmat.numpy())).float()
    ours, theirs = prior.energy(rotmat.float()), prior.energy(other)
    assert ((ours - theirs).abs() / ours).mean() < 0.2  # trained on every pose and its mirror image


def test_small_file_and_bad_files(tmp_path):
    assert POSE_PRIOR.stat().st_size < 400e3
    arrays = load_npz(POSE_PRIOR)
    bad = tmp_path / "bad.npz"
    for change in ({"means": arrays["means"][:, :5]}, {"factors": arrays["factors"][:, :7]}, {"lower": np.zeros(4)}):
        save_npz(bad, **{**arrays, **change})
        with pytest.raises(FileFormatError, match="pose prior"):
            PosePrior(bad)
    bad.write_bytes(b"garbage")
    with pytest.raises(FileFormatError):
        PosePrior(bad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda(prior):
    rotmat = poses(3, 0.2).float()
    there = PosePrior().cuda().energy(rotmat.cuda()).cpu()
    assert torch.allclose(there, prior.energy(rotmat), rtol=1e-3)
