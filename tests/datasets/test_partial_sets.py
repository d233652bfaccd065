"""Incomplete sets are converted; missing files are named, and rows left out are counted by reason."""

from __future__ import annotations

import json
import shutil

import cv2
import native_sets
import numpy as np
import pytest

from mviper.body.smpl import SMPL
from mviper.datasets.converters.base import NO_PICTURE
from mviper.datasets.index import read_index
from mviper.errors import FileFormatError, MissingDataError
from mviper.registry import DATA_CONVERTERS
from mviper.structures.human_data import HumanData

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(100)


def build(kind: str, root, **options):
    return DATA_CONVERTERS.build({"type": f"mviper.{kind}Converter", "root": str(root), **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory, samples):
    """Every set in its native layout: by name, converter, folder and a split."""
    pytest.importorskip("h5py")
    pytest.importorskip("cdflib")
    root, body = tmp_path_factory.mktemp("sets"), SMPL()
    native_sets.write_lsp(root / "lsp", 8)
    native_sets.write_lsp_extended(root / "lsp_extended", False)
    people = json.loads((samples / "mpii/test_mpii.json").read_text())
    native_sets.write_mpii(root / "mpii", people)
    shutil.copytree(samples / "mpii", root / "mpii/images")
    native_sets.write_coco(root / "coco", samples / "coco")
    native_sets.write_h36m(root / "h36m")
    native_sets.write_mpi_inf_3dhp(root / "mpi_inf_3dhp")
    native_sets.write_pw3d(root / "pw3d", body)
    native_sets.write_surreal(root / "surreal", body)
    native_sets.write_amass(root / "amass")
    native_sets.write_ucf101(root / "ucf101")
    return root


#: Set, converter, split, removed files, remaining rows or videos, what is named as missing or left out.
PARTS = [
    ("lsp", "LSP", "test", ["images/im0006.jpg"], 3, "pictures", "images/im0006.jpg"),
    ("lsp_extended", "LSPExtended", "train", ["images/im00002.jpg"], 1, "pictures", "images/im00002.jpg"),
    ("mpii", "MPII", "train", ["images/005808361.jpg"], None, "pictures", "images/005808361.jpg"),
    ("coco", "COCO", "val2017", ["val2017/000000000785.jpg"], None, "pictures", "val2017/000000000785.jpg"),
    ("h36m", "Human36M", "train", ["S6", "S1/Videos/Walking 1.60457274.mp4"], 7 * 11, "subjects' folders", "S6/"),
    ("mpi_inf_3dhp", "MPIINF3DHP", "test", [f"mpi_inf_3dhp_test_set/TS{k}" for k in (1, 3, 4, 6)], 6, "test", "TS3"),
    ("mpi_inf_3dhp", "MPIINF3DHP", "train", ["S7", "S1/Seq2/imageSequence/video_0.avi"], None, "train", "S7/Seq2"),
    ("mpi_inf_3dhp", "MPIINF3DHP", "train", ["S1/Seq1/video_1/frame_000003.jpg"], None, "pictures", "000003.jpg"),
    ("pw3d", "PW3D", "test", ["imageFiles/downtown_walk_00/image_00002.jpg"], 13, "pictures", "image_00002.jpg"),
    ("surreal", "SURREAL", "train", ["train/run0/01_01/01_01_c0002.mp4"], 12, "videos", "01_01_c0002.mp4"),
    ("ucf101", "UCF101", "train01", ["UCF-101/Archery/v_Archery_g01_c01.avi"], 0, "videos", "c01.avi"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "split", "gone", "rows", "what", "named"), PARTS)
def test_present_files_are_converted_and_missing_ones_named(
    whole, tmp_path, name, kind, split, gone, rows, what, named
):
    shutil.copytree(whole / name, tmp_path / name)
    full = build(kind, tmp_path / name).convert(tmp_path / "full", split)
    assert not full.missing and not full.damaged
    for path in gone:
        place = tmp_path / name / path
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(MissingDataError, match=r"(?s)missing in .*the first: .*can be downloaded from"):
        build(kind, tmp_path / name, require_all=True).convert(tmp_path / "strict", split)
    summary = build(kind, tmp_path / name).convert(tmp_path / "out", split)
    if rows is not None:
        assert summary.rows == rows
    assert (0 < summary.rows < full.rows) if full.rows else summary.sequences == full.sequences - 1
    (names,) = [names for kind, names in summary.missing.items() if what in kind]
    assert any(named in each for each in names)
    if what == "pictures":
        assert full.rows - summary.rows <= summary.dropped[NO_PICTURE]
        # Once they exist, a second run converts them too.
        shutil.rmtree(tmp_path / name)
        shutil.copytree(whole / name, tmp_path / name)
        again = build(kind, tmp_path / name).convert(tmp_path / "out", split)
        assert (again.rows, again.dropped, again.missing) == (full.rows, full.dropped, {})


@pytest.mark.parametrize(
    ("name", "kind", "split"),
    [
        ("h36m", "Human36M", "train"), ("pw3d", "PW3D", "test"), ("surreal", "SURREAL", "train"),
        ("amass", "AMASS", "train"), ("lsp", "LSP", "test"),
    ],
)  # fmt: skip
def test_macos_files_are_skipped(whole, tmp_path, name, kind, split):
    """``._NAME`` next to every file, and the ``__MACOSX`` of unpacked zips."""
    shutil.copytree(whole / name, tmp_path / name)
    full = build(kind, tmp_path / name).convert(tmp_path / "full", split)
    for path in [path for path in (tmp_path / name).rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(APPLE_DOUBLE)
        copy = tmp_path / name / "__MACOSX" / path.relative_to(tmp_path / name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.with_name(f"._{path.name}").write_bytes(APPLE_DOUBLE)
        copy.write_bytes(APPLE_DOUBLE)
    summary = build(kind, tmp_path / name).convert(tmp_path / "out", split)
    assert (summary.rows, summary.sequences, summary.damaged) == (full.rows, full.sequences, {})


def test_rows_are_accounted_for(whole, tmp_path):
    """Every row of the set was either kept or left out for a counted reason."""
    test = build("MPIINF3DHP", whole / "mpi_inf_3dhp").convert(tmp_path, "test")
    assert (test.rows, dict(test.dropped)) == (6 * 3, {"not marked valid": 6 * 2})
    walks = build("PW3D", whole / "pw3d").convert(tmp_path, "test")
    assert (walks.rows, dict(walks.dropped)) == (15, {"without a valid camera": 1})
    motions = build("AMASS", whole / "amass").convert(tmp_path, "train")
    assert (motions.rows, dict(motions.dropped)) == (4, {"between the frames kept (--fps)": 9})
    index = read_index(tmp_path / "amass/train")
    assert index.dropped == motions.dropped and index.complete
    people = build("MPII", whole / "mpii").convert(tmp_path, "train")
    assert people.dropped["without a labelled joint"] == 5  # as native_sets.write_mpii adds one to each picture


def test_a_damaged_sequence_does_not_keep_the_others_from_being_converted(whole, tmp_path):
    shutil.copytree(whole / "surreal", tmp_path / "surreal")
    path = tmp_path / "surreal/train/run0/01_01/01_01_c0002_info.mat"
    content = path.read_bytes()
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    summary = build("SURREAL", tmp_path / "surreal").convert(tmp_path / "out", "train")
    assert summary.rows == 12 and list(summary.damaged) == ["run0__01_01__01_01_c0002"]
    assert "a Git LFS pointer" in summary.damaged["run0__01_01__01_01_c0002"]
    with pytest.raises(FileFormatError, match="c0002_info"):
        build("SURREAL", tmp_path / "surreal", require_all=True).convert(tmp_path / "strict", "train")
    path.write_bytes(content)
    assert build("SURREAL", tmp_path / "surreal").convert(tmp_path / "out", "train").rows == 18


# ------------------------------------------------------------------------------------------------ COCO by third parties


NAMES = """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist
right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle""".split()


def write_custom_coco(root, encoding="utf-8", person=None, picture=None, **content):
    """One person in one image, without the format's redundant fields."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "val2017").mkdir(exist_ok=True)
    cv2.imwrite(str(root / "val2017/1.jpg"), np.zeros((200, 210, 3), np.uint8))
    points = [v for k in range(17) for v in (20 + 9 * k, 30 + 9 * k, 2)]
    everybody = [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": points, **(person or {})}]
    pictures = [{"id": 1, "file_name": "1.jpg", **(picture or {})}]
    text = json.dumps({"images": pictures, "annotations": everybody, **content})
    (root / "annotations/person_keypoints_val2017.json").write_bytes(text.encode(encoding))
    return build("COCO", root)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_coco_without_what_it_repeats(tmp_path, encoding):
    """No num_keypoints, iscrowd, categories, width or height; with a byte order mark, as Windows editors write."""
    converter = write_custom_coco(tmp_path, encoding)
    assert converter.convert(tmp_path / "out", "val2017").rows == 1
    data = HumanData.load(tmp_path / "out/coco/val2017/val2017.npz")
    assert data.visibility.sum() == 17 and (data.meta["width"], data.meta["height"]) == ([210], [200])


def test_coco_in_another_order(tmp_path):
    order = [*NAMES[::-1], "tail"]
    points = [v for k in range(18) for v in (20 + 9 * k, 30 + 9 * k, 2)]
    category = {"id": 1, "name": "person", "keypoints": [name.title().replace("_", " ") for name in order]}
    converter = write_custom_coco(tmp_path, person={"keypoints": points}, categories=[category])
    data = converter.read("val2017", "val2017")
    assert data.keypoints2d[0, data.names.index("nose"), 0] == 20 + 9 * 16
    assert data.keypoints2d[0, data.names.index("left_hip_extra"), 0] == 20 + 9 * 5
    category["keypoints"] = [f"p{k}" for k in range(18)]
    converter = write_custom_coco(tmp_path, person={"keypoints": points}, categories=[category])
    with pytest.raises(FileFormatError, match=r"its keypoints are p0, p1.*expected COCO's: nose"):
        converter.read("val2017", "val2017")


@pytest.mark.parametrize(
    ("person", "message"),
    [
        ({"keypoints": [0] * 51}, "1 without a labelled keypoint"), ({"iscrowd": 1}, "1 of a crowd"),
        ({"keypoints": []}, "1 without a labelled keypoint"), ({"image_id": 7}, "1 of a picture that the file"),
    ],
)  # fmt: skip
def test_nothing_left_is_an_error_that_says_why(tmp_path, person, message):
    converter = write_custom_coco(tmp_path, person=person)
    for _ in range(2):  # a second run finds its index
        with pytest.raises(MissingDataError, match=rf"no usable sequence in coco val2017: {message}"):
            converter.convert(tmp_path / "out", "val2017")


@pytest.mark.parametrize(
    ("person", "message"),
    [
        ({"keypoints": [1, 2, 2] * 14}, "42 numbers, expected 51"), ({"keypoints": [1, 2, 0.7] * 17}, "v is not 0"),
        ({"keypoints": [1e9, 2, 2] * 17}, "coordinates exceed"),
    ],
)  # fmt: skip
def test_keypoints_that_are_not_cocos(tmp_path, person, message):
    with pytest.raises(FileFormatError, match=f"person_keypoints_val2017.json.*{message}"):
        write_custom_coco(tmp_path, person=person).read("val2017", "val2017")


def test_command_says_what_it_kept_and_fails_when_nothing_came_out(whole, tmp_path, run_tool):
    def run(*arguments):
        return run_tool("convert_dataset.py", *arguments, cwd=tmp_path)

    shutil.copytree(whole / "h36m", tmp_path / "my h36m")
    shutil.rmtree(tmp_path / "my h36m/S5")
    done = run("h36m", "my h36m", "--splits", "train")
    assert done.returncode == 0, done.stderr
    assert "88 annotated frames, 8 sequences" in done.stdout and "left out: 80 between the frames kept" in done.stdout
    assert "missing: 1 subjects' folders of 3D positions: S5/MyPose" in done.stdout
    failed = run("h36m", "my h36m", "--splits", "train", "--require-all", "--out", "strict")
    assert failed.returncode == 1 and "1 of 5 subjects" in failed.stderr
    write_custom_coco(tmp_path / "coco", person={"keypoints": [0] * 51})
    failed = run("coco", tmp_path / "coco", "--splits", "val2017")
    assert failed.returncode == 1 and "no usable sequence in coco val2017" in failed.stderr
