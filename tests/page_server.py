"""The web page's server in a separate process, with all its files in a folder of the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Server:
    """``tools/app.py`` on a free port; ``folder`` contains all its files."""

    def __init__(self, repository: Path, temporary: Path, *options: object, token: str | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.temporary, self.log = f"http://127.0.0.1:{port}/", temporary, temporary / "log.txt"
        environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "2", "NO_PROXY": "127.0.0.1"}
        if token:
            environment["MVIPER_TOKEN"] = token
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "tools/app.py", "--port", str(port), *map(str, options)], cwd=repository, stdout=log,
                stderr=log, env=environment,
            )  # fmt: skip
        wait_until(lambda: "Open http" in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def files(self) -> list[Path]:
        """All its files; Gradio leaves empty ones for a while."""
        kept = self.temporary.glob("mviper_app_*/**/*")
        return [path for path in kept if path.is_file() and path.stat().st_size]

    def stop(self) -> None:
        """Terminates it as the system would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def wait_until(true: Callable[[], object], seconds: float = 300.0) -> None:
    """Waits for a condition; fails on timeout."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.2)
