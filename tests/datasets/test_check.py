"""The check of data on disk: it accepts what the factory can write, and names what is broken."""

from __future__ import annotations

import json
import re
import shutil

import av
import numpy as np
import pytest
import torch

from mviper.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mviper.body.surface import BodyShape
from mviper.datasets.check import check_dataset, check_video
from mviper.datasets.sequences import find_sequences
from mviper.errors import MissingDataError
from mviper.files import load_npz, save_npz
from mviper.structures import Camera, MeshSequence, Motion
from mviper.structures.human_data import HumanData
from mviper.structures.passes import PassWriter
from mviper.synthesis import pose_body
from mviper.synthesis.rendering import VideoWriter
from mviper.synthesis.scene import SceneMesh
from mviper.synthesis.scene.annotation import annotate, keypoint_parts, vertex_parts

FRAMES = 10


@pytest.fixture(scope="module")
def good(body, tmp_path_factory):
    """One sequence with one view as the factory writes it, except for its images."""
    root = tmp_path_factory.mktemp("checked")
    folder = root / "train" / "walk__00"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    poses = 0.1 * rng.normal(size=(FRAMES, 24, 3)).cumsum(axis=0) * 0.3
    poses[:, 0] = [np.pi / 2, 0, 0]
    betas = rng.normal(size=10).astype(np.float32).astype(np.float64)
    motion = Motion(poses, np.tile([0.0, 0.0, 1.3], (FRAMES, 1)), betas, 30.0, body.body_model_id, "walk", "walk")
    vertices, keypoints = pose_body(body, motion)
    shape = BodyShape.from_body(body, betas)
    pelvis = body.rest_joints(torch.as_tensor(betas, dtype=torch.float32)[None])[0, 0].numpy().astype(np.float64)
    parts = vertex_parts(body.weights)
    R = np.tile([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]], (FRAMES, 1, 1))  # from the south, looking north
    K = np.array([[500.0, 0, 63.5], [0, 500.0, 63.5], [0, 0, 1]])
    camera = Camera(K, R, np.tile([0.0, 1.2, 10.0], (FRAMES, 1)), 128, 128, "south")
    mesh = SceneMesh(MeshSequence(vertices, body.faces, name="body"), None, parts)
    own = keypoint_parts(shape.joints, shape.vertices, parts)
    annotation = annotate([camera], motion, keypoints.astype(np.float64), pelvis, own, [mesh])[0]
    annotation.save(folder / "south.npz")
    motion.save(folder / "motion.npz")
    cloth = rng.normal(size=(FRAMES, 4, 3)).astype(np.float32)
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    save_npz(folder / "garments.npz", shirt_vertices=cloth, shirt_faces=faces, shirt_uv=np.zeros((2, 3, 2), np.float32))
    with VideoWriter(folder / "south.mp4", 30, 128, 128) as writer:
        for frame in range(FRAMES):
            writer.add(np.full((128, 128, 3), 20 * frame, np.uint8))
    manifest = dict(
        name="walk__00", split="train", clip="walk", subject="walk", seed=0, frames=FRAMES, fps=30, views=["south"],
        body_model=body.body_model_id, betas=betas.tolist(), garments=[dict(name="shirt", kind="top", parameters={})],
        motion_quality={}, scene={}, passes=["garments"], quality={}, timings={}, versions={}, config={},
    )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture
def broken(good, tmp_path):
    shutil.copytree(good, tmp_path / "data")
    return tmp_path / "data"


def test_valid_data_pass(good, body):
    check = check_dataset(good, body)
    assert check.ok, check.problems
    assert (check.sequences, check.frames) == (1, FRAMES) and len(check.readable) == 1
    assert len(check.notes) == 1 and "chi" in check.notes[0]
    assert find_sequences(good)[0].name == "train/walk__00"
    check = check_dataset(good)
    assert check.ok and "no body was given" in check.notes[0]
    with pytest.raises(MissingDataError, match=r"tools/generate\.py"):
        check_dataset(good, split="val")


def edit_manifest(folder, **changes) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.update(changes)
    (folder / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))


def edit_annotation(folder, change) -> None:
    data = HumanData.load(folder / "south.npz")
    change(data)
    data.save(folder / "south.npz")


def edit_arrays(path, **changes) -> None:
    save_npz(path, **(load_npz(path) | changes))


def turn_root(data: HumanData) -> None:
    turn = axis_angle_to_matrix(torch.tensor([0.0, 0.01, 0.0]).double())
    root = axis_angle_to_matrix(torch.from_numpy(data.smpl["global_orient"]).double())
    data.smpl["global_orient"] = matrix_to_axis_angle(turn @ root).numpy()


def move_world(data: HumanData) -> None:
    data.camera.t = data.camera.t + np.array([0.01, 0, 0])


def shift_pixels(data: HumanData) -> None:
    data.keypoints2d[..., 0] += 0.5


def show_all(data: HumanData) -> None:
    data.keypoints2d[0, 5, 0] = -20
    data.keypoints3d[0, 5, 0] = (-20 - 63.5) / 500 * data.keypoints3d[0, 5, 2]
    data.visibility[0, 5] = 1


def widen_box(data: HumanData) -> None:
    data.bbox_xywh[3, 2] += 1


def shear(data: HumanData) -> None:
    data.camera.R[2] *= 1.01


def holes(data: HumanData) -> None:
    data.keypoints3d[1, 1, 0] = np.nan


