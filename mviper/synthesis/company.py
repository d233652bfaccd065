"""Several people in one scene: each is posed and dressed alone, then placed so that they never touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.motion.sources import Clip
from mviper.structures import MeshSequence
from mviper.synthesis.performance import Simulation

#: Number of directions in which a person's reach over the floor is measured; even.
_DIRECTIONS = 64
#: Step by which a person moves away until nobody is too close [m].
_STEP = 0.05
#: Places drawn for each person, of which one is taken.
_PLACES_TRIED = 4


@dataclass(frozen=True)
class Placement:
    """A place in the scene: a rotation about the world's vertical axis, then a shift on the floor.

    Attributes:
        turn: Counter-clockwise seen from above [rad].
        shift: East and north [m].
    """

    turn: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def rotation(self) -> np.ndarray:
        """Shape (3, 3)."""
        return Rotation.from_euler("z", self.turn).as_matrix()

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Moves points in the world [m], shape (..., 3)."""
        return points @ self.rotation.T + [*self.shift, 0.0]


@dataclass(frozen=True)
class Person:
    """Somebody in a scene.

    Attributes:
        name: In the names of files: "p0", "p1", ...; "" for the only one.
        clip: The motion.
        simulation: The dressed person at its place.
        placement: How it got there.
    """

    name: str
    clip: Clip
    simulation: Simulation
    placement: Placement = Placement()


def footprint(meshes: Sequence[MeshSequence], placement: Placement = Placement()) -> np.ndarray:
    """How far a person reaches over the floor: the support function of its outline seen from above.

    Args:
        meshes: Its meshes, all of T frames.
        placement: Its place.

    Returns:
        In each frame the largest coordinate along each of K horizontal directions [m], shape (T, K).
    """
    half = _axes()[: _DIRECTIONS // 2]
    reach = np.full((len(meshes[0]), _DIRECTIONS), -np.inf)
    for mesh in meshes:
        for frame, vertices in enumerate(mesh.vertices):
            along = placement.apply(vertices)[:, :2] @ half.T
            reach[frame] = np.maximum(reach[frame], np.concatenate([along.max(0), -along.min(0)]))
    return reach


def clearance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Least distance between two people's outlines in each frame [m], shape (T,).

    A lower bound: the width of the widest gap between them that is perpendicular to one of the directions; negative
    if there is none.

    Args:
        first: From :func:`footprint`, shape (T, K).
        second: Likewise.
    """
    return (-first - np.roll(second, _DIRECTIONS // 2, axis=1)).max(1)


def place_people(
    people: Sequence[Sequence[MeshSequence]], middles: Sequence[np.ndarray], rng: np.random.Generator, gap: float,
    room: float,
) -> list[Placement]:  # fmt: skip
    """Draws a place for each person.

    The first stays where it is. Each other one is turned at random and, at a random moment, stands beside somebody
    placed before, in a random direction and as near as ``gap`` allows over all frames, plus a random part of ``room``;
    of a few such places the one is taken that keeps the group closest together. So people pass close by each other, and
    hide each other from some cameras.

    Args:
        people: The meshes of each person, all of T frames.
        middles: Middle of each person in each frame, shape (T, 2) or (T, 3) [m].
        rng: Random numbers.
        gap: Least distance between two people's outlines seen from above, in every frame [m].
        room: Largest additional distance [m].
    """
    placements = [Placement()]
    reaches, tracks = [footprint(people[0])], [np.asarray(middles[0], float)[:, :2]]
    for meshes, middle in zip(people[1:], middles[1:]):
        turned = Placement(float(rng.uniform(0, 2 * np.pi)))
        track = np.asarray(middle, float)[:, :2] @ turned.rotation[:2, :2].T
        reach = footprint(meshes, turned)

        def is_free(shift: np.ndarray, reach=reach) -> bool:
            moved = reach + _axes() @ shift
            return all(clearance(moved, other).min() >= gap for other in reaches)

        shifts = []
        for _ in range(_PLACES_TRIED):
            bearing, frame = rng.uniform(0, 2 * np.pi), int(rng.integers(len(track)))
            start = tracks[int(rng.integers(len(tracks)))][frame] - track[frame]
            away, distance = np.array([np.cos(bearing), np.sin(bearing)]), 0.0
            for more in (0.0, rng.uniform(0, room)):  # nearest; then, with some room, nearest from there
                distance += more
                while not is_free(start + distance * away):
                    distance += _STEP
            shifts.append(start + distance * away)
        shift = min(shifts, key=lambda shift: _spread([*tracks, track + shift]))
        placements.append(Placement(turned.turn, (float(shift[0]), float(shift[1]))))
        reaches.append(reach + _axes() @ shift)
        tracks.append(track + shift)
    return placements


def shorten(simulation: Simulation, frames: int) -> Simulation:
    """The first frames of a simulation."""
    if len(simulation.motion) == frames:
        return simulation
    return replace(
        simulation,
        motion=simulation.motion[:frames],
        body=replace(simulation.body, vertices=simulation.body.vertices[:frames]),
        keypoints=simulation.keypoints[:frames],
        cloth=[replace(mesh, vertices=mesh.vertices[:frames]) for mesh in simulation.cloth],
    )


def move(simulation: Simulation, placement: Placement, pelvis: np.ndarray) -> Simulation:
    """Moves a dressed person to its place.

    Args:
        simulation: The person.
        placement: Its place.
        pelvis: The body's J0(beta), about which SMPL rotates, SMPL's axes [m], shape (3,).
    """
    if placement == Placement():
        return simulation

    def moved(mesh: MeshSequence) -> MeshSequence:
        vertices = np.stack([placement.apply(points).astype(mesh.vertices.dtype) for points in mesh.vertices])
        return replace(mesh, vertices=vertices)

    motion, poses = simulation.motion, simulation.motion.poses.copy()
    turn = Rotation.from_matrix(placement.rotation)
    poses[:, 0] = (turn * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
    return replace(
        simulation,
        motion=replace(motion, poses=poses, transl=placement.apply(pelvis + motion.transl) - pelvis),
        body=moved(simulation.body),
        keypoints=placement.apply(simulation.keypoints),
        cloth=[moved(mesh) for mesh in simulation.cloth],
    )


def _spread(tracks: Sequence[np.ndarray]) -> float:
    """Largest distance of anybody from the middle of the group [m]; tracks (T, 2)."""
    everybody = np.stack(tracks)
    return float(np.linalg.norm(everybody - everybody.mean((0, 1)), axis=-1).max())


def _axes() -> np.ndarray:
    """Evenly spaced horizontal unit vectors, the second half opposite to the first, shape (K, 2)."""
    angles = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    return np.stack([np.cos(angles), np.sin(angles)], -1)
