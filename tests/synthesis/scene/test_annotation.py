"""Camera-frame parameters, boxes and chi, compared with independent computations and hand-made cases."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mviper.body.surface import BodyShape
from mviper.structures import Camera, MeshSequence, Motion
from mviper.structures.joints import KEYPOINTS, SMPL_JOINTS
from mviper.synthesis import pose_body
from mviper.synthesis.scene import CompassCameras, Material, SceneMesh
from mviper.synthesis.scene.annotation import (
    annotate,
    first_hits,
    keypoint_parts,
    smpl_in_camera,
    vertex_parts,
    visibility,
)

PLAIN = Material(np.array([0.5, 0.5, 0.5]))


def test_smpl_in_camera_poses_the_same_surface(body, moving) -> None:
    vertices, keypoints = pose_body(body, moving)
    pelvis = body.rest_joints(torch.tensor(moving.betas, dtype=torch.float32)[None])[0, 0].numpy()
    for camera in CompassCameras()(keypoints):
        smpl = smpl_in_camera(moving, pelvis, camera)
        poses = np.concatenate([smpl["global_orient"][:, None], smpl["body_pose"]], 1)
        again, joints = pose_body(body, Motion(poses, smpl["transl"], smpl["betas"][0], 30.0))
        assert np.abs(again - camera.to_camera(vertices)).max() < 1e-4
        assert np.abs(joints - camera.to_camera(keypoints)).max() < 1e-4


def test_first_hits_against_ray_casting(make_sphere) -> None:
    rng = np.random.default_rng(0)
    ball, ball_faces = make_sphere(300, 0.5)
    vertices = np.concatenate([ball + np.array([0, 0, 4]), 0.4 * ball + np.array([0.2, 0.1, 3])])
    faces = np.concatenate([ball_faces, ball_faces + len(ball)])
    targets = rng.uniform([-0.7, -0.7, 3.0], [0.7, 0.7, 5.0], size=(200, 3))
    groups = (np.arange(len(faces)) >= len(ball_faces)).astype(int)
    pixels, goals = vertices[:, :2] / vertices[:, 2:], targets[:, :2] / targets[:, 2:]
    triangle, depth = first_hits(pixels, vertices[:, 2], faces, groups, goals, targets[:, 2])
    # Moeller and Trumbore's intersection in 3D, with rays from the origin.
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    for index, target in enumerate(targets):
        normal = np.cross(target, c - a)
        determinant = ((b - a) * normal).sum(1)
        u = -(a * normal).sum(1) / determinant
        q = np.cross(-a, b - a)
        v, t = q @ target / determinant, ((c - a) * q).sum(1) / determinant
        for group in (0, 1):
            hits = t[(u >= 0) & (v >= 0) & (u + v <= 1) & (groups == group)] * target[2]
            expected = hits.min(initial=np.inf)
            if expected < target[2] - 0.002:
                assert depth[index, group] == pytest.approx(expected, abs=1e-9)
                assert groups[triangle[index, group]] == group
            elif expected > target[2]:
                assert triangle[index, group] == -1


@pytest.fixture(scope="module")
def t_pose(body) -> tuple[BodyShape, list[SceneMesh]]:
    """A body in the T-pose facing south, and a shirt: its trunk and upper arms, 15 mm further out."""
    shape = BodyShape.from_body(body, np.zeros(10))
    parts = vertex_parts(body.weights)
    normals = np.zeros_like(shape.vertices)
    a, b, c = (shape.vertices[shape.faces[:, k]] for k in range(3))
    np.add.at(normals, shape.faces, np.cross(b - a, c - a)[:, None])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    names = ("pelvis", "hip", "spine", "collar", "shoulder")
    dressed = [k for k, name in enumerate(SMPL_JOINTS) if any(word in name for word in names)]
    faces = shape.faces[np.isin(parts, dressed)[shape.faces].all(1)]
    shirt = SceneMesh(MeshSequence((shape.vertices + 0.015 * normals)[None], faces), PLAIN)
    return shape, [SceneMesh(MeshSequence(shape.vertices[None], shape.faces), PLAIN, parts), shirt]


def test_chi_in_the_dressed_t_pose(t_pose) -> None:
    shape, meshes = t_pose
    joints = shape.joints[None]
    own = keypoint_parts(shape.joints, shape.vertices, meshes[0].parts)
    cameras = CompassCameras()(joints)
    seen = {camera.name: chi[0] for camera, chi in zip(cameras, visibility(cameras, joints, own, meshes))}
    assert seen["south"][:24].sum() >= 22  # it faces south
    # In profile the far arm is hidden, the near hand is seen; the left arm points east.
    for view, far, near in (("east", "right", "left"), ("west", "left", "right")):
        assert not any(seen[view][KEYPOINTS.index(f"{far}_{joint}")] for joint in ("shoulder", "elbow", "wrist"))
        assert seen[view][KEYPOINTS.index(f"{near}_hand")] and seen[view][KEYPOINTS.index(f"{near}_knee")]
    # Faces are invisible from behind.
    for name in ("nose", "left_eye", "right_eye"):
        assert seen["south"][KEYPOINTS.index(name)] and not seen["north"][KEYPOINTS.index(name)]


def test_a_garment_far_before_a_joint_hides_it(t_pose) -> None:
    shape, (body_mesh, _) = t_pose
    joints = shape.joints[None]
    own = keypoint_parts(shape.joints, shape.vertices, body_mesh.parts)
    camera = next(camera for camera in CompassCameras()(joints) if camera.name == "south")
    knee = KEYPOINTS.index("left_knee")
    for distance, expected in ((0.10, 1), (0.30, 0)):
        middle = shape.joints[knee] + [0, -distance, 0]
        square = middle + 0.1 * np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
        apron = SceneMesh(MeshSequence(square[None], np.array([[0, 1, 2], [0, 2, 3]])), PLAIN)
        assert visibility([camera], joints, own, [body_mesh, apron])[0][0, knee] == expected


def test_outside_the_picture_is_not_visible(t_pose) -> None:
    shape, meshes = t_pose
    joints = shape.joints[None]
    camera = next(camera for camera in CompassCameras()(joints) if camera.name == "south")
    aside = camera.K.copy()
    aside[0, 2] += 125
    camera = Camera(aside, camera.R, camera.t, 250, 250, "aside")
    motion = Motion(np.zeros((1, 24, 3)), np.zeros((1, 3)), np.zeros(10), 30.0)
    own = keypoint_parts(shape.joints, shape.vertices, meshes[0].parts)
    annotation = annotate([camera], motion, joints, np.zeros(3), own, meshes)[0]
    inside = annotation.keypoints2d[0, :, 0] <= 249.5
    assert 5 < inside.sum() < 40 and not annotation.visibility[0, ~inside].any()
    left, top, width, height, _ = annotation.bbox_xywh[0]
    assert left + width == pytest.approx(249.5) and 0 < left < 249 and top > 0 and top + height < 249.5


def test_root_turns_with_the_camera() -> None:
    # A body upright in the world and facing the south camera is rotated by pi about x in that camera's axes.
    motion = Motion(np.zeros((1, 24, 3)), np.zeros((1, 3)), np.zeros(10), 30.0)
    motion.poses[0, 0, 0] = np.pi / 2
    camera = CompassCameras(views=("south",))(np.array([[[0, 0, 1.0], [0, 0, 2.0]]]))[0]
    root = smpl_in_camera(motion, np.zeros(3), camera)["global_orient"][0]
    expected = Rotation.from_rotvec([np.pi, 0, 0])
    assert (Rotation.from_rotvec(root) * expected.inv()).magnitude() < 1e-9
