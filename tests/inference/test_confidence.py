"""Confidence of recovery: learned from errors, reported per frame, drawn below the video."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.body.landmarks import LANDMARKS
from mviper.inference.confidence import FAIR, REASONS, SURE, Calibration, Confidence, frame_features, stored_calibration
from mviper.inference.people import Track
from mviper.inference.render import ConfidenceBar, OverlaidPerson

NAMES = list(REASONS)


def drawn(rng, count):
    """Features, and errors that increase with two of them: (N, 8), (N, 24)."""
    features = rng.uniform(0, 1, (count, len(NAMES)))
    scale = 0.05 * np.exp(2.0 * features[:, NAMES.index("disputed")] + features[:, NAMES.index("fast")])
    return features, scale[:, None] * np.linspace(0.5, 2, 24) * rng.gamma(8, 1 / 8, (count, 24))


def test_intervals_hold_nine_in_ten_of_what_was_not_learned_from():
    rng = np.random.default_rng(0)
    learned, (features, errors) = Calibration.of(*drawn(rng, 800)), drawn(rng, 400)
    confidence = learned.judge(features)
    held = (errors <= confidence.interval).mean(0)
    assert held.min() > 0.85 and held.max() < 0.95
    assert np.corrcoef(np.log(confidence.error), np.log(errors.mean(1)))[0, 1] > 0.9
    hard = features.copy()
    hard[:, NAMES.index("disputed")] = 1.0
    assert learned.judge(hard).reasons[:, NAMES.index("disputed")].all()
    assert not learned.judge(hard).reasons[:, NAMES.index("unseen")].any()  # which have no effect


def test_the_stored_calibration_knows_gaps_and_disputes():
    learned = stored_calibration()
    usual = learned.judge(learned.usual[None])
    assert 0.03 < usual.error[0] < 0.2 and not usual.reasons.any() and (usual.interval[0, 1:] > 0).all()
    worse = learned.usual + np.eye(len(NAMES))[NAMES.index("missed")] * 0.1
    assert learned.judge(worse[None]).error[0] > 1.1 * usual.error[0]


@pytest.fixture
def track() -> Track:
    """An upright person, 10 frames, undetected in two and then half outside the image."""
    rng = np.random.default_rng(0)
    place = rng.uniform(0, 30, (33, 3))
    for k, name in enumerate(LANDMARKS):
        height = next((h for part, h in (("shoulder", 140), ("hip", 90), ("knee", 50), ("ankle", 10), ("heel", 5),
                                         ("foot", 5)) if part in name), 160)  # fmt: skip
        place[k, 1] = 200 - height
    landmarks = np.repeat(place[None], 10, 0).astype(np.float32)
    landmarks[..., 2], landmarks[4:6] = 0.9, np.nan
    landmarks[8:, :, 0] -= 20
    return Track(1, 0, landmarks, np.zeros((10, 33, 3), np.float32))


def test_features_say_what_happened(track):
    joints, keypoints = np.random.default_rng(0).normal(0, 1, (10, 24, 3)), np.zeros((10, 44, 2))
    features = frame_features(track, joints, keypoints, 10.0, 100, 200)
    assert features.shape == (10, len(NAMES)) and np.isfinite(features).all()
    unseen, outside = features[:, NAMES.index("unseen")], features[:, NAMES.index("outside")]
    np.testing.assert_allclose(unseen**2, [0, 0, 0, 0, 0.1, 0.1, 0, 0, 0, 0], atol=1e-9)
    assert outside[:8].max() == 0 and outside[8:].min() > 0.3
    nobody = Track(1, 0, np.full((10, 33, 3), np.nan, np.float32), np.zeros((10, 33, 3), np.float32))
    assert frame_features(nobody, joints, keypoints, 10.0, 100, 200)[:, NAMES.index("unseen")].min() == 1


def strip_of(bar: ConfidenceBar, frame: int) -> np.ndarray:
    strip = np.zeros((bar.height, bar.width, 3), np.uint8)
    bar.draw(strip, frame)
    return strip


def test_the_bar_shows_levels_and_reasons():
    error = np.repeat([SURE / 2, (SURE + FAIR) / 2, 2 * FAIR], 4)
    reasons = np.zeros((12, len(NAMES)), bool)
    reasons[8:11, NAMES.index("hidden")] = True
    confidence = Confidence(error, np.tile(error[:, None], 24), reasons)
    assert confidence.level.tolist() == [2] * 4 + [1] * 4 + [0] * 4
    assert confidence.summary()["less_sure"] == {REASONS["hidden"]: [[8, 10]]}
    assert confidence.explain(9) == [REASONS["hidden"]] and confidence.explain(11) == []
    person = OverlaidPerson(1, range(4, 16), iter(()), None, confidence)
    bar = ConfidenceBar([person], 20, 400)
    assert bar.height == 54
    below = [strip_of(bar, frame) for frame in range(20)]
    columns = [below[0][2, int((frame + 0.2) * 20)].tolist() for frame in range(20)]
    assert len({tuple(column) for column in columns}) == 4  # absent, sure, fair, unsure
    assert columns[4] == columns[7] != columns[8] and columns[12] == columns[15] != columns[16] == columns[0]
    written = [(image[18:] != below[0][18:]).any() for image in below]
    assert written == [frame in range(4, 16) for frame in range(20)]
    assert ConfidenceBar([OverlaidPerson(1, range(3), iter(()))], 3, 400).height == 0


def test_the_legend_fits_a_narrow_video():
    confidence = Confidence(np.full(4, SURE / 2), np.full((4, 24), SURE / 2), np.zeros((4, len(NAMES)), bool))
    for width in (240, 330, 400, 800):
        below = strip_of(ConfidenceBar([OverlaidPerson(1, range(4), iter(()), None, confidence)], 4, width), 0)
        written = (below[-17:] != below[-1, -1]).any((0, 2))
        assert written.any() and not written[-3:].any(), width
