from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mviper.models.heads import compute_mean_phi, fit_camera
from mviper.models.parameters import default_phi, split_phi
from mviper.models.projections import Perspective, WeakPerspective


def _annotation(frames=6, joints=5):
    rng = np.random.default_rng(0)
    rotmat = Rotation.random(frames * 24, random_state=0).as_matrix().reshape(frames, 24, 3, 3)
    rotmat[:, 3] = Rotation.from_euler("z", 40 + np.array([-20, 0, 20, -10, 0, 10])[:, None], degrees=True).as_matrix()
    space = rng.normal(0, 0.4, (frames, joints, 3))
    cameras = np.stack([rng.uniform(0.7, 1.1, frames), *rng.uniform(-0.2, 0.2, (2, frames))], 1)
    image = cameras[:, None, :1] * space[..., :2] + cameras[:, None, 1:]
    ones = np.ones((frames, joints, 1))
    return (
        rotmat,
        rng.normal(size=(frames, 10)),
        np.concatenate([image, ones], -1),
        np.concatenate([space, ones], -1),
        cameras,
    )


def test_mean_of_each_part():
    rotmat, betas, keypoints2d, keypoints3d, cameras = _annotation()
    keypoints2d[0, 0] = [np.nan, np.nan, 0]  # unseen
    keypoints3d[1, 1] = [np.nan, np.nan, np.nan, 0]  # unknown
    phi = compute_mean_phi(rotmat, betas, keypoints2d, keypoints3d)
    assert phi.shape == (157,) and phi.dtype == torch.float32
    mean = split_phi(phi)
    torch.testing.assert_close(mean.rotmat[0], torch.diag(torch.tensor([1.0, -1.0, -1.0])))
    about_z = Rotation.from_euler("z", 40, degrees=True).as_matrix()
    np.testing.assert_allclose(mean.rotmat[3].numpy(), about_z, atol=1e-6)
    for joint in range(1, 24):  # scipy's quaternion mean is the same chordal mean
        expected = Rotation.from_matrix(rotmat[:, joint]).mean().as_matrix()
        np.testing.assert_allclose(mean.rotmat[joint].numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(mean.betas.numpy(), betas.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean.camera.numpy(), cameras.mean(0), rtol=1e-5, atol=1e-6)


def test_foreign_betas_are_left_out():
    rotmat, betas, keypoints2d, keypoints3d, _ = _annotation()
    own = np.array([1, 1, 0, 0, 1, 0])
    phi = compute_mean_phi(rotmat, betas, keypoints2d, keypoints3d, has_betas=own)
    np.testing.assert_allclose(phi[144:154].numpy(), betas[own > 0].mean(0), rtol=1e-5, atol=1e-6)


def test_camera_is_the_least_squares_one():
    rng = np.random.default_rng(1)
    space, image, weights = (
        rng.normal(size=(3, 7, 3)),
        rng.normal(size=(3, 7, 2)),
        rng.integers(0, 2, (3, 7)).astype(float),
    )
    weights[0] = 0  # nothing seen
    weights[1] = 0
    weights[1, 2] = 1  # a single joint
    image[2] = 0.5 * space[2, :, :2] + 0.1 * image[2]
    cameras, determined = fit_camera(*(torch.tensor(array) for array in (image, space, weights)))
    assert determined.tolist() == [False, False, True]
    rows = [row for j in range(7) if weights[2, j] for row in ([space[2, j, 0], 1, 0], [space[2, j, 1], 0, 1])]
    values = [value for j in range(7) if weights[2, j] for value in image[2, j]]
    expected = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    np.testing.assert_allclose(cameras[2].numpy(), expected, rtol=1e-10)


def test_annotation_that_no_frame_has_keeps_the_default():
    rotmat, betas, keypoints2d, keypoints3d, _ = _annotation()
    whole = split_phi(compute_mean_phi(rotmat, betas, keypoints2d, keypoints3d))
    default = split_phi(default_phi())
    keypoints2d[..., 2] = 0
    without = compute_mean_phi(rotmat[:0], betas, keypoints2d, keypoints3d, np.zeros(len(betas)))
    torch.testing.assert_close(without, default_phi())
    some = split_phi(compute_mean_phi(rotmat[:0], betas, keypoints2d, keypoints3d))
    torch.testing.assert_close(some.rotmat, default.rotmat)
    torch.testing.assert_close(some.betas, whole.betas)
    torch.testing.assert_close(some.camera, default.camera)


def test_other_camera_starts_where_the_mean_weak_camera_is():
    weak = torch.tensor([0.8, 0.3, -0.2])
    joints = torch.zeros(1, 24, 3)
    for projection in (WeakPerspective(), Perspective()):
        points, found = projection(joints, projection.camera_from_weak(weak[None]))
        torch.testing.assert_close(points[0, 0], weak[1:])
        torch.testing.assert_close(found[0], weak)
