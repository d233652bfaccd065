"""tools/benchmark.py motion on a user's folder: every target has its figure, and two ordinary clips meet them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

from mviper.motion import DeepMimicMotion


def test_motion(repository, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("walk", "run"):
        shutil.copy(DeepMimicMotion().root / f"humanoid3d_{name}.txt", clips)
    (clips / "humanoid3d_cut.txt").write_text("{")
    command = [sys.executable, str(repository / "tools/benchmark.py"), "motion", "--minutes", "0.01"]
    command += ["--data", str(clips), "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left_forearm" in done.stdout and "humanoid3d_cut.txt" in done.stdout and "MISSED" not in done.stdout
    content = json.loads((tmp_path / "figures.json").read_text())
    figures = content["figures"]
    assert content["targets"].keys() <= figures.keys()
    assert (figures["clips"], figures["clips_unread"], figures["pairs"], figures["mosh_clips"]) == (2, 1, 1, 2)
    for name, (operator, limit) in content["targets"].items():
        assert figures[name] <= limit if operator == "<=" else figures[name] >= limit, name
