"""10,000 mutated capture files: every reader reads them or raises the project's error, nothing else."""

from __future__ import annotations

import io
import shutil
import zipfile

import numpy as np
import pytest

from mviper.errors import FileFormatError
from mviper.files import restricted_unpickle
from mviper.motion import AMASSMotion, BVHMotion, CMUMotion, DeepMimicMotion, SMPLMotion
from mviper.motion.sources.acclaim import read_amc, read_asf
from mviper.motion.sources.bvh import read_bvh
from mviper.motion.sources.deepmimic import read_deepmimic
from mviper.motion.sources.smpl_files import read_amass, read_smpl

#: Mutated files of each kind, and every which of those that are read is posed and fitted to a body too.
EACH, FITTED = 2000, 10

WORDS = [
    b"nan", b"-", b"1e999", b"inf", b"\n", b"\r", b" ", b"\0", b"\xff", b"0", b"-1", b"1e300", b"99999999999", b"begin",
    b"end", b"()", b":root\n", b"{", b"}", b"[", b"]", b'"', b"null", b"ROOT x\n{", b"End Site\n{", b"CHANNELS 0",
    b"Frames: 0", b"MOTION\n", b"JOINT a\n{", b"rx", b"PK\x03\x04",
]  # fmt: skip


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: bytes flipped, parts cut, doubled or moved, words put in, numbers changed."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(len(changed) + 1))
        length = int(rng.integers(1, 200))
        kind = rng.integers(7)
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
        else:
            part = np.frombuffer(changed[place : place + length], "u1").copy()
            changed[place : place + length] = rng.permutation(part).tobytes()
    return bytes(changed)


def mutate_npz(content: bytes, rng: np.random.Generator) -> bytes:
    """The archive changed, or the arrays in it with checksums that fit, so that it is these that must be withstood."""
    if rng.random() < 0.2:
        return mutate(content, rng)
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        unlucky = rng.integers(len(old.namelist()))
        for k, name in enumerate(old.namelist()):
            new.writestr(name, mutate(old.read(name), rng) if k == unlucky else old.read(name))
    return changed.getvalue()


@pytest.fixture
def small(shared_data, tmp_path):
    """Two or three frames of real clips: by kind (file, reader, source)."""
    mocap = shared_data / "mocap"
    shutil.copy(mocap / "asf_amc/07/07.asf", tmp_path / "07.asf")
    amc = (mocap / "asf_amc/07/07_01.amc").read_text().splitlines()[: 3 + 2 * 30]
    (tmp_path / "07_01.amc").write_text("\n".join(amc) + "\n")
    bvh = (mocap / "bvh/dab.bvh").read_text().splitlines()
    start = next(k for k, line in enumerate(bvh) if line.startswith("Frames"))
    (tmp_path / "a.bvh").write_text("\n".join([*bvh[:start], "Frames: 3", *bvh[start + 1 : start + 5]]) + "\n")
    walk = (mocap / "deepmimic/humanoid3d_walk.txt").read_text().splitlines()
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
    return {
        "asf": (tmp_path / "07.asf", read_asf, CMUMotion(tmp_path)),
        "amc": (tmp_path / "07_01.amc", lambda path: read_amc(path, asf), CMUMotion(tmp_path)),
        "bvh": (tmp_path / "a.bvh", read_bvh, BVHMotion(tmp_path)),
        "deepmimic": (tmp_path / "humanoid3d_a.txt", read_deepmimic, DeepMimicMotion(tmp_path)),
        "amass": (tmp_path / "amass/a.npz", read_amass, AMASSMotion(tmp_path / "amass")),
        "human_data": (tmp_path / "smpl/a.npz", read_smpl, SMPLMotion(tmp_path / "smpl")),
    }


@pytest.mark.filterwarnings("ignore:Reading `.npy`")  # numpy on headers that look like Python 2's
@pytest.mark.parametrize("kind", ["asf", "amc", "bvh", "deepmimic", "amass", "human_data"])
def test_mutated_files_raise_only_our_error(kind, small, target):
    path, read, source = small[kind]
    content = path.read_bytes()
    clip = next(source.clips())
    read(path)
    assert len(source.load(clip, target)) >= 2
    rng = np.random.default_rng(len(kind))
    npz = path.suffix == ".npz"
    rounds, change = (EACH // 2, mutate_npz) if npz else (EACH, mutate)
    refused = accepted = 0
    for _ in range(rounds):
        path.write_bytes(change(content, rng))
        try:
            read(path)
            accepted += 1
            if accepted % FITTED == 0:
                motion = source.load(clip, target)
                assert np.isfinite(motion.poses).all() and np.isfinite(motion.transl).all()
        except FileFormatError as error:
            assert str(path.parent) in str(error)
            refused += 1
    assert accepted > 10 and refused > rounds / 10, (accepted, refused)


def test_a_pickle_cannot_reserve_memory_by_a_number(tmp_path):
    """One changed byte in a HumanData file once took 9 GB: the unpickler's memo is as long as its largest number."""
    bomb = b"\x80\x02}r\xff\xff\xff\x7f."  # an empty dictionary, stored under number 2**31 - 1
    with pytest.raises(FileFormatError, match="stores an object under number 2147483647"):
        restricted_unpickle(io.BytesIO(bomb), tmp_path / "a.pkl")
    assert restricted_unpickle(io.BytesIO(bomb[:3] + b"q\x00."), tmp_path / "a.pkl") == {}
