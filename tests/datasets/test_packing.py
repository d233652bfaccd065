"""Sequences packed as a tar of JPEGs, as one HumanData file per split, as plain images; and disjoint splits."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mviper.datasets.packing import join_rows, pack_split, plain_arrays
from mviper.datasets.sequences import SPLIT_ATTRIBUTES, find_sequences, split_without_overlap
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import load_npz
from mviper.registry import DATASETS
from mviper.structures.human_data import HumanData

PLAIN = [{"type": "mviper.CropClip", "size": 64}, {"type": "mviper.PackBodySample"}]


@pytest.fixture(scope="module")
def packed(sequences, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed")
    for kind in ("tar", "human_data", "images"):
        summary = pack_split(find_sequences(sequences), out, "train", kind)
        assert (summary.sequences, summary.views, summary.frames, summary.skipped) == (2, 4, 80, {})
        assert summary.bytes > 1000
    return out


def build(kind: str, root, **kwargs):
    return DATASETS.build({"type": f"mviper.{kind}", "data_root": str(root), "pipeline": PLAIN, **kwargs})


def test_packed_items_are_those_of_the_videos(sequences, packed):
    videos = build("SyntheticHumanVideo", sequences, clip_length=4, stride=3)
    clips = build("PackedHumanVideo", packed, clip_length=4, stride=3)
    assert len(clips) == len(videos) and clips.body_model == videos.body_model
    for index in (0, 7, len(clips) - 1):
        ours, theirs = clips[index], videos[index]
        assert ours["inputs"].shape == theirs["inputs"].shape and ours["inputs"].dtype == torch.uint8
        assert (ours["inputs"].float() - theirs["inputs"].float()).abs().mean() < 2.5  # JPEG's loss
        for name, value in theirs["data_sample"].items():
            assert torch.equal(ours["data_sample"].get(name), value)
        assert ours["data_sample"].sequence == theirs["data_sample"].sequence
    whole = build("PackedHumanVideo", packed, clip_length=None, frame_step=3, views=["north"])
    assert len(whole) == 2 and whole[1]["inputs"].shape[0] == 7
    assert build("PackedHumanVideo", packed, clip_length=24)[0]["inputs"].shape[0] == 24  # the last frame is repeated


def test_packed_files_serve_processes_and_pickle(packed):
    dataset = build("PackedHumanVideo", packed, clip_length=4)
    dataset[0]  # the file is open when the workers start
    loader = DataLoader(dataset, batch_size=5, num_workers=2, collate_fn=pseudo_collate, timeout=60)
    inputs = [picture for batch in loader for picture in batch["inputs"]]
    assert len(inputs) == len(dataset) == 20
    for index in (0, 9, 19):
        assert torch.equal(inputs[index], dataset[index]["inputs"])
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[3]["inputs"], dataset[3]["inputs"])


def test_the_tar_is_a_tar(packed):
    with tarfile.open(packed / "train.tar") as tar:
        names = tar.getnames()
        picture = cv2.imdecode(np.frombuffer(tar.extractfile("walk__01/north/000019.jpg").read(), np.uint8), 1)
        annotation = io.BytesIO(tar.extractfile("walk__01/north.npz").read())
    assert len(names) == 2 + 4 + 80 and names.count("walk__00/manifest.json") == 1
    assert picture.shape == (250, 250, 3) and len(np.load(annotation, allow_pickle=True)["frame_idx"]) == 20


def test_damage_in_a_tar_is_named_skipped_and_counted(packed, tmp_path, log_lines):
    for name in ("train.tar", "train.index.npz"):
        shutil.copy(packed / name, tmp_path)
    index = load_npz(tmp_path / "train.index.npz")
    offset, size = index["pictures"][22]  # the second view's third frame
    with open(tmp_path / "train.tar", "r+b") as file:
        file.seek(int(offset) + int(size) // 2)
        file.write(b"\x00\xff\x10\x80")
        file.seek(int(index["annotation"][3][0]) + 100)
        file.write(bytes(200))
    dataset = build("PackedHumanVideo", tmp_path, clip_length=4)
    seen = {item["data_sample"].sequence for item in dataset}
    assert seen == {"train/walk__00/east", "train/walk__00/north", "train/walk__01/east"}
    tar = tmp_path / "train.tar"
    assert dataset.skipped[str(tar / "walk__00/north")] == "frame 2 is damaged" and len(dataset.skipped) == 2
    assert str(tar / "walk__01/north.npz") in dataset.skipped and sum("skipped" in line for line in log_lines) == 2
    with open(tar, "ab") as file:
        file.write(b"more")
    with pytest.raises(FileFormatError, match="its index expects"):
        build("PackedHumanVideo", tmp_path)
    with pytest.raises(MissingDataError, match=r"convert_dataset\.py synthetic .* --as tar"):
        build("PackedHumanVideo", tmp_path, split="val")


def test_human_data_and_pictures_go_together(sequences, packed):
    data = HumanData.load(packed / "train_human_data.npz")
    assert len(data) == 80 and data.camera is not None and data.camera.R.shape == (80, 3, 3)
    parts = [HumanData.load(sequences / f"train/walk__0{k}/{view}.npz") for k in (0, 1) for view in ("east", "north")]
    for name in ("keypoints2d", "keypoints3d", "visibility", "bbox_xywh", "frame_idx"):
        np.testing.assert_array_equal(getattr(data, name), np.concatenate([getattr(part, name) for part in parts]))
    np.testing.assert_array_equal(data.smpl["body_pose"][25], parts[1].smpl["body_pose"][5])
    assert data.image_path[25] == "train/walk__00/north/000005.jpg" and (packed / data.image_path[25]).is_file()
    assert len(data.meta["gender"]) == 80 and data.body_model == parts[0].body_model
    stills = build("HumanDataset", packed, ann_file="train_human_data.npz", clip_length=2)
    assert len(stills) == 80 and stills[79]["inputs"].shape == (2, 3, 64, 64)

    higher = replace(parts[1], camera=replace(parts[1].camera, height=parts[1].camera.height + 2))
    assert join_rows([parts[0], parts[1]]).camera is not None and join_rows([parts[0], higher]).camera is None

    plain = np.load(packed / "train_arrays.npz")  # no object in it
    expected = plain_arrays(parts[1], [f"train/walk__00/north/{k:06d}.jpg" for k in range(20)])
    for name, values in expected.items():
        np.testing.assert_array_equal(plain[name][20:40], values)
    assert plain["pose"].shape == (80, 72) and str(plain["body_model"]) == data.body_model


def test_unpackable_data_are_refused(sequences, write_sequence, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(sequences, root)
    (root / "train/walk__00/north.mp4").write_bytes(b"no video")
    (root / "train/walk__01/east.npz").unlink()
    summary = pack_split(find_sequences(root), tmp_path, "train", "tar")
    assert summary.views == 2 and sorted(summary.skipped) == [
        str(root / "train/walk__00/north.mp4"), str(root / "train/walk__01/east.npz")
    ]  # fmt: skip
    assert len(build("PackedHumanVideo", tmp_path, clip_length=None)) == 2
    write_sequence(root, "walk__02", seed=3, frames=2, views=("east",), body_model="other:123")
    with pytest.raises(ConfigError, match="different bodies"):
        pack_split(find_sequences(root), tmp_path, "train", "human_data")
    with pytest.raises(ConfigError, match="tar, human_data, images, coco, webdataset"):
        pack_split([], tmp_path, "train", "zip")
    with pytest.raises(ConfigError, match="1 to 100"):
        pack_split([], tmp_path, "train", "tar", quality=0)


def manifests(rng: np.random.Generator, count: int = 300) -> list[dict]:
    """30 subjects with some clips each, in two of eight garments."""
    made = []
    for _ in range(count):
        subject = int(rng.integers(30))
        tops, bottoms = rng.integers(4), 4 + rng.integers(4)
        pieces = [dict(name=f"garment_{tops}"), dict(name=f"garment_{bottoms}")]
        made.append(dict(subject=f"{subject:02d}", clip=f"{subject:02d}_{rng.integers(5)}", garments=pieces))
    return made


@pytest.mark.parametrize("by", [["subject"], ["motion"], ["subject", "motion"], ["subject", "motion", "garment"]])
def test_splits_share_nothing(by):
    some = manifests(np.random.default_rng(0))
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    splits = split_without_overlap(some, by, shares, seed=1)
    assert splits == split_without_overlap(some, by, shares, seed=1)
    values = {name: {split: set() for split in shares} for name in by}
    for manifest, split in zip(some, splits):
        for name in by if split else []:
            values[name][split] |= SPLIT_ATTRIBUTES[name](manifest)
    for of_split in values.values():
        assert all(of_split.values())
        assert sum(map(len, of_split.values())) == len(set.union(*of_split.values()))
    if "garment" in by:
        assert splits.count(None) < 0.9 * len(some)
    else:
        assert None not in splits and abs(splits.count("train") / len(some) - 0.6) < 0.1


def test_splits_that_cannot_be():
    some = [dict(subject="01", clip=f"{k}", garments=[]) for k in range(9)]
    shares = {"train": 0.8, "val": 0.0, "test": 0.2}
    assert set(split_without_overlap(some, ["motion"], shares)) == {"train", "test"}
    with pytest.raises(ConfigError, match="without an overlap in subject"):
        split_without_overlap(some, ["subject"], shares)
    with pytest.raises(ConfigError, match="subject, motion, garment"):
        split_without_overlap(some, ["betas"], shares)
    for wrong in (0.0, -0.1):
        with pytest.raises(ConfigError, match="expected shares >= 0, not all 0"):
            split_without_overlap(some, ["motion"], dict.fromkeys(shares, wrong))


def test_the_tool(sequences, write_sequence, run_tool, tmp_path):
    root, out = tmp_path / "data", tmp_path / "packed"
    shutil.copytree(sequences, root)
    damaged = root / "train/walk__02/manifest.json"
    damaged.parent.mkdir()
    damaged.write_text("{")
    with pytest.raises(FileFormatError, match="not a manifest"):
        find_sequences(root)
    done = run_tool("convert_dataset.py", "synthetic", root, "--out", out, "--as", "tar", "human_data")
    assert done.returncode == 0, done.stderr
    assert f"skipped {damaged}: not a manifest" in done.stdout and "1 sequences skipped" in done.stdout
    assert "train tar: 2 sequences, 4 views, 80 frames" in done.stdout and "PackedHumanVideo" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["train.index.npz", "train.tar", "train_human_data.npz"]
