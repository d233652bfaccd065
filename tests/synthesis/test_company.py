"""Several people in a scene: places without collisions, exact annotation of each, who hides whom."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from mviper.body.surface import BodyShape
from mviper.config import load_config
from mviper.datasets import SyntheticHumanVideo, check_dataset, find_sequences, pack_split
from mviper.errors import ConfigError, SequenceRejected
from mviper.files import load_npz
from mviper.structures import KEYPOINTS, HumanData, MeshSequence, PassFile
from mviper.synthesis import Clock, Factory, complete_config, generate, job_rng, list_jobs, pose_body
from mviper.synthesis.company import Placement, clearance, footprint, move, place_people
from mviper.synthesis.performance import Simulation
from mviper.synthesis.scene import CompassCameras, Material, SceneMesh
from mviper.synthesis.scene.annotation import annotate, keypoint_parts, vertex_parts, visibility

CONFIG = dict(
    seed=5,
    max_frames=4,
    min_seconds=1.0,
    lead_in=dict(frames=15, still=3),
    people=dict(count=(2, 2), gap=0.15, room=0.5),
    cameras=dict(type="CompassCameras", views=["south", "east"], resolution=96),
    renderer=dict(type="RasterRenderer", samples=1),
    outfit=[dict(type="TShirt", edge_length=0.05)],
    simulator=dict(type="PaintedCloth"),
    passes=["segmentation", "garments", "vertices"],
)


def walkers(rng: np.random.Generator, count: int, frames: int = 30) -> list[MeshSequence]:
    """Upright posts of 0.2 m radius that walk along curves."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rim = np.concatenate([np.stack([0.2 * np.cos(turn), 0.2 * np.sin(turn), 0 * turn + z], -1) for z in (0, 1.7)])
    made = []
    for _ in range(count):
        speed = rng.normal(size=2) * 2
        time = np.linspace(0, 1, frames)[:, None]
        track = time * speed + rng.normal(size=2) * np.sin(3 * time)
        made.append(MeshSequence(rim + np.pad(track, ((0, 0), (0, 1)))[:, None], np.array([[0, 1, 2]])))
    return made


def test_clearance_of_discs() -> None:
    first, second = (walkers(np.random.default_rng(0), 1, frames=1)[0] for _ in range(2))
    for turn in (0.0, 0.7, 2.5):
        shift = 1.3 * np.array([np.cos(turn), np.sin(turn)])
        found = clearance(footprint([first]), footprint([second], Placement(0.4, tuple(shift))))
        middles = [mesh.vertices[0].mean(0) for mesh in (first, second)]
        away = np.linalg.norm((Placement(0.4, tuple(shift)).apply(middles[1]) - middles[0])[:2])
        assert away - 0.4 - 0.01 < found[0] <= away - 0.4 + 0.01  # centres less the radii
    assert clearance(footprint([first]), footprint([second]))[0] < 0


@pytest.mark.parametrize("count", [2, 5])
def test_people_never_touch_and_hide_each_other(count: int) -> None:
    near, hidden = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        people = walkers(rng, count)
        places = place_people([[mesh] for mesh in people], [mesh.vertices.mean(1) for mesh in people], rng, 0.15, 0.5)
        assert places[0] == Placement() and len({place.turn for place in places}) == count
        moved = [place.apply(mesh.vertices) for place, mesh in zip(places, people)]
        middles = np.stack([points.mean(1) for points in moved])
        for frame in range(30):
            trees = [cKDTree(points[frame, :, :2]) for points in moved]
            for k, tree in enumerate(trees):
                for other in moved[:k]:
                    near.append(tree.query(other[frame, :, :2])[0].min())
        # From far away in the east and south two posts overlap if they are less than 0.4 m apart across the view.
        gaps = np.abs(middles[:, None] - middles[None])[np.triu_indices(count, 1)]  # (pairs, T, 3)
        hidden.append((gaps[..., :2] < 0.4).any())
    assert min(near) >= 0.15 - 1e-9 and min(near) < 0.25
    print(f"{count} people: somebody hides somebody in {np.mean(hidden):.0%} of the scenes")
    assert np.mean(hidden) >= 0.8


def test_a_moved_person_is_posed_by_its_motion(body, moving) -> None:
    vertices, keypoints = pose_body(body, moving)
    shape = BodyShape.from_body(body, moving.betas)
    cloth = MeshSequence(vertices[:, ::50] + np.float32(0.02), np.array([[0, 1, 2]]), name="shirt")
    person = Simulation(moving, {}, shape, MeshSequence(vertices, body.faces), keypoints.astype(np.float64), [cloth])
    pelvis = body.rest_joints(torch.tensor(moving.betas, dtype=torch.float32)[None])[0, 0].numpy().astype(float)
    moved = move(person, Placement(2.1, (3.0, -1.5)), pelvis)
    again, joints = pose_body(body, moved.motion)
    assert np.abs(again - moved.body.vertices).max() < 1e-5 and np.abs(joints - moved.keypoints).max() < 1e-5
    turn = Placement(2.1).rotation
    np.testing.assert_allclose(moved.body.vertices, vertices @ turn.T + [3.0, -1.5, 0.0], atol=1e-5)
    off = moved.cloth[0].vertices - moved.body.vertices[:, ::50]
    np.testing.assert_allclose(off, np.broadcast_to(np.full(3, 0.02) @ turn.T, off.shape), atol=1e-5)
    assert move(person, Placement(), pelvis) is person


