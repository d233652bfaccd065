"""Rendering simulations again: several takes per folder, and folders made from stored ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mviper.datasets import SyntheticHumanVideo
from mviper.datasets.check import check_dataset
from mviper.errors import ConfigError, FileFormatError
from mviper.files import load_npz, save_npz
from mviper.motion.sources.base import split_of
from mviper.structures.human_data import HumanData
from mviper.synthesis import Factory, complete_config, list_jobs

SPLITS = dict(val=["jump"], test=["kick"])
QUICK = dict(
    seed=3,
    splits=SPLITS,
    max_frames=5,
    min_seconds=0.1,
    lead_in=dict(frames=15, still=3),
    cameras=dict(type="CompassCameras", views=["south", "east"], resolution=96),
    renderer=dict(type="RasterRenderer", samples=1),
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Painted people in two clips, three takes each."""
    out = tmp_path_factory.mktemp("stored")
    config = complete_config(
        dict(
            **QUICK,
            source=dict(type="DeepMimicMotion", names=["walk", "kick"]),
            outfit=[dict(type="Trousers"), dict(type="TShirt")],
            simulator=dict(type="PaintedCloth"),
            renders_per_simulation=3,
        )
    )
    factory = Factory(config)
    for job in list_jobs(config):
        factory.make(job, out)
    return out


def rendered_again(stored, out, **options):
    config = complete_config(dict(**QUICK, source=dict(type="StoredSimulations", data_root=str(stored)), **options))
    factory = Factory(config)
    return [factory.make(job, out) for job in list_jobs(config)]


def test_takes_differ_in_all_but_the_person(stored) -> None:
    folder = stored / "train" / "walk__00"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["views"] == [f"{place}_{take}" for take in range(3) for place in ("south", "east")]
    assert manifest["view_list"][3] == {"name": "east_1", "camera": "east", "render": 1}
    for kind in ("lights", "background", "fabrics", "appearance"):
        drawn = [json.dumps(take[kind]) for take in manifest["renders"]]
        assert len(set(drawn)) == 3, kind
    assert manifest["scene"] == manifest["renders"][0] and manifest["originals"] == ["walk"]
    views = [HumanData.load(folder / f"south_{take}.npz") for take in range(3)]
    assert all(np.array_equal(view.keypoints3d, views[0].keypoints3d) for view in views)
    assert views[2].video_path == "south_2.mp4"
    pictures = [(folder / f"south_{take}.mp4").read_bytes() for take in range(3)]
    assert len(set(pictures)) == 3


def test_takes_are_a_data_set_that_trains(stored) -> None:
    report = check_dataset(stored)
    assert report.ok, report
    dataset = SyntheticHumanVideo(data_root=str(stored), split="train", clip_length=4, body_model=dict(type="SMPL"))
    assert {view.name for view in dataset.views} == {
        f"train/walk__00/{place}_{take}" for take in range(3) for place in ("south", "east")
    }


def test_a_stored_simulation_is_the_same_person_in_another_place(stored, tmp_path) -> None:
    folders = rendered_again(stored, tmp_path)
    assert [folder.relative_to(tmp_path).as_posix() for folder in folders] == [
        "test/kick__00__00",
        "train/walk__00__00",
    ]
    old, new = stored / "train" / "walk__00", folders[1]
    made, before = (json.loads((folder / "manifest.json").read_text()) for folder in (new, old))
    assert made["views"] == ["south", "east"] and made["garments"] == before["garments"]
    assert made["scene"] != before["scene"] and "simulate" not in made["timings"]
    for name in ("poses", "trans", "betas"):
        assert np.array_equal(load_npz(new / "motion.npz")[name], load_npz(old / "motion.npz")[name])
    mine, theirs = load_npz(new / "garments.npz"), load_npz(old / "garments.npz")
    assert set(mine) == set(theirs) and all(np.array_equal(mine[name], theirs[name]) for name in mine)
    views = [HumanData.load(path) for path in (new / "south.npz", old / "south_0.npz")]
    np.testing.assert_allclose(views[0].keypoints3d, views[1].keypoints3d, atol=1e-6)


def test_stored_simulations_keep_their_split(stored) -> None:
    source = Factory(complete_config(dict(source=dict(type="StoredSimulations", data_root=str(stored))))).source
    kick, walk = sorted(source.clips(), key=lambda clip: clip.name)
    assert split_of(walk, {}) == "train" and split_of(kick, {}) == "test"
    assert split_of(walk, dict(test=["walk"])) is None  # it was made for training and must not become test data
    assert split_of(kick, dict(val=["kick"])) is None


def test_damaged_folders_are_named(stored, tmp_path) -> None:
    import shutil

    shutil.copytree(stored / "train" / "walk__00", tmp_path / "train" / "walk__00")
    path = tmp_path / "train" / "walk__00" / "garments.npz"
    arrays = dict(load_npz(path))
    arrays.pop("t_shirt_uv")
    save_npz(path, **arrays)
    with pytest.raises(FileFormatError, match=r"garments\.npz.*t_shirt_uv"):
        rendered_again(tmp_path, tmp_path / "out")
    arrays = dict(load_npz(path.with_name("motion.npz")))
    arrays["body_model"] = "other:" + "0" * 64
    save_npz(path.with_name("motion.npz"), **arrays)
    with pytest.raises(ConfigError, match="simulated on the body other"):
        rendered_again(tmp_path, tmp_path / "out")


def test_takes_are_counted_in_whole_numbers() -> None:
    with pytest.raises(ConfigError, match="renders_per_simulation"):
        complete_config(dict(source=dict(type="DeepMimicMotion"), renders_per_simulation=0))
