"""Generation of many sequences by a pool of worker processes, any of which may die at any time.

A loop hands out jobs and receives events (:mod:`protocol`); the work itself is the same everywhere (:mod:`worker`); the
worker pool consists of processes on this machine (:mod:`local`) or of actors in a Ray cluster (:mod:`cluster`).
:mod:`folder` manages the data set's folder, :func:`generate` is a whole run.
"""

from mviper.synthesis.farm.folder import RejectionLog
from mviper.synthesis.farm.generation import generate
from mviper.synthesis.farm.protocol import Event, Summary, WorkerPool
from mviper.synthesis.farm.worker import build_factory, work

__all__ = ["Event", "RejectionLog", "Summary", "WorkerPool", "build_factory", "generate", "work"]