@pytest.fixture(scope="module")
def pair(body) -> tuple[BodyShape, list[SceneMesh], np.ndarray]:
    """Two bodies in the T-pose facing south, the second 1 m north of the first; their meshes and keypoints."""
    shape, parts = BodyShape.from_body(body, np.zeros(10)), vertex_parts(body.weights)
    shifts = np.array([[0, 0, 0], [0, 1.0, 0]])
    grey = Material(np.full(3, 0.5))
    meshes = [
        SceneMesh(MeshSequence((shape.vertices + shift)[None], shape.faces, name="body"), grey, parts, number)
        for number, shift in enumerate(shifts)
    ]
    return shape, meshes, shape.joints + shifts[:, None]


def test_who_is_hidden_by_whom(body, pair) -> None:
    shape, meshes, joints = pair
    own = keypoint_parts(shape.joints, shape.vertices, meshes[0].parts)
    cameras = {camera.name: camera for camera in CompassCameras()(joints.reshape(1, -1, 3))}

    def seen(view: str, person: int, meshes=meshes) -> np.ndarray:
        return visibility([cameras[view]], joints[None, person], own, meshes, person)[0][0]

    for view, near, far in (("south", 0, 1), ("north", 1, 0)):
        assert np.array_equal(seen(view, near), seen(view, near, [meshes[near]]))  # nobody is in front
        alone, hidden = seen(view, far, [meshes[far]]), seen(view, far)
        # Thin arms, feet and ears are seen past the nearer ones, which look larger.
        thin = ("elbow", "wrist", "hand", "toe", "heel", "ear", "eye")
        ends = np.array([any(part in name for part in thin) and name != "head" for name in KEYPOINTS])
        assert alone[~ends].sum() >= 16 and not hidden[~ends].any()
    for view in ("east", "west"):  # side by side
        for person in (0, 1):
            assert np.array_equal(seen(view, person), seen(view, person, [meshes[person]]))
    # Each person's annotation has its own box; the farther one is not cut by the nearer.
    motions = [pose_nothing(body) for _ in meshes]
    views = [
        annotate([cameras["east"]], motion, joints[None, k], np.zeros(3), own, meshes, k)[0]
        for k, motion in enumerate(motions)
    ]
    left = [view.bbox_xywh[0] for view in views]
    assert left[0][0] + left[0][2] < left[1][0]  # from the east, north is to the right
    assert views[0].video_path == views[1].video_path == "east.mp4"


def pose_nothing(body):
    from mviper.structures import Motion

    return Motion(np.zeros((1, 24, 3)), np.zeros((1, 3)), np.zeros(10), 30.0, body.body_model_id)


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """A walk beside somebody who punches or kicks; a run is too short."""
    out = tmp_path_factory.mktemp("company")
    source = dict(type="DeepMimicMotion", names=["walk", "run", "kick", "punch"])
    config = complete_config(dict(**CONFIG, source=source, splits=dict(test=["punch"])))
    factory = Factory(config)
    job = next(job for job in list_jobs(config) if job.clip.name == "walk")
    factory.make(job, out)
    return out, factory, job


def test_a_folder_of_two_people(company, body) -> None:
    out, _, job = company
    folder = job.folder(out)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["manifest.json"]
        + [f"{view}.mp4" for view in ("south", "east")]
        + [f"{view}_passes.zip" for view in ("south", "east")]
        + [f"{stem}_p{k}.npz" for stem in ("south", "east", "motion", "garments", "vertices") for k in (0, 1)]
    )
    assert manifest["views"] == ["south", "east"] and manifest["view_list"][1] == {
        "name": "south", "camera": "south", "render": 0, "person": "p1"
    }  # fmt: skip
    first, second = manifest["people"]
    # The second person moves by another clip of the same split; a run of 0.8 s was rejected, a punch is for testing.
    assert (first["clip"], second["clip"]) == ("walk", "kick") and first["betas"] != second["betas"]
    assert first["placement"] == {"turn": 0.0, "shift": [0.0, 0.0]} != second["placement"]
    looks = manifest["scene"]["people"]
    assert len(looks) == 2 and looks[0]["appearance"] != looks[1]["appearance"]
    check = check_dataset(out, body)
    assert check.ok and check.frames == 2 * manifest["frames"], check.problems
    dataset = SyntheticHumanVideo(str(out), clip_length=2)
    assert [view.name.rpartition("/")[2] for view in dataset.views] == ["south_p0", "south_p1", "east_p0", "east_p1"]


