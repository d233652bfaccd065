"""tools/benchmark.py wardrobe: even draws, one real draw from sewing to pictures, and resuming."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

import cv2
import numpy as np
import pytest

from mviper.errors import ConfigError


@pytest.fixture(scope="module")
def wardrobe(repository):
    sys.path.insert(0, str(repository / "tools"))
    try:
        from benchmarks import wardrobe as module
    finally:
        sys.path.pop(0)
    return module


def draws(wardrobe, count, garments, motions, seed=0, done=()):
    done = list(done)
    while len(done) < count:
        rng = np.random.default_rng([seed, len(done)])
        done.append(wardrobe.choose_cell(done, garments, list(wardrobe.BODIES), motions, rng))
    return done


def test_draws_are_even_and_never_repeat_before_all_are_drawn(wardrobe):
    garments, motions = [f"g{k}" for k in range(10)], [f"m{k}" for k in range(10)]
    thirty = draws(wardrobe, 30, garments, motions)
    assert set(Counter(cell.garment for cell in thirty).values()) == {3}
    assert set(Counter(cell.motion for cell in thirty).values()) == {3}
    assert set(Counter(cell.body for cell in thirty).values()) == {5}
    assert len({(cell.garment, cell.motion) for cell in thirty}) == 30
    every = draws(wardrobe, 2 * 6 * 2 + 1, garments[:2], motions[:2])
    assert len(set(every[:-1])) == 24 and every[-1] in every[:-1]
    assert draws(wardrobe, 30, garments, motions, done=thirty[:11]) == thirty
    assert draws(wardrobe, 30, garments, motions, seed=1) != thirty


def test_garments_that_come_later_catch_up(wardrobe):
    motions = ["m0", "m1"]
    two = draws(wardrobe, 6, ["a", "b"], motions)
    three = draws(wardrobe, 9, ["a", "b", "c"], motions, done=two)
    assert [cell.garment for cell in three[6:]] == ["c", "c", "c"]


@pytest.fixture(scope="module")
def arguments(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wardrobe")
    config = folder / "short.py"
    config.write_text(
        f"_base_ = [{str(repository / 'configs/synthesis/wardrobe.py')!r}]\n"
        "source = dict(_delete_=True, type='KeyPoseMotion', names='arms_down', pace=2.0)\n"
        "max_frames = 10\nmin_seconds = 0.3\nlead_in = dict(frames=20, still=2)\n"
    )
    return argparse.Namespace(
        minutes=0.0, draws=None, seed=3, out=folder / "out", config=config, edge_length=0.035, garments=["TShirt"]
    )


def test_one_draw_leaves_a_table_and_pictures_and_counts_later(wardrobe, arguments, capsys):
    rows, figures, targets = wardrobe.measure(arguments)
    printed = capsys.readouterr().out
    assert figures["draws"] == 1 and figures["accepted"] == 100.0 and targets.keys() <= figures.keys()
    assert 0 < figures["cpu_s_per_frame_of_3000_vertices"] < 5 and figures["sew_and_drape_cpu_s"] > 0
    assert "| TShirt | 1 | 100% | 10: 1 |" in printed and "| arms_down | 1 |" in printed and rows[1][:2] == ("all", "1")
    record = json.loads((arguments.out / "draw_0000.json").read_text())
    assert (
        record["outfit"] == ["TShirt"]
        and 0 < record["score"] < 1
        and record["attempts"][0]["frames"] == 2 + 20 + 10 + 12
    )
    sheet = cv2.imread(str(arguments.out / "worst_accepted.png"))
    assert sheet.shape[1] > 6 * 256 and sheet.std() > 20
    # A folder with draws of other settings is refused and left unchanged.
    with pytest.raises(ConfigError, match="other settings"):
        wardrobe.measure(argparse.Namespace(**{**vars(arguments), "seed": 4}))
    assert len(list(arguments.out.glob("draw_*.json"))) == 1
    with pytest.raises(ConfigError, match="--draws takes"):
        wardrobe.measure(argparse.Namespace(**{**vars(arguments), "draws": 0}))
    # As many draws as wanted are there.
    wardrobe.measure(argparse.Namespace(**{**vars(arguments), "draws": 1}))
    kept = wardrobe._kept(arguments.out, {**json.loads((arguments.out / "settings.json").read_text())})
    assert kept == [record]


def test_painted_cloth_has_no_solver_to_watch(wardrobe, arguments, repository, tmp_path, capsys):
    config = tmp_path / "painted.py"
    config.write_text(
        arguments.config.read_text() + "simulator = dict(_delete_=True, type='PaintedCloth')\nmax_frames = 2\n"
    )
    changed = dict(config=config, out=tmp_path / "out", edge_length=0.05)
    _, figures, _ = wardrobe.measure(argparse.Namespace(**{**vars(arguments), **changed}))
    record = json.loads((tmp_path / "out" / "draw_0000.json").read_text())
    assert figures["accepted"] == 100.0 and record["attempts"] == [] and record["steps"] is None
    assert "| TShirt | 1 | 100% |" in capsys.readouterr().out


def test_unknown_garment(wardrobe, arguments):
    with pytest.raises(ConfigError, match="no garment Cape; there are"):
        wardrobe.measure(argparse.Namespace(**{**vars(arguments), "garments": ["Cape"]}))