def rewrite_video(folder, frames=FRAMES, gop="8", b_frames="0", size=128, rate=30) -> None:
    with av.open(str(folder / "south.mp4"), "w") as container:
        options = {"g": gop, "bf": b_frames, "b_strategy": "0", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        for frame in range(frames):
            picture = np.roll(np.arange(size * size * 3, dtype=np.uint32), 97 * frame).reshape(size, size, 3)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")))
        container.mux(stream.encode())


BREAKS = {
    "manifest.json": (lambda f: (f / "manifest.json").write_text("{"), "not a manifest"),
    "keys": (lambda f: edit_manifest(f, seed=None, config=None), "lacks seed, config"),
    "more keys": (lambda f: edit_manifest(f, motion_quality=None, passes=None), "lacks motion_quality, passes$"),
    "name": (lambda f: edit_manifest(f, name="run__00"), "says name 'run__00'"),
    "split": (lambda f: edit_manifest(f, split="test"), "says split 'test'"),
    "body": (lambda f: edit_manifest(f, body_model="open_body"), "name:sha256"),
    "betas": (lambda f: edit_manifest(f, betas=[0.0] * 10), "different betas"),
    "no motion": (lambda f: (f / "motion.npz").unlink(), r"motion\.npz: no such file"),
    "short motion": (lambda f: Motion.load(f / "motion.npz")[:4].save(f / "motion.npz"), "has 4 frames"),
    "sunk": (lambda f: edit_arrays(f / "motion.npz", trans=np.tile([0.0, 0.0, 0.2], (FRAMES, 1))), "below the floor"),
    "no garments": (lambda f: (f / "garments.npz").unlink(), r"garments\.npz: no such file"),
    "other garments": (lambda f: edit_manifest(f, garments=[dict(name="skirt")]), "lacks skirt"),
    "faces": (lambda f: edit_arrays(f / "garments.npz", shirt_faces=np.array([[0, 1, 4], [1, 2, 3]])), "do not exist"),
    "cloth": (
        lambda f: edit_arrays(f / "garments.npz", shirt_vertices=np.full((FRAMES, 4, 3), np.inf)),
        "NaN or infinite",
    ),
    "no annotation": (lambda f: (f / "south.npz").unlink(), r"south\.npz: no such file"),
    "cut annotation": (
        lambda f: (f / "south.npz").write_bytes((f / "south.npz").read_bytes()[:-300]),
        "not a readable",
    ),
    "turned": (lambda f: edit_annotation(f, turn_root), "mm from what smpl poses"),
    "moved": (lambda f: edit_annotation(f, move_world), r"10 mm from motion\.npz"),
    "shifted": (lambda f: edit_annotation(f, shift_pixels), r"0\.5 px from keypoints3d"),
    "visible": (lambda f: edit_annotation(f, show_all), "outside the image are marked visible"),
    "box": (lambda f: edit_annotation(f, widen_box), "1 px from the box"),
    "sheared": (lambda f: edit_annotation(f, shear), "not a rotation"),
    "holes": (lambda f: edit_annotation(f, holes), "NaN or infinite"),
    "no video": (lambda f: (f / "south.mp4").unlink(), "cannot be decoded"),
    "short video": (lambda f: rewrite_video(f, frames=8), "has 8 frames, expected 10"),
    "key frames": (lambda f: rewrite_video(f, gop="12"), "one every 8"),
    "B-frames": (lambda f: rewrite_video(f, b_frames="2"), "B-frames"),
    "size": (lambda f: rewrite_video(f, size=64), "64 x 64"),
    "rate": (lambda f: rewrite_video(f, rate=25), "25 frames a second"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_invalid_data_are_named(broken, body, kind):
    change, words = BREAKS[kind]
    change(broken / "train/walk__00")
    check = check_dataset(broken, body)
    assert not check.ok and list(check.problems) == ["train/walk__00"]
    assert re.search(words, "; ".join(check.problems["train/walk__00"])), check.problems


def test_passes_are_looked_at(broken, body):
    folder = broken / "train/walk__00"
    edit_manifest(folder, passes=["depth"])
    assert "south_passes.zip: no such file" in str(check_dataset(broken, body).problems)
    with PassWriter(folder / "south_passes.zip", FRAMES, 128, 128, ["depth"], [], 1.0, 9.0) as writer:
        for frame in range(FRAMES):
            writer.add("depth", frame, np.full((128, 128), 5.0))
    assert check_dataset(broken, body).ok
    edit_manifest(folder, passes=["depth", "vertices"])
    vertices, _ = pose_body(body, Motion.load(folder / "motion.npz"))
    save_npz(folder / "vertices.npz", vertices=vertices)
    assert check_dataset(broken, body).ok
    save_npz(folder / "vertices.npz", vertices=vertices + np.float32(0.002))
    assert "vertices.npz is 2 mm from" in str(check_dataset(broken, body).problems)
    edit_manifest(folder, passes=["depth", "flow"])
    assert "the manifest says otherwise" in str(check_dataset(broken, body).problems)


def test_problems_across_sequences(broken, body):
    shutil.copytree(broken / "train/walk__00", broken / "val/walk__00")
    edit_manifest(broken / "val/walk__00", split="val")
    (broken / "train/.run__00.host.1.tmp").mkdir()
    check = check_dataset(broken, body)
    assert any("another split also has" in line for line in check.problems["val/walk__00"])
    assert check.problems["clip walk"] == ["it is in several splits: train, val"]
    assert check.notes[0] == "train/.run__00.host.1.tmp is in progress, or was left behind by a killed run"


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_video_that_tells_no_frame_rate(tmp_path, codec):
    with av.open(str(tmp_path / "a.mp4"), "w", format="mpegts") as container:  # a single frame does not reveal it
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for picture in (av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8)), None):
            for packet in stream.encode(picture):
                container.mux(packet)
    assert "video has no frame rate, the manifest says 30" in check_video(tmp_path / "a.mp4", 1, 30, None)
