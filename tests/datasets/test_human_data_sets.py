"""HumanData of public sets as training samples: stills, videos, flags, gaps, mixing, damage."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction

import cv2
import media_files
import native_sets
import numpy as np
import pytest
import torch

from mviper.datasets import gather_annotations
from mviper.datasets.clips import read_annotation
from mviper.engine.sampling import SeededItems
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.graphics import read_video, write_video
from mviper.models.losses import Joint3DLoss, ProjectionLoss, SMPLParameterLoss
from mviper.registry import DATA_CONVERTERS, DATASETS
from mviper.structures.human_data import HumanData
from mviper.structures.joints import KEYPOINTS

PLAIN = [{"type": "mviper.CropClip", "size": 64}, {"type": "mviper.PackBodySample"}]
AUGMENTED = [{"type": "mviper.AugmentClip"}, PLAIN[0], {"type": "mviper.JitterClip"}, PLAIN[1]]
FLAGS = ("has_keypoints3d", "has_smpl", "has_betas")


@pytest.fixture(scope="session")
def converted(tmp_path_factory, samples, body):
    """COCO (stills), Human3.6M and SURREAL (videos), 3DPW (image sequences), converted."""
    root = tmp_path_factory.mktemp("public")
    native_sets.write_coco(root / "coco", samples / "coco")
    native_sets.write_pw3d(root / "pw3d", body)
    native_sets.write_surreal(root / "surreal", body, clips=1)
    for kind, split in (("COCO", "val2017"), ("PW3D", "test"), ("SURREAL", "train")):
        convert(kind, root / kind.lower(), root / "out", split)
    return root / "out"


def convert(kind, source, out, split):
    return DATA_CONVERTERS.build({"type": f"mviper.{kind}Converter", "root": str(source)}).convert(out, split)


def build(root, ann_file, **options):
    options = {"pipeline": PLAIN, "body_model": {"type": "mviper.SMPL"}, **options}
    return DATASETS.build({"type": "mviper.HumanDataset", "data_root": str(root), "ann_file": ann_file, **options})


def test_still_is_repeated_and_lacks_3d(converted):
    dataset = build(converted, "coco/val2017", clip_length=4)
    data = HumanData.load(converted / "coco/val2017/val2017.npz")
    assert len(dataset) == len(data) and dataset.metainfo["dataset"] == "coco/val2017"
    item = dataset[3]
    sample = item["data_sample"]
    assert item["inputs"].shape == (4, 3, 64, 64) and (item["inputs"] == item["inputs"][:1]).all()
    assert [float(sample.get(flag)) for flag in FLAGS] == [0, 0, 0]
    assert sample.sequence == "coco/val2017/000003" and sample.frame_indices.tolist() == [0, 0, 0, 0]
    np.testing.assert_array_equal(sample.keypoints2d[0, :, 2] > 0, data.visibility[3] > 0)
    assert torch.equal(sample.smpl_rotmat, torch.eye(3).expand(4, 24, 3, 3)) and not sample.keypoints3d.any()
    everything = build(converted, "coco/val2017", clip_length=None, chi="labelled")
    assert everything[3]["inputs"].shape[0] == 1
    hidden = (data.keypoints2d[..., 2] > 0) & (data.visibility == 0)
    row = int(hidden.any(1).argmax())
    samples = [build(converted, "coco/val2017", chi=chi)[row]["data_sample"] for chi in ("visible", "labelled")]
    seen = [sample.keypoints2d[0, :, 2].sum() for sample in samples]
    assert seen[1] - seen[0] == hidden[row].sum() > 0


def test_pictures_in_a_row_are_clips_that_span_no_gap(converted):
    dataset = build(converted, "pw3d/test", clip_length=2, stride=1)
    clips = [dataset[index]["data_sample"] for index in range(len(dataset))]
    of_first = [clip.frame_indices.tolist() for clip in clips if clip.sequence.endswith("00_0")]
    assert of_first == [[0, 1], [1, 2], [4, 5], [5, 6], [6, 7]]  # frame 3 has no camera
    assert len(clips) == 5 + 7
    sample = dataset[1]["data_sample"]
    assert [float(sample.get(flag)) for flag in FLAGS] == [1, 1, 0]  # the body of the betas is unknown
    assert sample.keypoints3d[:, 0, :3].abs().max() == 0 and (sample.keypoints3d[:, :24, 3] == 1).all()
    picture = dataset[1]["inputs"][:, :, 32, 32]
    assert picture[0].float().mean() + 5 < picture[1].float().mean()  # frames grow brighter
    whole = build(converted, "pw3d/test", clip_length=None)
    assert [len(whole[i]["data_sample"].frame_indices) for i in range(len(whole))] == [3, 4, 8]
    frames = build(converted, "pw3d/test", as_stills=True, include=["*_1"], clip_length=4)
    assert len(frames) == 8 and frames[2]["data_sample"].frame_indices.tolist() == [2] * 4


def test_video_and_its_own_body(converted, body):
    dataset = build(converted, "surreal/train", clip_length=3, body_model="smpl_female")
    sample = dataset[1]["data_sample"]
    assert sample.frame_indices.tolist() == [3, 4, 5] and sample.video_path.endswith("01_01_c0001.mp4")
    assert [float(sample.get(flag)) for flag in FLAGS] == [1, 1, 1]
    assert dataset[1]["inputs"][0].float().mean() + 10 < dataset[1]["inputs"][2].float().mean()
    with torch.no_grad():
        joints = body(sample.betas, sample.smpl_rotmat).joints
    labelled = sample.keypoints3d[..., 3] > 0
    difference = (joints - joints[:, :1] - sample.keypoints3d[..., :3])[labelled]
    assert labelled.sum() == 3 * 24 and difference.abs().max() < 4e-3
    # MMHuman3D's own files, which have no index, are treated as stills.
    path = next((converted / "surreal/train").glob("*.npz"))
    with pytest.raises(MissingDataError, match="no readable view"):  # these pictures were never extracted
        data = HumanData.load(path)
        data.video_path = ""
        data.save(path.with_name("stills.npz"))
        build(converted, "surreal/train/stills.npz", data_prefix=str(converted))[0]


def test_media_of_another_size_than_their_annotation_are_refused(tmp_path, samples, body):
    """Regression: scaled, rotated by a matrix, non-square pixels, and a rotated still all misplaced the joints."""
    native_sets.write_surreal(tmp_path / "surreal", body, clips=3)
    native_sets.write_coco(tmp_path / "coco", samples / "coco")
    for kind, split in (("COCO", "val2017"), ("SURREAL", "train")):
        convert(kind, tmp_path / kind.lower(), tmp_path / "out", split)
    small, turned, wide = sorted((tmp_path / "surreal").rglob("*.mp4"))
    frames = read_video(small)
    write_video(small, frames[:, ::2, ::2], 30)
    media_files.with_matrix(turned, [0, 1 << 16, 0, -1 << 16, 0, 0, 240 << 16, 0, 1 << 30])
    media_files.write(wide, frames, fps=30, aspect=Fraction(4, 3))
    dataset = build(tmp_path / "out", "surreal/train")
    with pytest.raises(MissingDataError, match="no readable view") as error:
        dataset[0]
    for video, size in ((small, "160 x 120"), (turned, "240 x 320"), (wide, "427 x 240")):
        assert f"{video}: it has {size} pixels, its annotation says 320 x 240" in str(error.value)
    data = HumanData.load(tmp_path / "out/coco/val2017/val2017.npz")
    picture = tmp_path / "coco" / data.image_path[0]
    cv2.imwrite(str(picture), cv2.rotate(cv2.imread(str(picture)), cv2.ROTATE_90_CLOCKWISE))
    dataset = build(tmp_path / "out", "coco/val2017")
    assert dataset[0]["data_sample"].video_path != str(picture) and list(dataset.skipped) == [str(picture)]


def test_a_video_of_another_rate_than_its_annotation_is_refused(tmp_path, body):
    """Re-encoded at half the frame rate: number 2 shows what number 4 was annotated for."""
    native_sets.write_surreal(tmp_path / "surreal", body, clips=1)
    convert("SURREAL", tmp_path / "surreal", tmp_path / "out", "train")
    video = next((tmp_path / "surreal").rglob("*.mp4"))
    write_video(video, read_video(video)[::2], 15)
    dataset = build(tmp_path / "out", "surreal/train", clip_length=2)
    with pytest.raises(MissingDataError, match=f"{video}: it has 3 frames, its annotation goes up to number 5: was it"):
        dataset[0]


def test_a_size_that_is_none_is_refused(converted, tmp_path):
    for sides in (dict(width="wide", height=240), dict(width=[320, 320], height=240), dict(width=320, height=np.nan)):
        data = HumanData.load(next((converted / "surreal/train").glob("run*.npz")))
        data.camera, data.meta = None, {**data.meta, **sides}
        with pytest.raises(FileFormatError, match="does not give a usable image size"):
            read_annotation(data, tmp_path / "a.npz")


def test_sets_without_smpl_pelvis_are_rooted_at_the_hips(tmp_path):
    pytest.importorskip("cdflib")
    truth = native_sets.write_h36m(tmp_path / "h36m")
    convert("Human36M", tmp_path / "h36m", tmp_path / "out", "test")
    dataset = build(tmp_path / "out", "h36m/test", include=["S9*.54138969"], clip_length=None)
    sample = dataset[0]["data_sample"]
    hips = [KEYPOINTS.index("left_hip_extra"), KEYPOINTS.index("right_hip_extra")]
    torch.testing.assert_close(sample.keypoints3d[:, hips, :3].mean(1), torch.zeros(5, 3), atol=1e-6, rtol=0)
    positions = truth["D3_Positions_mono"][::5] / 1000
    wanted = positions[:, 27] - positions[:, [6, 1]].mean(1)
    np.testing.assert_allclose(sample.keypoints3d[:, KEYPOINTS.index("right_wrist"), :3], wanted, atol=1e-5)
    assert [float(sample.get(flag)) for flag in FLAGS] == [1, 0, 0] and sample.keypoints3d[0, 0, 3] == 0


def test_losses_of_a_still_teach_2d_alone(converted):
    samples = [build(converted, name)[0]["data_sample"] for name in ("coco/val2017", "pw3d/test")]
    target = {key: torch.stack([sample.get(key) for sample in samples]) for key in samples[0].keys()}
    prediction = {
        "pred_keypoints2d": torch.zeros(2, 4, len(KEYPOINTS), 2, requires_grad=True),
        "pred_keypoints3d": torch.randn(2, 4, len(KEYPOINTS), 3).requires_grad_(),
        "pred_rotmat": torch.randn(2, 4, 24, 3, 3).requires_grad_(),
        "pred_betas": torch.ones(2, 4, 10, requires_grad=True),
    }
    sum(loss(prediction, target) for loss in (ProjectionLoss(), Joint3DLoss(), SMPLParameterLoss())).backward()
    teaches = {key: value.grad.flatten(1).abs().sum(1).gt(0).tolist() for key, value in prediction.items()}
    assert teaches == {
        "pred_keypoints2d": [True, True], "pred_keypoints3d": [False, True], "pred_rotmat": [False, True],
        "pred_betas": [False, False],
    }  # fmt: skip


def test_mixed_in_exact_shares(converted, sequences):
    body = {"type": "mviper.SMPL"}
    parts = [
        {"type": "mviper.SyntheticHumanVideo", "data_root": str(sequences), "pipeline": AUGMENTED, "body_model": body},
        *(
            {"type": "mviper.HumanDataset", "data_root": str(converted), "ann_file": name, "pipeline": AUGMENTED,
             "body_model": body}
            for name in ("coco/val2017", "pw3d/test")
        ),
    ]  # fmt: skip
    config = {"type": "mviper.MixedDataset", "datasets": parts, "ratios": [0.5, 0.3, 0.2], "length": 50}
    mixed = DATASETS.build(config)
    assert np.bincount([mixed.which(index) for index in range(len(mixed))]).tolist() == [25, 15, 10]
    assert mixed.metainfo["dataset"].startswith("0.50 synthetic/train + 0.30 coco")
    seeded = [SeededItems(config, seed=1) for _ in range(2)]
    for index, n, flags in ((3, 7, [1, 1, 1]), (30, 8, [0, 0, 0]), (45, 9, [1, 1, 0])):
        one, other = (items[index, n] for items in seeded)
        assert torch.equal(one["inputs"], other["inputs"])  # as repeated by a resumed run
        assert [float(one["data_sample"].get(flag)) for flag in FLAGS] == flags
        assert one["inputs"].shape == (4, 3, 64, 64)
    arrays = gather_annotations(mixed)
    count = len(arrays["betas"])
    assert len(arrays["keypoints2d"]) == count == len(arrays["has_betas"]) and len(arrays["smpl_rotmat"]) < count
    assert 0 < arrays["has_betas"].sum() < count
    assert len(DATASETS.build({**config, "ratios": None, "length": None})) == sum(len(d) for d in mixed.datasets)
    for wrong, message in (({"ratios": [1, 2]}, "expected 3 numbers"), ({"datasets": []}, "empty")):
        with pytest.raises(ConfigError, match=message):
            DATASETS.build({**config, **wrong})
    with pytest.raises(ConfigError, match="body models differ"):
        DATASETS.build({**config, "datasets": [parts[0], {**parts[1], "body_model": "another:body"}, parts[2]]})


def test_missing_and_damaged(converted, tmp_path, log_lines):
    with pytest.raises(MissingDataError, match=r"python tools/convert_dataset\.py mpii .*--out .*--splits train"):
        build(tmp_path, "mpii/train")
    out = tmp_path / "out"
    shutil.copytree(converted / "pw3d", out / "pw3d")
    index = out / "pw3d/test/index.jsonl"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(lines[:-1]))
    with pytest.raises(MissingDataError, match="not a finished conversion"):
        build(out, "pw3d/test")
    header = {**json.loads(lines[0]), "root": str(tmp_path / "moved")}
    index.write_text("".join([json.dumps(header) + "\n", *lines[1:]]))
    with pytest.raises(MissingDataError, match="data_prefix"):
        build(out, "pw3d/test")
    pictures = tmp_path / "pictures"
    shutil.copytree(json.loads(lines[0])["root"], pictures)
    name = "imageFiles/downtown_walk_00/image_00001.jpg"
    (pictures / name).write_bytes(b"no picture")
    dataset = build(out, "pw3d/test", data_prefix=str(pictures), as_stills=True)
    assert dataset[1]["data_sample"].frame_indices[0] == 2  # replaced by the next still
    assert list(dataset.skipped) == [str(pictures / name)]
    assert sum(name in line for line in log_lines) == 1
