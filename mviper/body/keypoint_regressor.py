"""The regressor of the surface joints, which LSP, MPII, Human3.6M and COCO label and SMPL's 24 joints lack.

Each surface joint is a fixed convex combination of a few vertices of the posed mesh, as SMPL's own joints are of the
rest mesh. The definitions below are geometric, so they hold for any body with SMPL's joints: for the open body when it
is built, and for a licensed SMPL file when it is loaded.

| keypoint | definition in the rest pose |
|---|---|
| nose, eyes, ears, heels, big and small toes | one vertex each (for SMPL files ``smplx``'s landmark vertex ids) |
| ``left_hip_extra``, ``right_hip_extra`` | half way from the hip joint to the skin straight outwards of it |
| ``pelvis_extra`` | middle of the two hip joints |
| ``thorax_extra`` | middle of the two shoulder joints |
| ``spine_extra`` | at the height half way from pelvis_extra to thorax_extra: middle of front and back skin |
| ``neck_extra`` | at the neck joint's height: middle of front and back skin |
| ``headtop`` | one vertex: the mean body's highest |
| ``head_extra`` | half way from the middle of the ears to headtop |
| ``jaw_extra`` | half way from neck_extra to the nose |
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from mviper.structures import SMPL_JOINTS, SURFACE_JOINTS

#: The names that are one vertex each, and ``smplx``'s names of those vertices.
LANDMARK_VERTICES = {
    "nose": "nose",
    "left_eye": "leye",
    "right_eye": "reye",
    "left_ear": "lear",
    "right_ear": "rear",
    "left_heel": "LHeel",
    "right_heel": "RHeel",
    "left_bigtoe": "LBigToe",
    "right_bigtoe": "RBigToe",
    "left_smalltoe": "LSmallToe",
    "right_smalltoe": "RSmallToe",
}

_JOINT = {name: index for index, name in enumerate(SMPL_JOINTS)}


def surface_joint_targets(
    vertices: np.ndarray, faces: np.ndarray, joints: np.ndarray, landmarks: dict[str, int]
) -> dict[str, np.ndarray]:
    """Evaluates the definitions in the module's table on one rest mesh.

    Args:
        vertices: (V, 3) rest mesh in SMPL's axes (y up) [m].
        faces: (F, 3).
        joints: (24, 3) [m].
        landmarks: Vertex index by keypoint name, for the names of :data:`LANDMARK_VERTICES` and ``headtop``.

    Returns:
        Keypoint name -> (3,) [m], for the names that are not single vertices.
    """
    point = {name: vertices[index] for name, index in landmarks.items()}
    hips = {side: joints[_JOINT[f"{side}_hip"]] for side in ("left", "right")}
    target = {
        f"{side}_hip_extra": 0.5 * (hip + _skin(vertices, faces, hip, np.array([np.sign(hip[0]), 0.0, 0.0])))
        for side, hip in hips.items()
    }
    target["pelvis_extra"] = 0.5 * (hips["left"] + hips["right"])
    target["thorax_extra"] = 0.5 * (joints[_JOINT["left_shoulder"]] + joints[_JOINT["right_shoulder"]])
    target["spine_extra"] = _mid_depth(vertices, faces, 0.5 * (target["pelvis_extra"] + target["thorax_extra"]))
    target["neck_extra"] = _mid_depth(vertices, faces, joints[_JOINT["neck"]])
    target["head_extra"] = 0.5 * (0.5 * (point["left_ear"] + point["right_ear"]) + point["headtop"])
    target["jaw_extra"] = 0.5 * (target["neck_extra"] + point["nose"])
    for name in ("pelvis_extra", "thorax_extra", "spine_extra", "neck_extra", "head_extra", "jaw_extra"):
        target[name] = target[name] * [0.0, 1.0, 1.0]
    return target


def with_headtop(template: np.ndarray, landmarks: dict[str, int]) -> dict[str, int]:
    """Adds the mean body's highest vertex (among ties, the one nearest the midline) to the landmarks."""
    top = template[:, 1].max()
    return {**landmarks, "headtop": int(np.where(template[:, 1] > top - 1e-3, np.abs(template[:, 0]), np.inf).argmin())}


