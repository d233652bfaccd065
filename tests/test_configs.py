"""Every shipped config is valid, builds, and runs once: a training step and a test, or a drawn scene."""

import copy
import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from places import REPOSITORY

from mviper.config import load_config
from mviper.datasets.packing import pack_split
from mviper.datasets.sequences import find_sequences
from mviper.errors import ConfigError, MissingDataError
from mviper.graphics.plots import read_scalars
from mviper.registry import ALL_REGISTRIES, DATA_CONVERTERS
from mviper.structures import Motion

CONFIGS = REPOSITORY / "configs"
ALL = sorted(path for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts)


def parts_of(value, wanted, place=()):
    """The dicts in a config that match, with their paths."""
    if isinstance(value, dict):
        if wanted(value):
            yield ".".join(map(str, place)), value
        for key, item in value.items():
            yield from parts_of(item, wanted, (*place, key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from parts_of(item, wanted, (*place, number))


def files_of(value, place=()):
    """Paths in a config where files are read from (``data_root``), and the dicts that name them."""
    return parts_of(value, lambda part: "data_root" in part and "type" in part, place)


def reading_from(path, folder):
    """Overrides that let a config read from a folder: factory sequences, and ``stills.npz`` for public sets."""
    config, overrides = load_config(path), {}
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for place, part in files_of(config[loader], (loader,)):
            overrides[f"{place}.data_root"] = str(folder)
            if part["type"] == "HumanDataset":
                overrides[f"{place}.ann_file"] = "stills.npz"
            if part["type"] == "FeatureStore":
                own = Path(part["data_root"]).name
                overrides |= {f"{place}.data_root": str(folder / own), f"{place}.copies": 1}
            if part["type"] == "SimulatedLandmarks":
                overrides |= {f"{place}.data_root": str(folder / "motions"), f"{place}.length": 10}
            if part["type"] == "PoseLibrary":
                overrides[f"{place}.files"] = ["train/*/*.npz"]
            if part["type"] == "PackedHumanVideo":
                overrides[f"{place}.data_root"] = str(folder / "packed")
    return overrides


def with_photos(path, folder):
    """Overrides that let a synthesis config find photographs."""
    config = load_config(path)
    return {
        f"{kind}.{part}.{number}.root": str(folder)
        for kind, part in (("background", "backgrounds"), ("fabric", "fabrics"))
        for number, one in enumerate(config[kind].get(part, []))
        if one.type.startswith("Photo")
    }


def is_synthesis(path):
    return "model" not in load_config(path)


def name(path):
    return str(path.relative_to(CONFIGS))


TRAINING = [path for path in ALL if not is_synthesis(path) and load_config(path).get("train_dataloader")]
UNTRAINED = [path for path in ALL if not is_synthesis(path) and path not in TRAINING]
TEST_SETS = [path for path in ALL if is_synthesis(path) and "test_evaluator" in load_config(path)]
SYNTHESIS = [path for path in ALL if is_synthesis(path) and "source" in load_config(path)]  # base.py is only inherited


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    sys.path.insert(0, str(Path(__file__).parent))
    files = importlib.import_module("sequence_files")
    root = files.write_stills(files.write_sequences(tmp_path_factory.mktemp("data")))
    pack_split(
        [sequence for sequence in find_sequences(root) if sequence.split == "train"], root / "packed", "train", "tar"
    )
    (root / "motions").mkdir()
    still = np.tile([[np.pi / 2, 0, 0], *np.zeros((23, 3))], (20, 1, 1))
    Motion(still, np.zeros((20, 3)), np.zeros(10), 30.0).save(root / "motions" / "still.npz")
    cv2.imwrite(str(root / "photo.jpg"), np.full((80, 100, 3), 120, np.uint8))
    return root


def test_there_are_configs():
    rivals = {f"{name}{kind}.py" for name in ("hmr", "hmr_dagger") for kind in ("_r50", "_blazepose")}
    rivals |= {"demo/hmr.py", "demo/hmr_dagger.py"}
    ours = {
        "frame_r50.py",
        "mviper_r50.py",
        "demo/frame.py",
        "demo/mviper.py",
        "frame_blazepose.py",
        "frame_blazepose_tuned.py",
        "mviper_blazepose.py",
        "frame_landmarks.py",
        "mviper_landmarks.py",
        "demo/frame_landmarks.py",
        "demo/mviper_landmarks.py",
    }
    assert rivals | ours <= {name(path) for path in TRAINING}


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_training_config_does_one_step_and_is_tested(path, data_root, tmp_path):
    from mviper.engine import Runner, extract_features, require_inputs
    from mviper.engine.testing import MEAN_POSE, MODEL, TRUTH, Evaluation

    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    config = load_config(
        path,
        {
            **reading_from(path, data_root),
            **{f"{loader}.num_workers": 0 for loader in loaders},
            **{f"{loader}.persistent_workers": False for loader in loaders},
            "train_dataloader.batch_size": 1, "train_cfg.val_begin": 1, "train_cfg.max_iters": 1,
            "work_dir": str(tmp_path), "experiment_name": path.stem, "load_from": None,
            "default_hooks.checkpoint.best": None,
            **({"model.backbone.init_cfg": None} if "_r50" in path.stem else {}),
        },
    )  # fmt: skip
    if any(part["type"] == "FeatureStore" for _, part in files_of(config.train_dataloader)):
        extract_features(config)
    require_inputs(config)
    runner = Runner.from_cfg(config)
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.train()
    changed = [key for key, value in runner.model.named_parameters() if not torch.equal(before[key], value)]
    for part in ("backbone", "head", "neck"):
        learns = any(value.requires_grad for value in getattr(runner.model, part, torch.nn.Identity()).parameters())
        assert any(key.startswith(part) for key in changed) == learns
    assert all(value.isfinite().all() for value in runner.model.parameters())

    evaluation = Evaluation.run(config, tmp_path)
    rows = evaluation.rows
    other_state = ["model, state reset"] if config.model.type == "VideoBodyModelEstimator" else []
    assert list(rows) == [MODEL, *other_state, MEAN_POSE, TRUTH]
    assert {"MPJPE_mm", "PA-MPJPE_mm", "MPVPE_sum_m", "MRVPV1_sum_m", "MRVPV2_mean_mm", "MRSV1", "MRSV2"} <= set(
        rows[MODEL]
    )
    assert rows[TRUTH]["MPJPE_mm"] == 0 < rows[TRUTH]["MRVPV1_sum_m"]
    assert rows[MEAN_POSE]["MRVPV1_sum_m"] == pytest.approx(0, abs=1e-3)
    assert all(line.startswith("|") for line in evaluation.table().splitlines())
    assert evaluation.trained_on == runner.train_dataloader.dataset.metainfo["dataset"]


def test_the_tables_test_set_from_stored_features_is_that_of_pictures(data_root, tmp_path):
    from mviper.engine import extract_features, use_test_set, write_checkpoint
    from mviper.engine.testing import MEAN_POSE, MODEL, Evaluation
    from mviper.registry import MODELS
    from mviper.reports import write_metrics_page

    config = load_config(CONFIGS / "mviper_blazepose.py", {"work_dir": str(tmp_path)})

    def on(test_set, **dataset):
        options = {f"test_dataloader.dataset.{key.replace('__', '.')}": value for key, value in dataset.items()}
        return load_config(CONFIGS / "test_sets" / test_set, {**options, "test_dataloader.num_workers": 0})

    in_pictures = on("volume.py", data_root=str(data_root))
    in_store = on("volume_features.py", data_root=str(tmp_path / "features_test"), pictures__data_root=str(data_root))
    pictures, stored = copy.deepcopy(config), copy.deepcopy(config)
    use_test_set(pictures, in_pictures)
    use_test_set(stored, in_store)
    torch.manual_seed(0)
    model = MODELS.build(pictures.model)
    torch.nn.init.normal_(model.head.out.weight, std=0.05)  # so that it predicts something else for each frame
    write_checkpoint({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "m.pth")
    with pytest.raises(MissingDataError, match=r"extract_features\.py CONFIG .*--on TEST_SET"):
        Evaluation.run(stored, tmp_path / "m.pth")
    with pytest.raises(ConfigError, match=r"volume\.py: test_dataloader.dataset contains no FeatureStore"):
        extract_features(config, test_set=in_pictures)
    extract_features(config, test_set=in_store)
    wanted, found = (Evaluation.run(config, tmp_path / "m.pth") for config in (pictures, stored))
    assert list(found.rows) == list(wanted.rows) and MEAN_POSE in found.rows
    for row, figures in wanted.rows.items():
        assert found.rows[row] == pytest.approx(figures, rel=2e-3, abs=1e-4)
    assert list(found.details[MODEL]["actions"]) == list(wanted.details[MODEL]["actions"])
    assert not found.worst["MPJPE_mm"] and "Worst" not in write_metrics_page(tmp_path, found).read_text()


@pytest.mark.parametrize("path", UNTRAINED, ids=name)
def test_config_without_weights_is_tested_without_a_checkpoint(path, data_root, tmp_path):
    from mviper.engine.testing import MODEL, TRUTH, Evaluation

    loader, detected = "test_dataloader", "detected" in path.stem
    config = load_config(
        path,
        {
            f"{loader}.dataset.data_root": str(data_root), f"{loader}.num_workers": 0, "work_dir": str(tmp_path),
            **({f"{loader}.dataset.pipeline.1.cache": str(tmp_path / "detected")} if detected else {}),
        },
    )  # fmt: skip
    rows = Evaluation.run(config).rows
    assert list(rows) == [MODEL, TRUTH]
    # These images show discs, in which no detector finds a person (tests/inference/test_detected.py has one).
    assert rows[MODEL]["PA-MPJPE_mm"] < (1000 if detected else 80)
    assert len(list(tmp_path.glob("detected/*/*.npz"))) == detected


def test_people_labelled_in_2d_alone_train(data_root, tmp_path):
    """A complete run; phi_0 is also computed without SMPL, betas and 3D joints."""
    from mviper.engine import Runner

    config = load_config(
        CONFIGS / "demo" / "frame.py",
        {
            "val_dataloader": None, "val_cfg": None, "val_evaluator": None, "default_hooks.checkpoint.best": None,
            "train_dataloader.num_workers": 0, "train_dataloader.persistent_workers": False,
            "train_dataloader.batch_size": 2, "train_cfg.max_iters": 1, "work_dir": str(tmp_path),
            "experiment_name": "stills",
        },
    )  # fmt: skip
    pipeline = config.train_dataloader.dataset.pipeline
    stills = dict(type="HumanDataset", data_root=str(data_root), ann_file="stills.npz")
    config.train_dataloader.dataset = dict(**stills, clip_length=1, body_model=dict(type="SMPL"), pipeline=pipeline)
    runner = Runner.from_cfg(config)
    runner.train()
    losses = read_scalars(tmp_path).train
    assert losses["loss_projection"][1][-1] > 0 == losses["loss_joint3d"][1][-1] == losses["loss_smpl"][1][-1]


def test_demo_resumes_bit_exactly(data_root, tmp_path):
    """With augmentation, video decoding and dropout; the toy model of ``tests/engine`` covers the rest."""
    from mviper.engine import Runner, read_checkpoint

    def train(folder, steps, workers):
        options = {
            "train_dataloader.dataset.data_root": str(data_root), "val_dataloader": None, "val_cfg": None,
            "val_evaluator": None, "default_hooks.checkpoint.best": None, "load_from": None,
            "train_dataloader.batch_size": 2, "train_dataloader.num_workers": workers,
            "train_dataloader.persistent_workers": workers > 0, "train_cfg.max_iters": steps,
            "param_scheduler": [], "work_dir": str(tmp_path / folder), "experiment_name": f"{folder}{steps}",
        }  # fmt: skip
        config = load_config(CONFIGS / "demo" / "mviper.py", options)
        config.resume = True
        Runner.from_cfg(config).train()
        return read_checkpoint(tmp_path / folder)["state_dict"]

    whole = train("whole", 3, workers=0)
    train("parts", 1, workers=1)
    parts = train("parts", 3, workers=1)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_training_config_without_data_says_the_command(path, tmp_path):
    from mviper.engine import require_inputs

    config = load_config(path, {**reading_from(path, tmp_path / "none"), "work_dir": str(tmp_path)})
    with pytest.raises(
        MissingDataError,
        match=r"(generate\.py configs/[\w/]+\.py|convert_dataset\.py synthetic data/mviper) --out .*none",
    ):
        require_inputs(config)


STORED = [path for path in TRAINING if load_config(path).train_dataloader.dataset.type == "FeatureStore"]


@pytest.mark.parametrize("path", STORED, ids=name)
def test_training_config_without_features_says_the_command(path, data_root, tmp_path):
    from mviper.engine import require_inputs

    store = {"train_dataloader.dataset.data_root": str(tmp_path / "none")}
    config = load_config(path, {**reading_from(path, data_root), **store, "work_dir": str(tmp_path)})
    with pytest.raises(MissingDataError, match=r"python tools/extract_features\.py CONFIG"):
        require_inputs(config)


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_synthesis_config_that_a_training_config_names_exists(path):
    config = load_config(path)
    named = [
        part.synthesis_config
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader")
        for _, part in files_of(config[loader])
        if part.type == "SyntheticHumanVideo"
    ]
    # Training data that another command makes, or without pictures.
    without = "packed" in path.stem or path.stem == "hmr_r50" or "landmarks" in path.stem
    assert len(named) == 3 - without and all((CONFIGS.parent / config).is_file() for config in named)


@pytest.mark.parametrize("path", SYNTHESIS, ids=name)
def test_synthesis_config_builds_and_draws_once(path, data_root):
    from mviper.body.surface import BodyShape
    from mviper.synthesis import Factory, complete_config
    from mviper.synthesis.garments import RandomOutfit

    factory = Factory(complete_config(load_config(path, with_photos(path, data_root)).to_dict()))
    rng = np.random.default_rng(0)
    shape = BodyShape.from_body(factory.body, np.zeros(factory.body.num_betas))
    garments = factory.cut(shape, rng)
    assert len({garment.name for garment in garments}) == len(garments) > 0
    assert isinstance(factory.outfit, RandomOutfit) or len(garments) == len(factory.config["outfit"])
    drawn = [sampler.draw(rng) for sampler in (factory.lights, factory.fabric, factory.appearance)]
    json.dumps(drawn, default=str)
    assert factory.fabric.image(drawn[1]).ndim == 3
    cameras = factory.config["cameras"]
    cameras = cameras.get("cameras", [cameras])[0]
    views = cameras.get("count", len(cameras.get("views", ("east", "west", "north", "south"))))
    joints = factory.body.rest_joints(torch.zeros(1, factory.body.num_betas)).numpy()
    assert len(factory.cameras(joints, factory.cameras.draw(rng))) == views


#: Never named by a config: chosen by --amp and by the number of processes
#: (tests/engine/test_precision_and_distribution.py), or wrapped round every data set by the runner
#: (tests/engine/test_sampling.py).
OF_THE_RUNNER = {"BF16OptimWrapper", "CPUDistributedDataParallel", "SeededItems"}


def types_in(value):
    """Every component named in a config."""
    if isinstance(value, dict):
        yield from (value[key] for key in ("type", "constructor") if isinstance(value.get(key), str))
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from types_in(item)


def test_every_component_is_in_a_config_that_a_test_runs():
    """Configs are run here, test sets in tests/engine/test_testing.py, converters in tests/datasets."""
    run = [*TRAINING, *UNTRAINED, *SYNTHESIS, *TEST_SETS]
    inherited = ("synthesis/base.py", "synthesis/outfits.py", "recovery/base.py")  # and not run
    assert set(ALL) - set(run) == {CONFIGS / name for name in inherited}
    named = {name for path in run for name in types_in(load_config(path).to_dict())}
    for kind, registry in ALL_REGISTRIES.items():
        if registry is not DATA_CONVERTERS:
            registry.import_from_location()
            ours = {name for name, one in registry.module_dict.items() if one.__module__.startswith("mviper.")}
            assert ours - OF_THE_RUNNER <= named, kind


@pytest.mark.parametrize("path", sorted((CONFIGS / "_base_").iterdir()), ids=lambda path: path.name)
def test_pieces_are_inherited_and_not_run(path):
    if path.suffix == ".py":
        with pytest.raises(ConfigError, match=rf"{path.name}: a piece for configs to inherit"):
            load_config(path)
        heirs = [other for other in CONFIGS.rglob("*.py") if f"{path.name}" in other.read_text() and other != path]
        assert heirs


@pytest.mark.parametrize("path", ["cmu_full.py", "amass.py"])
def test_large_libraries_wear_the_whole_wardrobe(path):
    from mviper.registry import GARMENTS
    from mviper.synthesis.simulation import MATERIALS

    outfit = load_config(CONFIGS / "synthesis" / path).outfit
    named = [garment for part in ("tops", "bottoms", "whole") for garment in outfit[part]]
    GARMENTS.import_from_location()
    ours = {key for key, garment in GARMENTS.module_dict.items() if garment.__module__.startswith("mviper.")}
    assert {garment.type for garment in named} == ours
    assert {garment.material for garment in named} == set(MATERIALS)


def learns_from(config):
    """The generated data sets that a config trains on, and the public ones with their relative shares."""
    parts = [part for _, part in files_of(config.train_dataloader) if part.type != "PoseLibrary"]
    mixes = [mix for _, mix in parts_of(config.train_dataloader, lambda part: "ratios" in part)]
    shares = [share for mix in mixes for share in mix.ratios]
    public = {part.ann_file: share for part, share in zip(parts, shares) if part.type == "HumanDataset"}
    return [part for part in parts if part.type == "SyntheticHumanVideo"], public


def test_the_papers_methods_learn_from_like_data():
    """Table 1 compares methods: MVIPER and HMR share the public sets; HMR only lacks the generated images."""
    frame, mviper, hmr, dagger = (
        load_config(CONFIGS / f"{stem}_r50.py") for stem in ("frame", "mviper", "hmr", "hmr_dagger")
    )
    paper = {"h36m/train", "mpi_inf_3dhp/train", "coco/train2017", "mpii/train", "lsp/train", "lsp_extended/train"}
    for config in (frame, mviper, hmr):
        factory, public = learns_from(config)
        assert set(public) == paper
        assert {name: share / public["h36m/train"] for name, share in public.items()} == pytest.approx(
            {name: share / 0.2 for name, share in learns_from(mviper)[1].items()}
        )
        assert [part.data_root for part in factory] == ([] if config is hmr else ["data/mviper"])
    assert learns_from(dagger) == ([learns_from(dagger)[0][0]], {})  # fine-tuned only on generated data
    assert hmr.model == dagger.model and hmr.test_dataloader == dagger.test_dataloader == mviper.test_dataloader


def test_the_demos_hmr_never_sees_simulated_clothes():
    def simulator_of(part):
        return load_config(CONFIGS.parent / part.synthesis_config).simulator.type

    hmr, dagger = (load_config(CONFIGS / "demo" / f"{stem}.py") for stem in ("hmr", "hmr_dagger"))
    for config, simulator in ((hmr, "PaintedCloth"), (dagger, "BlenderCloth")):
        factory, public = learns_from(config)
        assert [simulator_of(part) for part in factory] == [simulator] and not public
        assert simulator_of(config.val_dataloader.dataset) == simulator
        assert simulator_of(config.test_dataloader.dataset) == "BlenderCloth"
        poses = config.train_dataloader.dataset.poses
        assert poses.data_root == factory[0].data_root and all(name.startswith("train/") for name in poses.files)
    assert hmr.model == dagger.model and hmr.test_dataloader == dagger.test_dataloader


def test_the_demo_learns_from_none_of_its_test_clips_nor_from_those_held_out():
    pictures, motions, volume = (
        load_config(CONFIGS / name) for name in ("demo/data.py", "demo/motions.py", "volume/painted.py")
    )
    tested = {*pictures.splits.val, *pictures.splits.test}
    learned = {*pictures.source.names, *motions.source.sources[0].names} - tested
    assert tested < set(pictures.source.names) and not tested & set(motions.source.sources[0].names)
    assert not learned & {*volume.splits.val, *volume.splits.test}


def test_video_model_starts_from_the_frame_model():
    starts = {
        "mviper_r50.py": "frame_r50", "demo/mviper.py": "demo/frame",
        "mviper_landmarks.py": "frame_landmarks", "demo/mviper_landmarks.py": "demo/frame_landmarks",
        "mviper_blazepose.py": "frame_blazepose",
        "frame_blazepose_tuned.py": "frame_blazepose",
        "hmr_dagger_blazepose.py": "hmr_blazepose", "hmr_dagger_r50.py": "hmr_r50", "demo/hmr_dagger.py": "demo/hmr",
    }  # fmt: skip
    for video, checkpoint in starts.items():
        assert load_config(CONFIGS / video).load_from == f"work_dirs/{checkpoint}"


@pytest.mark.parametrize("path", [path for path in TRAINING if "_r50" in path.stem], ids=name)
def test_imagenet_weights_are_named_and_not_read_to_build(path, tmp_path, monkeypatch):
    from mviper.registry import MODELS

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # an empty cache, and a download would be noticed
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    config = load_config(path)
    assert config.model.backbone.init_cfg == dict(type="Pretrained", checkpoint="torchvision://resnet50")
    assert MODELS.build(config.model).backbone.feature_dim == 2048
    assert not list(tmp_path.iterdir())


def test_paper_setting():
    config = load_config(CONFIGS / "mviper_r50.py")
    assert config.model.backbone.type == "ResNetEncoder" and config.model.backbone.depth == 50
    assert config.train_dataloader.batch_size == 16 and config.train_dataloader.dataset.shared.clip_length == 4
    assert config.optim_wrapper.optimizer == dict(type="Adam", lr=1e-5, fused=True)
    losses = {loss.type for loss in config.model.losses.values()}
    assert losses == {"ProjectionLoss", "Joint3DLoss", "SMPLParameterLoss", "ShapeSmoothnessLoss"}
