"""People from another program's file, in real images: boxes, keypoints, masks, tracks; invalid files."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("mediapipe")

from mviper.body import LANDMARKS
from mviper.errors import ConfigError, FileFormatError
from mviper.inference import MeshRecoverer
from mviper.inference.frames import Frame
from mviper.inference.given import Detections, track_given
from mviper.inference.people import PoseDetector, Track
from mviper.structures import KEYPOINTS

NAMES = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip
PLACES = [LANDMARKS.index(name) for name in NAMES]


@pytest.fixture(scope="module")
def seen(dancer) -> tuple[np.ndarray, np.ndarray]:
    """MediaPipe's results for four frames: landmarks (4, 33, 3) and boxes (4, 4) as left, top, right, bottom."""
    detector = PoseDetector(1)
    points = np.stack([detector(image)[0].points for image in dancer[:4]])
    detector.close()
    return points, np.concatenate([points[..., :2].min(1), points[..., :2].max(1)], 1)


def frames_of(images: np.ndarray) -> list[Frame]:
    return [Frame(k, k / 30, image) for k, image in enumerate(images)]


def write(folder, content: object):
    path = folder / "people.json"
    path.write_text(json.dumps(content))
    return path


def tracked(path, images: np.ndarray, **options) -> list[Track]:
    return track_given(frames_of(images), 30, Detections.load(path), **options)


def test_coco_results_give_keypoints_and_numbers_and_mediapipe_the_rest(dancer, seen, tmp_path):
    """Two people side by side; the file numbers them 7 and 3, swaps their order, and moves a knee by 9 pixels."""
    points, boxes = seen
    pair = np.concatenate([dancer[:4], dancer[:4]], axis=2)
    entries = []
    for frame in range(4):
        left, top, right, bottom = boxes[frame].tolist()
        for number, shift in ((7, 0), (3, 576)) if frame % 2 else ((3, 576), (7, 0)):
            body = points[frame, PLACES] + [shift, 0, 0]
            body[13, 0] += 9
            entries.append({
                "image_id": f"{frame}.jpg", "category_id": 1, "score": 0.9, "idx": number,
                "keypoints": body.ravel().tolist(), "bbox": [left + shift, top, right - left, bottom - top],
            })  # fmt: skip
    tracks = tracked(write(tmp_path, entries), pair)
    assert [(track.first, len(track)) for track in tracks] == [(0, 4), (0, 4)]
    left, right = sorted(tracks, key=lambda track: track.landmarks[0, 0, 0])
    for track, shift in ((left, 0), (right, 576)):
        assert track.detected.all() and not len(track.views)
        wanted = points[:, PLACES] + [shift, 0, 0]
        wanted[:, 13, 0] += 9
        np.testing.assert_allclose(track.landmarks[:, PLACES], wanted, atol=1e-3)
        toes = [LANDMARKS.index("left_foot_index"), LANDMARKS.index("right_foot_index")]
        off = track.landmarks[:, toes, :2] - points[:, toes, :2] - [shift, 0]
        assert np.linalg.norm(off, axis=-1).mean() < 25  # MediaPipe's own, in another crop


def test_mmpose_boxes_alone_are_where_mediapipe_looks(dancer, seen, tmp_path):
    """There is no search: of two people only the one in the boxes is tracked, from the file's frame 1 on."""
    points, boxes = seen
    pair = np.concatenate([dancer[:4], dancer[:4]], axis=2)
    entries = [
        {"frame_id": 1 + frame, "instances": [{"bbox": [box.tolist()], "bbox_score": 0.8}]}
        for frame, box in enumerate(boxes + np.array([576, 0, 576, 0]))
    ]
    path = write(tmp_path, {"meta_info": {}, "instance_info": entries})
    (track,) = tracked(path, pair, masks=True)
    assert track.first == 0 and len(track) == 4 and track.detected.all() and track.masks
    off = track.landmarks[:, PLACES, :2] - points[:, PLACES, :2] - [576, 0]
    assert np.linalg.norm(off, axis=-1).mean() < 12
    with pytest.raises(FileFormatError, match=r"none of confidence 0\.9 or more"):
        Detections.load(path, 0.9)


def test_names_of_keypoints_follow_the_file(tmp_path):
    person = {"keypoints": [[1, 2], [30, 40]], "keypoint_scores": [0.5, 4.0], "bbox": [0, 0, 50, 60], "track_id": 4}
    content = {
        "meta_info": {"keypoint_id2name": {"0": "left_big_toe", "1": "right_hip"}},
        "instance_info": [{"frame_id": 0, "instances": []}, {"frame_id": 1, "instances": [person]}],
    }
    (found,) = Detections.load(write(tmp_path, content)).frames[0]  # a single frame has people: a picture
    assert found.track == 4 and found.box.tolist() == [0, 0, 50, 60]
    assert found.points[LANDMARKS.index("left_foot_index")].tolist() == [1, 2, 0.5]
    assert found.points[LANDMARKS.index("right_hip")].tolist() == [30, 40, 1]
    assert (found.points[:, 2] > 0).sum() == 2


