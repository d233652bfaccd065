import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mviper.engine import Runner, read_checkpoint, use_mixed_precision

HERE = Path(__file__).parent


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU's wrapper")
def test_bfloat16_on_the_cpu(toy_config):
    config = toy_config()
    use_mixed_precision(config.optim_wrapper)
    assert config.optim_wrapper.type == "BF16OptimWrapper"
    runner = Runner.from_cfg(config)
    seen = []
    runner.model.net[0].register_forward_hook(lambda layer, _, output: seen.append((layer.training, output.dtype)))
    runner.train()
    assert {dtype for training, dtype in seen if training} == {torch.bfloat16}
    assert {dtype for training, dtype in seen if not training} == {torch.float32}
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in runner.model.parameters())


def test_two_processes_on_the_cpu(tmp_path, repository):
    environment = {
        **os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{repository}", "PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    done = subprocess.run(
        [repository / "tools" / "dist_train.sh", HERE / "toy_config.py", "2", "--work-dir", tmp_path],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Wrote ") == 1
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint["meta"]["iter"] == 20
    # 11 samples, two ranks with batches of 3: all were validated, some twice
    assert checkpoint["message_hub"]["runtime_info"]["max_iters"] == 20
