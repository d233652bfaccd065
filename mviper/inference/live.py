"""People recovered live, each frame once, from what came before it.

Boxes follow the detector through a One-Euro filter, the network's memory is carried from frame to frame. People who are
gone are forgotten: memory does not grow with time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from mviper.datasets.crop import crop_frame, square_boxes
from mviper.inference.bodies import network_bodies
from mviper.inference.frames import Frame
from mviper.inference.landmarks import to_keypoints
from mviper.inference.network import ClipRunner
from mviper.inference.people import PeopleTracker, Pose
from mviper.inference.smoothing import OneEuroFilter
from mviper.models.estimators import Walker
from mviper.models.fitting import Projection


class LivePerson(NamedTuple):
    """One person in one frame of a live video.

    Attributes:
        number: The track's.
        pose: What the detector saw.
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
    model: Walker,
    image_size: int,
    *,
    fps: float = 30.0,
    max_people: int = 4,
    focal: float | None = None,
    confidence: float = 0.5,
) -> Iterator[tuple[Frame, list[LivePerson]]]:
    """Recovers people from frames as they come.

    Args:
        frames: E.g. :func:`mviper.inference.camera_frames`.
        model: The network.
        image_size: Side of the crops that it takes [px].
        fps: About how many frames come in a second.
        max_people: How many people at once at most.
        focal: The camera's focal length [px]; None guesses it.
        confidence: How sure the detector must be of a person, 0 to 1.

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
            boxes = {number: _smooth_box(frame, pose, filters, number) for number, pose in seen.items()}
            crops = {number: crop_frame(frame.image, box, image_size) for number, box in boxes.items()}
            phi = runner({number: torch.from_numpy(crop).permute(2, 0, 1)[None] for number, crop in crops.items()})
            height, width = frame.image.shape[:2]
            projection = Projection.of_picture(1, width, height, focal)
            people = []
            for number in phi:
                bodies = network_bodies(model, phi[number], boxes[number][None], projection)
                rotmat, transl, betas = (values[0].numpy() for values in bodies)
                people.append(LivePerson(number, seen[number], boxes[number], rotmat, betas, transl))
            yield frame, people
    finally:
        tracker.finish()


def _smooth_box(frame: Frame, pose: Pose, filters: dict[int, OneEuroFilter], number: int) -> np.ndarray:
    low_pass = filters.setdefault(number, OneEuroFilter(min_cutoff=1.0, beta=0.02))
    return low_pass(frame.time, square_boxes(to_keypoints(pose.points[None]))[0])
