"""The result's frames of reference, images, page and HumanData, on a body that is known exactly."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mviper.body import SMPL, BodyShape
from mviper.body.rotations import axis_angle_to_matrix
from mviper.body.smpl import OPEN_BODY, load_body_arrays
from mviper.datasets import HumanDataset
from mviper.export.skinning import posed_vertices
from mviper.graphics.video import read_video
from mviper.inference import RecoveredPerson, RecoveryResult, draw_sheet, open_frames, render_comparison
from mviper.inference.camera_motion import CameraMotion
from mviper.inference.comparison import frame_differences, marked_frames
from mviper.inference.confidence import REASONS, stored_calibration
from mviper.inference.ground import CAMERA_TO_WORLD
from mviper.inference.optics import Optics
from mviper.inference.sheet import _FLOOR
from mviper.reports.recovery_page import write_recovery_page
from mviper.structures.human_data import HumanData

FRAMES = 6


@pytest.fixture
def result(tmp_path, body) -> RecoveryResult:
    """A person who turns in front of the camera and approaches it."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((96, 128, 3), 200, np.uint8))
    pose = torch.zeros(FRAMES, 24, 3)
    pose[:, 16, 2], pose[:, 17, 2] = -1.0, 1.0
    pose[:, 4, 0] = torch.linspace(0, 0.6, FRAMES)
    rotmat = axis_angle_to_matrix(pose)
    turn = axis_angle_to_matrix(torch.linspace(0, 1, FRAMES)[:, None] * torch.tensor([0.0, 1.0, 0.0]))
    rotmat[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ turn
    transl = np.stack([np.linspace(-0.3, 0.3, FRAMES), np.zeros(FRAMES), np.linspace(4, 3.5, FRAMES)], axis=1)
    boxes = np.tile([64.0, 48.0, 90.0], (FRAMES, 1))
    nothing = np.full((FRAMES, 33, 3), np.nan, np.float32)
    times = np.arange(FRAMES) / 30
    person = RecoveredPerson(1, 0, times, rotmat.numpy(), np.zeros(10, np.float32), transl, boxes, nothing)
    return RecoveryResult(open_frames(folder), times, 30.0, Optics(120.0, 0.0, "given"), [person], body)


def test_motions_are_the_same_body_in_other_axes(result, body):
    (person,) = result.people
    ours = np.stack(list(result.meshes(person)))
    in_camera = np.stack(list(posed_vertices(result.motion(person, "camera"), body)))
    np.testing.assert_allclose(in_camera, ours @ CAMERA_TO_WORLD.T, atol=2e-5)
    world = np.stack(list(posed_vertices(result.motion(person), body)))
    assert -0.06 < world[..., 2].min() < 0.02 and 1.4 < world[0, :, 2].max() < 2
    pelvis = result.joints(person)[0, 0]
    np.testing.assert_allclose(world[0].mean(0)[:2], ((ours[0].mean(0) - pelvis) @ CAMERA_TO_WORLD.T)[:2], atol=5e-3)
    with pytest.raises(ValueError, match="'world' or 'camera'"):
        result.motion(person, "room")


def test_the_world_stays_when_the_camera_turns(result, body):
    """The same person seen by a static and a rotating camera, and again in other axes after a cut."""
    (person,) = result.people
    turns = Rotation.from_euler("xyz", np.linspace([0, 0, 0], [3, 20, -5], FRAMES), degrees=True).as_matrix()
    rest = body.rest_joints(torch.zeros(1, 10))[0, 0].numpy()
    seen = replace(
        person,
        rotmat=np.concatenate([(turns @ person.rotmat[:, 0])[:, None], person.rotmat[:, 1:]], 1),
        transl=(turns @ (person.transl + rest)[..., None])[..., 0] - rest,
    )
    known = np.ones(FRAMES, bool)
    turning = replace(result, people=[seen], camera=CameraMotion(turns, ~known, known))
    still, steady = result.motion(person), turning.motion(seen)
    np.testing.assert_allclose(steady.poses, still.poses, atol=1e-5)
    np.testing.assert_allclose(steady.transl, still.transl, atol=1e-5)
    assert np.abs(turning.motion(seen, "camera").transl - still.transl).max() > 0.3

    later = replace(seen, number=2, first=FRAMES)
    twice = replace(
        turning, people=[seen, later], cuts=(FRAMES,), times=np.arange(2 * FRAMES) / 30,
        camera=CameraMotion(*(np.concatenate([values, values]) for values in turning.camera)),
    )  # fmt: skip
    assert [other.number for other in twice.in_shot_of(later)] == [2]
    np.testing.assert_allclose(twice.motion(later).transl, still.transl, atol=1e-5)


def test_people_get_another_body(result, body, tmp_path):
    """A body with the same mesh but other template and shape directions, read from a file like a licensed one."""
    arrays = load_body_arrays(OPEN_BODY)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]
    arrays["shapedirs"] = arrays["shapedirs"][..., :10] @ turn
    arrays["v_template"] = arrays["v_template"] * [1.02, 0.99, 1.02]
    np.savez(tmp_path / "other.npz", **arrays)
    other = SMPL(tmp_path / "other.npz")
    (person,) = result.people
    broad = replace(person, betas=np.array([0.5, -0.8, *[0.0] * 8]))
    refitted = replace(result, people=[broad]).on_body(other)
    assert refitted.body is other and refitted.people[0].refit_error < 0.012
    before, after = replace(result, people=[broad]).joints(broad), refitted.joints(refitted.people[0])
    assert np.linalg.norm(before - after, axis=-1).mean() < 0.01
    assert np.abs(refitted.people[0].betas - broad.betas).max() > 0.3
    assert refitted.motion(refitted.people[0]).body_model == other.body_model_id


