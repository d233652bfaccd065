"""MoSh on markers of known bodies: accuracy, robustness, refusals."""

import numpy as np
import pytest
import torch
from benchmarks.simulated_markers import mosh_figures, simulate_and_fit, simulate_markers
from body_points import at_vertices
from open_body.assembly import thinner_body, write_pkl

from mviper.body import SMPL
from mviper.body.attached_points import AttachedPoints
from mviper.body.rotations import axis_angle_to_matrix, geodesic_angle
from mviper.body.smpl import OPEN_BODY, load_body_arrays
from mviper.motion import DeepMimicMotion
from mviper.motion.markers import (
    MARKER_PLACES,
    STANDARD_MARKERS,
    MarkerLayout,
    known_marker,
    place_markers,
    split_label,
)
from mviper.motion.mosh import MarkerError, Mosh, MoshSettings, exchange_swapped
from mviper.structures import SMPL_JOINTS

BETAS = np.array([1.2, -0.8, 0.6, -1.1, 0.4, 0.9, -0.3, 0.5, -0.6, 0.2])


@pytest.fixture(scope="module")
def dance(body):
    """A clip held out from the pose prior."""
    source = DeepMimicMotion(names=["spinkick"], fps=120)
    return source.load_for_body(next(source.clips()), body, BETAS)


def check(figures):
    assert figures["joints_mm"] <= 15
    assert figures["vertices_mm"] <= 15
    assert figures["rotation_deg"] <= 6
    assert figures["height_cm"] <= 2


@pytest.mark.parametrize("seed", [0, 1])
def test_finds_the_body_again(body, dance, seed):
    """41 markers, 5 mm of noise, 10 % missing, one swapped pair."""
    figures = simulate_and_fit(body, dance[:160], seed)
    check(figures)
    assert figures["frames_per_cpu_s"] >= 10


def test_upside_down_and_at_30_fps(body):
    source = DeepMimicMotion(names=["cartwheel"], fps=30)
    motion = source.load_for_body(next(source.clips()), body, -BETAS)
    check(simulate_and_fit(body, motion, 3))


def test_another_body(tmp_path):
    write_pkl(tmp_path / "second.pkl", thinner_body(load_body_arrays(OPEN_BODY), 5000, "second"))
    second = SMPL(tmp_path / "second.pkl")
    source = DeepMimicMotion(names=["spinkick"], fps=60)
    check(simulate_and_fit(second, source.load_for_body(next(source.clips()), second, BETAS), 2))


def test_figures_of_the_benchmark():
    figures = mosh_figures(seed=0, clips=("spinkick",), frames=40)
    assert {"mosh_joints_mm", "mosh_frames_per_cpu_s"} <= set(figures)
    assert figures["mosh_frames_per_cpu_s"] >= 10


def test_joint_centres(body, dance):
    motion = dance[:40]
    rotmat = axis_angle_to_matrix(torch.tensor(motion.poses)).float()
    transl = torch.tensor(motion.transl).float()
    joints = body(torch.tensor(BETAS).float().expand(40, -1), rotmat, transl).joints[:, :24]
    fit = Mosh(body, SMPL_JOINTS).fit(joints, motion.fps)
    found = AttachedPoints.at_joints(body, torch.arange(24)).posed(fit.calibration.betas, fit.rotmat, fit.transl)
    assert (found - joints).norm(dim=-1).mean() < 0.012


