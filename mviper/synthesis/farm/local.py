"""The factory's workers as processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from mviper.synthesis.farm.worker import build_factory, why_not_built, work
from mviper.synthesis.jobs import Job


class LocalPool:
    """Processes on this machine.

    Args:
        config: A completed config.
        out: The data set's folder.
        size: Number of processes.
    """

    def __init__(self, config: dict, out: Path, size: int) -> None:
        self.size = size
        self._arguments = (config, str(out), max(1, len(os.sched_getaffinity(0)) // size))
        self._workers = [self._start() for _ in range(size)]
        self._busy: set[int] = set()

    def _start(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        pipe, other = context.Pipe()
        process = context.Process(target=_live, args=(other, *self._arguments), daemon=True)
        process.start()
        other.close()
        return process, pipe

    def assign(self, worker: int, job: Job) -> None:
        """See :class:`mviper.synthesis.farm.protocol.WorkerPool`."""
        self._busy.add(worker)
        try:
            self._workers[worker][1].send(job)
        except OSError:  # it has died; reading from it will report that
            return

    def events(self) -> Iterator[tuple[int, str, object]]:
        """See :class:`mviper.synthesis.farm.protocol.WorkerPool`."""
        pipes = {self._workers[worker][1]: worker for worker in self._busy}
        for pipe in wait(list(pipes)):
            worker = pipes[pipe]
            try:
                kind, content = pipe.recv()
            except (EOFError, OSError):
                process = self._workers[worker][0]
                process.join()
                pipe.close()
                self._workers[worker] = self._start()
                kind, content = "died", f"exit code {process.exitcode}"
            if kind != "stage":
                self._busy.discard(worker)
            yield worker, kind, content

    def release(self, worker: int) -> None:
        """See :class:`mviper.synthesis.farm.protocol.WorkerPool`."""
        process, pipe = self._workers[worker]
        process.kill()  # it needs no cleanup
        process.join()
        pipe.close()

    def close(self) -> None:
        """See :class:`mviper.synthesis.farm.protocol.WorkerPool`."""
        for worker in range(self.size):
            self.release(worker)


def _live(pipe: Connection, config: dict, out: str, threads: int) -> None:
    """Main function of a process: builds everything once, then works on incoming jobs."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    factory = None
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            factory = factory or build_factory(config, threads)
        except Exception as error:
            pipe.send(("fatal", why_not_built(error)))
            return
        pipe.send(work(factory, job, Path(out), lambda stage, done, total: pipe.send(("stage", (stage, done / total)))))


def _die_with_parent() -> None:
    """Ends this process when its parent is gone: nobody would collect its results."""
    multiprocessing.parent_process().join()
    os._exit(1)
