import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from mviper.engine import Runner
from mviper.errors import MviperError

HERE = Path(__file__).parent


def test_lost_loss_names_the_sequences_and_leaves_the_good_checkpoint(toy_config, tmp_path):
    Runner.from_cfg(toy_config("a", **{"train_cfg.max_iters": 7})).train()
    config = toy_config("a", **{"train_dataloader.dataset.poison": 4})
    config.resume = True
    with pytest.raises(MviperError, match=r"loss = nan.*train/toy_4/east from frame 0") as caught:
        Runner.from_cfg(config).train()
    assert str(tmp_path / "a" / "lost_loss.json") in str(caught.value)
    report = json.loads((tmp_path / "a" / "lost_loss.json").read_text())
    assert report["losses"]["loss"] == "nan" and report["step"] > 7
    clip = next(clip for clip in report["batch"] if clip["sequence"] == "train/toy_4/east")
    assert clip == {"sequence": "train/toy_4/east", "file": "toy_4.mp4", "frames": [0, 1, 2]}
    assert [path.name for path in (tmp_path / "a").glob("iter_*.pth")] == ["iter_7.pth"]


def test_progress_bar_on_a_terminal(tmp_path, repository):
    main, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{repository}", "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, repository / "tools" / "train.py", HERE / "toy_config.py", "--work-dir", tmp_path],
        env=environment, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    output = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    assert process.wait() == 0, output[-3000:].decode()
    text = output.decode()
    assert "training" in text and "20/20" in text and "Iter(val)" in text and "Wrote" in text