@pytest.fixture(scope="module")
def dense(body, dance):
    """Noise-free joints and 300 vertices, and our fit to them."""
    motion = dance[:60:4]
    rotmat = axis_angle_to_matrix(torch.tensor(motion.poses)).float()
    betas, transl = torch.tensor(BETAS).float(), torch.tensor(motion.transl).float()
    true = body(betas.expand(len(rotmat), -1), rotmat, transl)
    chosen = torch.arange(0, body.num_vertices, 23)
    points = AttachedPoints.at_joints(body, torch.arange(24)) + at_vertices(body, chosen)
    names = tuple(f"point {k}" for k in range(len(points)))
    layout = MarkerLayout(names, points, torch.zeros(len(points), 3), torch.full((len(points), 2), 1e-4))
    settings = MoshSettings(marker_noise=0.001, pose_weight=1e-3, shape_pose_weight=1e-3, calibration_frames=6)
    observed = torch.cat([true.joints[:, :24], true.vertices[:, chosen]], 1)
    return true, rotmat, Mosh(body, layout, settings=settings).fit(observed, 30)


def test_joints_and_vertices(body, dense):
    true, rotmat, fit = dense
    found = body(fit.calibration.betas.expand(len(rotmat), -1), fit.rotmat, fit.transl)
    assert (found.vertices - true.vertices).norm(dim=-1).mean() < 1e-3
    assert torch.rad2deg(geodesic_angle(fit.rotmat, rotmat)).mean() < 0.5


def test_agrees_with_smplfitter(body, dense, tmp_path, monkeypatch):
    """Compares with another fitter (Sarandi and Pons-Moll, 2024) on the same joints and vertices."""
    pytest.importorskip("smplfitter", reason="pip install smplfitter (requirements/tests.txt)")
    import pickle

    from smplfitter.pt import BodyFitter, BodyModel

    arrays = load_body_arrays(OPEN_BODY)
    keys = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
    with (tmp_path / "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl").open("wb") as file:
        pickle.dump({key: arrays[key] for key in keys}, file)
    np.save(tmp_path / "kid_template.npy", np.zeros_like(arrays["v_template"]))
    true, _, ours = dense
    fitter = BodyFitter(BodyModel("smpl", "neutral", model_root=str(tmp_path)))
    with torch.no_grad():
        theirs = fitter.fit(
            true.vertices, true.joints[:, :24], num_iter=3, beta_regularizer=0.01, share_beta=True,
            requested_keys=["shape_betas", "relative_orientations"],
        )  # fmt: skip
        count = len(true.vertices)
        found = body(ours.calibration.betas.expand(count, -1), ours.rotmat, ours.transl)
        rotmat = theirs["relative_orientations"]
        shifted = body(theirs["shape_betas"], rotmat, theirs["trans"])
    assert (found.joints[:, :24] - shifted.joints[:, :24]).norm(dim=-1).mean() < 0.005
    assert (found.vertices - shifted.vertices).norm(dim=-1).mean() < 0.005
    # Toes and hands barely affect the surface, and SMPLFitter does not fit the toes.
    firm = [k for k, name in enumerate(SMPL_JOINTS) if not name.endswith(("_foot", "_hand"))]
    assert torch.rad2deg(geodesic_angle(rotmat, ours.rotmat))[:, firm].mean() < 3


def test_gaps_are_bridged(body, dance):
    """Half a second without any marker is bridged without a jump."""
    capture = simulate_markers(body, dance[:150], 5, swap=False)
    points = torch.tensor(capture.points)
    points[60:90] = float("nan")
    fit = Mosh(body, capture.names).fit(points, 120)
    turns = torch.rad2deg(geodesic_angle(fit.rotmat[1:], fit.rotmat[:-1]))
    assert turns[58:92].max() < 1.5 * turns.max(0).values.max() and turns.max() < 15
    assert (fit.transl[1:] - fit.transl[:-1]).norm(dim=-1).max() < 0.05
    assert fit.residuals[60:90].isnan().all()


def test_batches_join_smoothly(body, dance):
    capture = simulate_markers(body, dance[:120], 6)
    points = torch.tensor(capture.points)
    fits = [Mosh(body, capture.names, settings=MoshSettings(batch=size)).fit(points, 120) for size in (240, 40)]
    assert torch.rad2deg(geodesic_angle(fits[0].rotmat, fits[1].rotmat)).mean() < 1
    assert (fits[0].transl - fits[1].transl).norm(dim=-1).max() < 0.01


