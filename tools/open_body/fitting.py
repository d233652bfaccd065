"""Shape directions, joint regressor and pose correctives, fitted to bodies and poses of the source rig."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.structures import SMPL_JOINTS, SMPL_PARENTS
from open_body.anny_rig import RiggedMean, joint_transforms, mirrored_name
from open_body.poses import random_poses

#: For each SMPL joint the index of its left-right partner.
JOINT_PARTNER = np.array([SMPL_JOINTS.index(mirrored_name(name)) for name in SMPL_JOINTS])

_FLIP = np.array([-1.0, 1.0, 1.0])


@dataclasses.dataclass
class ShapeSpace:
    """Principal components of a set of bodies.

    Attributes:
        mean: (V, 3) [m].
        directions: (V, 3, K), displacement of the vertices per unit of each beta [m].
        explained: (K,) fraction of the variance that each explains.
    """

    mean: np.ndarray
    directions: np.ndarray
    explained: np.ndarray


def principal_shapes(bodies: np.ndarray, faces: np.ndarray, heavier: np.ndarray, count: int = 10) -> ShapeSpace:
    """Principal components whose coefficients have unit variance over the bodies.

    Vertices are weighted by area, so that the dense face and fingers do not dominate. The first grows with height, the
    others with weight.

    Args:
        bodies: (N, V, 3) T-posed.
        faces: (F, 3).
        heavier: (N,) any quantity that grows with body weight.
        count: Number of directions K.

    Returns:
        The shape space.
    """
    mean = bodies.mean(0, dtype=np.float64)
    area = np.zeros(len(mean))
    corner = mean[faces]
    face_area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    np.add.at(area, faces, np.repeat(face_area[:, None], 3, 1))
    scale = np.sqrt(area / area.mean())
    centred = (bodies - mean.astype(np.float32)).reshape(len(bodies), -1)
    weighted = centred * np.repeat(scale, 3).astype(np.float32)
    values, vectors = np.linalg.eigh((weighted @ weighted.T).astype(np.float64))
    values, vectors = values[::-1], vectors[:, ::-1]
    betas = vectors[:, :count] * np.sqrt(len(bodies) - 1)
    directions = (vectors[:, :count].T @ centred / np.sqrt(len(bodies) - 1)).reshape(count, -1, 3)
    height = np.ptp(bodies[..., 1], axis=1)
    for k in range(count):
        sign = np.sign(np.corrcoef(heavier if k else height, betas[:, k])[0, 1])
        directions[k] *= sign
    return ShapeSpace(mean, directions.transpose(1, 2, 0).astype(np.float64), values[:count] / values.sum())


def fit_joint_regressor(
    bodies: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    mirror: np.ndarray,
    rng: np.random.Generator,
    candidates: int = 600,
    regularization: float = 0.01,
) -> np.ndarray:
    """Linear regressor from rest vertices to joints.

    MakeHuman's joints sit at helper points that do not follow the skin around them alone (the upper spine's depth
    depends on sex), so a joint may use the skin of its bone, its parent's and its children's, and the weights, which
    sum to 1, may be negative; ridge regression keeps them small.

    Args:
        bodies: (N, V, 3) T-posed.
        joints: (N, 24, 3).
        weights: (V, 24) skinning weights.
        mirror: (V,).
        rng: Chooses the candidates.
        candidates: Maximum number of vertices per joint.
        regularization: Weight of the sum of squared weights [m].

    Returns:
        (24, V).
    """
    regressor = np.zeros((len(SMPL_JOINTS), bodies.shape[1]))
    for joint, name in enumerate(SMPL_JOINTS):
        if name.startswith("right_"):
            continue
        bones = [joint, *np.flatnonzero(SMPL_PARENTS == joint)] + ([SMPL_PARENTS[joint]] if joint else [])
        near = np.flatnonzero(weights[:, bones].max(1) > 0.05)
        near = np.sort(rng.permutation(near)[:candidates])
        system = bodies[:, near].transpose(0, 2, 1).reshape(-1, len(near)).astype(np.float64)
        scale, total = np.sqrt(len(system)), 1e2
        gram = system.T @ system / scale**2 + total**2 + regularization**2 * np.eye(len(near))
        right = system.T @ joints[:, joint].reshape(-1) / scale**2 + total**2
        solution = np.linalg.solve(gram, right)
        regressor[joint, near] = solution / solution.sum()
    for joint, name in enumerate(SMPL_JOINTS):
        if name.startswith("right_"):
            regressor[joint] = regressor[JOINT_PARTNER[joint]][mirror]
        elif not name.startswith("left_"):
            regressor[joint] = 0.5 * (regressor[joint] + regressor[joint][mirror])
    return regressor


def symmetric_weights(weights: np.ndarray, mirror: np.ndarray, least: float = 2e-3) -> np.ndarray:
    """Makes skinning weights (V, 24) mirror symmetric and drops those below ``least``."""
    weights = 0.5 * (weights + weights[mirror][:, JOINT_PARTNER])
    weights = np.where(weights < least, 0.0, weights)
    return weights / weights.sum(1, keepdims=True)


@dataclasses.dataclass
class Correctives:
    """Pose correctives and their effect on held-out poses.

    Attributes:
        posedirs: (V, 3, 207) [m].
        error_without: (N, V) distance to the rig's surface by plain linear blend skinning [m].
        error_with: (N, V) distance with the correctives [m].
    """

    posedirs: np.ndarray
    error_without: np.ndarray
    error_with: np.ndarray


def fit_correctives(
    rig: RiggedMean,
    kept: np.ndarray,
    weights: np.ndarray,
    mirror: np.ndarray,
    rng: np.random.Generator,
    training: int,
    held_out: int = 60,
    ridge: float = 2.0,
) -> Correctives:
    """Fits SMPL's pose blend shapes, which are linear in the elements of the joints' rotation matrices.

    For each pose, the target is the rest-pose offset with which linear blend skinning reaches the rig's surface; a
    ridge regression predicts it from the rotations of the joints whose bones move the vertex and of their children.
    Excluding all other joints keeps the correctives local and the file small.

    Args:
        rig: The target.
        kept: (V,) the rig's vertices retained in the body.
        weights: (V, 24) skinning weights.
        mirror: (V,).
        rng: Draws the poses.
        training: Number of poses to fit.
        held_out: Number of poses to measure on.
        ridge: Strength of the regularisation.

    Returns:
        The correctives.
    """
    rotations = Rotation.from_rotvec(random_poses(training + held_out, rng).reshape(-1, 3)).as_matrix()
    rotations = rotations.reshape(-1, len(SMPL_JOINTS), 3, 3)
    features = (rotations[:, 1:] - np.eye(3)).reshape(len(rotations), len(SMPL_JOINTS) - 1, 9)
    transforms = joint_transforms(rotations, rig.joints)[:, :, :3].astype(np.float32)
    target = rig.pose(rotations)[:, kept]
    rest = rig.rest[kept].astype(np.float32)

    blended = (weights.astype(np.float32) @ transforms.reshape(len(rotations), len(SMPL_JOINTS), 12)).reshape(
        len(rotations), -1, 3, 4
    )
    turn = blended[..., :3]
    residual = target - (np.einsum("nvij,vj->nvi", turn, rest) + blended[..., 3])
    normal = np.einsum("nvki,nvkj->nvij", turn, turn) + 0.05 * np.eye(3, dtype=np.float32)
    offset = np.linalg.solve(normal, np.einsum("nvki,nvk->nvi", turn, residual)[..., None])[..., 0]

    posedirs = np.zeros((len(kept), 3, len(SMPL_JOINTS) - 1, 9))
    for joints, vertices in _vertices_by_joints(weights).items():
        chosen = [joint - 1 for joint in joints]
        known = features[:training, chosen].reshape(training, -1)
        wanted = offset[:training, vertices].reshape(training, -1)
        solution = np.linalg.solve(known.T @ known + ridge * np.eye(known.shape[1]), known.T @ wanted)
        solution = solution.reshape(len(joints), 9, len(vertices), 3)
        for k, joint in enumerate(chosen):
            posedirs[vertices, :, joint] = solution[k].transpose(1, 2, 0)

    # Mirroring x turns a rotation R into S R S, with S = diag(-1, 1, 1), and swaps left and right joints.
    mirrored = posedirs[mirror][:, :, JOINT_PARTNER[1:] - 1] * _FLIP[:, None, None] * np.outer(_FLIP, _FLIP).ravel()
    posedirs = (0.5 * (posedirs + mirrored)).reshape(len(kept), 3, -1)

    fitted = np.einsum("nk,vck->nvc", features[training:].reshape(held_out, -1), posedirs)
    left = residual[training:] - np.einsum("nvij,nvj->nvi", turn[training:], fitted)
    return Correctives(posedirs, np.linalg.norm(residual[training:], axis=-1), np.linalg.norm(left, axis=-1))


#: Joints whose children's rotations hardly change their skin: the chest (collars and neck have their own weights there)
#: and the wrists.
_IGNORED_CHILDREN = {SMPL_JOINTS.index(name) for name in ("spine_3", "left_wrist", "right_wrist")}


def _vertices_by_joints(weights: np.ndarray) -> dict[tuple[int, ...], list[int]]:
    """Groups vertices by the joints that may correct them."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for vertex, row in enumerate(weights):
        owner = int(row.argmax())
        joints = {owner, *np.flatnonzero(row > 0.01).tolist()}
        if owner not in _IGNORED_CHILDREN:
            joints |= set(np.flatnonzero(SMPL_PARENTS == owner).tolist())
        if joints - {0}:
            groups.setdefault(tuple(sorted(joints - {0})), []).append(vertex)
    return groups