def _skin(vertices: np.ndarray, faces: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The outermost hit (3,) of a ray with the mesh; the origin itself if it hits nothing."""
    corner, edge_1, edge_2 = _triangles(vertices, faces)
    cross = np.cross(direction, edge_2)
    determinant = (edge_1 * cross).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_origin = origin - corner
        u = (to_origin * cross).sum(-1) / determinant
        normal = np.cross(to_origin, edge_1)
        v = (normal @ direction) / determinant
        distance = (normal * edge_2).sum(-1) / determinant
        hit = (np.abs(determinant) > 1e-14) & (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0)
    return origin + (distance[hit].max() if hit.any() else 0.0) * direction


def _triangles(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    corner = vertices[faces[:, 0]]
    return corner, vertices[faces[:, 1]] - corner, vertices[faces[:, 2]] - corner


def _mid_depth(vertices: np.ndarray, faces: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Midpoint between the skin in front of and behind a point on the midline.

    Measured a millimetre off the midline, as the ray would otherwise run along the mesh's edges.
    """
    start = point * [0.0, 1.0, 1.0] + [1e-3, 0.0, 0.0]
    front, back = (_skin(vertices, faces, start, np.array([0.0, 0.0, sign])) for sign in (1.0, -1.0))
    return 0.5 * (front + back)


def fit_point(
    vertices: np.ndarray,
    targets: np.ndarray,
    candidates: np.ndarray,
    regularization: float = 3e-3,
) -> np.ndarray:
    """Convex weights of a few vertices that reproduce a point on every body.

    Args:
        vertices: (S, V, 3) sample bodies [m].
        targets: (S, 3) the point on each [m].
        candidates: (K,) vertex indices that may take part.
        regularization: Weight of the sum of squares [m], which spreads the point over more vertices.

    Returns:
        (V,) non-negative weights that sum to 1.
    """
    count = len(candidates)
    system = vertices[:, candidates].transpose(0, 2, 1).reshape(-1, count)
    scale = np.sqrt(len(system))  # the same trade-off for any number of samples
    system = np.concatenate([system / scale, np.full((1, count), 1e2), regularization * np.eye(count)])
    right = np.concatenate([targets.reshape(-1) / scale, [1e2], np.zeros(count)])
    weights = np.zeros(vertices.shape[1])
    solution = nnls(system, right, maxiter=50 * count)[0]
    weights[candidates] = solution / solution.sum()
    return weights


def fit_surface_regressor(
    bodies: np.ndarray,
    faces: np.ndarray,
    joint_regressor: np.ndarray,
    weights: np.ndarray,
    landmarks: dict[str, int],
    mirror: np.ndarray | None = None,
) -> np.ndarray:
    """Fits the extra regressor.

    Args:
        bodies: (S, V, 3) rest meshes [m], the mean one first.
        faces: (F, 3).
        joint_regressor: (24, V).
        weights: (V, 24) skinning weights: only vertices of nearby bones may take part in a keypoint.
        landmarks: Vertex index by keypoint name, for the names of :data:`LANDMARK_VERTICES`.
        mirror: (V,) each vertex's mirror partner; None if the mesh is not symmetric.

    Returns:
        (20, V) in the order of ``SURFACE_JOINTS``.
    """
    template = bodies[0]
    landmarks = with_headtop(template, landmarks)
    targets = [surface_joint_targets(body, faces, joint_regressor @ body, landmarks) for body in bodies]
    regressor = np.zeros((len(SURFACE_JOINTS), len(template)))
    for row, name in enumerate(SURFACE_JOINTS):
        if name in landmarks:
            regressor[row, landmarks[name]] = 1.0
            continue
        target = np.stack([one[name] for one in targets])
        bones = [_JOINT[bone] for bone in _BONES_OF[name]]
        own = weights[:, bones].sum(1) > 0.5
        distance = np.linalg.norm(template - target[0], axis=1) + np.where(own, 0.0, 1e3)
        regressor[row] = fit_point(bodies, target, np.argsort(distance, kind="stable")[: min(400, own.sum())])
        if mirror is not None and name.startswith("right_"):
            regressor[row] = regressor[SURFACE_JOINTS.index(name.replace("right_", "left_"))][mirror]
        elif mirror is not None and not name.startswith("left_"):
            regressor[row] = 0.5 * (regressor[row] + regressor[row][mirror])
    return regressor


_BONES_OF = {
    "left_hip_extra": ("pelvis", "left_hip"),
    "right_hip_extra": ("pelvis", "right_hip"),
    "pelvis_extra": ("pelvis",),
    "thorax_extra": ("spine_3", "neck", "left_collar", "right_collar"),
    "spine_extra": ("spine_1", "spine_2", "spine_3"),
    "neck_extra": ("neck", "spine_3", "left_collar", "right_collar"),
    "head_extra": ("head",),
    "jaw_extra": ("head", "neck"),
}


def bodies_around(template: np.ndarray, shapedirs: np.ndarray) -> np.ndarray:
    """The mean body, followed by bodies with one beta at plus or minus two.

    Args:
        template: (V, 3) [m].
        shapedirs: (V, 3, B).

    Returns:
        (1 + 2 B, V, 3) [m].
    """
    changes = 2 * np.moveaxis(shapedirs, 2, 0)
    return template + np.concatenate([np.zeros_like(template)[None], changes, -changes])
