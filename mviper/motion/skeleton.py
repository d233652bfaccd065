"""A captured skeleton in motion, before it is fitted to a body: the result of all sources with joint rotations.

Body axes throughout (SMPL's): y up, facing +z in the rest pose, left = +x, metres. A joint's rotation is global and
relative to the rest pose: in the rest pose every rotation is the identity, whatever local axes a file format uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Skeleton:
    """Joints in their rest pose.

    Attributes:
        names: Joint names; a parent comes before its children. End sites are joints too.
        parents: Parent index, -1 for the root, shape (J,).
        rest: Joint positions in the rest pose, root at the origin [m], shape (J, 3).
    """

    names: tuple[str, ...]
    parents: np.ndarray
    rest: np.ndarray

    def index(self, name: str) -> int:
        """Index of a joint by name."""
        return self.names.index(name)

    def positions(self, rotations: np.ndarray, root: np.ndarray) -> np.ndarray:
        """Forward kinematics.

        Args:
            rotations: Global rotations relative to the rest pose, shape (T, J, 3, 3).
            root: Root positions [m], shape (T, 3).

        Returns:
            Joint positions [m], shape (T, J, 3).
        """
        positions = np.empty((len(root), len(self.names), 3))
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                positions[:, joint] = root
            else:
                offset = self.rest[joint] - self.rest[parent]
                positions[:, joint] = positions[:, parent] + rotations[:, parent] @ offset
        return positions


@dataclass(frozen=True)
class JointMap:
    """Correspondence of a skeleton's joints to SMPL's, by name.

    Attributes:
        rotations: SMPL joint -> the source joint whose rotation it takes, or ``(a, b, weight)`` for the rotation
            ``weight`` of the way from a's to b's (a spine of one joint is spread over SMPL's three). An absent SMPL
            joint moves rigidly with its parent.
        points: SMPL joint -> the source joint at the same anatomical place. They define limb directions.
        hinges: SMPL elbow or knee -> unit axis of its flexion in the source's rest pose, body axes, shape (3,).
        starts: SMPL joint -> rotation of its part from the T-pose to the source's rest pose, shape (3, 3), before its
            limb is aligned with the source's. By default, trunk, head and feet start as in the T-pose, and arms, hands,
            thighs and shins follow the part above them.
    """

    rotations: Mapping[str, str | tuple[str, str, float]]
    points: Mapping[str, str]
    hinges: dict[str, np.ndarray] = field(default_factory=dict)
    starts: dict[str, np.ndarray] = field(default_factory=dict)

    def joints(self) -> set[str]:
        """Every source joint that the map names."""
        driving = {
            name for value in self.rotations.values() for name in ([value] if isinstance(value, str) else value[:2])
        }
        return driving | set(self.points.values())


@dataclass(frozen=True)
class SkeletonMotion:
    """A skeleton's motion.

    Attributes:
        skeleton: The joints at rest.
        rotations: Global rotations relative to the rest pose, shape (T, J, 3, 3).
        positions: Joint positions, body axes (y up), origin as captured [m], shape (T, J, 3).
        fps: Frames per second.
        joint_map: How the skeleton corresponds to SMPL's.
        name: Clip name.
        subject: The captured person.
    """

    skeleton: Skeleton
    rotations: np.ndarray
    positions: np.ndarray
    fps: float
    joint_map: JointMap
    name: str = ""
    subject: str = ""

    def __len__(self) -> int:
        return len(self.rotations)

    def point(self, smpl_joint: str) -> np.ndarray:
        """Position over time of the source joint that stands for an SMPL joint, shape (T, 3)."""
        return self.positions[:, self.skeleton.index(self.joint_map.points[smpl_joint])]

    def rest_point(self, smpl_joint: str) -> np.ndarray:
        """The same in the rest pose, shape (3,)."""
        return self.skeleton.rest[self.skeleton.index(self.joint_map.points[smpl_joint])]

    def rotation(self, smpl_joint: str) -> Rotation:
        """Global rotation over time (T of them) that drives an SMPL joint; see :class:`JointMap`."""
        driver = self.joint_map.rotations[smpl_joint]
        if isinstance(driver, str):
            return Rotation.from_matrix(self.rotations[:, self.skeleton.index(driver)])
        first, second, weight = driver
        start = Rotation.from_matrix(self.rotations[:, self.skeleton.index(first)])
        end = Rotation.from_matrix(self.rotations[:, self.skeleton.index(second)])
        return start * Rotation.from_rotvec(weight * (start.inv() * end).as_rotvec())
