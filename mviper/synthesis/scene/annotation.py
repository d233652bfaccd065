"""Exact annotation of a camera's view: keypoints, box, SMPL parameters in its axes, visibility.

Numpy, with the search for first hits compiled by numba; needs no renderer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from mviper.structures import KEYPOINTS, SMPL_JOINTS, SMPL_PARENTS, Camera, HumanData, Motion
from mviper.synthesis.scene.scene import SceneMesh

#: Largest distance of a garment in front of a joint that still counts as seen [m].
MAX_DEPTH = 0.15

#: Keypoints on the skin, which the other side of their own part can hide.
ON_SKIN = ("nose", "eye", "ear", "heel", "bigtoe", "smalltoe", "headtop")


def vertex_parts(weights: np.ndarray) -> np.ndarray:
    """Body part (SMPL joint index) of each vertex: the joint with the largest weight; (V, 24) -> (V,)."""
    return np.asarray(weights).argmax(1)


def keypoint_parts(rest_keypoints: np.ndarray, rest_vertices: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Body part of each keypoint.

    Args:
        rest_keypoints: In the order of ``KEYPOINTS`` [m], shape (J, 3).
        rest_vertices: Same pose [m], shape (V, 3).
        parts: Part of each vertex, shape (V,).

    Returns:
        (J,): SMPL's joints are their own part, a surface joint has the part of its nearest vertex.
    """
    nearest = cKDTree(rest_vertices).query(rest_keypoints)[1]
    own = parts[nearest]
    own[: len(SMPL_JOINTS)] = np.arange(len(SMPL_JOINTS))
    return own


def _neighbours() -> np.ndarray:
    """(24, 24) bool: same part, or parent and child."""
    near = np.eye(len(SMPL_JOINTS), dtype=bool)
    child = np.arange(1, len(SMPL_JOINTS))
    near[child, SMPL_PARENTS[1:]] = near[SMPL_PARENTS[1:], child] = True
    return near


