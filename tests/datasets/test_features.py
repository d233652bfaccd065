"""Stored features: training steps equal those from images; killed runs resume; stale stores are refused."""

from __future__ import annotations

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.dataset import pseudo_collate

from mviper.datasets import AnnotatedDataset, FeatureStore
from mviper.datasets.protocol import gather_annotations
from mviper.engine import extract_features
from mviper.engine.features import picture_item
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.registry import DATASETS, MODELS

FRAMES = 5


@pytest.fixture(scope="module")
def config(write_sequence, tmp_path_factory):
    """A video model on the features of two sequences in two copies."""
    folder = tmp_path_factory.mktemp("store")
    for seed, name in enumerate(("walk__00", "walk__01")):
        write_sequence(folder / "data", name, frames=FRAMES, seed=seed, views=("east",))
    pipeline = [
        dict(type="AugmentClip", rotation=0.3),
        dict(type="CropClip", size=256, alignment="torso"),
        dict(type="JitterClip"),
        dict(type="PackBodySample"),
    ]
    source = dict(type="SyntheticHumanVideo", data_root=str(folder / "data"), pipeline=pipeline)
    model = dict(
        type="VideoBodyModelEstimator",
        backbone=dict(type="BlazePoseEncoder", maps="backbone_16", map_size=4, frozen_stages=7),
        neck=dict(type="AttentionLSTM", hidden=64, attention_hidden=16),
        head=dict(type="IEFHead", hidden=64, dropout=0.0),
        body_model=dict(type="SMPL"),
        losses=dict(
            projection=dict(type="ProjectionLoss"),
            joint3d=dict(type="Joint3DLoss"),
            smpl=dict(type="SMPLParameterLoss"),
            shape=dict(type="ShapeSmoothnessLoss"),
        ),
    )
    dataset = dict(
        type="FeatureStore", data_root=str(folder / "features"), pictures=source, copies=2, seed=3, clip_length=4
    )
    config = Config(dict(model=model, train_dataloader=dict(dataset=dataset)))
    extract_features(config)
    return config


@pytest.fixture(scope="module")
def store(config):
    return DATASETS.build(config.train_dataloader.dataset)


@pytest.fixture(scope="module")
def model(config):
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    torch.nn.init.normal_(model.head.out.weight, std=0.05)  # so that phi depends on the images
    return model


def changed(config, **options):
    """The config with changed values, by dotted names."""
    config = copy.deepcopy(config)
    config.merge_from_dict({name.replace("__", "."): value for name, value in options.items()})
    return config


def pictures(config, item, copy_):
    dataset = config.train_dataloader.dataset
    return picture_item(DATASETS.build({**dataset.pictures, "clip_length": None}), item, copy_, dataset.seed)