def test_coco_annotation_has_its_own_order_and_says_what_is_hidden(tmp_path):
    keypoints = [0.0] * 51
    keypoints[0:6] = [5, 6, 2, 7, 8, 1]
    content = {
        "images": [{"id": 50, "file_name": "f_10.jpg"}, {"id": 51, "file_name": "f_9.jpg"}],
        "categories": [{"id": 2, "name": "person"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"image_id": 50, "category_id": 2, "bbox": [1, 2, 3, 4], "keypoints": keypoints},
            {"image_id": 51, "category_id": 3, "bbox": [1, 2, 3, 4]},
            {"image_id": 51, "category_id": 2, "bbox": [9, 9, 5, 5], "iscrowd": 1},
            {"image_id": 51, "category_id": 2, "bbox": [9, 9, 5, 5]},
        ],
    }
    frames = Detections.load(write(tmp_path, content)).frames
    assert {number: len(people) for number, people in frames.items()} == {0: 1, 1: 1}
    (person,) = frames[1]
    assert person.box.tolist() == [1, 2, 4, 6] and frames[0][0].points is None
    assert person.points[LANDMARKS.index("nose"), 2] == 1 and person.points[LANDMARKS.index("left_eye"), 2] == 0.5


def compressed(counts: list[int]) -> str:
    """COCO's compressed run lengths, written from the format's description."""
    text = ""
    for at, count in enumerate(counts):
        value, more = count - (counts[at - 2] if at > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 if more else bits))
    return text


def test_masks_are_read_in_each_of_cocos_forms(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:25] = 1
    mask[5:35, 40:58] = 1
    flat = np.concatenate([[0], mask.T.ravel(), [2]])
    counts = np.diff(np.flatnonzero(np.concatenate([[1], np.diff(flat[:-1]), [1]]))).tolist()
    counts[0] -= 1  # the added zero
    polygons = [[20, 10, 24, 10, 24, 29, 20, 29], [40, 5, 57, 5, 57, 34, 40, 34]]
    forms = polygons, {"size": [40, 60], "counts": counts}, {"size": [40, 60], "counts": compressed(counts)}
    for form in forms:
        path = write(tmp_path, [{"image_id": 0, "bbox": [20, 5, 38, 30], "segmentation": form}])
        detections = Detections.load(path)
        np.testing.assert_array_equal(detections.mask(detections.frames[0][0], 40, 60), mask)
    with pytest.raises(FileFormatError, match="of 60 x 40 pixels in a picture of 30 x 40"):
        detections.mask(detections.frames[0][0], 40, 30)


def test_a_files_mask_is_the_one_that_the_fit_gets(dancer, seen, tmp_path):
    left, top, right, bottom = np.round(seen[1][0]).astype(int).tolist()
    outline = [[left, top, right, top, right, bottom, left, bottom]]
    entry = {"image_id": 0, "bbox": [left, top, right - left, bottom - top], "segmentation": outline}
    (track,) = tracked(write(tmp_path, [entry]), dancer[:1], masks=True)
    mask, square = track.masks[0]
    cells = square[2] / mask.shape[0]
    assert abs((mask > 127).sum() * cells**2 - (right - left) * (bottom - top)) < 4 * cells * (right - left)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("people", "neither COCO's nor MMPose's"),
        ([{"image_id": 0, "bbox": [1, 2, 0, 4]}], "a person without a box"),
        ([{"image_id": "first", "bbox": [1, 2, 3, 4]}], "contains no frame number"),
        ([{"image_id": 0, "keypoints": [1, 2, 1] * 5, "bbox": [1, 2, 3, 4]}], "a person of 5 keypoints"),
        ([{"image_id": 0, "category_id": 18, "bbox": [1, 2, 3, 4]}], "0 people in it"),
    ],
)
def test_a_file_that_is_something_else_is_refused(content, message, tmp_path):
    with pytest.raises(FileFormatError, match=message):
        Detections.load(write(tmp_path, content))


def test_a_file_of_another_video_is_refused(dancer, seen, tmp_path):
    box = seen[1][0]
    entries = [{"image_id": n, "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]} for n in (0, 9)]
    path = write(tmp_path, entries)
    with pytest.raises(FileFormatError, match="people in frame 9, but the video's 2 frames are 0 to 1"):
        tracked(path, dancer[:2])
    with pytest.raises(ConfigError, match="not both"):
        MeshRecoverer()("dance.mp4", box, detections=path)


def test_a_person_whom_mediapipe_does_not_see_is_still_fitted(seen, make_video, tmp_path):
    """A black video: only the file's keypoints are known."""
    entries = [
        {"image_id": frame, "score": 1.0, "track_id": 1, "keypoints": points[PLACES].ravel().tolist()}
        for frame, points in enumerate(seen[0])
    ]
    video = make_video(np.zeros((4, 576, 576, 3), np.uint8))
    result = MeshRecoverer()(video, detections=write(tmp_path, entries))
    (person,) = result.people
    limbs = [name for name in NAMES if "knee" in name or "elbow" in name]
    off = result.keypoints2d(person)[:, [KEYPOINTS.index(name) for name in limbs]]
    off = np.linalg.norm(off - seen[0][:, [LANDMARKS.index(name) for name in limbs], :2], axis=-1)
    assert len(person) == 4 and off.mean() < 20
