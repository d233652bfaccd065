"""People detected and tracked by the real MediaPipe in real images."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("mediapipe")

from mviper.body import SMPL
from mviper.body.landmarks import LANDMARKS, person_height, to_keypoints
from mviper.datasets import find_sequences
from mviper.graphics.video import read_video
from mviper.inference.appearance import colours_of, dissimilarity, moving_average
from mviper.inference.frames import Frame
from mviper.inference.people import PeopleTracker, PoseDetector, track_people
from mviper.structures.joints import KEYPOINTS


def as_frames(images):
    return [Frame(k, k / 30, image) for k, image in enumerate(images)]


def test_a_person_is_followed_and_found_again_backwards(dancer):
    """Black frames hide the person at the start and in the middle; the frames in between still count."""
    images = dancer[:16].copy()
    images[:2] = images[8:10] = 0
    (track,) = track_people(as_frames(images), 30)
    assert track.first == 2 and len(track) == 14
    assert np.flatnonzero(~track.detected).tolist() == [6, 7]
    boxes = track.crops(30)
    assert np.isfinite(boxes).all() and np.abs(np.diff(boxes, axis=0)).max() < 12


def test_two_people_are_two_tracks(dancer):
    one = dancer[:8, 100:500, 130:450]
    pair = np.concatenate([one, one[:, :, ::-1]], axis=2)
    tracks = track_people(as_frames(pair), 30)
    assert [len(track) for track in tracks] == [8, 8]
    left, right = sorted(np.nanmedian(track.landmarks[..., 0]) for track in tracks)
    assert left < 320 < right


def test_nobody_is_followed_across_a_cut(dancer, shared_data):
    other = read_video(shared_data / "videos" / "tfjs_pose_squats.mp4", 5)[:, 200:1000]
    other = np.stack([cv2.resize(image, (576, 576)) for image in other])
    cuts = []
    tracks = track_people(as_frames([*dancer[:5], *other]), 30, cuts=cuts)
    assert cuts == [5] and sorted((track.first, len(track)) for track in tracks) == [(0, 5), (5, 5)]


def test_a_live_tracker_keeps_only_who_may_go_on(dancer):
    tracker = PeopleTracker(30, live=True)
    for number, image in zip((0, 1, 2, 80, 81), dancer):  # more than two seconds are missing
        tracker.step(Frame(number, number / 30, image))
    (track,) = tracker._tracks
    assert tracker.alive == {2} and track.number == 2 and list(track.poses) == [81]
    tracker.finish()


def test_a_small_person_is_found_in_tiles(dancer):
    small = np.full((6, 900, 1400, 3), 90, np.uint8)
    small[:, 500:692, 900:1092] = dancer[:6, ::3, ::3]
    (track,) = track_people(as_frames(small), 30)
    assert track.detected.mean() > 0.8
    points = track.landmarks[track.detected]
    assert ((points[..., 0] > 880) & (points[..., 0] < 1110) & (points[..., 1] > 480) & (points[..., 1] < 710)).all()


def test_nobody_is_nobody_unless_a_box_is_given():
    black = as_frames(np.zeros((3, 120, 160, 3), np.uint8))
    assert track_people(black, 30) == []
    (track,) = track_people(black, 30, box=(40, 20, 50, 80))
    np.testing.assert_allclose(track.crops(30), np.tile([65, 60, 80], (3, 1)))
    assert not track.detected.any()


def test_landmarks_become_keypoints():
    landmarks = np.random.default_rng(0).normal(0, 100, (5, 33, 3))
    landmarks[..., 2] = 0.9
    keypoints = to_keypoints(landmarks)
    assert keypoints.shape == (5, len(KEYPOINTS), 3)
    np.testing.assert_array_equal(
        keypoints[:, KEYPOINTS.index("left_wrist")], landmarks[:, LANDMARKS.index("left_wrist")]
    )
    missing = ~np.isfinite(keypoints).all(-1)
    assert (keypoints[..., 2][missing] == 0).all() and 20 < (~missing[0]).sum() < 32
    assert (person_height(landmarks) > 0).all()


@pytest.fixture(scope="module")
def walkers(tmp_path_factory):
    """Two people cut out of generated videos using their annotation."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    from benchmarks import camera

    folder = tmp_path_factory.mktemp("walkers")
    camera.make_people(folder, 0, ("walk", "punch"), 12)
    videos = [video for sequence in find_sequences(folder) for video in sequence.folder.glob("*.mp4")]
    return camera, [camera.cut_out(video, SMPL()) for video in sorted(videos)]


def test_people_who_cross_keep_their_numbers(walkers, monkeypatch):
    camera, people = walkers
    monkeypatch.setattr(camera, "CROSSING_FRAMES", 40)
    paths = camera.crossing_paths(2, np.random.default_rng(0), 256)
    behind = np.full((camera.HEIGHT, camera.WIDTH, 3), 150, np.uint8)
    assert camera.numbers_kept(people, behind, paths) == [True, True]


def test_colours_tell_people_apart(walkers):
    _, people = walkers
    detector = PoseDetector(1, follow=False)
    seen = []
    for sprites in people:
        images = [np.ascontiguousarray(sprites[k][..., :3]) for k in (0, 8)]
        seen.append([colours_of(image, detector(image)[0].points) for image in images])
    detector.close()
    same, other = [dissimilarity(*each) for each in seen], [dissimilarity(a, b) for a in seen[0] for b in seen[1]]
    assert max(same) < 0.5 * min(other)
    nothing = np.full((8, 3), np.nan, np.float32)
    assert dissimilarity(nothing, seen[0][0]) == 0.5 and not np.isnan(moving_average(nothing, seen[0][0], 0.1)).all()