def test_a_step_from_features_is_the_step_from_pictures(config, store, model):
    assert len(store) == 4 and store.record.itemsize <= 12_000  # two sequences in two copies, a clip of 4 each
    first, second = store.stored[:2]
    assert [(entry.sequence, entry.copy) for entry in store.stored[2:]] == [(first.sequence, 1), (second.sequence, 1)]
    model.train()
    stored = model.data_preprocessor(pseudo_collate([store[index] for index in range(4)]), True)
    clips = [pictures(config, index % 2, entry.copy) for index, entry in enumerate(store.stored)]
    for clip in clips:
        clip["inputs"] = clip["inputs"][:4]
        for name, value in list(clip["data_sample"].items()):
            clip["data_sample"].set_field(value[:4] if value.ndim else value, name)
    seen = model.data_preprocessor(pseudo_collate(clips), True)
    for one, other in zip(stored["data_samples"], seen["data_samples"]):
        for name, value in other.items():
            torch.testing.assert_close(one.get(name), value)
    wanted, found = model(**seen, mode="loss"), model(**stored, mode="loss")
    print({name: (float(value.detach()), float((found[name] - value).detach())) for name, value in wanted.items()})
    assert set(found) == set(wanted) and len(wanted) == 4
    for name, value in wanted.items():
        assert abs(found[name] - value) < 1e-2
    gradients = []
    for losses in (wanted, found):
        model.zero_grad()
        sum(losses.values()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.999
    # The copies differ: not the same crop is stored repeatedly.
    assert (store[0]["inputs"].features.float() - store[2]["inputs"].features.float()).abs().max() > 0.1


@pytest.mark.parametrize("test_cfg", [{"chunk": 2}, {"state": "reset", "clip_length": 3, "chunk": 3}])
def test_prediction_from_features_is_that_from_pictures(config, store, test_cfg):
    torch.manual_seed(0)
    model = MODELS.build({**config.model, "test_cfg": test_cfg}).eval()
    whole = FeatureStore(
        **{**{k: v for k, v in config.train_dataloader.dataset.items() if k != "type"}, "clip_length": FRAMES}
    )
    found = model.test_step(pseudo_collate([whole[0]]))[0]
    wanted = model.test_step(pseudo_collate([pictures(config, 0, 0)]))[0]
    torch.testing.assert_close(found.pred_rotmat, wanted.pred_rotmat, atol=2e-3, rtol=0)
    torch.testing.assert_close(found.smpl_rotmat, wanted.smpl_rotmat, atol=1e-5, rtol=0)
    assert found.picture_rotation.any()


def test_annotation_of_the_whole_store(config, store):
    found = gather_annotations(store, 2)
    assert isinstance(store, AnnotatedDataset)
    assert found["smpl_rotmat"].shape == (6, 24, 3, 3) and found["has_betas"].tolist() == [1] * 6
    sample = pictures(config, 1, 0)["data_sample"]
    np.testing.assert_allclose(found["keypoints3d"][3:], sample.keypoints3d[::2], atol=1e-6)


def test_some_of_the_sequences_are_used(config, store):
    def build(**options):
        return DATASETS.build({**config.train_dataloader.dataset, **options})

    second = build(exclude=["*walk__00*"])
    assert second.stored == [entry for entry in store.stored if "walk__01" in entry.sequence]
    assert len(second) == 2 and second.metainfo["frames"] == 2 * FRAMES
    torch.testing.assert_close(second[1]["inputs"].maps, store[3]["inputs"].maps)
    assert second[1]["data_sample"].sequence == store[3]["data_sample"].sequence
    some = build(frames=3)
    assert len({entry.sequence for entry in some.stored}) == 1 and len(some) == 2
    assert len(build(frames=2 * FRAMES)) == len(store)
    with pytest.raises(ConfigError, match="frames=11, but there are 10"):
        build(frames=11)
    with pytest.raises(ConfigError, match="leaves no sequence"):
        build(exclude=["*"])


def test_a_killed_run_goes_on_where_it_was(config, store, tmp_path):
    unfinished = changed(config, train_dataloader__dataset__data_root=str(tmp_path / "features"))
    stops = []

    def stop(done, total, name):
        stops.append((done, total))
        if len(stops) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(unfinished, progress=stop)
    assert stops == [(1, 4), (2, 4), (3, 4)]
    with pytest.raises(MissingDataError, match=r"python tools/extract_features\.py"):
        DATASETS.build(unfinished.train_dataloader.dataset)
    # The state after a crash while writing: crops without an index line, and half a line.
    with open(tmp_path / "features/crops.bin", "ab") as file:
        file.write(b"x" * 12345)
    with open(tmp_path / "features/index.jsonl", "ab") as file:
        file.write(b'{"sequence": "train/wa')
    more = []
    extract_features(unfinished, progress=lambda done, total, name: more.append(done))
    assert more == [4]
    for name in ("crops.bin", "index.jsonl", "store.json"):
        assert (tmp_path / "features" / name).read_bytes() == (store.data_root / name).read_bytes()
    extract_features(unfinished, progress=lambda *_: pytest.fail("there was nothing left to do"))


def test_a_data_set_that_grew_is_gone_on_with(config, store, write_sequence, tmp_path):
    dataset = config.train_dataloader.dataset
    for name, source in (("data", dataset.pictures.data_root), ("features", dataset.data_root)):
        shutil.copytree(source, tmp_path / name)
    write_sequence(tmp_path / "data", "run__00", frames=FRAMES, seed=5, views=("east",))  # sorted before the others
    grown = changed(
        config,
        train_dataloader__dataset__data_root=str(tmp_path / "features"),
        train_dataloader__dataset__pictures__data_root=str(tmp_path / "data"),
    )
    added = []
    extract_features(grown, progress=lambda done, total, name: added.append(name))
    assert len(added) == 2 and len(set(added)) == 1 and "run__00" in added[0]
    before, after = ((root / "crops.bin").read_bytes() for root in (store.data_root, tmp_path / "features"))
    assert after.startswith(before) and len(DATASETS.build(grown.train_dataloader.dataset).stored) == 6
    # Started to grow, but not finished.
    lines = (tmp_path / "features/index.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "features/index.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(MissingDataError, match="not a complete feature store"):
        DATASETS.build(grown.train_dataloader.dataset)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copies": 3}, "differs from the config in copies;"),
        (
            {"pictures__pipeline": [dict(type="CropClip", size=256), dict(type="PackBodySample")]},
            "differs from the config in crop;",
        ),
        ({"pictures__frame_step": 1, "seed": 4}, "differs from the config in seed;"),
    ],
)
def test_a_store_of_other_crops_is_refused(config, options, message):
    config = changed(config, **{f"train_dataloader__dataset__{name}": value for name, value in options.items()})
    with pytest.raises(ConfigError, match=message):
        DATASETS.build(config.train_dataloader.dataset)
    with pytest.raises(ConfigError, match=message):
        extract_features(config)


