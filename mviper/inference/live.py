"""Live recovery: each frame is processed once, using only earlier frames.

The detector's boxes are smoothed by a One-Euro filter, and the network's state is carried from frame to frame. A
network that reads landmarks gets the detector's. Lost people are forgotten, so memory does not grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from mviper.body import to_keypoints
from mviper.datasets import crop_frame, crop_squares
from mviper.datasets.transforms import CropClip
from mviper.inference.bodies import network_bodies
from mviper.inference.frames import Frame
from mviper.inference.network import ClipRunner, landmarks_as_clip, reads_landmarks
from mviper.inference.optics import optics_of
from mviper.inference.people import PeopleTracker, Pose
from mviper.inference.smoothing import OneEuroFilter
from mviper.models.estimators import ClipNetwork
from mviper.models.fitting import Projection
from mviper.sample import EncodedClip


class LivePerson(NamedTuple):
    """One person in one live frame.

    Attributes:
        number: Track number.
        pose: The detected pose.
        box: Centre x, centre y, side of the crop [px], shape (3,).
        rotmat: Shape (24, 3, 3), the root's in camera axes.
        betas: Shape (10,).
        transl: Camera axes [m], shape (3,).
    """

    number: int
    pose: Pose
    box: np.ndarray
    rotmat: np.ndarray
    betas: np.ndarray
    transl: np.ndarray


def recover_live(
    frames: Iterable[Frame],
    model: ClipNetwork,
    crop: CropClip,
    *,
    fps: float = 30.0,
    max_people: int = 4,
    focal: float | None = None,
    confidence: float = 0.5,
) -> Iterator[tuple[Frame, list[LivePerson]]]:
    """Recovers people from live frames.

    Args:
        frames: E.g. :func:`mviper.inference.camera_frames`.
        model: The network.
        crop: How the network's crops are cut.
        fps: Approximate frames per second.
        max_people: Maximum number of people at once.
        focal: The camera's focal length [px]; None guesses it.
        confidence: Detection threshold, 0 to 1.

    Yields:
        Each frame with the people in it.
    """
    tracker = PeopleTracker(fps, max_people, confidence=confidence, live=True)
    runner, filters = ClipRunner(model), {}
    try:
        for frame in frames:
            seen = tracker.step(frame)
            for number in filters.keys() - tracker.alive:
                del filters[number]
                runner.forget(number)
            squares = {number: _smooth_square(frame, pose, filters, number, crop) for number, pose in seen.items()}
            phi = runner({number: _clip(model, frame, seen[number], *squares[number], crop) for number in squares})
            height, width = frame.image.shape[:2]
            projection = Projection.of_picture(1, width, height, focal or optics_of({}, width, height).focal)
            people = []
            for number in phi:
                box, turn = squares[number]
                bodies = network_bodies(model, phi[number], box[None], projection, np.array([turn]))
                rotmat, transl, betas = (values[0].numpy() for values in bodies)
                people.append(LivePerson(number, seen[number], box, rotmat, betas, transl))
            yield frame, people
    finally:
        tracker.finish()


def _clip(
    model: ClipNetwork, frame: Frame, pose: Pose, box: np.ndarray, turn: float, crop: CropClip
) -> torch.Tensor | EncodedClip:
    """One person in one frame, as the network's input."""
    if reads_landmarks(model):
        return landmarks_as_clip(model, pose.points[None], box[None], np.array([turn]))
    return torch.from_numpy(crop_frame(frame.image, box, crop.size, turn)).permute(2, 0, 1)[None]


def _smooth_square(
    frame: Frame, pose: Pose, filters: dict[int, OneEuroFilter], number: int, crop: CropClip
) -> tuple[np.ndarray, float]:
    """Smooths a box (3,) [px] and rotation [rad]; the angle is smoothed as a point on a circle of the box's size."""
    low_pass = filters.setdefault(number, OneEuroFilter(min_cutoff=1.0, beta=0.02))
    boxes, turns = crop_squares(to_keypoints(pose.points[None]), None, crop.scale, crop.alignment)
    arm = boxes[0, 2] * np.array([np.cos(turns[0]), np.sin(turns[0])])
    x, y, side, along, across = low_pass(frame.time, np.concatenate([boxes[0], arm]))
    return np.array([x, y, side]), float(np.arctan2(across, along))
