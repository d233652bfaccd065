"""The released networks: small, safe to load, what recovery uses, and right about a person in a video."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("mediapipe")

from mviper.body import to_keypoints
from mviper.engine import released_checkpoint
from mviper.inference import Excerpt, MeshRecoverer, open_frames
from mviper.shipped import NETWORK
from mviper.structures import KEYPOINTS

ALL = sorted(released_checkpoint(NETWORK).parent.glob("*.pth"))
LIMBS = [KEYPOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in
         ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]  # fmt: skip


def test_they_are_small_together():
    assert released_checkpoint(NETWORK) in ALL and sum(path.stat().st_size for path in ALL) < 40e6


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_each_is_in_half_precision_and_without_the_wheels_encoder(path):
    content = torch.load(path, weights_only=True)
    floats = [value for value in content["state_dict"].values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float16} and all(value.isfinite().all() for value in floats)
    assert [name for name in content["state_dict"] if name.startswith("backbone.")] == ["backbone.source"]
    assert content["meta"]["iter"] > 0 and "seed" in content["meta"]


@pytest.fixture(scope="module")
def recovered(repository):
    video = Excerpt(open_frames(repository / "mviper" / "app" / "example.mp4"), 0.0, 0.5)
    return MeshRecoverer(refine=False)(video)


def test_bodies_lie_on_the_person(recovered):
    person = recovered.people[0]
    found = to_keypoints(person.landmarks)[:, LIMBS, :2]
    height = np.ptp(found[..., 1], axis=1)[:, None]
    away = np.linalg.norm(recovered.keypoints2d(person)[:, LIMBS] - found, axis=-1) / height
    assert np.median(away) < 0.06, np.median(away)


def test_bodies_stand_upright_and_face_as_the_person_does(recovered):
    person = recovered.people[0]
    joints = recovered.joints(person)
    up = joints[:, KEYPOINTS.index("neck")] - joints[:, KEYPOINTS.index("pelvis")]
    assert (-up[:, 1] / np.linalg.norm(up, axis=1) > 0.8).all()
    sides = [KEYPOINTS.index(f"{side}_shoulder") for side in ("left", "right")]
    own, found = (
        values[:, sides[0], 0] - values[:, sides[1], 0] for values in (joints, to_keypoints(person.landmarks))
    )
    assert (np.sign(own) == np.sign(found)).mean() > 0.9


def test_it_is_the_default():
    recover = MeshRecoverer()
    assert recover.refine and type(recover.model).__name__ == "VideoBodyModelEstimator"
    assert MeshRecoverer(None).model is None and not MeshRecoverer(refine=False).refine
