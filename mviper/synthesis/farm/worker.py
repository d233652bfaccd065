"""The work of every worker: builds the factory once, then makes one sequence after the other."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import torch
from mmengine.utils import import_modules_from_strings

from mviper.errors import FileFormatError, MviperError, SequenceRejected
from mviper.synthesis.factory import Factory, Report
from mviper.synthesis.jobs import Job
from mviper.synthesis.rendering import import_blender


def build_factory(config: dict, threads: int) -> Factory:
    """A worker's factory.

    Args:
        config: A completed config.
        threads: The worker's number of threads.

    Raises:
        MviperError: The config, its data or its packages are at fault.
    """
    torch.set_num_threads(1)  # one thread: the same bytes on every machine
    import_blender(threads)
    if config.get("custom_imports"):
        import_modules_from_strings(**config["custom_imports"])
    factory = Factory(config)
    if getattr(factory.renderer, "threads", None) == 0:  # "all" would be more than this worker's share
        factory.renderer.threads = threads
    return factory


def why_not_built(error: Exception) -> str:
    """The error of :func:`build_factory`, as text for the user."""
    if isinstance(error, MviperError):
        return str(error)
    return "the config's components cannot be built:\n" + "".join(traceback.format_exception(error)).rstrip()


def work(factory: Factory, job: Job, out: Path, report: Report) -> tuple[str, object]:
    """Makes one sequence; failures are returned, not raised.

    Args:
        factory: The worker's.
        job: The sequence.
        out: The data set's folder.
        report: Progress callback.

    Returns:
        ``('made', figures)`` as in :func:`manifest_figures`, ``('rejected', (reason, quality))``,
        ``('failed', text)``, or ``('fatal', text)`` for an error that affects every other sequence too.
    """
    try:
        factory.make(job, out, report)
        return "made", manifest_figures(job, out)
    except SequenceRejected as error:
        return "rejected", (error.reason, json.loads(json.dumps(error.quality, default=float)))
    except FileFormatError as error:
        return "failed", str(error)
    except MviperError as error:
        return "fatal", str(error)
    except Exception:
        return "failed", traceback.format_exc()


def manifest_figures(job: Job, out: Path) -> dict:
    """``frames`` of all views and CPU seconds by stage (``timings``) of a finished sequence."""
    manifest = json.loads((job.folder(out) / "manifest.json").read_text())
    return {"frames": manifest["frames"] * len(manifest["views"]), "timings": manifest["timings"]}
