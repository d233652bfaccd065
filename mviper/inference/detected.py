"""2D joints that a detector finds in a clip's crops, for methods that fit them: SMPLify as the paper ran it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from mviper.errors import ConfigError
from mviper.files import atomic_path, load_npz
from mviper.inference.landmarks import to_keypoints
from mviper.inference.people import PoseDetector
from mviper.registry import TRANSFORMS
from mviper.structures import KEYPOINTS


@TRANSFORMS.register_module()
class DetectKeypoints:
    """Adds ``detected_keypoints2d`` (T, J, 3), what MediaPipe sees in the crops; stands AFTER ``CropClip``.

    x and y are in crop units, the third is the detector's confidence: 0 for joints that it does not have, and for all
    joints of a frame in which it finds nobody. Each picture is looked at by itself. A config that uses this names
    ``custom_imports = dict(imports=["mviper.inference.detected"])``.

    Args:
        cache: Folder in which the joints of each clip are kept, found again by the crops' pixels; None: detected each
            time. It takes what other crops or sizes give beside it.
        confidence: How sure the detector must be of a person, 0 to 1.
    """

    def __init__(self, cache: str | Path | None = None, confidence: float = 0.5) -> None:
        self.cache = None if cache is None else Path(cache).expanduser()
        self.confidence = confidence
        self._detector: PoseDetector | None = None

    def __call__(self, results: dict) -> dict:
        """Looks at the crops, or for what was found in them before.

        Raises:
            ConfigError: There are no crops yet.
            MissingDependencyError: MediaPipe is not installed.
        """
        if "crop" not in results:
            raise ConfigError("DetectKeypoints must stand after CropClip in the pipeline: it looks at the crops")
        frames = results["frames"]
        path = None
        if self.cache is not None:
            key = hashlib.sha256(f"{frames.shape} {self.confidence}".encode() + frames.tobytes()).hexdigest()
            path = self.cache / key[:2] / f"{key}.npz"
        if path is not None and path.is_file():
            found = load_npz(path)["keypoints2d"]
        else:
            found = self._detect(frames)
            if path is not None:
                with atomic_path(path) as temporary, temporary.open("wb") as file:
                    np.savez_compressed(file, keypoints2d=found)
        results["detected_keypoints2d"] = found
        return results

    def _detect(self, frames: np.ndarray) -> np.ndarray:
        if self._detector is None:
            self._detector = PoseDetector(1, follow=False, confidence=self.confidence)
        found = np.zeros((len(frames), len(KEYPOINTS), 3), np.float32)
        last: np.ndarray | None = None
        for number, frame in enumerate(frames):
            if last is not None and np.array_equal(frame, last):  # a still repeated to a clip
                found[number] = found[number - 1]
                continue
            last = frame
            people = self._detector(np.ascontiguousarray(frame))
            if people:
                keypoints = to_keypoints(people[0].points)
                keypoints[KEYPOINTS.index("headtop"), 2] = 0  # a guess, good enough for a box
                keypoints[..., :2] = (2 * keypoints[..., :2] + 1) / frame.shape[0] - 1
                found[number] = np.where(keypoints[..., 2:] > 0, keypoints, 0)
        return found