def test_the_first_person_is_who_it_would_be_alone(company) -> None:
    out, factory, job = company
    alone = Factory({**factory.config, "people": dict(count=(1, 1), gap=0.15, room=0.5)})
    person = alone.gather(job, functools.partial(job_rng, 5, job.name), Clock())[0]
    motion = load_npz(job.folder(out) / "motion_p0.npz")
    assert person.name == "" and np.array_equal(motion["poses"].reshape(-1, 24, 3), person.simulation.motion.poses)
    cloth = load_npz(job.folder(out) / "garments_p0.npz")
    assert np.array_equal(cloth["t_shirt_vertices"], person.simulation.cloth[0].vertices.astype(np.float32))


def test_the_same_seed_gives_the_same_company(company, tmp_path) -> None:
    out, factory, job = company
    again = Factory(factory.config).make(job, tmp_path)
    for path in job.folder(out).iterdir():
        if path.suffix in (".npz", ".zip"):
            assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    made, before = (json.loads((folder / "manifest.json").read_text()) for folder in (again, job.folder(out)))
    assert {**made, "timings": 0} == {**before, "timings": 0}


def test_bodies_and_masks_of_a_generated_company(company) -> None:
    out, _, job = company
    folder = job.folder(out)
    surfaces = [load_npz(folder / f"vertices_p{k}.npz")["vertices"] for k in (0, 1)]
    assert clearance(*(footprint([MeshSequence(v, np.zeros((0, 3), int))]) for v in surfaces)).min() >= 0.15
    for view in ("south", "east"):
        passes = PassFile(folder / f"{view}_passes.zip")
        assert passes.labels[1] == "p0_body" and set(passes.people) == {0, 1, 2}
        for frame in range(passes.frames):
            shown = passes.instances(frame)
            for k in (0, 1):
                data = HumanData.load(folder / f"{view}_p{k}.npz")
                rows, columns = np.nonzero(shown == k + 1)
                left, top, width, height = data.bbox_xywh[frame, :4]
                # Hair, shoes and clothes reach beyond the body's box.
                assert left - 8 < columns.min() and columns.max() < left + width + 8
                assert top - 8 < rows.min() and rows.max() < top + height + 8
                x, y = np.round(data.keypoints2d[frame, data.visibility[frame] > 0, :2]).astype(int).T
                there = shown[y.clip(0, 95), x.clip(0, 95)]
                assert (there == k + 1).mean() > 0.7 and (there == 2 - k).mean() < 0.1  # limbs are 5 pixels wide


def test_stored_people_are_put_together_again(company, tmp_path) -> None:
    out, _, _ = company
    options = {name: CONFIG[name] for name in ("seed", "cameras", "renderer", "people", "passes")}
    source = dict(type="StoredSimulations", data_root=str(out))
    config = complete_config(dict(**options, source=source))
    jobs = list_jobs(config)
    assert [job.clip.name for job in jobs] == ["walk__00_p0", "walk__00_p1"]
    folder = Factory(config).make(jobs[1], tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [person["clip"] for person in manifest["people"]] == ["walk__00_p1", "walk__00_p0"]
    assert [person["originals"] for person in manifest["people"]] == [["kick"], ["walk"]]
    assert check_dataset(tmp_path).ok


def test_nobody_else_can_be_found() -> None:
    source = dict(type="DeepMimicMotion", names=["walk", "run"])
    config = complete_config({**CONFIG, "source": source, "outfit": []})
    factory, job = Factory(config), next(job for job in list_jobs(config) if job.clip.name == "walk")
    with pytest.raises(SequenceRejected, match=r"no clip for p1: clip of 0\.\d+ s, min_seconds"):
        factory.gather(job, functools.partial(job_rng, 5, job.name), Clock())


@pytest.mark.parametrize("count", [3, (0, 2), (3, 2), (1, 6), (1, 2.5)])
def test_counts_that_cannot_be(count) -> None:
    with pytest.raises(ConfigError, match=r"people\.count"):
        complete_config(dict(source=dict(type="DeepMimicMotion"), people=dict(count=count)))


def test_the_shipped_config_in_small(repository, tmp_path) -> None:
    config = load_config(repository / "configs/synthesis/company.py").to_dict()
    for camera in config["cameras"]["cameras"]:
        camera |= dict(count=1, resolution=96)
    config |= dict(
        max_frames=2, min_seconds=0.3, simulator=dict(type="PaintedCloth"),
        renderer=dict(type="RasterRenderer", samples=1), people=dict(config["people"], count=(3, 3)),
        source=dict(config["source"], names=["walk", "run", "jump"]), splits=dict(val=[], test=[]),
    )  # fmt: skip
    summary = generate(config, tmp_path / "data", limit=1)
    assert len(summary.made) == 1 and not summary.failed and summary.frames == 2
    check = check_dataset(tmp_path / "data")
    assert check.ok, check.problems
    packed = pack_split(find_sequences(tmp_path / "data"), tmp_path / "packed", "train", "coco")
    assert packed.views == 3 and not packed.skipped
    told = json.loads((tmp_path / "packed/train_coco.json").read_text())
    assert len(told["images"]) == 2 and 2 <= len(told["annotations"]) <= 6
    assert all("segmentation" in person and person["area"] > 20 for person in told["annotations"])
