"""Generation of many sequences by a pool of worker processes, any of which may die at any time.

A loop hands out jobs and receives events (:mod:`protocol`); the work itself is the same everywhere (:mod:`worker`); the
worker pool (``Crew``) is made of processes on this machine (:mod:`local`) or actors of a Ray cluster (:mod:`cluster`).
:mod:`folder` manages the data set's folder, :func:`generate` is a whole run.
"""

from mviper.synthesis.farm.folder import RejectionLog
from mviper.synthesis.farm.generation import generate
from mviper.synthesis.farm.protocol import Crew, Event, Summary
from mviper.synthesis.farm.worker import build_factory, work

__all__ = ["Crew", "Event", "RejectionLog", "Summary", "build_factory", "generate", "work"]