def test_build_is_said_with_its_uncertainty(result, body):
    (person,) = result.people
    sure, unsure = (result.build(replace(person, shape_covariance=spread * np.eye(10))) for spread in (0.01, 1.0))
    assert not result.build(person) and sure["waist"].low < sure["waist"].value < sure["waist"].high
    wide = [build["waist"].high - build["waist"].low for build in (sure, unsure)]
    assert wide[1] == pytest.approx(10 * wide[0], rel=0.01)
    true = BodyShape.from_body(body, person.betas.astype(float)).measurements()
    assert sure["height"].value == pytest.approx(true["height"])
    assert sure["hip"].value == pytest.approx(true["hip"] / true["height"])
    assert result.summary()["people"][0]["build"] == {}


def test_a_variable_rate_becomes_constant_in_files(result):
    times = np.array([0, 0.1, 0.2, 0.5, 0.6, 0.7])
    (person,) = result.people
    uneven = replace(result, fps=10.0, times=times, people=[replace(person, times=times)])
    motion = uneven.motion(uneven.people[0], "camera")
    assert len(motion) == 8 and motion.fps == 10
    np.testing.assert_allclose(np.diff(motion.transl[:, 1])[2:5], np.diff(motion.transl[:, 1])[2:5].mean(), atol=1e-3)


def test_a_person_who_comes_later_is_later_in_files(result, tmp_path):
    (person,) = result.people
    parts = {name: getattr(person, name)[2:] for name in ("times", "rotmat", "transl", "boxes", "landmarks")}
    both = replace(result, people=[person, replace(person, number=2, first=2, **parts)])
    paths = both.export(tmp_path / "walk.npz")
    assert [path.name for path in paths] == ["walk_1.npz", "walk_2.npz"]
    assert [int(np.load(path)["first_frame"]) for path in paths] == [0, 2]


def test_pictures_show_the_body_where_it_is_and_turned_beside(result):
    drawn = list(result.pictures(skeleton=False))
    assert len(drawn) == FRAMES and drawn[0].shape == (96, 128 + 72, 3)
    changed = (drawn[0][:, :128] != 200).any(-1)
    points = result.keypoints2d(result.people[0])[0, [0, 12, 15]].round().astype(int)
    assert changed[points[:, 1], points[:, 0]].all() and 0.03 < changed.mean() < 0.5
    assert (drawn[0][:, 128:] != drawn[0][0, 199]).any(-1).mean() > 0.03


def test_videos_have_the_frames_times_and_two_results_stand_side_by_side(result, tmp_path):
    path = result.render(tmp_path / "overlay.mp4")
    assert read_video(path).shape == (FRAMES, 96, 200, 3)
    path = render_comparison({"one": result, "other": result}, tmp_path / "both.mp4")
    assert read_video(path).shape[2] >= 400


def test_frames_that_differ_most_are_marked_and_collected(result, tmp_path):
    (person,) = result.people
    rotmat = person.rotmat.copy()
    rotmat[4, 0] = np.diag([-1.0, 1.0, -1.0]) @ rotmat[4, 0]  # side view, as in figure 9
    betas = np.zeros((FRAMES, 10))
    betas[:, 0] = np.linspace(0, 0.1, FRAMES)  # a shape that drifts
    other = replace(result, people=[replace(person, rotmat=rotmat, frame_betas=betas)])
    results = {"one": result, "other": other}
    difference = frame_differences(results)
    assert difference.argmax() == 4 and difference[4] > 0.1 and 0 < difference[5] < 0.01 and difference[0] == 0
    assert marked_frames(difference).nonzero()[0].tolist() == [4]
    assert not marked_frames(np.zeros(FRAMES)).any()
    render_comparison(results, tmp_path / "both.mp4", tmp_path / "both.png", columns=3, skeleton=False)
    red = (read_video(tmp_path / "both.mp4")[:, 1, 20:-20].astype(int) @ [1, -1, 0] > 100).mean(1)
    assert (red > 0.9).tolist() == [False] * 4 + [True, False]
    figure = cv2.imread(str(tmp_path / "both.png"))
    assert figure.shape == (5 * 96 + 6 * 6, 3 * 128 + 4 * 6, 3)  # the frame, two meshes, each also from the side
    marked = (figure[8, :].astype(int) @ [0, -1, 1] > 100).nonzero()[0]
    assert (marked >= 2 * (128 + 6)).all() and len(marked) > 100  # frame 4 of frames 4 and 5


