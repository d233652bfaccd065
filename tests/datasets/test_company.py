"""Folders of several people: readers go by the manifest."""

from __future__ import annotations

import json
import shutil
import tarfile

import cv2
import numpy as np
import pytest
import torch

from mviper.datasets import find_sequences, interchange, pack_split, split_without_overlap
from mviper.datasets.interchange import encode_mask
from mviper.errors import FileFormatError
from mviper.files import load_npz
from mviper.registry import DATA_CONVERTERS, DATASETS
from mviper.structures import HumanData, PassWriter, people_of, person_views

PLAIN = [{"type": "mviper.CropClip", "size": 64}, {"type": "mviper.PackBodySample"}]
FRAMES = 6


def build(kind: str, root, **options):
    return DATASETS.build({"type": f"mviper.{kind}", "data_root": str(root), "pipeline": PLAIN, **options})


@pytest.fixture(scope="module")
def mixed(write_sequence, write_company, tmp_path_factory):
    """One person in ``walk__00``, two in ``walk__01``, two views each."""
    root = tmp_path_factory.mktemp("company")
    write_sequence(root, "walk__00", frames=FRAMES, seed=1)
    write_company(root, "walk__01", frames=FRAMES, seed=2)
    return root


def test_every_person_of_a_view_is_a_view_of_the_data_set(mixed):
    dataset = build("SyntheticHumanVideo", mixed, clip_length=None)
    names = [view.name.removeprefix("train/") for view in dataset.views]
    assert names == [
        "walk__00/east", "walk__00/north", "walk__01/east_p0", "walk__01/east_p1", "walk__01/north_p0",
        "walk__01/north_p1",
    ]  # fmt: skip
    first, second = dataset[2], dataset[3]
    for number, item in enumerate((first, second)):
        sample = item["data_sample"]
        assert sample.video_path.endswith("walk__01/east.mp4") and sample.sequence == f"train/walk__01/east_p{number}"
        data = HumanData.load(mixed / f"train/walk__01/east_p{number}.npz")
        np.testing.assert_allclose(sample.betas[0], data.smpl["betas"][0], rtol=1e-6)
    assert not torch.equal(first["data_sample"].betas, second["data_sample"].betas)
    assert len(build("SyntheticHumanVideo", mixed, clip_length=None, views=["north"]).views) == 3


def test_people_share_the_packed_pictures(mixed, tmp_path):
    for kind in ("tar", "human_data", "images"):
        summary = pack_split(find_sequences(mixed), tmp_path, "train", kind)
        assert (summary.sequences, summary.views, summary.frames, summary.skipped) == (2, 6, 6 * FRAMES, {})
    videos = build("SyntheticHumanVideo", mixed, clip_length=3)
    clips = build("PackedHumanVideo", tmp_path, clip_length=3)
    assert [view.name for view in clips.views] == [view.name for view in videos.views]
    for ours, theirs in zip(clips, videos):
        assert (ours["inputs"].float() - theirs["inputs"].float()).abs().mean() < 3  # JPEG's loss
        assert torch.equal(ours["data_sample"].keypoints2d, theirs["data_sample"].keypoints2d)
    assert len(build("PackedHumanVideo", tmp_path, clip_length=None, views=["east"]).views) == 3
    with tarfile.open(tmp_path / "train.tar") as tar:
        names = tar.getnames()
    assert len(names) == len(set(names)) == 2 + 6 + 4 * FRAMES and "walk__01/east/000000.jpg" in names
    assert len(list(tmp_path.glob("train/*/*/*.jpg"))) == 4 * FRAMES
    data = HumanData.load(tmp_path / "train_human_data.npz")
    assert len(data) == 6 * FRAMES and data.image_path.count("train/walk__01/east/000003.jpg") == 2
    assert np.load(tmp_path / "train_arrays.npz")["imgname"].tolist() == data.image_path
    old = load_npz(tmp_path / "train.index.npz")
    del old["views"]  # as earlier versions wrote it
    np.savez(tmp_path / "train.index.npz", **old)
    assert len(build("PackedHumanVideo", tmp_path, clip_length=None)) == 6


def test_splits_keep_all_people_apart(mixed):
    company = find_sequences(mixed)[1].manifest
    alone = [dict(subject=subject, clip=subject, garments=[]) for subject in ("07", "08", "09")]
    splits = split_without_overlap([company, *alone], ["subject"], {"train": 0.75, "test": 0.25})
    assert splits[0] == splits[1] == splits[2] != splits[3]


