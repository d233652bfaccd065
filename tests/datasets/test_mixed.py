"""Mixes of data sets, some of them missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import sequence_files

from mviper.datasets import MixedDataset
from mviper.errors import MissingDataError

BODY = dict(type="SMPL")


def parts(root: Path) -> list[dict]:
    """Two present sets with a missing one between them."""
    return [
        dict(type="SyntheticHumanVideo", data_root=str(root), split="train"),
        dict(type="HumanDataset", data_root=str(root / "converted"), ann_file="h36m/train"),
        dict(type="HumanDataset", data_root=str(root), ann_file="stills.npz"),
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return sequence_files.write_stills(sequence_files.write_sequences(tmp_path_factory.mktemp("data")))


def test_missing_sets_are_left_out_on_request(root: Path) -> None:
    options = dict(ratios=[0.6, 0.1, 0.3], length=30, shared=dict(clip_length=1, body_model=BODY))
    with pytest.raises(MissingDataError, match=r"convert_dataset\.py h36m .*--splits train"):
        MixedDataset(parts(root), **options)
    mixed = MixedDataset(parts(root), **options, leave_out_missing=True)
    assert mixed.ratios.tolist() == pytest.approx([2 / 3, 1 / 3]) and mixed.metainfo["left_out"] == ["h36m/train"]
    assert [mixed.which(index) for index in (0, 19, 20, 29)] == [0, 0, 1, 1]
    whole = MixedDataset([parts(root)[0], parts(root)[2]], shared=options["shared"])
    assert whole.metainfo["left_out"] == []


def test_nothing_is_left(root: Path) -> None:
    with pytest.raises(MissingDataError, match=r"(?s)h36m/train is not a finished conversion.*generate\.py"):
        missing = [parts(root)[1], {**parts(root)[0], "data_root": str(root / "none")}]
        MixedDataset(missing, leave_out_missing=True, shared=dict(body_model=BODY))


def test_all_that_is_missing_is_listed_with_the_switch(root: Path, tmp_path: Path, repository: Path) -> None:
    from mviper.config import load_config
    from mviper.engine import require_inputs

    config = load_config(repository / "configs" / "hmr_r50.py", {"work_dir": str(tmp_path), "load_from": None})
    config.val_dataloader = config.test_dataloader = None
    config.model.backbone.init_cfg = None
    for part in config.train_dataloader.dataset.dataset.datasets:
        part.data_root = str(tmp_path)
    with pytest.raises(MissingDataError) as error:
        require_inputs(config)
    named = {"h36m", "mpi_inf_3dhp", "coco", "mpii", "lsp", "lsp_extended"}
    assert all(f"convert_dataset.py {name} " in str(error.value) for name in named)
    assert str(error.value).endswith("--cfg-options train_dataloader.dataset.dataset.leave_out_missing=True")
    config.train_dataloader.dataset.dataset.leave_out_missing = True
    require_inputs(config)
