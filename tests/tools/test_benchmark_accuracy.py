"""The accuracy benchmark's figures, on a recovery that equals the truth, and on one with known errors."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from mviper.body import SMPL, axis_angle_to_matrix
from mviper.inference import (
    Background,
    Observation,
    RecoveredPerson,
    RecoveryResult,
    Track,
    measure_motion,
    open_frames,
)
from mviper.inference.gravity import Gravity
from mviper.inference.optics import Optics

COUNT = 12


@pytest.fixture
def accuracy(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "tools"))
    from benchmarks import accuracy

    return accuracy


@pytest.fixture
def case(accuracy, tmp_path):
    """A person who steps sideways in front of a level camera 1 m above the floor: truth and recovery."""
    for number in range(COUNT):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((64, 64, 3), np.uint8))
    body, pose = SMPL(), torch.zeros(COUNT, 24, 3)
    pose[:, 16, 2] = torch.linspace(-1, 0, COUNT)
    rotmat = axis_angle_to_matrix(pose)
    rotmat[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    transl = torch.tensor([0.0, 0.0, 4.0]).repeat(COUNT, 1)
    transl[4:, 0] += 0.2 * torch.arange(COUNT - 4) ** 1.5
    joints = body(torch.zeros(COUNT, 10), rotmat, transl).joints.numpy().astype(float)
    lowest = joints[..., 1].max()
    times, nothing = np.arange(COUNT) / 15, np.full((COUNT, 33, 3), np.nan, np.float32)
    gravity = Gravity(np.array([0.0, -1.0, 0.0]), 0.0, {})
    person = RecoveredPerson(
        1, 0, times, rotmat.numpy(), np.zeros(10), transl.numpy(), np.ones((COUNT, 3)), nothing, gravity=gravity,
        ground=-lowest,
    )  # fmt: skip
    result = RecoveryResult(open_frames(tmp_path), times, 15.0, Optics(100.0, 0.0, "given"), [person], body)
    world = np.stack([joints[..., 0], joints[..., 2], lowest - joints[..., 1]], -1)
    truth = accuracy.Truth(joints, world, np.tile([0.0, -1.0, 0.0], (COUNT, 1)), np.zeros(10), 15.0)
    return result, truth


def test_the_truth_is_without_error(accuracy, case):
    figures = accuracy.judge(*case)
    assert figures["acceleration"] == pytest.approx(1, abs=1e-3) and figures.pop("resting") > 10
    assert figures.pop("still [mm]") > 300 < 2 * figures.pop("still, sim. [mm]")
    assert all(value < 0.5 for name, value in figures.items() if name != "acceleration"), figures


def test_errors_are_measured(accuracy, case):
    result, truth = case
    (person,) = result.people
    tilted = Gravity(np.array([np.sin(0.1), -np.cos(0.1), 0.0]), 0.0, {})
    sliding = person.transl + np.linspace(0, 0.11, COUNT)[:, None] * [1, 0, 0]
    people = [replace(person, gravity=tilted, transl=sliding, betas=np.eye(10)[1] * 2)]
    figures = accuracy.judge(replace(result, people=people), truth)
    assert figures["up [deg]"] == pytest.approx(np.degrees(0.1), abs=0.1)
    assert figures["lean [deg]"] == pytest.approx(np.degrees(0.1), abs=0.5)
    assert figures["slide [mm]"] == pytest.approx(10, abs=2) and figures["girths [%]"] > 1


def test_slide_is_averaged_over_videos_and_over_points(accuracy):
    figures = dict.fromkeys((*accuracy.COLUMNS, "resting"), 1.0)
    some = [{**figures, "slide [mm]": 2.0, "resting": 99.0}, {**figures, "slide [mm]": 12.0}]
    nothing_rests = {**figures, "slide [mm]": float("nan"), "resting": 0.0}
    summary = accuracy._summary([*some, nothing_rests])
    assert summary["slide_mm"] == pytest.approx(7) and summary["slide_of_all_points_mm"] == pytest.approx(2.1)


def test_parts_left_out_of_an_observation_are_gone(accuracy, tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((64, 64, 3), np.uint8))
    nothing = np.full((3, 33, 3), np.nan, np.float32)
    track = Track(1, 0, nothing, nothing, masks={0: (np.zeros((4, 4)), np.zeros(3))})
    seen = Observation(open_frames(tmp_path), [0.0, 0.1, 0.2], [track], [], Background(), {})
    ways = accuracy._ways(None, True)
    assert list(ways)[:3] == ["network + fit", "fit", "network"] and ways["fit"][0].model is None
    assert not ways["without masks"][1](seen).tracks[0].masks and track.masks
    background = ways["without the camera's rotation"][1](seen).background
    assert (measure_motion(background, [], 64, 64, 64.0).rotation == np.eye(3)).all()
    assert not ways["without contacts"][0].contacts and not ways["without augmentation"][0].views
    assert {"kick", "cartwheel"} < set(accuracy._hard())
