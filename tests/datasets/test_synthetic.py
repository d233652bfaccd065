"""Sequence folders on disk to clips: contents, order, damage, foreign betas, workers."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from torch.utils.data import DataLoader

from mviper.datasets import SyntheticHumanVideo, gather_annotations
from mviper.datasets.video import VideoReader
from mviper.errors import FileFormatError, MissingDataError
from mviper.graphics import read_video, write_video
from mviper.registry import DATASETS
from mviper.structures.human_data import HumanData
from mviper.structures.joints import KEYPOINTS

AUGMENTED = [
    {"type": "mviper.AugmentClip"},
    {"type": "mviper.CropClip", "size": 64},
    {"type": "mviper.JitterClip"},
    {"type": "mviper.PackBodySample"},
]
PLAIN = [{"type": "mviper.CropClip", "size": 64}, {"type": "mviper.PackBodySample"}]


def build(root, **kwargs) -> SyntheticHumanVideo:
    kwargs.setdefault("pipeline", PLAIN)
    return DATASETS.build({"type": "mviper.SyntheticHumanVideo", "data_root": str(root), **kwargs})


def test_item_obeys_the_contract(sequences, body):
    dataset = build(sequences, clip_length=4, stride=2, body_model={"type": "mviper.SMPL"})
    assert len(dataset) == 4 * ((20 - 4) // 2 + 1)
    item = dataset[1]
    sample, J = item["data_sample"], len(KEYPOINTS)
    assert item["inputs"].shape == (4, 3, 64, 64) and item["inputs"].dtype == torch.uint8
    shapes = {name: tuple(value.shape) for name, value in sample.items()}
    assert shapes == {
        "keypoints2d": (4, J, 3), "keypoints3d": (4, J, 4), "smpl_rotmat": (4, 24, 3, 3), "betas": (4, 10),
        "has_keypoints3d": (), "has_smpl": (), "has_betas": (),
    }  # fmt: skip
    assert all(value.dtype == torch.float32 for value in sample.values())
    assert sample.sequence == "train/walk__00/east" and sample.frame_indices.tolist() == [2, 3, 4, 5]
    assert sample.video_path.endswith("walk__00/east.mp4") and sample.crop.shape == (4, 3)
    assert sample.has_betas == 1 and dataset.metainfo["body_model"] == body.body_model_id
    assert sample.keypoints2d[..., :2].abs().max() <= 1 / 1.2 + 1e-6  # the box is 1.2 x the joints'
    assert set(sample.keypoints2d[..., 2].unique().tolist()) == {0.0, 1.0}
    with torch.no_grad():  # theta and beta give the 3D joints, root subtracted, in the camera's axes
        joints = body(sample.betas, sample.smpl_rotmat).joints
    torch.testing.assert_close(sample.keypoints3d[..., :3], joints - joints[:, :1], atol=1e-4, rtol=0)
    data = HumanData.load(sequences / "train/walk__00/east.npz")
    np.testing.assert_array_equal(sample.keypoints2d[..., 2], data.visibility[2:6])


def test_whole_sequences_steps_and_views(sequences):
    whole = build(sequences, clip_length=None)
    assert len(whole) == 4
    assert whole[2]["inputs"].shape[0] == 20 and whole[2]["data_sample"].sequence == "train/walk__01/east"
    assert build(sequences, clip_length=None, frame_step=3)[0]["data_sample"].frame_indices.tolist() == [
        *range(0, 20, 3)
    ]
    stepped = build(sequences, clip_length=4, frame_step=2, views=["north"])
    assert len(stepped) == 2 * ((20 - 7) // 8 + 1)
    assert stepped[1]["data_sample"].frame_indices.tolist() == [8, 10, 12, 14]
    assert stepped[1]["data_sample"].sequence.endswith("/north")
    short = build(sequences, clip_length=24)
    assert len(short) == 4 and short[0]["data_sample"].frame_indices.tolist()[-6:] == [18, 19, 19, 19, 19, 19]


def test_random_access_reads_the_same_pictures_as_reading_on(sequences):
    path = sequences / "train/walk__00/east.mp4"
    on = VideoReader().read(path, range(20))
    reader = VideoReader(max_open=1)
    for start in (13, 3, 7, 0, 16, 8):
        for picture, expected in zip(reader.read(path, range(start, start + 4)), on[start:]):
            np.testing.assert_array_equal(picture, expected)
        reader.read(sequences / "train/walk__00/north.mp4", [1])  # evicts the other one
    with pytest.raises(FileFormatError, match=r"no frame 20"):
        reader.read(path, [18, 19, 20])
    np.testing.assert_array_equal(reader.read(path, [5])[0], on[5])


def test_clip_equals_the_same_frames_of_the_whole_sequence(sequences):
    clip = build(sequences, clip_length=4)[2]
    whole = build(sequences, clip_length=None)[0]
    torch.testing.assert_close(clip["inputs"], whole["inputs"][8:12], atol=0, rtol=0)
    torch.testing.assert_close(clip["data_sample"].keypoints2d, whole["data_sample"].keypoints2d[8:12], atol=0, rtol=0)


def test_no_data_names_the_command(tmp_path):
    with pytest.raises(MissingDataError, match=r"python tools/generate\.py configs/synthesis/x\.py --out .*nothing"):
        build(tmp_path / "nothing", synthesis_config="configs/synthesis/x.py")


def test_damaged_files_are_named_skipped_and_counted(sequences, tmp_path, log_lines):
    root = tmp_path / "data"
    shutil.copytree(sequences, root)
    first, second = root / "train/walk__00", root / "train/walk__01"
    video = (first / "north.mp4").read_bytes()
    (first / "north.mp4").write_bytes(video[: len(video) // 2])  # cut
    annotation = (second / "east.npz").read_bytes()
    (second / "east.npz").write_bytes(annotation[:-200])
    (second / "north.mp4").unlink()
    (root / "train/.walk__02.tmp").mkdir()  # being written
    shutil.copy(first / "manifest.json", root / "train/.walk__02.tmp")
    dataset = build(root, clip_length=4)
    assert len(dataset) == 3 * 5 and len(dataset.skipped) == 1  # the missing file is detected at once
    names = [item["data_sample"].sequence for item in dataset]
    assert set(names) == {"train/walk__00/east"} and len(names) == 15
    assert sorted(dataset.skipped) == [str(first / "north.mp4"), str(second / "east.npz"), str(second / "north.mp4")]
    for path in dataset.skipped:
        assert sum(line.startswith(f"{path}: ") for line in log_lines) == 1
    assert len(list(dataset.annotation_samples())) == 2

    (first / "east.mp4").write_bytes(b"no video")
    with pytest.raises(MissingDataError, match=r"no readable view is left"):
        build(root)[0]
    for manifest in root.glob("train/*/manifest.json"):
        manifest.write_text("{")
    with pytest.raises(MissingDataError, match=r"not a manifest"):
        build(root)


def test_home_is_a_place(sequences, monkeypatch):
    monkeypatch.setenv("HOME", str(sequences.parent))
    assert len(build(f"~/{sequences.name}").views) == 4


def test_a_video_of_another_size_than_its_annotation_is_refused(sequences, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(sequences, root)
    video = root / "train/walk__00/north.mp4"
    pictures = read_video(video)
    write_video(video, pictures[:, ::5, ::5], 30)
    dataset = build(root, clip_length=4)
    assert {item["data_sample"].sequence for item in dataset}.isdisjoint({"train/walk__00/north"})
    height, width = pictures.shape[1:3]
    problem = f"it has {width // 5} x {height // 5} pixels, its annotation says {width} x {height}"
    assert list(dataset.skipped) == [str(video)] and problem in dataset.skipped[str(video)]
    write_video(video, pictures[:, :-1, :-1], 30)  # sides of 249, which H.264 pads
    path = video.with_suffix(".npz")
    data = HumanData.load(path)
    data.camera = replace(data.camera, width=width - 1, height=height - 1)
    data.save(path)
    dataset = build(root, clip_length=4)
    assert len({item["data_sample"].sequence for item in dataset}) == 4 and not dataset.skipped


def test_scrambled_video_is_noticed(sequences, tmp_path):
    path = tmp_path / "scrambled.mp4"
    content = bytearray((sequences / "train/walk__00/east.mp4").read_bytes())
    start = content.index(b"mdat") + 4
    rng = np.random.default_rng(0)
    for place in rng.integers(start + 2000, start + 6000, 60):
        content[place] = int(rng.integers(256))
    path.write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"cannot be decoded"):
        VideoReader().read(path, range(20))


def test_betas_of_another_body_are_not_used(sequences, write_sequence, tmp_path, body, log_lines):
    root = tmp_path / "data"
    shutil.copytree(sequences, root)
    write_sequence(root, "walk__02", seed=3, frames=8, views=("east",), body_model="other:123")
    dataset = build(root, clip_length=None, body_model=body.body_model_id)
    flags = {item["data_sample"].sequence: float(item["data_sample"].has_betas) for item in [*dataset, dataset[4]]}
    assert flags.pop("train/walk__02/east") == 0 and set(flags.values()) == {1.0}
    assert sum("betas belong to body other:123" in line for line in log_lines) == 1
    arrays = gather_annotations(dataset)
    assert arrays["has_betas"].sum() == 80 and len(arrays["betas"]) == 88
    assert build(root).body_model == body.body_model_id  # without one, the first sequence's counts


def test_annotations_are_those_of_the_items(sequences):
    dataset = build(sequences, clip_length=None)
    arrays = gather_annotations(dataset, frame_step=2)
    expected = [item["data_sample"] for item in dataset]
    for name in ("keypoints2d", "keypoints3d", "smpl_rotmat", "betas"):
        whole = np.concatenate([getattr(sample, name)[::2].numpy() for sample in expected])
        np.testing.assert_array_equal(arrays[name], whole)


@pytest.mark.parametrize("context, workers", [("fork", 2), ("spawn", 1)])
def test_workers_give_what_none_gives(sequences, context, workers):
    dataset = build(sequences, clip_length=4)
    dataset[0]  # containers are already open and annotation is cached when the workers start
    loader = DataLoader(
        dataset, batch_size=4, num_workers=workers, collate_fn=pseudo_collate, sampler=DefaultSampler(dataset, seed=3),
        multiprocessing_context=context, timeout=60,
    )  # fmt: skip
    seen = {}
    for batch in loader:
        for inputs, sample in zip(batch["inputs"], batch["data_sample"]):
            seen[sample.sequence, int(sample.frame_indices[0])] = inputs
    assert len(seen) == len(dataset) == 20
    for item in dataset:
        sample = item["data_sample"]
        assert torch.equal(seen[sample.sequence, int(sample.frame_indices[0])], item["inputs"])


def test_same_seed_same_augmentation(sequences):
    dataset = build(sequences, clip_length=4, pipeline=AUGMENTED)

    def draw(seed: int) -> torch.Tensor:
        np.random.seed(seed)
        return dataset[3]["inputs"]

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_pickles_small(sequences):
    dataset = build(sequences, clip_length=4)
    gather_annotations(dataset)
    dataset[0]
    assert len(pickle.dumps(dataset)) < 20_000
