"""Mutated capture files: every reader reads them or raises the project's error, and none hangs.

``MVIPER_FUZZ=10000`` sets the number of files of each kind.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import time
import zipfile

import numpy as np
import pytest
from capture_files import MIXAMO, as_bvh, write_bvh, write_c3d

from mviper.errors import FileFormatError
from mviper.files import restricted_unpickle
from mviper.motion import (
    AMASSMotion,
    BVHMotion,
    C3DMotion,
    CMUMotion,
    DeepMimicMotion,
    SMPLMotion,
    forward_kinematics,
)
from mviper.motion.sources.acclaim import read_amc, read_asf
from mviper.motion.sources.bvh import read_bvh
from mviper.motion.sources.c3d import read_markers
from mviper.motion.sources.deepmimic import read_deepmimic
from mviper.motion.sources.smpl_files import read_amass, read_smpl
from mviper.structures.joints import SMPL_JOINTS

#: Mutated files of each kind; of the readable ones, every n-th is also posed and fitted to a body.
EACH = int(os.environ.get("MVIPER_FUZZ", "2000"))
FITTED = EACH // 200

#: CPU time limit for processing three frames [s].
LONGEST = 10.0

#: Replacements for numbers: signs, zeros, and implausible values.
NUMBERS = [
    b"0", b"-1", b"1e-9", b"1e-300", b"99999", b"-99999", b"999999", b"1e6", b"999999999", b"1e308", b"-1e308",
    b"1e999", b"2147483648", b"18446744073709551616", b"9" * 400, b"0x10", b"1_000", b"1,5", b"nan", b"inf",
]  # fmt: skip

WORDS = [
    b"nan", b"-", b"1e999", b"inf", b"\n", b"\r", b" ", b"\0", b"\xff", b"0", b"-1", b"1e300", b"99999999999", b"begin",
    b"end", b"()", b":root\n", b"{", b"}", b"[", b"]", b'"', b"null", b"ROOT x\n{", b"End Site\n{", b"CHANNELS 0",
    b"Frames: 0", b"MOTION\n", b"JOINT a\n{", b"rx", b"PK\x03\x04",
]  # fmt: skip


#: Other encodings and containers of the same text.
ENCODINGS = [
    lambda text: b"\xef\xbb\xbf" + text,
    lambda text: text.decode("latin-1").encode("utf-16"),
    lambda text: text.decode("latin-1").encode("utf-16-be"),
    lambda text: text.replace(b"\n", b"\r\n"),
    lambda text: text.replace(b"\n", b"\r"),
    lambda text: text.replace(b" ", b"\xc2\xa0"),
    lambda text: text.replace(b".", b","),
    lambda text: text + b"\x1a",
    lambda text: text + bytes(100),
    lambda text: gzip.compress(text),
    lambda text: b"<!DOCTYPE html>\n" + text,
    lambda text: text.upper(),
]


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Applies one to four mutations.

    Bytes flipped; parts removed, duplicated or moved; words inserted; numbers replaced by extreme ones; lines
    duplicated, removed or swapped; other encodings and line endings.
    """
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(len(changed) + 1))
        length = int(rng.integers(1, 200))
        kind = rng.integers(12)
        if kind == 0 and changed:
            changed[place % len(changed)] = rng.integers(256)
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            start = int(rng.integers(len(changed) + 1))
            changed[place:place] = changed[start : start + length]
        elif kind == 3 or kind == 4:
            changed[place:place] = WORDS[rng.integers(len(WORDS))]
        elif kind == 5:
            del changed[place:]
        elif kind in (7, 8):
            numbers = list(re.finditer(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?", changed))
            if numbers:
                start, end = numbers[rng.integers(len(numbers))].span()
                changed[start:end] = NUMBERS[rng.integers(len(NUMBERS))]
        elif kind in (9, 10):
            lines = changed.split(b"\n")
            first, second = rng.integers(len(lines), size=2)
            how = rng.integers(4)
            if how == 0:
                lines.insert(first, lines[first])
            elif how == 1:
                del lines[first]
            elif how == 2:
                lines[first], lines[second] = lines[second], lines[first]
            else:
                lines[first] = lines[first][: rng.integers(len(lines[first]) + 1)]
            changed = bytearray(b"\n".join(lines))
        elif kind == 11:
            changed = bytearray(ENCODINGS[rng.integers(len(ENCODINGS))](bytes(changed)))
        else:
            part = np.frombuffer(changed[place : place + length], "u1").copy()
            changed[place : place + length] = rng.permutation(part).tobytes()
    return bytes(changed)


def mutate_arrays(arrays: dict, rng: np.random.Generator) -> dict:
    """Mutates one array, possibly in a dictionary: extreme numbers, another shape or type, or removed."""
    name = sorted(arrays)[rng.integers(len(arrays))]
    array, kind = np.array(arrays[name]), rng.integers(7)
    if array.dtype == object:
        return arrays | {name: np.array(mutate_arrays(array.item(), rng))}
    if array.dtype.kind == "U":  # no numbers to mutate
        kind = rng.choice([3, 6])
    if kind < 3:
        array = array.astype(np.float64) if array.dtype.kind in "iu" else array  # which cannot represent NaN or 1e308
        with np.errstate(all="ignore"):
            array.flat[rng.integers(array.size)] = float(NUMBERS[rng.integers(14)])
    elif kind == 3:
        array = array[: rng.integers(len(array) + 1)] if array.ndim else array.reshape(1)
    elif kind == 4:
        array = np.repeat(array, rng.integers(1, 4), axis=0) if array.ndim else array * 1e6
    elif kind == 5:
        array = array.astype(rng.choice(["i2", "f2", "c8", "U3", "?"]))
    else:
        return {key: value for key, value in arrays.items() if key != name}
    return arrays | {name: array}


def mutate_npz(content: bytes, rng: np.random.Generator) -> bytes:
    """Mutates the archive, or the arrays in it with valid checksums, so that the mutated arrays are read."""
    if rng.random() < 0.2:
        return mutate(content, rng)
    changed = io.BytesIO()
    if rng.random() < 0.4:
        np.savez(changed, **mutate_arrays(dict(np.load(io.BytesIO(content), allow_pickle=True)), rng))
        return changed.getvalue()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        unlucky = rng.integers(len(old.namelist()))
        for k, name in enumerate(old.namelist()):
            new.writestr(name, mutate(old.read(name), rng) if k == unlucky else old.read(name))
    return changed.getvalue()


@pytest.fixture
def small(acclaim, tmp_path, target):
    """Two or three frames of DeepMimic's walk and of random poses, by kind: (file, reader, source)."""
    shutil.copy(acclaim / "07.asf", tmp_path / "07.asf")
    amc = (acclaim / "07_01.amc").read_text().splitlines()[: 3 + 2 * 30]
    (tmp_path / "07_01.amc").write_text("\n".join(amc) + "\n")
    deepmimic = DeepMimicMotion(names="walk")
    clip = next(deepmimic.clips())
    write_bvh(tmp_path / "a.bvh", as_bvh(deepmimic.load(clip, target)[:3], target.rest_joints, MIXAMO))
    walk = clip.path.read_text().splitlines()
    start = next(k for k, line in enumerate(walk) if "Frames" in line)
    rows = [line.rstrip(",") for line in walk[start + 1 :] if line.strip().startswith("[") and len(line) > 100][:3]
    (tmp_path / "humanoid3d_a.txt").write_text('{"Loop": "wrap",\n"Frames":\n[\n' + ",\n".join(rows) + "\n]\n}\n")
    poses = np.random.default_rng(0).normal(size=(3, 24, 3)) * 0.3
    (tmp_path / "amass").mkdir()
    np.savez(tmp_path / "amass/a.npz", poses=poses.reshape(3, 72), trans=np.zeros((3, 3)), mocap_framerate=60.0)
    smpl = dict(global_orient=poses[:, 0], body_pose=poses[:, 1:], transl=np.ones((3, 3)), betas=np.zeros((3, 10)))
    (tmp_path / "smpl").mkdir()
    np.savez_compressed(tmp_path / "smpl/a.npz", smpl=smpl, cam_param=dict(R=np.eye(3), t=np.zeros(3)))
    asf = read_asf(tmp_path / "07.asf")
    joints, _ = forward_kinematics(poses, np.ones((3, 3)), target.rest_joints)
    write_c3d(tmp_path / "c3d/a.c3d", SMPL_JOINTS, joints)
    return {
        "c3d": (tmp_path / "c3d/a.c3d", read_markers, C3DMotion(tmp_path / "c3d")),
        "asf": (tmp_path / "07.asf", read_asf, CMUMotion(tmp_path)),
        "amc": (tmp_path / "07_01.amc", lambda path: read_amc(path, asf), CMUMotion(tmp_path)),
        "bvh": (tmp_path / "a.bvh", read_bvh, BVHMotion(tmp_path)),
        "deepmimic": (tmp_path / "humanoid3d_a.txt", read_deepmimic, DeepMimicMotion(tmp_path)),
        "amass": (tmp_path / "amass/a.npz", read_amass, AMASSMotion(tmp_path / "amass")),
        "human_data": (tmp_path / "smpl/a.npz", read_smpl, SMPLMotion(tmp_path / "smpl")),
    }


@pytest.mark.filterwarnings("ignore:Reading `.npy`")  # numpy's warning about headers that look like Python 2's
@pytest.mark.parametrize("kind", ["asf", "amc", "bvh", "deepmimic", "amass", "human_data", "c3d"])
def test_mutated_files_raise_only_our_error(kind, small, target):
    path, read, source = small[kind]
    content = path.read_bytes()
    clip = next(source.clips())
    read(path)
    assert kind == "c3d" or len(source.load(clip, target)) >= 2  # MoSh is tested in test_c3d.py
    rng = np.random.default_rng(len(kind))
    npz = path.suffix == ".npz"
    rounds, change = (EACH // 2, mutate_npz) if npz and EACH <= 2000 else (EACH, mutate_npz if npz else mutate)
    refused = accepted = 0
    for _ in range(rounds):
        path.write_bytes(change(content, rng))
        start = time.process_time()
        try:
            read(path)
            accepted += 1
            if accepted % FITTED == 0 and kind != "c3d":
                motion = source.load(clip, target)
                assert np.isfinite(motion.poses).all() and np.isfinite(motion.transl).all()
        except FileFormatError as error:
            assert str(path.parent) in str(error)
            refused += 1
        assert time.process_time() - start < LONGEST
    assert accepted > 10 and refused > rounds / 10, (accepted, refused)


def test_a_pickle_cannot_reserve_memory_by_a_number(tmp_path):
    """Regression: one changed byte in a HumanData file took 9 GB: the unpickler's memo grows to its largest index."""
    bomb = b"\x80\x02}r\xff\xff\xff\x7f."  # an empty dictionary, stored at memo index 2**31 - 1
    with pytest.raises(FileFormatError, match="stores an object under number 2147483647"):
        restricted_unpickle(io.BytesIO(bomb), tmp_path / "a.pkl")
    assert restricted_unpickle(io.BytesIO(bomb[:3] + b"q\x00."), tmp_path / "a.pkl") == {}