def first_hits(
    pixels: np.ndarray, depth: np.ndarray, corners: np.ndarray, groups: np.ndarray, targets: np.ndarray,
    target_depth: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """First triangle of each group that a camera's ray to each target hits, in front of the target.

    Works in image space: a ray is a pixel, and 1 / z is linear over a projected triangle.

    Args:
        pixels: Projected vertices [px], shape (V, 2).
        depth: Their z in camera axes [m], shape (V,).
        corners: Vertex indices of triangles, shape (F, 3).
        groups: Group of each triangle, 0 or 1, shape (F,).
        targets: Projected targets [px], shape (J, 2).
        target_depth: Their z [m], shape (J,).

    Returns:
        Triangle index (J, 2) by group, -1 for none, and the hit's z (J, 2) [m], infinite for none.
    """
    from mviper.synthesis.scene import kernels

    triangle, hit_depth = np.full((len(targets), 2), -1), np.full((len(targets), 2), np.inf)
    kernels.find_hits(
        np.ascontiguousarray(pixels, np.float64), np.ascontiguousarray(depth, np.float64), corners, groups, targets,
        target_depth, triangle, hit_depth,
    )  # fmt: skip
    return triangle, hit_depth


def visibility(
    cameras: Sequence[Camera], keypoints: np.ndarray, parts: np.ndarray, meshes: Sequence[SceneMesh], person: int = 0
) -> list[np.ndarray]:
    """Chi of eq. 7: whether each keypoint is visible.

    It is visible if it is inside the picture and the first hit of the ray from the camera in front of it, if any, is
    its own or an adjacent body part, or a garment whose nearest body part is one of these, at most 0.15 m in front of
    the joint or of the point where the ray enters such a part on its way to the joint (a spine joint is deeper than
    that in the trunk). Body parts more than 0.15 m in front of a keypoint on the skin hide it: a nose is not seen
    through the back of the head. Whatever another person wears or has in front of a keypoint hides it.

    Args:
        cameras: The cameras.
        keypoints: In the world, in the order of ``KEYPOINTS`` [m], shape (T, J, 3).
        parts: Body part of each keypoint, shape (J,).
        meshes: All occluding meshes, each person's body first.
        person: Whose keypoints they are.

    Returns:
        uint8 (T, J) for each camera.
    """
    neighbours = _neighbours()
    seen = [np.ones(keypoints.shape[:2], np.uint8) for _ in cameras]
    others = [mesh for mesh in meshes if mesh.person != person]
    meshes = [mesh for mesh in meshes if mesh.person == person]
    corners, foreign = _all_faces(meshes), _all_faces(others)
    # Part of each triangle (of its first corner); -1 for garments.
    face_part = np.concatenate(
        [np.full(len(m.mesh.faces), -1) if m.parts is None else m.parts[m.mesh.faces[:, 0]] for m in meshes]
    )
    is_cloth = (face_part < 0).astype(int)
    body = meshes[0]
    on_skin = np.array([name.removeprefix("left_").removeprefix("right_") in ON_SKIN for name in KEYPOINTS])
    for frame in range(len(keypoints)):
        vertices = np.concatenate([part.mesh.vertices[frame] for part in meshes])
        around = np.concatenate([part.mesh.vertices[frame] for part in others]) if others else None
        tree: cKDTree | None = None
        for camera, chi in zip(cameras, seen):
            eye = -camera.R[frame].T @ camera.t[frame]
            pixels, depth = _project(camera, frame, vertices)
            targets, target_depth = _project(camera, frame, keypoints[frame])
            size = np.array([camera.width, camera.height])
            inside = ((targets >= -0.5) & (targets <= size - 0.5)).all(1) & (target_depth > 0)
            if around is not None:
                asked, group = np.flatnonzero(inside), np.zeros(len(foreign), int)
                hit, _ = first_hits(
                    *_project(camera, frame, around), foreign, group, targets[asked], target_depth[asked]
                )
                inside[asked[hit[:, 0] >= 0]] = False
            chi[frame] = inside
            asked = np.flatnonzero(inside)
            hit, hit_depth = first_hits(pixels, depth, corners, is_cloth, targets[asked], target_depth[asked])
            blocked = (hit >= 0).any(1)
            asked, hit, hit_depth = asked[blocked], hit[blocked], hit_depth[blocked]
            cloth = hit_depth[:, 1] < hit_depth[:, 0]
            owner = face_part[hit[:, 0]]
            own_body = (hit[:, 0] >= 0) & neighbours[parts[asked], owner]
            # Distances to the joint: metres along the ray per unit of z.
            along = np.linalg.norm((keypoints[frame, asked] - eye) / target_depth[asked, None], axis=1)
            entry = np.where(cloth & own_body, hit_depth[:, 0], target_depth[asked])
            distance = (entry - hit_depth.min(1)) * along
            if cloth.any():
                if tree is None:
                    tree = cKDTree(body.mesh.vertices[frame], balanced_tree=False, compact_nodes=False)
                share = hit_depth[cloth, 1] / target_depth[asked[cloth]]
                place = eye + share[:, None] * (keypoints[frame, asked[cloth]] - eye)
                owner[cloth] = body.parts[tree.query(place)[1]]
            hidden = ~neighbours[parts[asked], owner] | ((cloth | on_skin[asked]) & (distance > MAX_DEPTH))
            chi[frame, asked[hidden]] = 0
    return seen


def _all_faces(meshes: Sequence[SceneMesh]) -> np.ndarray:
    """Faces of several meshes as one, shape (F, 3)."""
    starts = np.cumsum([0, *(part.mesh.vertices.shape[1] for part in meshes)])
    faces = [part.mesh.faces + start for part, start in zip(meshes, starts)]
    return np.concatenate(faces) if faces else np.zeros((0, 3), int)


def _project(camera: Camera, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) and z (N,) of world points (N, 3) in one frame."""
    in_camera = points @ camera.R[frame].T + camera.t[frame]
    image = in_camera @ camera.K.T
    return image[:, :2] / image[:, 2:], in_camera[:, 2]


def smpl_in_camera(motion: Motion, pelvis: np.ndarray, camera: Camera) -> dict[str, np.ndarray]:
    """SMPL parameters of the body in the camera's axes.

    SMPL rotates the body about its rest pelvis J0(beta), not about the origin, so with x = R0 (v - J0) + J0 + transl
    the camera's x' = R x + t has root R R0 and translation R (J0 + transl) + t - J0.

    Args:
        motion: In the world.
        pelvis: The body's own J0(beta), rest pose, SMPL's axes [m], shape (3,).
        camera: The camera.

    Returns:
        HumanData's ``smpl``: ``global_orient`` (T, 3), ``body_pose`` (T, 23, 3), ``betas`` (T, B), ``transl`` (T, 3).
    """
    root = Rotation.from_matrix(camera.R) * Rotation.from_rotvec(motion.poses[:, 0])
    transl = np.einsum("tij,tj->ti", camera.R, pelvis + motion.transl) + camera.t - pelvis
    return dict(
        global_orient=root.as_rotvec(),
        body_pose=motion.poses[:, 1:],
        betas=np.repeat(motion.betas[None], len(motion), 0),
        transl=transl,
    )


def boxes(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """Boxes round projected vertices (T, V, 2), clipped to the picture: left, top, width, height, 1 -> (T, 5) [px]."""
    limit = np.array([camera.width, camera.height]) - 0.5
    low, high = np.clip(pixels.min(1), -0.5, limit), np.clip(pixels.max(1), -0.5, limit)
    return np.concatenate([low, high - low, np.ones((len(pixels), 1))], 1)


def annotate(
    cameras: Sequence[Camera], motion: Motion, keypoints: np.ndarray, pelvis: np.ndarray, parts: np.ndarray,
    meshes: Sequence[SceneMesh], person: int = 0,
) -> list[HumanData]:  # fmt: skip
    """Complete content of each view's annotation file of one person.

    Args:
        cameras: The views.
        motion: In the world.
        keypoints: World positions in the order of ``KEYPOINTS`` [m], shape (T, 44, 3).
        pelvis: The body's J0(beta), SMPL's axes [m], shape (3,).
        parts: Body part of each keypoint, shape (44,).
        meshes: The rendered meshes, each person's body first.
        person: The number of the person among them.

    Returns:
        One HumanData per camera.
    """
    frames = len(motion)
    chi = visibility(cameras, keypoints, parts, meshes, person)
    body = next(part.mesh for part in meshes if part.person == person)
    annotations = []
    for camera, seen in zip(cameras, chi):
        ones = np.ones((frames, len(KEYPOINTS), 1))
        annotations.append(
            HumanData(
                keypoints2d=np.concatenate([camera.project(keypoints), ones], -1),
                keypoints3d=np.concatenate([camera.to_camera(keypoints), ones], -1),
                bbox_xywh=boxes(camera.project(body.vertices.astype(np.float64)), camera),
                smpl=smpl_in_camera(motion, pelvis, camera),
                body_model=motion.body_model,
                visibility=seen,
                image_path=[f"{camera.name}/{frame:06d}.jpg" for frame in range(frames)],
                video_path=f"{camera.name}.mp4",
                frame_idx=np.arange(frames),
                camera=camera,
                meta=dict(gender=["n"] * frames, height=[camera.height] * frames, width=[camera.width] * frames),
            )
        )
    return annotations
