"""Flips of single joints: inserted into real captures, and occurring in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.motion import BVHMotion, CMUMotion, DeepMimicMotion
from mviper.motion.flips import remove_flips


@pytest.fixture(scope="module")
def walk(acclaim):
    """A walk on CMU's bones, 120 Hz."""
    source = CMUMotion(acclaim)
    return source.read(next(source.clips()))


def flipped(captured, joint, frames, degrees, axis, carried=True):
    """The capture with one joint rotated in its own axes; its children follow if ``carried``."""
    skeleton = captured.skeleton
    turned, moving = skeleton.index(joint), {skeleton.index(joint)}
    for child, parent in enumerate(skeleton.parents):
        if carried and parent in moving:
            moving.add(child)
    rotations, positions = captured.rotations.copy(), captured.positions.copy()
    axis = np.array(axis) / np.linalg.norm(axis)
    turn = Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix()
    old = rotations[frames, turned].copy()
    globally = old @ turn @ old.transpose(0, 2, 1)
    pivot = positions[frames, turned]
    for part in moving:
        rotations[frames, part] = globally @ rotations[frames, part]
        positions[frames, part] = pivot + np.einsum("tij,tj->ti", globally, positions[frames, part] - pivot)
    return replace(captured, rotations=rotations, positions=positions)


def degrees_apart(first, second, joint):
    index = first.skeleton.index(joint)
    turns = first.rotations[:, index].transpose(0, 2, 1) @ second.rotations[:, index]
    return np.degrees(Rotation.from_matrix(turns).magnitude())


@pytest.mark.parametrize(
    ("joint", "frames", "degrees", "axis"),
    [
        ("lwrist", slice(100, 101), 180, [1, 0.1, 0]),  # one frame: bridged
        ("rwrist", slice(100, 220), 175, [1, 0, 0.2]),  # a second: its motion is kept
        ("rfoot", slice(40, 200), 160, [1, 0.2, 0]),
        ("lfemur", slice(150, 190), 170, [0, 0.3, 1]),  # the whole leg goes along
        ("head", slice(60, 300), 150, [0, 1, 0]),  # more than half of the clip
    ],
)
def test_a_flip_is_taken_back(walk, joint, frames, degrees, axis):
    broken = flipped(walk, joint, frames, degrees, axis)
    assert degrees_apart(walk, broken, joint).max() > 0.9 * degrees
    repaired, found = remove_flips(broken)
    assert {walk.skeleton.names[flip.joint] for flip in found} == {joint}
    assert found[0].before <= frames.start - 1 and found[0].after >= frames.stop
    for name in walk.skeleton.names:
        assert degrees_apart(walk, repaired, name).max() < 8, name
    assert np.linalg.norm(repaired.positions - walk.positions, axis=-1).max() < 0.05


def test_joints_that_did_not_flip_stay(walk):
    """A pelvis that is mislabelled for two frames rotates alone; thighs and spine stay in place."""
    broken = flipped(walk, "root", slice(100, 103), 150, [0, 1, 0.2], carried=False)
    repaired, found = remove_flips(broken)
    assert walk.skeleton.names[found[0].joint] == "root"
    for name in walk.skeleton.names:
        assert degrees_apart(walk, repaired, name).max() < 5, name


@pytest.mark.parametrize("rate", [30, 60])
def test_thinned_captures_are_repaired_too(walk, rate):
    """At 30 Hz, with an intermediate frame at either end and one that has nearly settled, as after filtering.

    The flip ends where the foot rests: in mid-swing, at 14 degrees per frame, settling cannot be distinguished from
    motion, and the clip is left to the quality check.
    """
    thin = replace(
        walk, rotations=walk.rotations[:: 120 // rate], positions=walk.positions[:: 120 // rate], fps=float(rate)
    )
    broken = flipped(thin, "lfoot", slice(20, 50), 165, [1, 0.1, 0.1])
    for edge in (20, 49):
        half = flipped(thin, "lfoot", slice(edge, edge + 1), 82, [1, 0.1, 0.1])
        broken.rotations[edge], broken.positions[edge] = half.rotations[edge], half.positions[edge]
    if rate == 30:
        nearly = flipped(thin, "lfoot", slice(50, 51), 20, [1, 0.1, 0.1])
        broken.rotations[50], broken.positions[50] = nearly.rotations[50], nearly.positions[50]
    repaired, found = remove_flips(broken)
    assert len(found) == 1
    assert degrees_apart(thin, repaired, "lfoot").max() < 12


def test_a_jump_that_does_not_come_back_is_left(walk):
    """It is undecidable which side is right."""
    once = flipped(walk, "rwrist", slice(200, len(walk)), 175, [1, 0, 0.2])
    repaired, found = remove_flips(once)
    assert repaired is once and found == []


def test_bodies_that_spin_are_left(walk):
    """Four turns a second: a dancer's pelvis turns by 48 degrees between two frames at 30 Hz."""
    frames = 40
    turn = Rotation.from_rotvec(np.radians(48.0 * np.arange(frames))[:, None] * [0, 1.0, 0]).as_matrix()
    rotations = np.einsum("tij,kjl->tkil", turn, walk.rotations[0])
    positions = np.einsum("tij,kj->tki", turn, walk.positions[0])
    spinning = replace(walk, rotations=rotations, positions=positions, fps=30.0)
    assert remove_flips(spinning)[1] == []


@pytest.mark.parametrize("name", ["spinkick", "run", "cartwheel", "backflip", "jump"])
def test_genuine_motions_are_unchanged(name):
    motions = DeepMimicMotion(names=name)
    captured = motions.read(next(motions.clips()))
    assert remove_flips(captured)[0] is captured


@pytest.mark.parametrize("name", ["09_06", "49_18"])
def test_cmus_motions_are_unchanged(name, shared_data):
    motions = CMUMotion(shared_data / "mocap/asf_amc", names=name)
    captured = motions.read(next(motions.clips()))
    assert remove_flips(captured)[0] is captured


@pytest.mark.parametrize(
    ("name", "flips"),
    [
        ("salsa_01", {("rFoot", 199, 227), ("lFoot", 177, 208)}),
        ("salsa_02", {("lFoot", 324, 344)}),
        ("salsa_09", {("hip", 95, 98)}),
        ("salsa_14", {("rHand", 91, 141)}),
        ("indian_07", {("rThigh", 205, 210), ("lThigh", 205, 212)}),
    ],
)
def test_flips_of_real_captures(name, flips, shared_data):
    """Found by eye in the raw rotations; a popping thigh is a mirrored folded leg: its foot does not move."""
    source = BVHMotion(shared_data / "mocap/cmu_dance", names=name)
    captured = source.read(next(source.clips()))
    repaired, found = remove_flips(captured)
    assert flips <= {(captured.skeleton.names[flip.joint], flip.before, flip.after) for flip in found}
    names = [joint for joint, _, _ in flips]
    for joint, before, after in flips:
        index = captured.skeleton.index(joint)
        turns = [
            np.degrees(Rotation.from_matrix(r[before:after].transpose(0, 2, 1) @ r[before + 1 : after + 1]).magnitude())
            for r in (one.rotations[:, index] for one in (captured, repaired))
        ]
        assert turns[0].max() > 100 > 60 > turns[1].max(), names
    ankle = captured.skeleton.index("lFoot"), captured.skeleton.index("rFoot")
    if name == "indian_07":
        assert np.linalg.norm(np.diff(repaired.positions[200:215, ankle], axis=0), axis=-1).max() < 0.25
