"""The data set's folder during a run: locking, rejected sequences, leftovers of earlier runs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import reprlib
import shutil
import socket
from collections.abc import Collection, Iterator
from pathlib import Path

from mviper.errors import ConfigError, FileFormatError, MviperError
from mviper.files import atomic_path
from mviper.synthesis.jobs import Job
from mviper.synthesis.schema import decisive_settings

#: Lock file of the run that writes to a data set.
_LOCK_NAME = ".lock"


class RejectionLog:
    """``rejected.json`` of a data set: the rejected sequences and their reasons."""

    def __init__(self, out: Path) -> None:
        self.path = out / "rejected.json"
        self.entries: dict[str, dict] = {}
        if self.path.is_file():
            try:
                self.entries = json.loads(self.path.read_text())
            except ValueError as error:
                raise FileFormatError(
                    self.path, f"not JSON: {error}", hint="delete it to retry every sequence"
                ) from error

    def forget(self, names: Collection[str], seed: int) -> None:
        """Drops entries of these names that were made with another seed."""
        self.entries = {
            name: entry for name, entry in self.entries.items() if name not in names or entry["seed"] == seed
        }

    def add(self, job: Job, seed: int, reason: str, quality: dict) -> None:
        """Adds an entry and writes the file."""
        self.entries[job.name] = dict(split=job.split, seed=seed, reason=reason, quality=quality)
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(self.entries, indent=1, sort_keys=True) + "\n")


def check_resumed(folder: Path, config: dict) -> None:
    """Raises if a run with this config would have made a finished sequence differently.

    Args:
        folder: The sequence's.
        config: A completed config.

    Raises:
        ConfigError: Names what differs.
        FileFormatError: The sequence's manifest cannot be read.
    """
    path = folder / "manifest.json"
    try:
        made = decisive_settings(json.loads(path.read_text())["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(
            path, f"cannot be read: {error!r}", hint=f"delete {folder} to generate it again"
        ) from error
    asked = decisive_settings(config)
    differ = [
        f"{key} = {reprlib.repr(made.get(key))}, now {reprlib.repr(asked.get(key))}"
        for key in dict.fromkeys([*asked, *made])
        if made.get(key) != asked.get(key)
    ]
    if differ:
        raise ConfigError(
            f"{folder} was made with another config: {'; '.join(differ)}; give another --out, delete the folder, or "
            "continue with that config"
        )


@contextlib.contextmanager
def run_lock(out: Path) -> Iterator[bool]:
    """Locks a folder for the duration of the block; the kernel releases the lock when this process dies.

    Yields:
        False if the file system does not support locks.

    Raises:
        MviperError: Another run holds the lock, or the folder is not writable.
    """
    try:
        file = open(out / _LOCK_NAME, "w")
    except OSError as error:
        raise MviperError(f"{out}: cannot be written: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MviperError(
                f"{out}: another run of tools/generate.py is writing there; wait for it, give another --out, or use "
                "one run with more workers (--workers, --launcher ray)"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise MviperError(f"{out}: cannot be locked: {error.strerror or error}") from error
            yield False
            return
        yield True


def sweep(out: Path, alone: bool) -> None:
    """Removes hidden leftovers of dead processes: of any machine, or (if not ``alone``) only of this one."""
    pattern = re.compile(rf"\..+\.{re.escape(socket.gethostname())}\.(\d+)\.tmp")
    for folder in out.glob("*/.*.tmp"):
        match = pattern.fullmatch(folder.name)
        if alone or (match and not Path("/proc", match[1]).exists()):
            # A process about to finish must not publish a half-removed folder.
            doomed = folder.with_name(f"{folder.name}.{os.getpid()}.gone")
            try:
                os.replace(folder, doomed)
            except OSError:
                continue
    for folder in out.glob("*/.*.gone"):
        shutil.rmtree(folder, ignore_errors=True)
