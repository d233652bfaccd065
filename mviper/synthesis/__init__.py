"""The factory: motion capture in, annotated videos of clothed people out."""

from mviper.synthesis.factory import Clock, Factory, Take
from mviper.synthesis.farm import Event, Summary, build_factory, generate
from mviper.synthesis.jobs import Job, job_rng, list_jobs
from mviper.synthesis.performance import Performance, Simulation, choose_part, draw_betas, pose_body
from mviper.synthesis.schema import CONFIG_KEYS, SCHEMA, complete_config
from mviper.synthesis.stored import StoredSimulations
from mviper.synthesis.trying_on import TryOn, try_on

__all__ = [
    "CONFIG_KEYS",
    "SCHEMA",
    "Clock",
    "Event",
    "Factory",
    "Job",
    "Performance",
    "Simulation",
    "StoredSimulations",
    "Summary",
    "Take",
    "TryOn",
    "build_factory",
    "choose_part",
    "complete_config",
    "draw_betas",
    "generate",
    "job_rng",
    "list_jobs",
    "pose_body",
    "try_on",
]