def test_features_of_another_encoder_are_refused(config, store, model):
    batch = pseudo_collate([store[0]])
    others = {
        "other map": changed(config, model__backbone__maps="backbone_8"),
        "other pixels": changed(config, model__data_preprocessor=dict(type="BodyDataPreprocessor", std=[128.0] * 3)),
    }
    for other in others.values():
        built = MODELS.build(other.model)
        with pytest.raises(ConfigError, match=r"another encoder.*extract_features"):
            built(**built.data_preprocessor(batch, True), mode="loss")
        with pytest.raises(ConfigError, match="differs from the config in encoder"):
            extract_features(other)
    learning = changed(config, model__backbone__frozen_stages=5)
    built = MODELS.build(learning.model)
    with pytest.raises(ConfigError, match="need a frozen encoder"):
        built(**built.data_preprocessor(batch, True), mode="loss")
    # Other weights under the same name, loaded after hashing.
    tuned = MODELS.build(config.model)
    assert tuned.encoder_id == model.encoder_id == store.header["encoder"]
    state = built.state_dict()
    state["backbone.layers.317.weight"] = state["backbone.layers.317.weight"] * 1.01
    tuned.load_state_dict(state)
    with pytest.raises(ConfigError, match="another encoder"):
        tuned(**tuned.data_preprocessor(batch, True), mode="loss")


def test_crops_that_take_too_much_are_refused(config, tmp_path):
    config = changed(config, train_dataloader__dataset__data_root=str(tmp_path), model__backbone__map_size=16)
    with pytest.raises(ConfigError, match=r"more than 12000: its map is 256 x 88.*map_size"):
        extract_features(config)


def test_damaged_and_missing_stores_are_named(config, store, tmp_path):
    def build(root, **options):
        return DATASETS.build({**config.train_dataloader.dataset, "data_root": str(root), **options})

    files = {path.name: path.read_bytes() for path in store.data_root.iterdir()}
    damage = {"crops.bin": files["crops.bin"][:-1], "index.jsonl": b"[]\n", "store.json": b"{}"}
    for name, content in damage.items():
        root = tmp_path / name
        root.mkdir()
        for file, whole in files.items():
            (root / file).write_bytes(content if file == name else whole)
        if name == "index.jsonl":
            (root / name).write_bytes(files[name] + b'{"sequence": 3}\n')
        with pytest.raises(FileFormatError, match=name):
            build(root)
        if name == "crops.bin":  # lost samples are not replaced
            with pytest.raises(FileFormatError, match=name):
                extract_features(changed(config, train_dataloader__dataset__data_root=str(root)))
    source = {**config.train_dataloader.dataset.pictures, "data_root": str(tmp_path / "none")}
    with pytest.raises(MissingDataError, match=r"tools/generate\.py"):
        build(tmp_path / "absent", pictures=source)
    with pytest.raises(ConfigError, match="no FeatureStore"):
        extract_features(Config(dict(model=config.model, train_dataloader=dict(dataset=source))))
    assert json.loads(files["store.json"])["dataset"] == "synthetic/train"
