"""Many sequences by several processes, of which any may die at any moment.

A loop hands out jobs and takes in news (:mod:`protocol`); what a worker does is the same everywhere (:mod:`worker`);
where the workers live is a crew's matter: processes of this machine (:mod:`local`) or actors of a Ray cluster
(:mod:`cluster`). :mod:`folder` keeps the data set's folder in order, :func:`generate` is a whole run.
"""

from mviper.synthesis.farm.folder import RejectionLog
from mviper.synthesis.farm.generation import generate
from mviper.synthesis.farm.protocol import Crew, Event, Summary
from mviper.synthesis.farm.worker import build_factory, work

__all__ = ["Crew", "Event", "RejectionLog", "Summary", "build_factory", "generate", "work"]
