"""The factory's workers as actors of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mviper.errors import MviperError
from mviper.extras import import_extra
from mviper.synthesis.factory import Factory
from mviper.synthesis.farm.worker import build_factory, why_not_built, work
from mviper.synthesis.jobs import Job

#: Object store memory of a cluster started here [bytes]: only jobs and results go through it.
_OBJECT_STORE = 100 * 1024**2

#: After this time without events the cluster is checked [s].
_PATIENCE = 10.0


class RayPool:
    """Actors of one core each, wherever Ray puts them; one that dies with its node is replaced.

    If the cluster has fewer cores than actors, the surplus actors wait for others to finish.

    Args:
        config: A completed config.
        out: The data set's folder, under the same path on every machine.
        size: Number of actors; None: the cluster's number of cores.
        jobs: Number of jobs, which limits the number of actors.
        address: As for ``ray.init``: ``'auto'``, ``'HOST:6379'``, ``'local'`` (a new cluster on this machine only);
            None: the cluster in ``RAY_ADDRESS``, the last one started on this machine, or a new one.

    Raises:
        MissingDependencyError: Ray is not installed.
        MviperError: The cluster cannot be reached.
    """

    def __init__(self, config: dict, out: Path, size: int | None, jobs: int, address: str | None) -> None:
        self._ray = ray = import_extra("ray")
        options = {"object_store_memory": _OBJECT_STORE, "include_dashboard": False} if address == "local" else {}
        try:
            host, _, port = (address or "").rpartition(":")
            if host and port.isdecimal():  # Ray itself retries for minutes
                socket.create_connection((host, int(port)), timeout=10).close()
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except Exception as error:  # Ray also raises plain Exception: a node that does not start in time
            raise MviperError(
                f"no Ray cluster at {address or 'its default address'}: {error}; start one with `ray start --head` "
                "(docs/scale.md), or give --address local"
            ) from error
        self.size = min(size or max(1, int(ray.cluster_resources().get("CPU", 1))), jobs)
        self._arguments = (config, str(out), os.getcwd())
        self._actor_class = ray.remote(num_cpus=1, max_restarts=0)(_Worker)
        self._actors = [self._start() for _ in range(self.size)]
        self._running: dict[object, int] = {}

    def _start(self) -> object:
        return self._actor_class.remote(*self._arguments)

    def assign(self, worker: int, job: Job) -> None:
        """See :class:`mviper.synthesis.farm.protocol.WorkerPool`."""
        self._running[self._actors[worker].make.remote(job)] = worker

    def events(self) -> Iterator[tuple[int, str, object]]:
        """See :class:`mviper.synthesis.farm.protocol.WorkerPool`; there are no stage events.

        Raises:
            MviperError: The connection to the cluster is lost.
        """
        ray, ready = self._ray, []
        try:
            while not ready:
                ready, _ = ray.wait(list(self._running), timeout=_PATIENCE)
                if not ready and not any(node["Alive"] for node in ray.nodes()):
                    raise ConnectionError("it has lost all its nodes")
        except (ray.exceptions.RaySystemError, ConnectionError) as error:
            raise MviperError(f"the Ray cluster is gone: {error}; run again to resume") from error
        for answer in ready:
            worker = self._running.pop(answer)
            try:
                kind, content = ray.get(answer)
            except ray.exceptions.RayActorError as error:
                self._actors[worker] = self._start()
                kind, content = "died", str(error).strip().partition("\n")[0]
            yield worker, kind, content

    def release(self, worker: int) -> None:
        """See :class:`mviper.synthesis.farm.protocol.WorkerPool`."""
        self._ray.kill(self._actors[worker])  # frees its core for a waiting actor

    def close(self) -> None:
        """See :class:`mviper.synthesis.farm.protocol.WorkerPool`."""
        self._ray.shutdown()  # actors end with the driver


class _Worker:
    """The worker that runs on the cluster."""

    def __init__(self, config: dict, out: str, folder: str) -> None:
        self.config, self.out, self.folder = config, Path(out), folder
        self.factory: Factory | None = None

    def make(self, job: Job) -> tuple[str, object]:
        """One sequence, as :func:`mviper.synthesis.farm.worker.work`."""
        try:
            if self.factory is None:
                os.chdir(self.folder)  # the config's paths are relative to it
                self.factory = build_factory(self.config, threads=1)
        except OSError as error:
            return (
                "fatal",
                f"{socket.gethostname()}: {self.folder}: {error.strerror}; all machines need the same folders",
            )
        except Exception as error:
            return "fatal", f"{socket.gethostname()}: {why_not_built(error)}"
        return work(self.factory, job, self.out, lambda stage, done, total: None)
