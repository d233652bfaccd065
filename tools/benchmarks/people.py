"""How real generated people look to networks trained on real ones: MediaPipe's face and pose detectors."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks import Result
from mviper.body import LANDMARKS
from mviper.datasets import find_sequences
from mviper.errors import MissingDataError
from mviper.evaluation import pa_joint_error
from mviper.extras import import_extra, quiet
from mviper.graphics import read_video
from mviper.inference import PoseDetector
from mviper.structures import KEYPOINTS, HumanData

#: Number of frames measured, spread evenly over a data set's views.
FRAMES = 240
#: Widest angle between the face and the camera [degrees].
_FRONTAL = 60.0
#: Side of the head's crop, in distances between the eyes' middle and the top of the head.
_CROP = 8.0
#: Joints compared with the pose detector's landmarks.
_JOINTS = tuple(
    f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
_COLUMNS = ("data", "frames", "facing", "face found [%]", "in the head's crop [%]", "person found [%]",
            "2D error [% of the box]", "PA error [mm]")  # fmt: skip


def measure(arguments: argparse.Namespace) -> Result:
    """Measures each data set in ``--data``; targets apply to the last one."""
    if not arguments.data:
        raise MissingDataError("name generated data sets, the older first: --data OLD NEW")
    mediapipe = import_extra("mediapipe")
    with quiet(2):
        faces = mediapipe.solutions.face_detection.FaceDetection(model_selection=1)
    poses = PoseDetector(max_people=1, follow=False)
    rows: list[tuple[str, ...]] = [_COLUMNS]
    figures: dict[str, float] = {}
    for folder in arguments.data:
        found = [_judge(image, annotation, faces, poses) for image, annotation in _frames(folder)]
        table = {name: np.array([one[name] for one in found if name in one]) for name in _FIGURES}
        means = {name: float(values.mean()) if len(values) else float("nan") for name, values in table.items()}
        rows.append(
            (str(folder), str(len(found)), str(len(table["face"])), *(f"{means[name]:.1f}" for name in _FIGURES))
        )
        figures |= {f"{name}{'' if folder == arguments.data[-1] else '_' + folder.name}": means[name] for name in means}
        print("  ".join(rows[-1]), flush=True)
    return rows, figures, {"face": [">=", 85.0]}


_FIGURES = ("face", "cropped", "person", "error_2d", "error_pa")


def _frames(folder: Path) -> list[tuple[np.ndarray, HumanData]]:
    """Pictures and their annotation, spread over all views of one person."""
    alone = [sequence.folder for sequence in find_sequences(folder) if len(sequence.people) == 1]
    videos = [video for place in alone for video in sorted(place.glob("*.mp4"))]
    if not videos:
        raise MissingDataError(f"{folder}: no sequence of one person")
    each, chosen = max(1, FRAMES // len(videos)), []
    for video in videos[:: max(1, len(videos) // FRAMES)]:
        annotation = HumanData.load(video.with_suffix(".npz"))
        pictures = read_video(video)
        for frame in np.unique(np.linspace(0, len(pictures) - 1, each + 2)[1:-1].astype(int)):
            chosen.append((pictures[frame].copy(), annotation.take(np.array([frame]))))
    return chosen


def _judge(image: np.ndarray, annotation: HumanData, faces: object, poses: PoseDetector) -> dict[str, float]:
    """Whether the detectors find the person [%], and the pose's errors."""
    points, space = annotation.keypoints2d[0, :, :2], annotation.keypoints3d[0, :, :3]

    def at(values: np.ndarray, *names: str) -> np.ndarray:
        return values[[KEYPOINTS.index(name) for name in names]].mean(0)

    result = {}
    eyes, ears = at(space, "left_eye", "right_eye"), at(space, "left_ear", "right_ear")
    forward = eyes - ears
    angle = np.degrees(np.arccos(-(forward @ eyes) / np.linalg.norm(forward) / np.linalg.norm(eyes)))
    inside = (at(points, "headtop") >= 0).all() and (at(points, "headtop") < image.shape[1::-1]).all()
    if angle < _FRONTAL and inside and annotation.visibility[0, KEYPOINTS.index("nose")]:
        middle = at(points, "left_eye", "right_eye", "nose")
        side = _CROP * np.linalg.norm(at(points, "headtop") - at(points, "left_eye", "right_eye"))
        left, top = np.maximum(middle - side / 2, 0).astype(int)
        crop = image[top : int(middle[1] + side / 2) + 1, left : int(middle[0] + side / 2) + 1]
        result["face"] = 100.0 * _has_face(image, middle, faces)
        result["cropped"] = 100.0 * _has_face(crop, middle - [left, top], faces)
    found = poses(image)
    result["person"] = 100.0 * bool(found)
    if found:
        names = [KEYPOINTS.index(name) for name in _JOINTS]
        chosen = [LANDMARKS.index(name) for name in _JOINTS]
        seen, world = found[0].points[chosen, :2], torch.as_tensor(found[0].world[chosen])
        result["error_2d"] = 100 * float(
            np.linalg.norm(seen - points[names], axis=1).mean() / annotation.bbox_xywh[0, 2:4].max()
        )
        result["error_pa"] = 1000 * float(pa_joint_error(world[None], torch.as_tensor(space[names])[None]).mean())
    return result


def _has_face(image: np.ndarray, place: np.ndarray, faces: object) -> bool:
    """Whether the detector finds a face at a place [px]."""
    found = faces.process(np.ascontiguousarray(image)).detections or []
    for one in found:
        box = one.location_data.relative_bounding_box
        corner = np.array([box.xmin, box.ymin]) * image.shape[1::-1]
        size = np.array([box.width, box.height]) * image.shape[1::-1]
        if (place >= corner - 0.1 * size).all() and (place <= corner + 1.1 * size).all():
            return True
    return False
