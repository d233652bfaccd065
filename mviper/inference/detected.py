"""2D joints detected in a clip's crops, for methods that fit to them: SMPLify as the paper ran it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from mviper.body import to_keypoints
from mviper.errors import ConfigError
from mviper.files import atomic_path, load_npz
from mviper.inference.people import PoseDetector
from mviper.registry import TRANSFORMS
from mviper.structures import KEYPOINTS


@TRANSFORMS.register_module()
class DetectKeypoints:
    """Adds ``detected_keypoints2d`` (T, J, 3), MediaPipe's keypoints in the crops; comes AFTER ``CropClip``.

    x and y are in crop units, the third value is the detector's confidence: 0 for joints that it does not provide, and
    for all joints of a frame without a detection. Each frame is processed independently. A config that uses this needs
    ``custom_imports = dict(imports=["mviper.inference.detected"])``.

    Args:
        cache: Folder that caches each clip's joints, keyed by the crops' pixels; None: no cache. Different crops or
            sizes can share a folder.
        confidence: How sure the detector must be of a person, 0 to 1.
    """

    def __init__(self, cache: str | Path | None = None, confidence: float = 0.5) -> None:
        self.cache = None if cache is None else Path(cache).expanduser()
        self.confidence = confidence
        self._detector: PoseDetector | None = None

    def __call__(self, results: dict) -> dict:
        """Detects joints in the crops, or reads them from the cache.

        Raises:
            ConfigError: The clip has not been cropped.
            MissingDependencyError: MediaPipe is not installed.
        """
        if "crop" not in results:
            raise ConfigError("DetectKeypoints must come after CropClip in the pipeline")
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
            if last is not None and np.array_equal(frame, last):  # a still image repeated as a clip
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
