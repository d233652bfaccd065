import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.optim import OptimWrapper
from mmengine.runner import find_latest_checkpoint
from torch import nn

from mviper.engine import Runner
from mviper.engine.checkpoints import (
    find_checkpoint,
    load_state_dict,
    read_checkpoint,
    record_last,
    resolve_checkpoint,
    restore_message_hub,
    to_plain,
    write_checkpoint,
)
from mviper.engine.optimizers import lay_out_like_weights
from mviper.errors import ConfigError, FileFormatError, MissingDataError


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_plain_data_survives_weights_only(tmp_path):
    value = dict(a=np.float64(2.5), b=np.arange(3), c=(np.int32(1), {"x": None}), d=np.array(["u", "v"]))
    write_checkpoint(to_plain(value), tmp_path / "x.pth")
    loaded = torch.load(tmp_path / "x.pth", weights_only=True)
    assert loaded["a"] == 2.5 and loaded["b"].tolist() == [0, 1, 2]
    assert loaded["c"] == [1, {"x": None}] and loaded["d"] == ["u", "v"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_history_buffers_come_back():
    buffer = HistoryBuffer([1.0, 2.0, 4.0], [1, 1, 1], max_length=50)
    state = restore_message_hub(to_plain(dict(log_scalars={"train/loss": buffer}, runtime_info={}, resumed_keys={})))
    restored = state["log_scalars"]["train/loss"]
    restored.update(5.0)
    assert restored.mean() == 3.0 and restored.max_length == 50


def test_bad_files_name_the_file(tmp_path):
    good = tmp_path / "good.pth"
    write_checkpoint({"state_dict": {"w": torch.ones(1000)}}, good)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(good.read_bytes()[:2000])
    evil = tmp_path / "evil.pth"
    torch.save({"state_dict": {"w": Evil()}}, evil)
    text = tmp_path / "text.pth"
    text.write_text("not a checkpoint")
    empty = tmp_path / "empty.pth"
    empty.touch()
    old = tmp_path / "old.pth"
    old.write_bytes(pickle.dumps({"state_dict": {"w": Evil()}}))
    for path in (cut, evil, text, empty, old):
        with pytest.raises(FileFormatError, match=path.name) as caught:
            read_checkpoint(path)
        message = str(caught.value)  # torch's own message advises unsafe loading
        assert "\n" not in message and "weights_only" not in message and not message.endswith(": "), message
    with pytest.raises(FileFormatError, match="tensors by name"):
        write_checkpoint({"state_dict": {"w": 3}}, tmp_path / "n.pth")
        read_checkpoint(tmp_path / "n.pth")


def test_hostile_checkpoint_is_not_executed(tmp_path, capsys):
    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(FileFormatError):
        read_checkpoint(tmp_path / "evil.pth")
    assert "executed" not in capsys.readouterr().out


def test_missing_checkpoint_says_how_to_make_it(tmp_path):
    (tmp_path / "configs" / "demo").mkdir(parents=True)
    (tmp_path / "configs" / "demo" / "frame.py").touch()
    with pytest.raises(MissingDataError, match=r"tools/train.py configs/demo/frame.py"):
        read_checkpoint(tmp_path / "work_dirs" / "demo" / "frame" / "last.pth")
    (tmp_path / "work_dirs" / "demo" / "frame").mkdir(parents=True)
    with pytest.raises(MissingDataError, match=r"no checkpoint in this folder.*tools/train.py configs/demo/frame.py"):
        read_checkpoint(tmp_path / "work_dirs" / "demo" / "frame")


def test_weights_of_another_model_are_refused():
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(ConfigError, match=r"0.weight is \(4, 2\) there and \(3, 2\) here"):
        load_state_dict(model, {"0.weight": torch.ones(4, 2)}, "x.pth", strict=False)
    with pytest.raises(ConfigError, match="no weight has a name"):
        load_state_dict(model, {"other": torch.ones(1)}, "x.pth", strict=False)
    with pytest.raises(ConfigError, match=r"0.bias is missing"):
        load_state_dict(model, {"0.weight": torch.ones(3, 2)}, "x.pth", strict=True)
    assert load_state_dict(model, {"0.weight": torch.ones(3, 2)}, "x.pth", strict=False) == ["0.bias"]
    assert model[0].weight.eq(1).all()


def test_files_of_a_run(toy_config, tmp_path):
    Runner.from_cfg(toy_config("a")).train()
    folder = tmp_path / "a"
    assert sorted(path.name for path in folder.glob("*.pth")) == ["best.pth", "iter_14.pth", "iter_20.pth"]
    assert (folder / "last_checkpoint").read_text() == str(folder / "iter_20.pth")  # as mmengine writes it
    assert find_latest_checkpoint(str(folder)) == str(find_checkpoint(folder)) == str(folder / "iter_20.pth")
    assert not list(folder.glob(".*"))
    checkpoint = torch.load(folder / "iter_20.pth", weights_only=True)
    assert checkpoint["meta"]["iter"] == 20 and checkpoint["meta"]["seed"] == 3
    assert set(checkpoint) >= {"state_dict", "optimizer", "param_schedulers", "message_hub"}
    best = torch.load(folder / "best.pth", weights_only=True)
    assert best["meta"]["metric"] == "toy/mean" and "optimizer" not in best


def test_unknown_best_metric_lists_the_metrics(toy_config):
    config = toy_config("a", **{"default_hooks.checkpoint.best": "toy/median"})
    with pytest.raises(ConfigError, match="toy/mean, toy/size"):
        Runner.from_cfg(config).train()


def test_averages_of_another_memory_format_resume_exactly():
    """Adam's fused step works in memory order, so state with other strides must be converted."""

    def resumed(memory_format):
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
        wrapper = OptimWrapper(torch.optim.Adam(layer.parameters(), lr=0.1, fused=True))
        for step in range(2):
            wrapper.update_params(layer(torch.randn(2, 3, 5, 5)).square().sum())
            if step == 0:
                state = wrapper.state_dict()
                for values in state["state"].values():
                    if values["exp_avg"].ndim == 4:
                        values.update(
                            {k: v.contiguous(memory_format=memory_format) for k, v in values.items() if v.ndim}
                        )
                wrapper.load_state_dict(state)
                lay_out_like_weights(wrapper)
        return layer.weight.detach()

    assert torch.equal(resumed(torch.contiguous_format), resumed(torch.channels_last))


def write_run(folder, *steps, day=1, **more):
    """Checkpoints as written by a run, one minute apart."""
    for minute, step in enumerate(steps):
        meta = dict(iter=step, seed=0, time=f"2026-01-{day:02d} 10:{minute:02d}:00")
        content = dict(state_dict={"w": torch.full((3,), float(step))}, meta=meta, optimizer={}, message_hub={})
        write_checkpoint({**content, **more}, folder / f"iter_{step}.pth")


def test_newest_whole_checkpoint_is_found(tmp_path):
    assert find_checkpoint(tmp_path) is None and find_checkpoint(tmp_path / "none") is None
    write_run(tmp_path, 9000, 10000)
    os.utime(tmp_path / "iter_9000.pth")  # copying changed the files' time order
    write_run(tmp_path, 20000, day=0)  # of an earlier, longer run
    (tmp_path / "best.pth").write_bytes((tmp_path / "iter_9000.pth").read_bytes())
    (tmp_path / "._iter_10000.pth").write_bytes(b"\x00\x05\x16\x07")
    assert find_checkpoint(tmp_path).name == "iter_10000.pth"
    record_last(tmp_path / "iter_9000.pth")
    assert find_checkpoint(tmp_path).name == "iter_9000.pth"
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert find_checkpoint(moved) == moved / "iter_9000.pth"  # last_checkpoint still names the old path
    (moved / "iter_9000.pth").write_bytes((moved / "iter_9000.pth").read_bytes()[:-100])
    for damage in (b"", b"\x00\xff", b"iter_1.pth"):
        assert find_checkpoint(moved, resumable=True).name == "iter_10000.pth"
        (moved / "last_checkpoint").write_bytes(damage)


def test_a_copy_goes_on_from_its_own_checkpoint(tmp_path):
    (tmp_path / "a").mkdir()
    write_run(tmp_path / "a", 4)
    record_last(tmp_path / "a" / "iter_4.pth")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert find_checkpoint(tmp_path / "b") == tmp_path / "b" / "iter_4.pth"
    (tmp_path / "b" / "iter_4.pth").unlink()
    (tmp_path / "a" / "iter_4.pth").unlink()
    with pytest.raises(FileFormatError, match=r"iter_4\.pth: no such file"):
        find_checkpoint(tmp_path / "b", resumable=True)  # never starts over if there are traces of a checkpoint


def test_work_dirs_of_earlier_versions(tmp_path):
    write_run(tmp_path, 4, 6)
    (tmp_path / "last.pth").symlink_to("iter_4.pth")
    assert resolve_checkpoint(tmp_path / "last.pth") == tmp_path / "last.pth"
    assert find_checkpoint(tmp_path) == tmp_path / "iter_4.pth"
    (tmp_path / "last.pth").unlink()
    shutil.copy(tmp_path / "iter_6.pth", tmp_path / "last.pth")  # a copy that followed the symbolic link
    assert find_checkpoint(tmp_path, resumable=True) == tmp_path / "last.pth"
    (tmp_path / "last.pth").unlink()
    (tmp_path / "last.pth").symlink_to("iter_4.pth")
    record_last(tmp_path / "iter_6.pth")
    assert not (tmp_path / "last.pth").is_symlink()  # it would still name step 4
    assert resolve_checkpoint(tmp_path / "last.pth") == tmp_path / "iter_6.pth"  # the name used by older scripts


def test_a_run_that_ended_before_its_first_step_starts_again(tmp_path):
    write_checkpoint({"state_dict": {}, "meta": {"iter": 0}}, tmp_path / "best.pth")  # validated before training
    assert find_checkpoint(tmp_path).name == "best.pth"
    assert find_checkpoint(tmp_path, resumable=True) is None


def test_unusable_checkpoints_are_refused_on_resume(tmp_path):
    write_checkpoint({"state_dict": {}, "meta": {"iter": 3}}, tmp_path / "best.pth")
    assert find_checkpoint(tmp_path).name == "best.pth"
    (tmp_path / "iter_4.pth").write_bytes(b"cut")
    with pytest.raises(FileFormatError, match=r"cannot resume from any of.*best\.pth: it holds weights only"):
        find_checkpoint(tmp_path, resumable=True)
    (tmp_path / "best.pth").unlink()
    with pytest.raises(FileFormatError, match=r"none of its checkpoints is complete.*iter_4\.pth"):
        read_checkpoint(tmp_path)