def test_a_manifest_names_people_and_views(mixed, tmp_path):
    old = dict(frames=3, views=["east", "west"], subject="07")
    assert [(shown.view, shown.person, shown.name) for shown in person_views(old)] == [
        ("east", "", "east"), ("west", "", "west")
    ]  # fmt: skip
    assert people_of(old) == [old]
    path = tmp_path / "train" / "walk__00" / "manifest.json"
    path.parent.mkdir(parents=True)
    for wrong in ([dict(name="north", person="p0")], ["east"], [dict(person="p0")]):
        path.write_text(json.dumps({**old, "view_list": wrong}))
        with pytest.raises(FileFormatError, match="not a manifest"):
            find_sequences(tmp_path)


def test_the_player_and_the_sheet_draw_everyone(mixed, body):
    from mviper.app.gallery import Gallery
    from mviper.reports import annotated_sheet, measure_distributions

    gallery = Gallery(mixed)
    assert len(gallery.videos) == 4 and not gallery.skipped
    video = gallery.videos[2]
    assert video.garments == ("t_shirt", "shorts") and video.motion == "walk + wave"
    sequence = video.sequence
    both = next(video.frames()).astype(int)
    first = sequence.annotation(sequence.person_views[0])
    second = sequence.annotation(sequence.person_views[1])
    for person in (first, second):
        x, y = np.round(2 * person.keypoints2d[0, person.visibility[0] > 0, :2] + 0.5).astype(int)[3]
        assert np.ptp(both[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3), axis=0).max() > 40  # a mark
    sheet = annotated_sheet(sequence, body)
    assert sheet.shape[0] > sheet.shape[1]  # three rows of two views
    found = measure_distributions([sequence])
    assert len(found.betas) == 2 and not found.skipped


@pytest.fixture(scope="module")
def masked(mixed, tmp_path_factory):
    """The same with segmentation: the first person in front of the second, whose right half is seen."""
    root = tmp_path_factory.mktemp("masked")
    shutil.copytree(mixed, root, dirs_exist_ok=True)
    for folder in root.glob("train/*"):
        manifest = json.loads((folder / "manifest.json").read_text()) | {"passes": ["segmentation"]}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        several = len(people_of(manifest)) > 1
        for view in manifest["views"]:
            labels = ["background", "p0_body", "p1_body"] if several else ["background", "body"]
            people = list(range(3)) if several else None
            path = folder / f"{view}_passes.zip"
            with PassWriter(path, FRAMES, 250, 250, ["segmentation"], labels, 1.0, 2.0, people) as writer:
                for frame in range(FRAMES):
                    picture = np.zeros((250, 250), np.uint8)
                    if several and frame > 0:  # at first it is hidden
                        picture[40:200, 100:160] = 2
                    picture[50:210, 90 + frame : 130] = 1
                    writer.add("segmentation", frame, picture)
    return root


def decode(text: str, height: int, width: int) -> np.ndarray:
    """COCO's compressed run lengths, as its maskApi.c reads them."""
    counts, values = [], iter(ord(letter) - 48 for letter in text)
    for digit in values:
        value, shift = digit & 0x1F, 5
        while digit & 0x20:
            digit = next(values)
            value |= (digit & 0x1F) << shift
            shift += 5
        if digit & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return np.repeat(np.arange(len(counts)) % 2, counts).reshape(width, height).T.astype(bool)


def test_masks_are_encoded_as_coco_does():
    rng = np.random.default_rng(0)
    for shape, share in (((7, 5), 0.5), ((40, 60), 0.02), ((300, 400), 0.99), ((4, 4), 1.0)):
        mask = rng.random(shape) < share
        assert np.array_equal(decode(encode_mask(mask), *shape), mask)
    # By pycocotools 2.0.11: 600 zeros, 10 ones, 390 zeros.
    mask = np.zeros((100, 10), bool)
    mask[:10, 6] = True
    assert encode_mask(mask) == "hb0:V<"


