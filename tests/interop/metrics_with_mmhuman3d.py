#!/usr/bin/env python
"""Compares the metrics of the original MMHuman3D 0.11 and of MVIPER on the same inputs.

MMHuman3D cannot be installed alongside MVIPER (it asserts mmcv <= 1.6.1), but its metrics are two files that need only
numpy, so its wheel is enough:

    pip download --no-deps mmhuman3d==0.11.0 -d work_dirs
    python tests/interop/metrics_with_mmhuman3d.py work_dirs/mmhuman3d-0.11.0-py2.py3-none-any.whl

Exits with code 1 if a figure differs by more than 1e-6 m. ``--write`` keeps MMHuman3D's figures for
``tests/evaluation/test_parity.py``. ``tools/benchmark.py metrics --data WHEEL`` measures the speed.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tools")]

from benchmarks.metrics import load_mmhuman3d
from parity_inputs import FIGURES, mmhuman3d_figures, our_figures, parity_inputs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="mmhuman3d-0.11.0-py2.py3-none-any.whl")
    parser.add_argument("--write", action="store_true", help=f"keep MMHuman3D's figures in {FIGURES.name}")
    arguments = parser.parse_args()
    eval_utils = load_mmhuman3d(arguments.wheel)
    theirs = {name: mmhuman3d_figures(case, eval_utils) for name, case in parity_inputs().items()}
    worst = 0.0
    for name, case in parity_inputs().items():
        ours = our_figures(case)
        for figure, value in theirs[name].items():
            difference = float(np.abs(np.subtract(ours[figure], value)).max())
            worst = max(worst, difference)
            print(f"{name:7} {figure:29} {np.mean(value):.6f}  difference {difference:.1e}")
    print(f"worst {worst:.1e}")
    if arguments.write:
        FIGURES.write_text(json.dumps(theirs, indent=1) + "\n")
    return int(worst > 1e-6)


if __name__ == "__main__":
    sys.exit(main())
