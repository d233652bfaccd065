"""Test-time augmentation: several views of a person, and their reconciliation."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mediapipe")

from mviper.body.landmarks import LANDMARKS, person_height
from mviper.inference import MeshRecoverer, people
from mviper.inference.camera_motion import Background, Matches
from mviper.inference.frames import Frame, open_frames
from mviper.inference.people import PoseDetector, Track, track_people
from mviper.inference.recoverer import Observation
from mviper.inference.views import MORE_VIEWS, View, reconciled


def legs() -> list[int]:
    return [k for k, name in enumerate(LANDMARKS) if any(part in name for part in ("knee", "ankle", "heel", "foot"))]


def other_side(landmarks: np.ndarray) -> np.ndarray:
    names = [name.replace("left", "*").replace("right", "left").replace("*", "right") for name in LANDMARKS]
    return landmarks[..., [LANDMARKS.index(name) for name in names], :]


@pytest.fixture(scope="module")
def walker() -> tuple[np.ndarray, np.ndarray]:
    """Two noisy views of a striding person: landmarks (2, T, 33, 3), and the same in 3D in metres."""
    rng, count = np.random.default_rng(0), 24
    place = np.zeros((33, 3))
    for k, name in enumerate(LANDMARKS):
        height = next((h for part, h in (("shoulder", 140), ("elbow", 110), ("wrist", 85), ("hip", 90), ("knee", 50),
                                         ("ankle", 10), ("heel", 5), ("foot", 5)) if part in name), 160)  # fmt: skip
        side = {"left": 1, "righ": -1}.get(name[:4], 0)
        place[k] = side * (30 if k in legs() else 20), 200 - height, 5 * side
    landmarks = np.repeat(place[None], count, 0)
    landmarks[:, :, 0] += 3.0 * np.arange(count)[:, None]
    world = landmarks / 100
    landmarks[..., 2] = 0.9
    noise = rng.normal(0, 0.5, (2, count, 33, 3)) * [1, 1, 0]
    return (landmarks + noise).astype(np.float32), np.repeat(world[None], 2, 0).astype(np.float32)


def test_every_view_finds_the_person_where_the_plain_one_does(dancer):
    """Real images, rotated and mirrored: all landmarks return to their positions, with left and right preserved."""
    plain, *others = [PoseDetector(1, view=view)(dancer[0])[0] for view in (View(), *MORE_VIEWS)]
    height = person_height(plain.points)
    for pose in others:
        away = np.linalg.norm(pose.points[:, :2] - plain.points[:, :2], axis=1) / height
        assert np.median(away) < 0.03
        assert np.median(np.linalg.norm(pose.world[:, :2] - plain.world[:, :2], axis=1)) < 0.1


def test_all_views_are_used_where_two_disagree(dancer, monkeypatch):
    frames = [Frame(k, k / 30, image) for k, image in enumerate(dancer[:4])]
    (track,) = track_people(frames, 30, views=MORE_VIEWS[:2])
    assert track.views.shape == track.views_world.shape == (2, 4, 33, 3)
    assert np.isfinite(track.views[0]).all() and np.isnan(track.views[1]).all()  # she is easy to see
    monkeypatch.setattr(people, "_DISPUTED", 0.0)
    (track,) = track_people(frames, 30, views=MORE_VIEWS[:2])
    assert np.isfinite(track.views).all()
    joined = track.reconciled
    apart = np.linalg.norm(joined.landmarks[..., :2] - track.landmarks[..., :2], axis=-1)
    assert np.median(apart) < 0.03 * person_height(track.landmarks).mean()
    (plain,) = track_people(frames[:2], 30)
    assert len(plain.views) == 0 and plain.reconciled is plain


def test_the_network_reads_the_reconciled_landmarks_in_the_end(walker, repository, monkeypatch):
    """If the two views that it reads first are poor, the others make up for it."""
    (clean, _), world = walker[0], walker[1][0]
    source = open_frames(repository / "mviper" / "app" / "example.mp4")  # for its size alone
    still, nothing = Background(), np.zeros((0, 2), np.float32)
    still.matches = [Matches(number, nothing, nothing) for number in range(len(clean))]
    seen = Observation(source, [k / 30 for k in range(len(clean))], [], [], still, {})
    poor = (clean + np.random.default_rng(1).normal(0, 12, clean.shape) * [1, 1, 0]).astype(np.float32)
    views, views_world = np.stack([poor, *[clean] * 6]), np.repeat(world[None], 7, 0)
    monkeypatch.setattr(MeshRecoverer, "_fitted", lambda self, track, start, *_: (start, None))
    recover = MeshRecoverer(contacts=False)

    def joints(track: Track) -> np.ndarray:
        seen.tracks = [track]
        result = recover.recover(seen)
        found = result.joints(result.people[0])[:, :24]
        return found - found[:, :1]

    best = joints(Track(1, 0, clean, world))
    of_poor = joints(Track(1, 0, poor, world))
    found = joints(Track(1, 0, poor, world, views=views, views_world=views_world))
    away, before = (np.linalg.norm(each - best, axis=-1).mean() for each in (found, of_poor))
    assert away < 0.3 * before and before > 0.03


def test_legs_that_change_places_are_put_right(walker):
    """Both views swap the legs in some frames, and one of them swaps everything in others."""
    landmarks, world = (values.copy() for values in walker)
    for values in (landmarks, world):
        values[:, 9:13, legs()] = other_side(values)[:, 9:13, legs()]
        values[1, 18:21] = other_side(values)[1, 18:21]
    joined, placed = reconciled(landmarks, world)
    np.testing.assert_allclose(joined[..., :2], walker[0][..., :2].mean(0), atol=1e-3)
    np.testing.assert_allclose(placed, walker[1][0], atol=1e-5)
    assert (joined[..., 2] > 0.85).all()


def test_a_guide_puts_legs_right_that_all_views_swap(walker):
    """In all frames, so that nothing jumps: only somebody who knows people can tell."""
    landmarks, world = (values.copy() for values in walker)
    for values in (landmarks, world):
        values[:, :, legs()] = other_side(values)[:, :, legs()]
    guide = walker[0][0, ..., :2] + 2.0
    wrong, _ = reconciled(landmarks, world)
    joined, placed = reconciled(landmarks, world, guide)
    assert np.abs(wrong - joined)[..., :2].max() > 5
    np.testing.assert_allclose(joined[..., :2], walker[0][..., :2].mean(0), atol=1e-3)
    np.testing.assert_allclose(placed, walker[1][0], atol=1e-5)


def test_landmarks_that_views_disagree_on_lose_confidence(walker):
    landmarks, world = (values.copy() for values in walker)
    wrist = LANDMARKS.index("left_wrist")
    landmarks[1, :, wrist, :2] += 30
    confidence = reconciled(landmarks, world)[0][..., 2]
    assert (confidence[:, wrist] < 0.2).all() and (np.delete(confidence, wrist, 1) > 0.85).all()


def test_frames_that_one_view_or_none_saw(walker):
    landmarks, world = (values.copy() for values in walker)
    landmarks[0, 5] = world[0, 5] = np.nan
    landmarks[:, 6] = world[:, 6] = np.nan
    joined, placed = reconciled(landmarks, world)
    np.testing.assert_allclose(joined[5], landmarks[1, 5], atol=1e-4)
    assert np.isnan(joined[6]).all() and np.isnan(placed[6]).all()
    assert np.isfinite(np.delete(joined, 6, 0)).all()
    nothing = np.full((2, 3, 33, 3), np.nan, np.float32)
    assert np.isnan(reconciled(nothing, nothing)[0]).all()


def test_only_a_refinement_uses_tta():
    assert MeshRecoverer().views == MORE_VIEWS and len(set(MORE_VIEWS)) == 7
    assert MeshRecoverer(tta=False).views == MeshRecoverer(refine=False).views == ()