def test_coco_has_everyone_who_is_seen(masked, tmp_path):
    summary = pack_split(find_sequences(masked), tmp_path, "train", "coco")
    assert (summary.sequences, summary.views, summary.frames, summary.skipped) == (2, 6, 6 * FRAMES, {})
    content = json.loads((tmp_path / "train_coco.json").read_text())
    images = {image["id"]: image for image in content["images"]}
    assert len(images) == 4 * FRAMES and all((tmp_path / image["file_name"]).is_file() for image in images.values())
    of_picture: dict[str, list] = {}
    for told in content["annotations"]:
        of_picture.setdefault(images[told["image_id"]]["file_name"], []).append(told)
    first, later = (of_picture[f"train/walk__01/north/00000{frame}.jpg"] for frame in (0, 3))
    assert [told["track"] for told in first] == ["walk__01/north_p0"]
    assert [told["track"] for told in later] == ["walk__01/north_p0", "walk__01/north_p1"]
    front, behind = (decode(told["segmentation"]["counts"], 250, 250) for told in later)
    assert not (front & behind).any() and later[0]["bbox"] == [93, 50, 37, 160] and later[0]["area"] == front.sum()
    assert later[1]["bbox"] == [100, 40, 60, 160] and behind[45, 110] and not behind[100, 110]
    data = HumanData.load(masked / "train/walk__01/north_p1.npz")
    keypoints = np.reshape(later[1]["keypoints"], (17, 3))
    for name, (x, y, flag) in zip(content["categories"][0]["keypoints"], keypoints):
        ours = data.names.index({"left_hip": "left_hip_extra", "right_hip": "right_hip_extra"}.get(name, name))
        np.testing.assert_allclose([x, y], data.keypoints2d[3, ours, :2], atol=0.006)
        assert flag == 1 + data.visibility[3, ours]
    assert later[1]["num_keypoints"] == 17
    # Our own reader of COCO's files understands it.
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train_coco.json").rename(tmp_path / "annotations/person_keypoints_train2017.json")
    (tmp_path / "train2017").symlink_to(tmp_path)
    people = DATA_CONVERTERS.build(dict(type="COCOConverter", root=str(tmp_path))).read("train2017", "train2017")
    assert len(people) == len(content["annotations"])


def test_without_segmentation_boxes_are_those_of_bodies(mixed, tmp_path):
    pack_split(find_sequences(mixed), tmp_path, "train", "coco")
    told = json.loads((tmp_path / "train_coco.json").read_text())["annotations"]
    assert len(told) == 6 * FRAMES and not any("segmentation" in one for one in told)
    box = HumanData.load(mixed / "train/walk__00/east.npz").bbox_xywh[0, :4]
    np.testing.assert_allclose(told[0]["bbox"], box + np.array([0.5, 0.5, 0, 0]), atol=0.006)


def test_webdataset_has_a_sample_for_each_picture(masked, tmp_path, monkeypatch):
    monkeypatch.setattr(interchange, "SHARD", 10)
    (tmp_path / "train-000007.tar").write_bytes(b"of an earlier, longer run")
    summary = pack_split(find_sequences(masked), tmp_path, "train", "webdataset")
    assert summary.frames == 6 * FRAMES and not summary.skipped
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"train-00000{k}.tar" for k in range(3)]
    samples: dict[str, dict] = {}
    for path in sorted(tmp_path.glob("*.tar")):
        with tarfile.open(path) as tar:
            for entry in tar:
                key, _, ending = entry.name.partition(".")
                samples.setdefault(key, {})[ending] = tar.extractfile(entry).read()
    assert len(samples) == 4 * FRAMES
    assert all(list(parts) == ["jpg", "json", "masks.png"] for parts in samples.values())
    parts = samples["walk__01/east/000003"]
    told = json.loads(parts["json"])
    assert told["sequence"] == "walk__01" and told["view"] == "east" and told["frame"] == 3
    assert [person["person"] for person in told["people"]] == ["p0", "p1"]
    data = HumanData.load(masked / "train/walk__01/east_p1.npz")
    person = told["people"][1]
    np.testing.assert_allclose(person["keypoints3d"], data.keypoints3d[3, :, :3], atol=1e-5)
    np.testing.assert_allclose(person["body_pose"], data.smpl["body_pose"][3], atol=1e-5)
    assert person["visible"] == data.visibility[3].tolist() and told["keypoint_names"] == list(data.names)
    assert np.shape(told["R"]) == (3, 3)
    masks, picture = (cv2.imdecode(np.frombuffer(parts[end], np.uint8), -1) for end in ("masks.png", "jpg"))
    assert masks.shape == picture.shape[:2] == (250, 250) and set(np.unique(masks)) == {0, 1, 2}


@pytest.mark.parametrize("kind", ["coco", "webdataset"])
def test_a_view_with_a_person_missing_is_left_out(masked, tmp_path, kind):
    root = tmp_path / "data"
    shutil.copytree(masked, root)
    (root / "train/walk__01/north_p1.npz").write_bytes(b"nothing")
    (root / "train/walk__00/east_passes.zip").write_bytes(b"nothing")
    summary = pack_split(find_sequences(root), tmp_path / "out", "train", kind)
    assert (summary.views, summary.frames) == (3, 3 * FRAMES)
    assert {path.rpartition("/")[2] for path in summary.skipped} == {"north_p1.npz", "north.mp4", "east_passes.zip"}
