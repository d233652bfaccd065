"""A web page that recovers bodies from videos and plays generated data: ``mviper app``."""

from mviper.app.gallery import Gallery, SequenceView
from mviper.app.jobs import Cancelled, Job, Limits, Recovery, Workplace
from mviper.app.server import serve

__all__ = ["Cancelled", "Gallery", "Job", "Limits", "Recovery", "SequenceView", "Workplace", "serve"]
