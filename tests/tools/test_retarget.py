"""Retargeting without pictures."""

from mviper.structures import Motion


def test_motions_are_written_by_split_and_kept(run_tool, tmp_path):
    command = ["retarget.py", "configs/synthesis/deepmimic.py", "--limit", 2, "--out", tmp_path]
    done = run_tool(*command)
    assert done.returncode == 0, done.stderr
    assert f"Wrote 2 motions to {tmp_path}/<split>" in done.stdout and "Next: python tools/train.py" in done.stdout
    files = sorted(tmp_path.glob("*/*.npz"))
    motions = [Motion.load(path) for path in files]
    assert len(files) == 2 and all(len(motion) > 10 and motion.body_model for motion in motions)
    before = [path.stat().st_mtime_ns for path in files]
    assert "Wrote 0 motions" in (again := run_tool(*command).stdout) and "2 existed" in again
    assert before == [path.stat().st_mtime_ns for path in files]


def test_the_demo_s_models_learn_from_the_demo_s_motions(run_tool, tmp_path):
    done = run_tool("retarget.py", "configs/demo/motions.py", "--limit", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Next: python tools/train.py configs/demo/frame_landmarks.py" in done.stdout
