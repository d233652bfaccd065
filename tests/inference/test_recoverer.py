"""The recoverer: carried state, batches of people, a real video from end to end, levelled motion, smoothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from whole_sequences import from_crop_units

from mviper.body.rotations import axis_angle_to_matrix
from mviper.config import load_config
from mviper.datasets.crop import crop_frame
from mviper.engine import write_checkpoint
from mviper.errors import ConfigError
from mviper.inference import ClipRunner, FrameSource, MeshRecoverer, load_model, open_frames
from mviper.inference.bodies import network_bodies
from mviper.inference.frames import Frame
from mviper.inference.ground import ground_height
from mviper.inference.lifting import pose_from_landmarks
from mviper.inference.optics import optics_of
from mviper.inference.smoothing import OneEuroFilter, smooth_motion
from mviper.models.fitting import Projection
from mviper.registry import MODELS


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = MODELS.build(
        {
            "type": "VideoBodyModelEstimator",
            "backbone": {"type": "ResNetEncoder", "depth": 18},
            "neck": {"type": "AttentionLSTM", "attention_hidden": 16},
            "head": {"type": "IEFHead", "hidden": 64},
            "body_model": {"type": "SMPL"},
        }
    )
    model.init_weights()
    return model.eval()


def test_state_is_carried_from_piece_to_piece(model):
    clip = torch.randint(0, 256, (200, 3, 32, 32), dtype=torch.uint8)
    whole = ClipRunner(model)({1: clip})[1]
    runner = ClipRunner(model)
    pieces = torch.cat([runner({1: piece})[1] for piece in clip.split(4)])
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)
    assert (ClipRunner(model)({1: clip[100:104]})[1] - whole[100:104]).abs().max() > 1e-3  # the state does matter


def test_people_walk_together_as_each_for_itself(model):
    clips = {name: torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8) for name in (1, 2, 3)}
    alone = {name: ClipRunner(model)({name: clip})[name] for name, clip in clips.items()}
    runner, parts = ClipRunner(model), {name: [] for name in clips}
    for pieces in ({1: (0, 4), 2: (0, 4)}, {1: (4, 8), 2: (4, 6), 3: (0, 4)}, {2: (6, 8), 3: (4, 8)}):
        for name, phi in runner({name: clips[name][a:b] for name, (a, b) in pieces.items()}).items():
            parts[name].append(phi)
    for name, phi in alone.items():
        torch.testing.assert_close(torch.cat(parts[name]), phi, atol=1e-5, rtol=0)


def test_a_network_without_its_weights_is_refused():
    with pytest.raises(ConfigError, match="no weights are released"):
        MeshRecoverer("configs/demo/mviper.py")
    with pytest.raises(ConfigError, match="needs both"):
        MeshRecoverer(None, "best.pth")
    with pytest.raises(ConfigError, match=r"from 0\.4 to 2\.6"):
        MeshRecoverer(heights=[180])
    with pytest.raises(ConfigError, match="a height is used only by the fit"):
        MeshRecoverer(heights=[1.8], refine=False)
    with pytest.raises(ConfigError, match="one_euro"):
        MeshRecoverer(smoothing="gauss")
    with pytest.raises(ConfigError, match="from 0 to 1"):
        MeshRecoverer(confidence=50)


@pytest.mark.parametrize(
    "box", [(10, 10, 0, 40), (10, 10, 40, -1), (80, 0, 10, 10), (0, -20, 30, 20), (0, 0, np.nan, 9)]
)
def test_a_box_that_shows_nothing_is_refused(make_video, box):
    video = make_video(np.zeros((2, 48, 80, 3), np.uint8))
    with pytest.raises(ConfigError, match="in a picture of 80 x 48 pixels"):
        MeshRecoverer(refine=False)(video, box)


class _Fixed(FrameSource):
    """A source with immutable frames."""

    path, width, height, fps = (property(lambda self, name=name: getattr(self._source, name))
                                for name in ("path", "width", "height", "fps"))  # fmt: skip

    def __init__(self, source: FrameSource) -> None:
        self._source = source

    def __iter__(self):
        return iter(self._source)


def test_a_source_is_left_as_it_was_given(dancer, make_video):
    """Its frames have another rate than stated: the result says so, and the source is not modified."""
    video = make_video(dancer[:4], times=[0.0, 0.1, 0.15, 0.4])
    source, recover = open_frames(video), MeshRecoverer(refine=False)
    stated = source.fps
    first = recover(source)
    assert source.fps == stated and abs(stated - 7.5) > 0.1 and first.fps == pytest.approx(7.5, rel=1e-3)
    assert first.motion(first.people[0]).fps == first.fps
    for again in (recover(source), recover(_Fixed(source))):
        assert again.fps == first.fps
        np.testing.assert_array_equal(again.people[0].rotmat, first.people[0].rotmat)


def test_live_recovery_is_the_networks_walk_and_forgets_who_is_gone(repository, checkpoint, dancer):
    recover = MeshRecoverer(repository / "configs/demo/mviper.py", checkpoint, precision="float32")
    numbers = [*range(6), *range(80, 83)]  # more than two seconds are missing: another person
    seen = list(recover.stream(Frame(number, number / 30, image) for number, image in zip(numbers, dancer)))
    assert [[person.number for person in people] for _, people in seen] == [[1]] * 6 + [[2]] * 3
    for number in (1, 2):
        shown = [(frame.image, person) for frame, (person,) in seen if person.number == number]
        crops = np.stack([crop_frame(image, person.box, recover.image_size) for image, person in shown])
        phi = ClipRunner(recover.model)({number: torch.from_numpy(crops).permute(0, 3, 1, 2)})[number]
        boxes = np.stack([person.box for _, person in shown])
        projection = Projection.of_picture(1, 576, 576, optics_of({}, 576, 576).focal)
        for t, (_, person) in enumerate(shown):
            bodies = network_bodies(recover.model, phi[t : t + 1], boxes[t : t + 1], projection)
            np.testing.assert_allclose(person.rotmat, bodies.rotmat[0], atol=1e-3)
            np.testing.assert_allclose(person.betas, bodies.betas[0], atol=1e-3)
            np.testing.assert_allclose(person.transl, bodies.transl[0], atol=1e-3)
    with pytest.raises(ConfigError, match="needs a network"):
        next(MeshRecoverer(None).stream([]))


def test_lifting_points_the_limbs_where_the_landmarks_are(body):
    from mviper.body.landmarks import LANDMARKS
    from mviper.structures.joints import KEYPOINTS

    rng = np.random.default_rng(0)
    pose = torch.zeros(3, 24, 3)
    pose[:, 1:6] = torch.tensor(rng.normal(0, 0.4, (3, 5, 3)))
    pose[:, 3] = 0  # hips and shoulders cannot distinguish a bent spine from a tilted trunk
    pose[:, 16:20] = torch.tensor(rng.normal(0, 0.6, (3, 4, 3)))
    rotmat = axis_angle_to_matrix(pose)
    rotmat[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    joints = body(torch.zeros(3, 10), rotmat).joints.numpy()
    world = np.zeros((3, 33, 3), np.float32)
    for k, name in enumerate(LANDMARKS):
        name = name.replace("foot_index", "bigtoe").replace("_inner", "").replace("_outer", "")
        name = {"mouth_left": "nose", "mouth_right": "nose"}.get(name, name)
        name = name.replace("pinky", "hand").replace("index", "hand").replace("thumb", "hand")
        world[:, k] = joints[:, KEYPOINTS.index(name)]
    lifted = torch.from_numpy(pose_from_landmarks(world, body)).float()
    found = body(torch.zeros(3, 10), lifted).joints.numpy()
    limbs = [
        KEYPOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("knee", "ankle", "elbow", "wrist")
    ]
    error = np.linalg.norm((found - joints)[:, limbs], axis=-1)
    assert error.mean() < 0.03


def test_the_floor_lets_people_jump():
    time = np.arange(150) / 30
    feet = 0.1 * time + 0.4 * np.maximum(0, np.sin(np.pi * (time - 2) / 0.5)) * ((time > 2) & (time < 2.5))
    above = feet - ground_height(feet, 30)
    assert above.min() >= 0 and above.max() > 0.25 and np.median(above) < 0.12


def test_smoothing_calms_and_none_changes_nothing():
    rng = np.random.default_rng(0)
    times = np.arange(60) / 30
    calm = torch.zeros(60, 24, 3)
    calm[..., 0] = torch.from_numpy(np.sin(times))[:, None]
    noisy = axis_angle_to_matrix(calm + torch.tensor(rng.normal(0, 0.05, calm.shape))).numpy()
    true, transl = axis_angle_to_matrix(calm).numpy(), rng.normal(0, 0.01, (60, 3))
    assert smooth_motion(noisy, transl, times, None)[0] is noisy
    for method in ("one_euro", "savgol"):
        smooth, place = smooth_motion(noisy, transl, times, method)
        np.testing.assert_allclose(smooth @ smooth.swapaxes(-1, -2), np.tile(np.eye(3), (60, 24, 1, 1)), atol=1e-5)
        assert np.abs(smooth - true).mean() < 0.8 * np.abs(noisy - true).mean()
        assert np.diff(place, 2, axis=0).std() < 0.8 * np.diff(transl, 2, axis=0).std()
    still = OneEuroFilter()
    assert still(0.0, np.ones(2)).tolist() == still(0.1, np.ones(2)).tolist()


def test_a_model_with_mmhuman3ds_camera_stands_where_it_projects(repository, tmp_path):
    """HMR's and SPIN's pinhole camera has another parameter order; the model decodes it, not eq. 6."""
    config = tmp_path / "hmr.py"
    config.write_text(
        f"_base_ = ['{repository / 'configs/hmr_mmhuman3d_r50.py'}']\nmodel = dict(backbone=dict(depth=18))\n"
    )
    model = MODELS.build({**load_config(config).model, "losses": None}).eval()
    write_checkpoint({"state_dict": model.state_dict()}, tmp_path / "hmr.pth")
    cv2.imwrite(str(tmp_path / "frame.png"), np.zeros((480, 640, 3), np.uint8))
    recover, source = MeshRecoverer(config, tmp_path / "hmr.pth"), open_frames(tmp_path / "frame.png")
    torch.manual_seed(0)
    phi = model.head.mean_phi + torch.cat([0.3 * torch.randn(4, 144), torch.zeros(4, 10), 0.1 * torch.randn(4, 3)], 1)
    boxes = np.array([[300.0, 200, 90], [20, 400, 70], [600, 100, 80], [320, 240, 60]])
    projection = Projection.of_picture(4, source.width, source.height, 5000.0)  # far away: nearly the crop's pinhole
    bodies = network_bodies(recover.model, phi, boxes, projection)
    joints = recover.body(bodies.betas, bodies.rotmat, bodies.transl).joints.numpy()
    points = 5000 * joints[..., :2] / joints[..., 2:] + [(640 - 1) / 2, (480 - 1) / 2]
    wanted = from_crop_units(model.decode(phi[None])["pred_keypoints2d"][0].numpy(), boxes)
    assert np.abs(points - wanted).max() < 2
    assert np.abs(points[:, 0] - wanted[:, 0]).max() < 0.05
    clip = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(
        ClipRunner(load_model(config, tmp_path / "hmr.pth", "float32")[0])({1: clip})[1],
        model.regress(clip[None])[0], atol=1e-4, rtol=0,
    )  # fmt: skip


def test_each_frame_keeps_its_own_shape_where_it_is_asked_for(repository, checkpoint, dancer, make_video):
    video = make_video(dancer[:6])
    one, own = (
        MeshRecoverer(repository / "configs/demo/mviper.py", checkpoint, one_shape=one_shape)(video).people[0]
        for one_shape in (True, False)
    )
    assert one.frame_betas is None and own.frame_betas.shape == (6, 10)
    assert np.abs(np.diff(own.frame_betas, axis=0)).max() > 1e-4
    np.testing.assert_allclose(np.median(own.frame_betas, axis=0), own.betas, atol=1e-6)
    np.testing.assert_allclose(own.rotmat, one.rotmat, atol=1e-6)
