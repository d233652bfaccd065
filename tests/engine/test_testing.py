"""Testing a checkpoint: state carried and reset, other test sets, Human3.6M's protocols from its native files."""

from __future__ import annotations

import pickle
import shutil

import native_sets
import pytest
import torch
from sequence_files import write_sequences

from mviper.body.smpl import OPEN_BODY
from mviper.config import load_config
from mviper.engine.checkpoints import write_checkpoint
from mviper.engine.testing import MEAN_POSE, MODEL, TRUTH, Evaluation, use_test_set
from mviper.errors import ConfigError
from mviper.files import load_npz
from mviper.registry import DATA_CONVERTERS, MODELS
from mviper.reports.metrics_page import write_metrics_page


@pytest.fixture
def small(tmp_path, repository):
    """The demo's video model at 32 pixels, untrained: its config and a checkpoint."""
    config = load_config(
        repository / "configs/demo/mviper.py",
        {
            "model.backbone.pretrained": False, "model.neck.init_hidden": 16, "model.head.hidden": 16,
            "test_dataloader.num_workers": 0, "test_dataloader.dataset.data_root": str(tmp_path / "data"),
            "test_dataloader.dataset.pipeline.0.size": 32, "work_dir": str(tmp_path / "run"),
        },
    )  # fmt: skip
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    write_checkpoint({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "last.pth")
    return config, tmp_path / "last.pth"


def test_state_is_carried_and_reset(small, tmp_path):
    write_sequences(tmp_path / "data", frames=7)
    result = Evaluation.run(*small, worst=2)
    assert list(result.rows) == [MODEL, "model, state reset", MEAN_POSE, TRUTH]
    assert result.states == {MODEL: "carry", "model, state reset": "reset 4"}
    carried, reset = (result.details[row]["time"]["MPJPE_mm"]["mean"] for row in result.states)
    assert carried[:4] == pytest.approx(reset[:4], rel=1e-4) and carried[4] != pytest.approx(reset[4], rel=1e-4)
    assert list(result.details[MODEL]["actions"]) == ["wave"] and len(result.details[MODEL]["joints"]) == 24
    assert result.details[MEAN_POSE]["time"]["MPJPE_mm"]["count"] == [1] * 7
    assert result.rows[TRUTH]["MRVPV1_sum_m"] > 0 == result.rows[TRUTH]["MPJPE_mm"]
    (worst,) = result.worst["MPJPE_mm"]  # one per sample
    assert worst.picture.shape == (32, 32, 3) and worst.errors["MPJPE_mm"] == pytest.approx(max(carried), rel=1e-5)


def test_human36m_protocols(small, tmp_path, repository):
    pytest.importorskip("cdflib")
    native_sets.write_h36m(tmp_path / "h36m")
    video = tmp_path / "h36m/S9/Videos/Walking 1.54138969.mp4"
    for subject in ("S9", "S11"):
        for camera in ("54138969", "60457274"):
            other = tmp_path / f"h36m/{subject}/Videos/Walking 1.{camera}.mp4"
            if other != video:
                shutil.copy(video, other)
    converter = DATA_CONVERTERS.build({"type": "mviper.Human36MConverter", "root": str(tmp_path / "h36m")})
    converter.convert(tmp_path / "out", "test")
    config, checkpoint = small
    use_test_set(
        config,
        load_config(
            repository / "configs/test_sets/h36m.py",
            {"test_dataloader.dataset.data_root": str(tmp_path / "out"), "test_dataloader.num_workers": 0},
        ),
    )
    result = Evaluation.run(config, checkpoint)
    assert MODEL in result.rows and "model, state reset" not in result.rows  # clips of T = 4 are never reset
    names = {f"{protocol}/{figure}" for protocol in ("P1", "P2") for figure in ("MPJPE_mm", "PA-MPJPE_mm")}
    assert set(result.rows[MODEL]) == names | {"3DPCK_150mm", "3DAUC"}
    protocols = result.details[MODEL]["protocols"]
    for protocol in ("P1", "P2"):
        assert list(protocols[protocol]) == ["Walking"]
        assert protocols[protocol]["Walking"]["MPJPE_mm"] == pytest.approx(result.rows[MODEL][f"{protocol}/MPJPE_mm"])
    assert result.rows[MODEL]["P1/MPJPE_mm"] != result.rows[MODEL]["P2/MPJPE_mm"]
    assert result.worst["MPJPE_mm"][0].errors["MPJPE_mm"] > 0  # of the protocol's joints: SMPL's are not in this set
    page = write_metrics_page(tmp_path, result).read_text()
    assert page.count(">Walking</t") == 3 and "figures, P2" in page


@pytest.mark.parametrize("name", ["mpi_inf_3dhp", "pw3d", "emdb"])
def test_other_public_test_sets(small, tmp_path, repository, name):
    if name == "pw3d":
        native_sets.write_pw3d(tmp_path / name, MODELS.build({"type": "mviper.SMPL"}))
    elif name == "emdb":
        native_sets.write_emdb(tmp_path / name, MODELS.build({"type": "mviper.SMPL"}))
        (tmp_path / "SMPL_FEMALE.pkl").write_bytes(pickle.dumps(load_npz(OPEN_BODY), protocol=4))
    else:
        pytest.importorskip("h5py")
        native_sets.write_mpi_inf_3dhp(tmp_path / name)
    kind, split = {
        "mpi_inf_3dhp": ("MPIINF3DHP", "test"), "pw3d": ("PW3D", "test"), "emdb": ("EMDB", "emdb1"),
    }[name]  # fmt: skip
    bodies = {"body_models": str(tmp_path)} if name == "emdb" else {}
    DATA_CONVERTERS.build({"type": f"mviper.{kind}Converter", "root": str(tmp_path / name), **bodies}).convert(
        tmp_path / "out", split
    )
    options = {"test_dataloader.dataset.data_root": str(tmp_path / "out"), "test_dataloader.num_workers": 0}
    config, checkpoint = small
    use_test_set(config, load_config(repository / f"configs/test_sets/{name}.py", options))
    result = Evaluation.run(config, checkpoint)
    figures = {
        "mpi_inf_3dhp": {"3DPCK_150mm", "3DAUC", "PA-3DPCK_150mm", "PA-3DAUC"},
        "pw3d": {"acceleration_error_mm"},
        "emdb": {"acceleration_error_mm"},
    }
    assert set(result.rows[MODEL]) == {"MPJPE_mm", "PA-MPJPE_mm"} | figures[name]
    assert all(value >= 0 for value in result.rows[MODEL].values())
    assert len(result.worst["MPJPE_mm"]) > 1


def test_untestable_configs_are_refused(small, repository):
    config, _ = small
    with pytest.raises(ConfigError, match=r"synthesis/base\.py: it has no test_dataloader"):
        use_test_set(config, load_config(repository / "configs/synthesis/base.py"))
    with pytest.raises(ConfigError, match=r"synthesis/base\.py: it has no model"):
        Evaluation.run(load_config(repository / "configs/synthesis/base.py"), None)
