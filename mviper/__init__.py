"""MVIPER: clothed-human video synthesis and temporally coherent full-body mesh recovery.

The package has two halves that meet in files on disk: ``mviper.synthesis`` turns motion capture into annotated
videos, ``mviper.models`` and its neighbours learn from them. See ``docs/architecture.md``.
"""

import os

# Before torch loads OpenMP: its threads must not spin while they wait. Beside other processes, a training step with two
# threads took three times as long (docs/benchmarks.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
