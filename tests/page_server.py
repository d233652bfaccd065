"""The web page's server as a process of its own, with all that it keeps in a folder of the test's."""

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
    """``tools/app.py`` on a free port; ``folder`` holds all that it keeps."""

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
        """All files that it keeps; Gradio leaves empty ones for a while."""
        kept = self.temporary.glob("mviper_app_*/**/*")
        return [path for path in kept if path.is_file() and path.stat().st_size]

    def stop(self) -> None:
        """As the system asks a process to end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def wait_until(true: Callable[[], object], seconds: float = 300.0) -> None:
    """Waits; fails when the time is over."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.2)