def test_exchanged_labels():
    places = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]).expand(4, 4, 3)
    observed = places + 0.004
    visible = torch.ones(4, 4, dtype=torch.bool)
    observed[1] = observed[1, [0, 2, 1, 3]]  # two swapped
    observed[2] = observed[2, [3, 1, 2, 0]]  # one of two, the other missing
    visible[2, 3] = False
    points, seen, labels = exchange_swapped(places, observed, visible)
    assert labels.tolist() == [[0, 1, 2, 3], [0, 2, 1, 3], [3, 1, 2, 0], [0, 1, 2, 3]]
    assert seen[2].tolist() == [False, True, True, True]
    assert (points - places).norm(dim=-1)[seen].max() < 0.01


def test_markers_sit_where_their_names_say(body):
    assert len(STANDARD_MARKERS) == 41
    layout = place_markers(body, tuple(MARKER_PLACES))
    place = dict(zip(layout.names, (layout.points.rest + layout.offsets).numpy()))
    for name, (x, y, z) in place.items():
        if name.startswith("L") and "R" + name[1:] in place:
            assert place["R" + name[1:]] == pytest.approx([-x, y, z], abs=0.015), name
    order = ["LHEE", "LANK", "LSHN", "LKNE", "LTHI", "LFWT", "STRN", "CLAV", "C7", "LFHD"]
    heights = [place[name][1] for name in order]
    assert heights == sorted(heights)
    for front, back in (("LFHD", "LBHD"), ("STRN", "T10"), ("CLAV", "C7"), ("LFWT", "LBWT"), ("LTOE", "LHEE")):
        assert place[front][2] > place[back][2] + 0.1
    assert place["LWRA"][2] > place["LWRB"][2] + 0.03 and place["LKNE"][0] > place["LKNM"][0] + 0.06
    distance = (layout.offsets.norm(dim=-1) - 0.0095).abs()
    assert distance.max() < 1e-6


@pytest.mark.parametrize(
    ("label", "subject", "marker"),
    [
        ("LFHD", "", "LFHD"), ("Jack:LFHD", "Jack", "LFHD"), ("Jack_B:RASI", "Jack_B", "RFWT"),
        ("jack_lkne", "jack", "LKNE"), ("Jack C7", "Jack", "C7"), ("RTIB", "", "RSHN"), ("RBAK", "", "RBAC"),
        ("left_knee", "", "left_knee"), ("*23", "", None), ("", "", None), ("LHipAngles", "", None),
    ],
)  # fmt: skip
def test_labels(label, subject, marker):
    whose, name = split_label(label)
    assert (whose, known_marker(name)) == (subject, marker)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda points: points[:0], "no frames"),
        (lambda points: points * float("nan"), "0 known markers"),
        (lambda points: points * float("inf"), "1 km"),
        (lambda points: points.where(torch.arange(41)[:, None] < 5, torch.tensor(float("nan"))), r"\d known markers"),
        (lambda points: points[:, torch.randperm(41, generator=torch.Generator().manual_seed(0))], "do not fit"),
    ],
)  # fmt: skip
def test_bad_markers(body, dance, spoil, problem):
    points = torch.tensor(simulate_markers(body, dance[:8], 0, swap=False).points)
    with pytest.raises(MarkerError, match=problem):
        Mosh(body, STANDARD_MARKERS).fit(spoil(points), 120)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda(body, dance):
    capture = simulate_markers(body, dance[:60], 0)
    there = Mosh(SMPL().cuda(), capture.names).fit(torch.tensor(capture.points).cuda(), 120)
    here = Mosh(body, capture.names).fit(torch.tensor(capture.points), 120)
    assert torch.rad2deg(geodesic_angle(here.rotmat, there.rotmat.cpu())).mean() < 1
