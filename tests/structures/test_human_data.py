"""HumanData files: round trip, compressed keypoints, damaged files."""

import hashlib

import numpy as np
import pytest

from mviper.errors import FileFormatError
from mviper.files import load_npz, save_npz
from mviper.structures import Camera
from mviper.structures.human_data import HUMAN_DATA_KEYPOINTS, HumanData
from mviper.structures.joints import KEYPOINTS


@pytest.fixture
def annotation() -> HumanData:
    rng = np.random.default_rng(0)
    frames, joints = 5, len(KEYPOINTS)
    camera = Camera(
        np.diag([100.0, 100.0, 1.0]), rng.normal(size=(frames, 3, 3)), rng.normal(size=(frames, 3)), 64, 48, "east"
    )
    return HumanData(
        keypoints2d=rng.normal(size=(frames, joints, 3)).astype(np.float32),
        keypoints3d=rng.normal(size=(frames, joints, 4)).astype(np.float32),
        bbox_xywh=rng.normal(size=(frames, 5)).astype(np.float32),
        smpl=dict(
            global_orient=rng.normal(size=(frames, 3)).astype(np.float32),
            body_pose=rng.normal(size=(frames, 23, 3)).astype(np.float32),
            betas=rng.normal(size=(frames, 10)).astype(np.float32),
            transl=rng.normal(size=(frames, 3)).astype(np.float32),
        ),
        body_model="open_body:abc",
        visibility=rng.integers(2, size=(frames, joints)).astype(np.uint8),
        image_path=[f"east/{k:06d}.jpg" for k in range(frames)],
        video_path="east.mp4",
        frame_idx=np.arange(frames),
        camera=camera,
        meta=dict(gender=["n"] * frames, height=[48] * frames, width=[64] * frames),
    )


def test_names_are_mmhuman3ds() -> None:
    # SHA-256 of the 190 names, one per line, as open-mmlab/mmhuman3d 057e588 lists them.
    digest = hashlib.sha256("\n".join(HUMAN_DATA_KEYPOINTS).encode()).hexdigest()
    assert len(HUMAN_DATA_KEYPOINTS) == 190
    assert digest == "b4ea974b320df2f4649bb4d4765c1c9f818e7f30b91e36b7f41fe0d142045d39"


def test_round_trip(annotation: HumanData, tmp_path) -> None:
    annotation.save(tmp_path / "east.npz")
    back = HumanData.load(tmp_path / "east.npz")
    for key in ("keypoints2d", "keypoints3d", "bbox_xywh", "visibility", "frame_idx"):
        np.testing.assert_array_equal(getattr(back, key), getattr(annotation, key))
    for key, value in annotation.smpl.items():
        np.testing.assert_array_equal(back.smpl[key], value)
    np.testing.assert_array_equal(back.camera.R, annotation.camera.R)
    assert (back.camera.width, back.camera.name) == (64, "east")
    assert back.image_path == annotation.image_path and back.video_path == "east.mp4"
    assert back.body_model == "open_body:abc" and back.meta == annotation.meta


def test_same_content_same_bytes(annotation: HumanData, tmp_path) -> None:
    annotation.save(tmp_path / "a.npz")
    HumanData.load(tmp_path / "a.npz").save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_layout_is_mmhuman3ds(annotation: HumanData, tmp_path) -> None:
    annotation.save(tmp_path / "east.npz")
    data = load_npz(tmp_path / "east.npz")
    assert data["keypoints2d"].shape == (5, 190, 3) and data["keypoints3d"].shape == (5, 190, 4)
    assert data["keypoints2d_mask"].shape == (190,) and data["keypoints2d_mask"].sum() == 44
    place = HUMAN_DATA_KEYPOINTS.index("left_hand")
    np.testing.assert_array_equal(data["keypoints2d"][:, place], annotation.keypoints2d[:, 22])
    assert data["visibility"].dtype == np.uint8 and data["smpl"].item()["body_pose"].shape == (5, 23, 3)


def test_reads_compressed_keypoints_and_fills_gaps(annotation: HumanData, tmp_path) -> None:
    annotation.save(tmp_path / "full.npz")
    data = load_npz(tmp_path / "full.npz")
    mask = data["keypoints2d_mask"].copy()
    mask[HUMAN_DATA_KEYPOINTS.index("head")] = 0
    keep = mask.astype(bool)
    data |= {"keypoints2d": data["keypoints2d"][:, keep], "keypoints2d_mask": mask}
    data |= {"__keypoints_compressed__": np.bool_(True), "keypoints3d": data["keypoints3d"][:, keep]}
    data |= {"keypoints3d_mask": mask, "bbox_xywh": data["bbox_xywh"][:, :4]}
    del data["visibility"], data["smpl"], data["cam_param"]
    save_npz(tmp_path / "compressed.npz", **data)
    back = HumanData.load(tmp_path / "compressed.npz")
    head = KEYPOINTS.index("head")
    assert not back.keypoints2d[:, head].any() and not back.keypoints3d[:, head].any()
    others = np.arange(len(KEYPOINTS)) != head
    np.testing.assert_array_equal(back.keypoints2d[:, others], annotation.keypoints2d[:, others])
    assert back.smpl is None and back.visibility is None and back.camera is None
    np.testing.assert_array_equal(back.bbox_xywh[:, 4], 1)


DAMAGES = {
    "a key": (lambda data: data.pop("keypoints2d_mask"), "lacks 'keypoints2d_mask'"),
    "rows": (lambda data: data.update(bbox_xywh=data["bbox_xywh"][:3]), "disagree on the number of frames: [[]3, 5"),
    "a mask": (lambda data: data.update(keypoints3d_mask=np.ones(24, np.uint8)), "keypoints3d_mask has shape"),
    "pictures": (lambda data: data.update(image_path=data["image_path"][1:]), "disagree on the number of frames: [[]4"),
    "frame numbers": (lambda data: data.update(frame_idx=data["frame_idx"][:3]), "frame_idx has shape [(]3,"),
    "confidence": (lambda data: data.update(keypoints2d=data["keypoints2d"][..., :2]), "keypoints2d has shape"),
    "text": (lambda data: data.update(visibility=data["visibility"].astype(str)), "visibility holds <U"),
    "root": (lambda data: data["smpl"].item().pop("global_orient"), "lacks 'global_orient'"),
    "joints": (
        lambda data: data["smpl"].item().update(body_pose=np.zeros((5, 21, 3))),
        "body_pose has shape [(]5, 21, 3[)], exp",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_named(annotation: HumanData, tmp_path, damage: str) -> None:
    """Regression: pictures and frame numbers that are not one for each row gave rows the pictures of others."""
    annotation.save(tmp_path / "good.npz")
    data = load_npz(tmp_path / "good.npz")
    change, wanted = DAMAGES[damage]
    change(data)
    save_npz(tmp_path / "bad.npz", **data)
    with pytest.raises(FileFormatError, match=rf"bad\.npz: .*{wanted}"):
        HumanData.load(tmp_path / "bad.npz")


def test_a_pose_may_be_flat(annotation: HumanData, tmp_path) -> None:
    """As files beside MMHuman3D's often have it."""
    pose = annotation.smpl["body_pose"]
    annotation.smpl["body_pose"] = pose.reshape(5, 69)
    annotation.save(tmp_path / "flat.npz")
    np.testing.assert_array_equal(HumanData.load(tmp_path / "flat.npz").smpl["body_pose"], pose)
