"""mmengine's own samplers, loops and checkpoint hook train, test and resume, alone and together with ours."""

from __future__ import annotations

import pytest
import torch

from mviper.engine import Runner, find_checkpoint, read_checkpoint
from mviper.engine.testing import Evaluation
from mviper.errors import ConfigError

STOCK_HOOK = dict(
    type="CheckpointHook", by_epoch=False, interval=4, max_keep_ckpts=2, save_best="toy/mean", rule="less"
)


def run(config, resume=False):
    config.resume = resume
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


@pytest.mark.parametrize("loop", ["IterBasedTrainLoop", "ResumableTrainLoop"])
@pytest.mark.parametrize("sampler", ["InfiniteSampler", "DefaultSampler", "ResumableSampler"])
@pytest.mark.parametrize("stock_hook", [True, False])
def test_stock_parts_train_and_resume(toy_config, tmp_path, loop, sampler, stock_hook):
    def config(steps):
        config = toy_config("run", param_scheduler=None)
        config.train_dataloader.update(batch_size=4, drop_last=False, sampler=dict(type=sampler, shuffle=True))
        config.train_cfg = dict(type=loop, max_iters=steps, val_interval=4)
        if stock_hook:
            config.default_hooks.checkpoint = STOCK_HOOK
        return config

    first = run(config(4))
    before = {name: value.clone() for name, value in first.model.state_dict().items()}
    assert find_checkpoint(tmp_path / "run", resumable=True).name == "iter_4.pth"
    second = run(config(8), resume=True)
    assert (first.iter, second.iter) == (4, 8)
    checkpoint = read_checkpoint(tmp_path / "run")
    assert checkpoint["meta"]["iter"] == 8 and len(checkpoint["message_hub"]["log_scalars"]["train/loss"]["log"]) == 8
    assert any(not torch.equal(value, before[name]) for name, value in second.model.state_dict().items())
    best = [path.name for path in (tmp_path / "run").glob("best*.pth")]
    assert len(best) == 1 and best[0].startswith("best_toy_mean_iter_" if stock_hook else "best.pth")
    assert Evaluation.run(config(8), tmp_path / "run").rows["model"]["toy/size"] == 11


def test_passes_over_the_data_are_counted_and_resumed(toy_config, tmp_path):
    def config(epochs, sampler="DefaultSampler"):
        config = toy_config("epochs", param_scheduler=None)
        config.train_dataloader.sampler = dict(type=sampler, shuffle=True)
        config.train_cfg = dict(by_epoch=True, max_epochs=epochs)
        config.default_hooks.checkpoint = dict(type="CheckpointHook", interval=1)
        return config

    assert run(config(2)).iter == 8
    assert (tmp_path / "epochs" / "last_checkpoint").read_text().endswith("epoch_2.pth")
    runner = run(config(3), resume=True)
    assert (runner.epoch, runner.iter) == (3, 12)
    for sampler in ("ResumableSampler", "InfiniteSampler"):
        with pytest.raises(ConfigError, match=f"{sampler} has no end"):
            run(config(3, sampler))


def test_the_order_of_a_stock_sampler_goes_on_where_it_was(toy_config, monkeypatch):
    """InfiniteSampler and DefaultSampler: the samples after resuming are those of an uninterrupted run."""
    seen = []
    original = Runner.call_hook

    def record(self, name, **options):
        if name == "before_train_iter":
            seen.append([sample.sequence for sample in options["data_batch"]["data_sample"]])
        return original(self, name, **options)

    monkeypatch.setattr(Runner, "call_hook", record)
    for sampler in ("InfiniteSampler", "DefaultSampler"):
        orders = {}
        for name, parts in (("whole", [9]), ("parts", [7, 9])):
            seen.clear()
            for steps in parts:
                config = toy_config(f"{sampler}_{name}", **{"train_cfg.max_iters": steps})
                config.train_dataloader.sampler = dict(type=sampler, shuffle=True)
                run(config, resume=True)
            orders[name] = list(seen)
        assert orders["whole"] == orders["parts"] and len({tuple(batch) for batch in orders["whole"]}) > 4


def test_a_loader_without_a_batch_is_an_error(toy_config):
    config = toy_config("empty")
    config.train_dataloader.update(batch_size=12, drop_last=True, sampler=dict(type="DefaultSampler"))
    with pytest.raises(ConfigError, match="no batch of 12 in 11 clips"):
        run(config)


def test_checkpoints_elsewhere_than_in_files_are_refused(toy_config):
    config = toy_config("remote")
    config.default_hooks.checkpoint = dict(STOCK_HOOK, backend_args=dict(backend="local"))
    with pytest.raises(ConfigError, match="backend_args"):
        run(config)
