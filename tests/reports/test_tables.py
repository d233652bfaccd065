"""The paper's tables: its printed figures, the sources of ours, and reports of missing rows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mviper.engine.checkpoints import record_last, write_checkpoint
from mviper.errors import ConfigError, FileFormatError
from mviper.reports.tables import COMBINATIONS, PARTS, TABLES, compare, intervals, measured, plan, shell, still_to_do


@pytest.fixture(autouse=True)
def in_the_repository(repository, monkeypatch):
    monkeypatch.chdir(repository)


def write_figures(run, figures, protocols=None, actions=None) -> None:
    run.metrics.parent.mkdir(parents=True, exist_ok=True)
    details = {"model": {"protocols": protocols or {}, "actions": actions or {}}}
    run.metrics.write_text(json.dumps({"rows": {"model": figures}, "details": details}))


def planned(*arguments, **options):
    return plan(*arguments, config_root=Path("configs"), **options)


def write_steps(folder, step, optimizer=True) -> None:
    """A checkpoint as written by training."""
    state = dict(optimizer={}, message_hub={}) if optimizer else {}
    write_checkpoint({"state_dict": {}, "meta": dict(iter=step, seed=0), **state}, folder / f"iter_{step}.pth")
    record_last(folder / f"iter_{step}.pth")


def test_the_papers_figures():
    first = TABLES["1"]
    for row, figures in first.rows.items():
        assert len(figures) == len(first.columns) == 32
        for part in (figures[:16], figures[16:]):
            if part[0] is not None:  # SMPLify's printed mean differs by 0.3 from that of its columns
                assert sum(part[:15]) / 15 == pytest.approx(part[15], abs=0.3 if row == "smplify" else 0.06)
    ratio = {name: figures[0] / TABLES["2"].rows["hmr"][0] for name, figures in TABLES["2"].rows.items() if figures[0]}
    assert round(ratio["mviper"], 2) == 0.70
    assert [len(TABLES[name].columns) for name in ("2", "3", "4", "ablation")] == [2, 5, 4, 2]
    assert list(TABLES["4"].rows) == list(TABLES["ablation"].rows) == list(COMBINATIONS)


def test_ours_stand_beside_the_papers_with_ratios(tmp_path):
    table = TABLES["2"]
    config = "configs/demo/frame.py"
    runs = planned(table, "demo", root=tmp_path, configs=dict.fromkeys(["hmr", "hmr_dagger"], config))
    write_figures(runs["hmr"], {"MPJPE_mm": 200.0, "PA-MPJPE_mm": 100.0})
    write_figures(runs["mviper"], {"MPJPE_mm": 150.0, "PA-MPJPE_mm": 90.0})
    headings, cells = compare(table, runs)
    assert headings[:5] == ["method", "MPJPE paper", "ours", "paper / HMR", "ours / HMR"]
    assert cells["MVIPER"] == pytest.approx([93.2, 150, 93.2 / 133.2, 0.75, 60.5, 90, 60.5 / 81.3, 0.9])
    assert cells["HMR†"][:2] == [125.6, None]
    missing = still_to_do(runs)
    assert [line.partition(":")[0] for line in missing] == ["SMPLify", "SMPLify, annotated joints", "HMR†"]
    assert f"tools/train.py {config} --work-dir {tmp_path}/hmr_dagger --resume --cfg-options load_from=" in missing[2]


def test_table_1_reads_actions_and_means(tmp_path):
    table = TABLES["1"]
    run = planned(table, "paper", root=tmp_path)["mviper"]
    assert "--on configs/test_sets/h36m.py" in shell(run.commands[-1].words)
    protocols = {"P1": {"Directions": {"PA-MPJPE_mm": 50.0}, "TakingPhoto": {"PA-MPJPE_mm": 60.0}}}
    write_figures(run, {"P1/PA-MPJPE_mm": 55.0, "P2/PA-MPJPE_mm": 54.0}, protocols)
    figures = dict(zip(table.columns, measured(run, table)))
    assert (figures["P1 Direc."], figures["P1 Photo"], figures["P1 mean"], figures["P2 mean"]) == (50, 60, 55, 54)
    assert figures["P1 Eat"] is figures["P2 Direc."] is None


def test_the_ablation_leaves_losses_out_of_both_stages(tmp_path):
    runs = planned(TABLES["ablation"], "demo", root=tmp_path, train_options=["train_cfg.max_iters=2"])
    frame, mviper, test = (shell(command.words) for command in runs["L_proj"].commands)
    left_out = "model.losses.joint3d=None model.losses.joint3d_body=None model.losses.smpl=None"
    assert frame.startswith(f"python tools/train.py configs/demo/frame.py --work-dir {tmp_path}/proj/frame")
    assert mviper.endswith(f"train_cfg.max_iters=2 load_from={tmp_path}/proj/frame {left_out}")
    assert test.startswith(f"python tools/test.py configs/demo/mviper.py {tmp_path}/proj/mviper --out")
    everything = shell(runs["L_proj + L_3Djoint + L_smpl"].commands[1].words)
    assert "None" not in everything and f"{tmp_path}/proj_3djoint_smpl/frame" in everything


def test_parts_are_left_out_of_the_video_model_and_data_of_both_stages(tmp_path):
    runs = planned(TABLES["parts"], "volume", root=tmp_path, seed=1)
    assert list(runs) == ["mviper", "frame", *PARTS]
    folder, lines = tmp_path / "seed_1", {row: [shell(c.words) for c in run.commands] for row, run in runs.items()}
    frame, mviper, test = lines["without attention"]
    assert frame == lines["mviper"][0] and f"load_from={folder}/frame model.neck.attention=False" in mviper
    assert test.endswith("--on configs/test_sets/volume_features.py --cfg-options model.neck.attention=False")
    frame, mviper, test = lines["painted clothes"]
    assert (
        f"--work-dir {folder}/painted_clothes/frame" in frame and f"load_from={folder}/painted_clothes/frame" in mviper
    )
    assert all("pictures.synthesis_config=configs/volume/painted.py" in line for line in (frame, mviper))
    assert "features_painted" not in test
    for row, options in (
        ("T = 16", "clip_length=16 train_dataloader.batch_size=16"),
        ("without recurrence", "model.test_cfg.state=reset model.test_cfg.clip_length=1"),
    ):
        frame, mviper, test = lines[row]
        assert frame == lines["mviper"][0] and mviper.endswith(options) and test.endswith(options)
    row = "painted clothes, no interpolated motions"
    frame, mviper, _ = lines[row]
    assert all("features_painted" in line and "dataset.exclude=['*_to_*']" in line for line in (frame, mviper))
    assert "stored features" in planned(TABLES["parts"], "demo")[row].missing
    mixed = planned(TABLES["parts"], "paper")
    assert [row for row, run in mixed.items() if "several data sets" in run.missing] == [
        "painted clothes", row, "without recurrence", "T = 4", "T = 16",
    ]  # fmt: skip


def test_missing_runs_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no configs at all
    runs = planned(TABLES["3"])
    assert "MVIPER: configs/mviper_r50.py does not exist yet" in still_to_do(runs)
    assert all(values[1] is None for values in compare(TABLES["3"], runs)[1].values())
    with pytest.raises(ConfigError, match="unknown methods"):
        planned(TABLES["3"], configs={"hrm": "x.py"})


def test_damaged_figures_are_named(tmp_path):
    run = planned(TABLES["2"], "demo", root=tmp_path)["mviper"]
    run.metrics.parent.mkdir(parents=True)
    run.metrics.write_text('{"rows": 3}')
    with pytest.raises(FileFormatError, match=r"metrics\.json"):
        measured(run, TABLES["2"])


def test_seeds_have_runs_of_their_own_but_for_what_is_not_trained(tmp_path):
    runs = [planned(TABLES["2"], "volume", root=tmp_path, seed=seed) for seed in (1, 2)]
    assert runs[0]["smplify"].folder == runs[1]["smplify"].folder == tmp_path / "smplify"
    frame, mviper, test = (shell(command.words) for command in runs[1]["mviper"].commands)
    folder = tmp_path / "seed_2"
    assert frame.startswith(f"python tools/train.py configs/frame_blazepose.py --work-dir {folder}/frame")
    assert frame.endswith("randomness.seed=2") and mviper.endswith(f"randomness.seed=2 load_from={folder}/frame")
    assert test.endswith("--on configs/test_sets/volume_features.py") and f" {folder}/mviper " in test
    assert shell(runs[0]["smplify"].commands[0].words).endswith("--on configs/test_sets/volume.py")
    assert planned(TABLES["2"], "demo", seed=3)["hmr"].folder == Path("work_dirs/tables/demo/seed_3/hmr")
    assert "randomness.seed=2" in shell(planned(TABLES["ablation"], "demo", seed=2)["L_proj"].commands[0].words)


def test_ratios_have_intervals_over_clips_and_seeds(tmp_path):
    """Two seeds, three clips: a method that is always 20 % better, and one that is so only on the longest clip."""
    clips, frames = ["jump", "kick", "walk"], [10, 10, 100]
    of_hmr = {1: [200.0, 300.0, 100.0], 2: [220.0, 330.0, 110.0]}
    runs = [planned(TABLES["2"], "demo", root=tmp_path, seed=seed) for seed in of_hmr]
    for run, errors in zip(runs, of_hmr.values()):
        for row, factors in (("hmr", (1, 1, 1)), ("mviper", (0.8, 0.8, 0.8)), ("hmr_dagger", (1.5, 1.5, 0.8))):
            actions = {
                clip: {"MPJPE_mm": error * factor, "PA-MPJPE_mm": None, "frames": count}
                for clip, error, factor, count in zip(clips, errors, factors, frames)
            }
            write_figures(run[row], {"MPJPE_mm": 1.0, "PA-MPJPE_mm": 1.0}, actions=actions)
    found = intervals(TABLES["2"], runs)
    assert list(found) == [("hmr_dagger", "hmr"), ("mviper", "hmr"), ("mviper", "hmr_dagger")]
    assert all(list(figures) == ["MPJPE"] for figures in found.values())
    ratio, low, high = found["mviper", "hmr"]["MPJPE"]
    assert ratio == pytest.approx(0.8) and low == pytest.approx(0.8 / 1.1) and high == pytest.approx(0.8 * 1.1)
    ratio, low, high = found["hmr_dagger", "hmr"]["MPJPE"]
    assert ratio == pytest.approx((1.5 * (200 + 300) + 0.8 * 1000) / 1500)
    assert 0.8 <= low < 0.9 and 1.4 < high < 1.7  # of draws of the longest clip alone, and of the others
    assert found["mviper", "hmr_dagger"]["MPJPE"][0] == pytest.approx(0.8 / ratio)
    assert found == intervals(TABLES["2"], runs)
    write_figures(runs[1]["mviper"], {"MPJPE_mm": 1.0, "PA-MPJPE_mm": 1.0}, actions={"jump": actions["jump"]})
    assert list(intervals(TABLES["2"], runs)) == [("hmr_dagger", "hmr")]  # not on the same clips


def test_figures_are_means_over_seeds(tmp_path):
    runs = [planned(TABLES["2"], "demo", root=tmp_path, seed=seed) for seed in (1, 2, 3)]
    for run, error in zip(runs, (200.0, 220.0)):  # the third is not measured yet
        write_figures(run["hmr"], {"MPJPE_mm": error, "PA-MPJPE_mm": error / 2})
    assert compare(TABLES["2"], *runs)[1]["HMR"] == pytest.approx([133.2, 210, 1, 1, 81.3, 105, 1, 1])


@pytest.mark.parametrize("setting, folder", [("demo", "configs/demo/"), ("paper", "configs/")])
def test_hmr_is_trained_before_its_fine_tuning(tmp_path, setting, folder):
    runs = planned(TABLES["2"], setting, root=tmp_path)
    hmr, dagger, test = (shell(command.words) for command in runs["hmr_dagger"].commands)
    ending = "" if setting == "demo" else "_r50"
    assert hmr == f"python tools/train.py {folder}hmr{ending}.py --work-dir {tmp_path}/hmr --resume"
    assert dagger.startswith(f"python tools/train.py {folder}hmr_dagger{ending}.py --work-dir {tmp_path}/hmr_dagger")
    assert dagger.endswith(f"load_from={tmp_path}/hmr") and f"hmr_dagger{ending}.py" in test
    assert shell(runs["hmr"].commands[0].words) == hmr


def test_a_killed_training_is_not_done_and_old_figures_are_measured_again(tmp_path):
    options = ["train_cfg.max_iters=6"]
    run = planned(TABLES["2"], "demo", root=tmp_path, train_options=options)["mviper"]
    frame, mviper, test = run.commands
    assert run.left() == [frame, mviper, test] and frame.steps == 6
    assert planned(TABLES["2"], "demo", root=tmp_path)["mviper"].commands[0].steps == 600  # the config's own
    for command, step in ((frame, 6), (mviper, 4)):
        write_steps(command.leaves, step)
    write_figures(run, {"MPJPE_mm": 150.0})
    assert run.left() == [mviper, test]  # killed at step 4
    write_steps(mviper.leaves, 6)
    os.utime(run.metrics, (0, 0))
    assert run.left() == [test]
    write_figures(run, {"MPJPE_mm": 150.0})
    assert run.left() == []
    for path in mviper.leaves.glob("*.pth"):
        path.unlink()
    (mviper.leaves / "last_checkpoint").unlink()
    assert run.left() == []  # figures copied from elsewhere
