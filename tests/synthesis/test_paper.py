"""configs/synthesis/paper.py, the paper's data: every kind of sequence from a tiny library, and without one."""

import copy
import itertools
import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mviper.config import load_config
from mviper.errors import ConfigError
from mviper.synthesis import Factory, complete_config, job_rng, list_jobs
from mviper.synthesis.substitutes import with_substitutes

SMALL = {
    "variants": 3, "max_frames": 2, "min_seconds": 0.05, "lead_in": dict(frames=8, still=3),
    "cameras.resolution": 48, "renderer": dict(_delete_=True, type="RasterRenderer"), "passes": [],
}  # fmt: skip


def config_of(path: Path, folder: Path) -> dict:
    """The config with its data sets in a folder."""
    cmu = {"root": str(folder / "cmu"), "index": str(folder / "cmu" / "cmu-mocap-index-text.txt")}
    roots = {
        "background.backgrounds.0.root": "panoramas", "background.backgrounds.1.root": "places365",
        "fabric.fabrics.0.root": "dtd", "fabric.fabrics.1.root": "fabrics",
    }  # fmt: skip
    options = {key: str(folder / name) for key, name in roots.items()}
    for place in ("source.sources.0", "source.sources.1.sources.0"):
        options |= {f"{place}.{key}": value for key, value in cmu.items()}
    return load_config(path, copy.deepcopy({**SMALL, **options})).to_dict()


@pytest.fixture(scope="module")
def library(shared_data: Path, tmp_path_factory) -> Path:
    """Half a second each of two CMU clips, two panoramas, two photos and two fabrics."""
    folder = tmp_path_factory.mktemp("library")
    for subject, clip in (("07", "07_01"), ("09", "09_06")):
        source, target = shared_data / "mocap" / "asf_amc" / subject, folder / "cmu" / subject
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / f"{subject}.asf", target)
        frames = itertools.islice((source / f"{clip}.amc").read_text().splitlines(), 3 + 30 * 60)
        (target / f"{clip}.amc").write_text("\n".join(frames) + "\n")
    shutil.copy(shared_data / "mocap" / "cmu-mocap-index-text.txt", folder / "cmu")
    rng = np.random.default_rng(0)
    for number in range(2):
        light = rng.uniform(0.1, 2, size=(16, 32, 3)).astype(np.float32)
        photo = (100 * light).astype(np.uint8)
        pictures = {"panoramas": light, **dict.fromkeys(("places365", "dtd", "fabrics"), photo)}
        for name, picture in pictures.items():
            (folder / name).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / name / f"{number}.{'hdr' if name == 'panoramas' else 'jpg'}"), picture)
    return folder


def test_sequences_of_every_kind(repository: Path, library: Path, tmp_path: Path) -> None:
    config = complete_config(config_of(repository / "configs/synthesis/paper_painted.py", library))
    assert "substitutes" not in config
    factory, jobs = Factory(config), list_jobs(config)
    kinds: dict[tuple[str, str], list] = {}
    for job in jobs:
        drawn = factory.background.draw(job_rng(config["seed"], job.name, "background"))
        surroundings = config["background"]["backgrounds"][drawn["choice"]]["type"]
        kinds.setdefault(("interpolated" if job.clip.parts else "captured", surroundings), []).append(job)
    motions = itertools.product(("captured", "interpolated"), ("SphericalBackground", "PhotoBackground"))
    assert set(kinds) == set(motions)
    assert {job.clip.name for kind in kinds if kind[0] == "captured" for job in kinds[kind]} == {"07_01", "09_06"}
    bodies = [factory.draw_betas(job_rng(config["seed"], f"07_01__{k:02d}", "betas")) for k in range(3)]
    assert len({tuple(betas) for betas in bodies}) == 3 == sum(job.clip.name == "07_01" for job in jobs)
    for kind in (("captured", "SphericalBackground"), ("interpolated", "PhotoBackground")):
        folder = factory.make(kinds[kind][0], tmp_path)
        manifest = json.loads((folder / "manifest.json").read_text())
        assert len(manifest["views"]) == 4 and manifest["substitutes"] == []
        fabrics = manifest["scene"]["fabrics"]
        assert len(fabrics) == len(manifest["garments"]) and all(fabric == fabrics[0] for fabric in fabrics)
        assert (Path(config["fabric"]["fabrics"][fabrics[0]["choice"]]["root"]) / fabrics[0]["file"]).is_file()


def test_the_paper_and_its_painted_twin_differ_in_the_cloth_alone(repository: Path, tmp_path: Path) -> None:
    simulated, painted = (
        complete_config(config_of(repository / f"configs/synthesis/{name}.py", tmp_path))
        for name in ("paper", "paper_painted")
    )
    assert simulated.pop("simulator")["type"] == "BlenderCloth" and painted.pop("simulator")["type"] == "PaintedCloth"
    assert simulated == painted


def test_missing_sets_are_listed_once_and_recorded(repository: Path, tmp_path: Path, caplog) -> None:
    path = repository / "configs/synthesis/paper_painted.py"
    with caplog.at_level(logging.WARNING):
        config = complete_config(config_of(path, tmp_path))
        assert complete_config(config) == config
    missing = {str(tmp_path / name) for name in ("cmu", "panoramas", "places365", "dtd", "fabrics")}
    assert {entry["missing"] for entry in config["substitutes"]} == missing
    assert len(caplog.messages) == 5 and all("To get it: " in message for message in caplog.messages)
    assert {source["type"] for source in config["source"]["sources"]} == {"DeepMimicMotion", "InterpolatedMotion"}
    config["source"] = dict(type="DeepMimicMotion", names=["walk"])
    folder = Factory(config).make(list_jobs(config)[0], tmp_path)
    assert json.loads((folder / "manifest.json").read_text())["substitutes"] == config["substitutes"]


@pytest.mark.parametrize("missing", [dict(get="there"), "there", dict(get="there", use=dict(type="X"), more=1)])
def test_an_incomplete_substitute_is_refused(missing: object) -> None:
    with pytest.raises(ConfigError, match=r"fabric: if_missing is dict\(get=\.\.\., use="):
        with_substitutes({"fabric": dict(type="PhotoFabric", root="nowhere", if_missing=missing)}, ["fabric"])


def test_a_choice_that_there_is_not(repository: Path) -> None:
    config = load_config(repository / "configs/synthesis/deepmimic.py", {"fabric_per": "day"}).to_dict()
    with pytest.raises(ConfigError, match="fabric_per is 'garment' or 'video', got 'day'"):
        complete_config(config)
