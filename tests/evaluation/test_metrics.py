"""The registered metrics on samples: grouping, exclusions, and the figures' names and units."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from whole_sequences import mrsv, mrvpv

from mviper.body.rotations import axis_angle_to_matrix, matrix_to_rotation_6d
from mviper.errors import ConfigError
from mviper.evaluation import mean_pose_figures
from mviper.evaluation.details import WorstFrames, break_down
from mviper.evaluation.functional import joint_error, mpvpe, pa_joint_error
from mviper.evaluation.metrics import action_of, camera_of, runs
from mviper.registry import METRICS
from mviper.sample import BodySample
from mviper.structures.joints import KEYPOINTS

JOINTS = [{"type": "mviper.JointError"}]


@pytest.fixture(scope="module")
def all_metrics(body) -> list[dict]:
    return [
        {"type": "mviper.JointError"},
        {"type": "mviper.VertexError", "body_model": body},
        {"type": "mviper.ShapeError", "body_model": body},
        {"type": "mviper.TemporalVariation", "body_model": body},
        {"type": "mviper.AccelerationError"},
    ]


@torch.no_grad()
def make_sample(body, name: str, frames: int = 9, seed: int = 0, start: int = 0) -> BodySample:
    """A sequence of a moving body, and a prediction with errors and a shift."""
    generator = torch.Generator().manual_seed(seed)

    def joints_of(betas, rotmat):
        joints = body(betas, rotmat).joints
        return joints - joints[:, :1]

    poses = 0.3 * torch.randn(24, 3, generator=generator) + 0.02 * torch.arange(frames)[:, None, None]
    noise = 0.1 * torch.randn(frames, 24, 3, generator=generator)
    rotmat, pred_rotmat = axis_angle_to_matrix(poses), axis_angle_to_matrix(poses + noise)
    betas = torch.randn(10, generator=generator).expand(frames, 10).clone()
    pred_betas = betas + 0.1 * torch.randn(frames, 10, generator=generator)
    sample = BodySample(
        metainfo={"sequence": name, "frame_indices": np.arange(start, start + frames)},
        keypoints3d=torch.cat([joints_of(betas, rotmat), torch.ones(frames, len(KEYPOINTS), 1)], 2),
        smpl_rotmat=rotmat,
        betas=betas,
        has_keypoints3d=torch.tensor(1.0),
        has_smpl=torch.tensor(1.0),
        has_betas=torch.tensor(1.0),
    )
    sample.set_field(pred_rotmat, "pred_rotmat")
    sample.set_field(pred_betas, "pred_betas")
    sample.set_field(joints_of(pred_betas, pred_rotmat) + 0.5, "pred_keypoints3d")  # the root is subtracted again
    return sample


def part(sample: BodySample, rows) -> BodySample:
    piece = BodySample(metainfo={"sequence": sample.sequence, "frame_indices": sample.frame_indices[rows]})
    for name, value in sample.items():
        piece.set_field(value[rows] if value.ndim else value, name)
    return piece


def run_metrics(samples, metrics, **meta) -> dict[str, float]:
    evaluator = Evaluator([METRICS.build(metric) for metric in metrics])
    evaluator.dataset_meta = meta
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


@pytest.fixture(scope="module")
def evaluate(all_metrics):
    return lambda samples, **meta: run_metrics(samples, all_metrics, **meta)


@torch.no_grad()
def root_relative(body, betas, rotmat):
    output = body(betas, rotmat)
    return output.vertices - output.joints[:, :1]


def test_figures_are_those_of_the_functions(body, evaluate):
    samples = [make_sample(body, "a", 9, seed=1), make_sample(body, "b", 5, seed=2)]
    figures = evaluate(samples, body_model=body.body_model_id)
    assert set(figures) == {
        "MPJPE_mm", "PA-MPJPE_mm", "MPVPE_sum_m", "MPVPE_mean_mm", "PVE-T_mm", "acceleration_error_mm",
        *(f"{name}{suffix}" for suffix in ("", "_truth") for name in (
            "MRVPV1_sum_m", "MRVPV1_mean_mm", "MRVPV2_sum_m", "MRVPV2_mean_mm", "MRVPV2_frame_sum_m",
            "MRVPV2_frame_mean_mm", "MRSV1", "MRSV2",
        )),
    }  # fmt: skip
    pred = torch.cat([s.pred_keypoints3d[:, :24] - s.pred_keypoints3d[:, :1] for s in samples])
    target = torch.cat([s.keypoints3d[:, :24, :3] for s in samples])
    assert figures["MPJPE_mm"] == pytest.approx(1000 * joint_error(pred, target).mean().item())
    assert figures["PA-MPJPE_mm"] == pytest.approx(1000 * pa_joint_error(pred, target).mean().item())
    pred = [root_relative(body, s.pred_betas, s.pred_rotmat) for s in samples]
    target = [root_relative(body, s.betas, s.smpl_rotmat) for s in samples]
    assert figures["MPVPE_sum_m"] == pytest.approx(mpvpe(torch.cat(pred), torch.cat(target)).item(), rel=1e-5)
    assert figures["MPVPE_mean_mm"] == pytest.approx(mpvpe(torch.cat(pred), torch.cat(target), "mean").item(), rel=1e-5)
    standing = torch.eye(3).expand(14, 24, 3, 3)
    pred_rest, rest = (torch.cat([getattr(s, name) for s in samples]) for name in ("pred_betas", "betas"))
    pred_rest, rest = root_relative(body, pred_rest, standing), root_relative(body, rest, standing)
    assert figures["PVE-T_mm"] == pytest.approx(mpvpe(pred_rest, rest, "mean").item(), rel=1e-4)
    for suffix, side in (("", pred), ("_truth", target)):
        for name, form in {"MRVPV1_sum_m": (1,), "MRVPV2_frame_sum_m": (2, "frame"), "MRVPV2_sum_m": (2,)}.items():
            expected = sum(len(v) * mrvpv(v, *form).item() for v in side) / 14
            assert figures[name + suffix] == pytest.approx(expected, rel=1e-4)
    assert figures["MRSV1"] == pytest.approx(sum(len(s.betas) * mrsv(s.pred_betas, 1).item() for s in samples) / 14)
    assert figures["MRSV1_truth"] == figures["MRSV2_truth"] == 0
    assert figures["MRVPV1_sum_m_truth"] > 0


def test_perfect_prediction_scores_zero_and_moves_like_the_truth(body, evaluate):
    sample = make_sample(body, "a")
    sample.pred_rotmat, sample.pred_betas = sample.smpl_rotmat, sample.betas
    sample.pred_keypoints3d = sample.keypoints3d[..., :3]
    figures = evaluate([sample])
    for name in ("MPJPE_mm", "PA-MPJPE_mm", "MPVPE_sum_m", "MPVPE_mean_mm", "PVE-T_mm", "acceleration_error_mm"):
        assert figures[name] == pytest.approx(0, abs=1e-9)
    assert figures["MRVPV1_sum_m"] == figures["MRVPV1_sum_m_truth"]


def test_pieces_in_any_order_and_twice_make_the_same_sequence(body, evaluate):
    a, b = make_sample(body, "a", 9, seed=1), make_sample(body, "b", 5, seed=2)
    pieces = [part(a, slice(4, 9)), b, part(a, slice(0, 4)), part(a, slice(2, 6)), b]
    whole, pieced = evaluate([a, b]), evaluate(pieces)
    assert pieced == pytest.approx(whole, rel=1e-6)


def test_nothing_is_measured_across_sequences_or_gaps(body, evaluate):
    a = make_sample(body, "a", 12, seed=1)
    left, right = part(a, slice(0, 4)), part(a, slice(8, 12))
    gap = evaluate([left, right])
    right.set_metainfo({"sequence": "b"})
    assert gap == pytest.approx(evaluate([left, right]), rel=1e-6)
    stepped = part(a, slice(0, 12, 3))  # every third frame is consecutive to the previous one
    assert evaluate([stepped])["MRSV1"] == pytest.approx(mrsv(stepped.pred_betas, 1).item())


def test_runs():
    assert list(runs(torch.tensor([0, 1, 2, 7, 8]))) == [slice(0, 3), slice(3, 5)]
    assert list(runs(torch.tensor([5]))) == [slice(0, 1)]
    assert list(runs(torch.tensor([0, 2, 4]))) == [slice(0, 3)]


def test_missing_labels_are_left_out(body, evaluate):
    a, b = make_sample(body, "a", seed=1), make_sample(body, "b", seed=2)
    alone = evaluate([a])
    b.has_betas = torch.tensor(0.0)
    both = evaluate([a, b])
    assert both["MPVPE_sum_m"] == alone["MPVPE_sum_m"]
    assert both["MRVPV1_sum_m_truth"] == alone["MRVPV1_sum_m_truth"] and both["MRSV1"] != alone["MRSV1"]
    assert both["MPJPE_mm"] != alone["MPJPE_mm"]
    b.has_keypoints3d = torch.tensor(0.0)
    assert evaluate([a, b])["MPJPE_mm"] == alone["MPJPE_mm"]
    a.has_keypoints3d = torch.tensor(0.0)
    assert np.isnan(evaluate([a])["MPJPE_mm"])


def test_lost_prediction_can_not_hide(body):
    sample = make_sample(body, "a")
    sample.pred_keypoints3d = sample.pred_keypoints3d.clone()
    sample.pred_keypoints3d[3, 5] = float("nan")
    figures = run_metrics([sample], JOINTS)
    assert np.isnan(figures["MPJPE_mm"]) and np.isnan(figures["PA-MPJPE_mm"])


def test_joint_sets_and_roots(body):
    sample = make_sample(body, "a")
    lsp = ["left_ankle", "right_ankle", "left_hip_extra", "right_hip_extra", "headtop"]
    metric = {"type": "mviper.JointError", "joints": lsp, "root": ["left_hip_extra", "right_hip_extra"]}
    places = [KEYPOINTS.index(name) for name in lsp]
    pred, target = (x[:, places, :3] - x[:, places[2:4], :3].mean(1, keepdim=True)
                    for x in (sample.pred_keypoints3d, sample.keypoints3d))  # fmt: skip
    assert run_metrics([sample], [metric])["MPJPE_mm"] == pytest.approx(1000 * joint_error(pred, target).mean().item())
    with pytest.raises(ConfigError, match="unknown joints"):
        METRICS.build({"type": "mviper.JointError", "joints": ["nostril"]})


def test_foreign_body_is_refused(body):
    metric = {"type": "mviper.VertexError", "body_model": {"type": "mviper.SMPL"}}
    with pytest.raises(ConfigError, match="belong to body other:1"):
        run_metrics([make_sample(body, "a")], [metric], body_model="other:1")


def test_mean_pose_baseline(body, all_metrics):
    samples = [make_sample(body, "a", seed=1), make_sample(body, "b", seed=2)]
    rotmat = samples[0].smpl_rotmat[0]
    phi = torch.cat([matrix_to_rotation_6d(rotmat).flatten(), samples[0].betas[0], torch.tensor([0.9, 0.0, 0.1])])
    figures = mean_pose_figures(samples, phi, body, all_metrics, {"body_model": body.body_model_id})
    assert figures["MRSV1"] == 0 and figures["MRVPV1_sum_m"] < 1e-3 < figures["MRVPV1_sum_m_truth"]
    assert figures["MPJPE_mm"] > figures["PA-MPJPE_mm"] > 0
    first = mean_pose_figures([part(samples[0], slice(0, 1))], phi, body, all_metrics)
    assert first["MPJPE_mm"] < 1e-2 and first["MPVPE_mean_mm"] < 1e-2  # phi is that frame's own pose
    assert "pred_rotmat" in samples[0] and samples[0].pred_keypoints3d.mean() > 0.3  # the samples are unchanged


def test_joint_sets_by_name():
    assert METRICS.build({"type": "mviper.JointError", "joints": "lsp14"}).joint_names[0] == "right_ankle"
    assert len(METRICS.build({"type": "mviper.JointError", "joints": "h36m17"}).joints) == 17
    with pytest.raises(ConfigError, match="smpl24, lsp14, h36m17"):
        METRICS.build({"type": "mviper.JointError", "joints": "lsp15"})
    with pytest.raises(ConfigError, match="'frames' or 'actions'"):
        METRICS.build({"type": "mviper.JointError", "average": "clips"})


def test_action_and_camera_of_a_sample():
    human36m = {"sequence": "h36m/test/S9_SittingDown 1.60457274"}
    assert (action_of(human36m), camera_of(human36m)) == ("SittingDown", "60457274")
    still = {"sequence": "h36m/test/S11_Walking.54138969/000120"}
    assert (action_of(still), camera_of(still)) == ("Walking", "54138969")
    factory = {"sequence": "test/dance_b__03/east"}
    assert (action_of(factory), camera_of(factory)) == ("dance_b", "east")
    assert (action_of({**factory, "action": "dance"}), camera_of({**factory, "camera": 2})) == ("dance", "2")


def off_by(sample: BodySample, metres: float) -> BodySample:
    """The sample with a prediction in which all joints except the root are off by ``metres``."""
    pred = sample.keypoints3d[..., :3].clone()
    pred[:, 1:, 0] += metres
    sample.pred_keypoints3d = pred
    return sample


def test_human36m_protocols_by_action_and_camera(body):
    """Protocol 1: all cameras; protocol 2: the frontal one; averaged over actions, not frames."""
    samples = [
        off_by(make_sample(body, "h36m/test/S9_Eating.60457274", 9), 0.024),
        off_by(make_sample(body, "h36m/test/S9_Eating 1.54138969", 3), 0.048),
        off_by(make_sample(body, "h36m/test/S11_Posing.60457274", 4), 0.120),
    ]
    frontal = {"cameras": ["60457274"], "average": "actions", "prefix": "P2"}
    figures = run_metrics(
        samples,
        [
            {"type": "mviper.JointError", "average": "actions", "prefix": "P1"},
            {"type": "mviper.JointError", **frontal},
            {"type": "mviper.JointError"},
        ],
    )
    one = 23 / 24  # the root is not off
    assert figures["P1/MPJPE_mm"] == pytest.approx(one * ((9 * 24 + 3 * 48) / 12 + 120) / 2, rel=1e-5)
    assert figures["P2/MPJPE_mm"] == pytest.approx(one * (24 + 120) / 2, rel=1e-5)
    assert figures["MPJPE_mm"] == pytest.approx(one * (9 * 24 + 3 * 48 + 4 * 120) / 16, rel=1e-5)
    with pytest.raises(ConfigError, match="no sample to measure of cameras 7"):
        run_metrics(samples, [{"type": "mviper.JointError", "cameras": [7]}, {"type": "mviper.KeypointAccuracy"}])


def test_keypoint_accuracy(body):
    near, far = off_by(make_sample(body, "a", 4), 0.061), off_by(make_sample(body, "b", 6), 0.2)
    figures = run_metrics([near, far], [{"type": "mviper.KeypointAccuracy"}])
    assert figures["3DPCK_150mm"] == pytest.approx(100 * 4 / 10)
    assert figures["3DAUC"] == pytest.approx(100 * 18 / 31 * 4 / 10)  # below 65, 70, ..., 150 mm
    aligned = run_metrics([near, far], [{"type": "mviper.KeypointAccuracy", "procrustes": True}])
    assert aligned["PA-3DPCK_150mm"] == 100  # a shift of all 14 joints is no error once aligned
    near.keypoints3d = near.keypoints3d.clone()
    near.keypoints3d[..., 3] = 0
    assert run_metrics([near, far], [{"type": "mviper.KeypointAccuracy"}])["3DPCK_150mm"] == 0


def test_a_still_repeated_to_a_clip_is_judged_at_its_end(body):
    sample = off_by(make_sample(body, "lsp/test/000004", 4), 0.024)
    sample.pred_keypoints3d[:3, 1:, 0] += 1
    sample.set_metainfo({"frame_indices": np.array([4, 4, 4, 4])})
    assert run_metrics([sample], JOINTS)["MPJPE_mm"] == pytest.approx(23, rel=1e-5)


def test_break_down_by_joint_action_and_time(body, all_metrics):
    samples = [
        off_by(make_sample(body, "test/walk__00/east", 3), 0.024),
        off_by(make_sample(body, "test/walk__01/east", 5), 0.048),
        off_by(make_sample(body, "test/jump__00/east", 3), 0.120),
    ]
    # Upright in the camera's axes (y down), turned about the vertical: towards the camera, away from it, sideways.
    for sample, degrees in zip(samples, (170, 10, 100)):
        turn, upright = torch.tensor([[0, math.radians(degrees), 0], [math.pi, 0, 0]])
        sample.smpl_rotmat[:, 0] = axis_angle_to_matrix(turn) @ axis_angle_to_matrix(upright)
    metrics = [METRICS.build(metric) for metric in all_metrics]
    evaluator = Evaluator(metrics)
    evaluator.dataset_meta = {}
    evaluator.process(samples)
    figures = evaluator.evaluate(3)
    details = break_down(metrics)
    assert details["joints"]["pelvis"]["MPJPE_mm"] == 0
    assert details["joints"]["left_hand"]["MPJPE_mm"] == pytest.approx((3 * 24 + 5 * 48 + 3 * 120) / 11, rel=1e-4)
    assert details["actions"]["walk"]["MPJPE_mm"] == pytest.approx(23 / 24 * (3 * 24 + 5 * 48) / 8, rel=1e-4)
    assert details["actions"]["walk"]["frames"] == 8 and details["actions"]["jump"]["sequences"] == 1
    assert details["sequences"]["test/jump__00/east"]["MPJPE_mm"] == pytest.approx(115, rel=1e-4)
    assert details["time"]["MPJPE_mm"]["count"] == [3, 3, 3, 1, 1]
    assert details["time"]["MPJPE_mm"]["mean"][0] == pytest.approx(23 / 24 * (24 + 48 + 120) / 3, rel=1e-4)
    assert details["time"]["MPJPE_mm"]["mean"][4] == pytest.approx(46, rel=1e-4)
    views = {view: (v["frames"], v["MPJPE_mm"]) for view, v in details["views"].items()}
    assert views == {
        name: (count, pytest.approx(error, rel=1e-4)) for name, count, error in
        (("front", 5, 46), ("side", 3, 115), ("back", 3, 23))
    }  # fmt: skip
    mean = sum(a["MPVPE_mean_mm"] * a["frames"] for a in details["actions"].values()) / 11
    assert mean == pytest.approx(figures["MPVPE_mean_mm"])
    assert json.loads(json.dumps(details)) == details


def test_worst_frames_are_kept_with_their_pictures(body):
    finder = WorstFrames(count=2)
    for number, error in enumerate((0.024, 0.24, 0.12)):
        sample = off_by(make_sample(body, f"test/walk__{number:02d}/east", 4), error)
        sample.pred_keypoints3d[2, 1:, 0] += 0.024
        pictures = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 3, 8, 8) + 10 * number
        finder.process({"inputs": [pictures]}, [sample.to_dict()])
    assert [(frame.sequence, frame.frame) for frame in finder.worst] == [
        ("test/walk__01/east", 2), ("test/walk__02/east", 2),
    ]  # fmt: skip
    worst = finder.worst[0]
    assert worst.errors["MPJPE_mm"] == pytest.approx(23 / 24 * 264, rel=1e-4) and worst.errors["PA-MPJPE_mm"] < 60
    assert worst.picture.shape == (8, 8, 3) and (worst.picture == 12).all()
    assert worst.sample["pred_rotmat"].shape == (24, 3, 3) and worst.sample["has_smpl"].shape == ()
    assert finder.evaluate(3) == {}
