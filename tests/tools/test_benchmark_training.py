"""tools/benchmark.py training on a small model and small data."""

from __future__ import annotations

import argparse
import sys


def test_training(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), str(repository / "tests"), *sys.path])
    from benchmarks import training
    from sequence_files import write_sequences

    config, stored = tmp_path / "small.py", tmp_path / "stored.py"
    config.write_text(
        f"""_base_ = ["{repository}/configs/mviper_r50.py"]
image_size = 64
model = dict(backbone=dict(depth=18), neck=dict(attention_hidden=8, init_hidden=8), head=dict(hidden=16))
train_dataloader = dict(batch_size=2, num_workers=1)
"""
    )
    stored.write_text(
        f"""_base_ = ["{repository}/configs/frame_blazepose.py"]
train_dataloader = dict(batch_size=4)
"""
    )
    monkeypatch.setattr(training, "CONFIG", config)
    monkeypatch.setattr(training, "STORED", stored)
    monkeypatch.setattr(training, "WAITING_STEPS", 1)
    data = write_sequences(tmp_path / "data")
    rows, figures, targets = training.measure(argparse.Namespace(data=[data], seed=0, minutes=0.0))
    assert targets.keys() <= figures.keys() and {len(row) for row in rows} == {4}
    assert {"step_over_encoder_f32", "step_over_encoder_bf16", "waiting_for_data_share"} <= targets.keys()
    assert targets["stored_features_256_frames_s"] == ["<=", 0.3] and figures["stored_features_256_frames_s"] > 0
    assert figures["step_over_encoder_f32"] > 0 and 0 <= figures["waiting_for_data_share"] <= 1
    assert figures["repeats"] == 1 and figures["run_step_s"] > 0