def test_a_sheet_shows_people_in_the_picture_from_the_side_and_from_above(result):
    side = 120
    sheet = draw_sheet(result, 3, side)
    heights = [round(96 * side / 128), side, side]
    assert sheet.shape == (sum(heights) + 6 * 6, 3 * side + 4 * 6, 3)
    tops = np.cumsum([6, *(height + 12 for height in heights[:-1])])
    cells = [[sheet[top : top + height, left : left + side] for left in range(6, 3 * (side + 6), side + 6)]
             for top, height in zip(tops, heights)]  # fmt: skip
    blue = [[cell[..., 2].astype(int) - cell[..., 0] > 40 for cell in row] for row in cells]
    share = np.array([[cell.mean() for cell in row] for row in blue])
    assert (share > 0.02).all()
    rows = np.flatnonzero(blue[1][0].any(1))  # the person stands on the floor's line
    floor = int(np.abs(cells[1][0][:, 2].astype(int) - _FLOOR).sum(-1).argmin())
    assert abs(rows.max() - floor) <= 4 and 60 < rows.max() - rows.min() < side
    assert (cells[2][2] != cells[2][0]).any()  # the person has turned


def test_page_and_record_say_how_sure_it_is(result, tmp_path):
    features = np.tile(stored_calibration().usual, (FRAMES, 1))
    features[3:, list(REASONS).index("missed")] += 0.3
    told = replace(result, people=[replace(result.people[0], features=features)])
    text = write_recovery_page(told, tmp_path / "page.html").read_text()
    (person,) = json.loads(re.search(r"const scene = (\{.*\});", text).group(1))["people"]
    assert person["sure"]["why"] == [""] * 3 + [REASONS["missed"]] * 3
    assert person["sure"]["error"][3] > 1.1 * person["sure"]["error"][0] and person["sure"]["level"][3] < 2
    (record,) = told.summary()["people"]
    assert record["less_sure"] == {REASONS["missed"]: [[3, 5]]} and len(record["expected_error_mm"]) == FRAMES
    assert next(told.pictures()).shape == (96 + 18 + 2 * 18, 200, 3)


def test_page_holds_everything_and_skins_the_body(result, tmp_path, body):
    text = write_recovery_page(result, tmp_path / "page.html").read_text()
    assert "@SCENE@" not in text and "http" not in text
    (person,) = json.loads(re.search(r"const scene = (\{.*\});", text).group(1))["people"]
    values = {
        key: np.frombuffer(base64.b64decode(person[key]), "<f4") for key in ("positions", "joints", "weights", "bones")
    }
    bones = values["bones"].reshape(FRAMES, 24, 3, 4)[4]
    joints, weights = (values[key].reshape(-1, 4) for key in ("joints", "weights"))
    rest = np.concatenate([values["positions"].reshape(-1, 3), np.ones((body.num_vertices, 1))], 1)
    skinned = np.einsum("vk,vkab,vb->va", weights, bones[joints.astype(int)], rest)
    expected = list(posed_vertices(result.motion(result.people[0]), body))[4]
    error = np.linalg.norm(skinned - np.stack([expected[:, 0], expected[:, 2], -expected[:, 1]], 1), axis=1)
    assert error.max() < 0.04 and np.median(error) < 0.002


def test_human_data_is_read_back(result, tmp_path):
    (path,) = result.export(tmp_path / "walk.npz", kind="human_data")
    data = HumanData.load(path)
    joints = result.joints(result.people[0])
    np.testing.assert_allclose(data.keypoints3d[..., :3], joints, atol=1e-5)
    np.testing.assert_allclose(data.keypoints2d[..., :2], result.keypoints2d(result.people[0]), atol=1e-2)
    np.testing.assert_allclose(data.camera.project(joints), data.keypoints2d[..., :2], atol=1e-2)
    assert data.body_model == result.body.body_model_id
    # And used for training, with the images where they are.
    data_set = HumanDataset(str(tmp_path), "walk.npz", str(tmp_path / "walk"), clip_length=None)
    assert len(data_set) == FRAMES
    sample = data_set[4]["data_sample"]
    assert sample.has_smpl and sample.has_keypoints3d and sample.keypoints2d[0, :24, 2].all()
    np.testing.assert_allclose(sample.smpl_rotmat[0], result.people[0].rotmat[4], atol=1e-4)
    np.testing.assert_allclose(sample.keypoints3d[0, :, :3], joints[4] - joints[4, :1], atol=1e-4)
