"""File handling shared by all readers: skipped files, messages, atomic writing."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from mviper.errors import FileFormatError
from mviper.files import find_files, is_hidden, load_npz, read_text, walk_files, what_it_is


@pytest.fixture
def folder(tmp_path) -> Path:
    """Below a hidden folder, like caches: three clips among files left by macOS, a NAS and Windows."""
    root = tmp_path / ".cache" / "set"
    for name in (
        "b/2.BVH", "b/1.bvh", "a.bvh", "b/._1.bvh", "._a.bvh", "__MACOSX/b/1.bvh", ".git/x.bvh", "@eaDir/a.bvh",
        "b/Thumbs.db", "b/.DS_Store", "notes.txt",
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_system_files_are_skipped(folder):
    names = [str(path.relative_to(folder)) for path in walk_files(folder, ".bvh")]
    assert names == ["a.bvh", "b/1.bvh", "b/2.BVH"]
    assert [path.name for path in walk_files(folder)] == ["a.bvh", "notes.txt", "1.bvh", "2.BVH"]
    assert find_files(folder, "*.bvh", "**/*.bvh") == [folder / "a.bvh", folder / "b/1.bvh"]
    assert not is_hidden(folder / "a.bvh", folder) and is_hidden(folder / "__MACOSX/b/1.bvh", folder)
    assert is_hidden("._1.jpg") and not is_hidden("1.jpg")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a Git LFS pointer"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html><html>", "an HTML page"), (b"<HTML lang=en>", "an HTML page"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "macOS's AppleDouble"), (bytes(200), "nothing but zeros"),
        (b"", "empty"), (b"\x1f\x8b\x08", "a gzip archive"), (b"PK\x03\x04", ""), (b"HIERARCHY\n", ""),
    ],
)  # fmt: skip
def test_file_types_are_recognised_by_content(tmp_path, content, what):
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(content)
    found = what_it_is(tmp_path / "SMPL_NEUTRAL.pkl")
    assert found.startswith(what) and bool(found) == bool(what) and found == what_it_is(content)
    assert what_it_is(tmp_path / "absent") == ""


@pytest.mark.parametrize("order", "<>")
def test_text_that_is_none(tmp_path, order):
    """Regression: four bytes in an array's text caused a SystemError on access."""
    path = tmp_path / "a.npz"
    np.savez(path, gender=np.array("femal\u00e9", f"{order}U6"))
    assert str(load_npz(path)["gender"]) == "femal\u00e9"
    letter = "\u00e9".encode("utf-32-le" if order == "<" else "utf-32-be")
    with zipfile.ZipFile(path) as archive:
        content = archive.read("gender.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gender.npy", content.replace(letter, b"\xff\xff\xff\xff"))
    with pytest.raises(FileFormatError, match=r"a\.npz: not a readable \.npz: an array of text in it is damaged"):
        load_npz(path)


def test_text_as_editors_and_windows_write_it(tmp_path):
    path = tmp_path / "a.json"
    for content in (b"[1]", b"\xef\xbb\xbf[1]", "[1]".encode("utf-16"), b"\xfe\xff" + "[1]".encode("utf-16-be"),
                    b"[1]\x1a", b"[1]\x1a\0\0"):  # fmt: skip
        path.write_bytes(content)
        assert read_text(path) == "[1]", content
    path.write_bytes(b"PK\xff\xfe\x00")
    with pytest.raises(FileFormatError, match=r"a\.json: not text in UTF-8"):
        read_text(path)
    with pytest.raises(FileFormatError, match="cannot be opened"):
        read_text(tmp_path / "absent.json")
