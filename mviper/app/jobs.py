"""Uploads and results of the web page: one folder per open page, removed when the page is closed."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mviper.errors import FileFormatError, MviperError
from mviper.graphics import open_video
from mviper.inference import DerivedFrames, Frame, MeshRecoverer, RecoveryResult, open_frames
from mviper.reports import write_recovery_page

#: Files written for download beside the overlay.
EXPORTS = {".glb": "Blender and others", ".bvh": "skeleton", ".npz": "SMPL parameters"}

#: A person found in a smaller share of the frames is reported as unsure.
_MOSTLY = 0.9
#: A focal length whose logarithm has a larger standard deviation is reported as a guess.
_UNSURE_FOCAL = 0.1

#: Called with the step, the share of it that is done and the seconds remaining; None: unknown.
Progress = Callable[[str, float | None, float | None], None]


class Cancelled(MviperError):
    """The page of a job was closed."""


@dataclass(frozen=True)
class Limits:
    """Limits of an upload.

    Attributes:
        megabytes: Of the file.
        seconds: Length of a video.
        megapixels: Of a picture.
    """

    megabytes: float = 200.0
    seconds: float = 30.0
    megapixels: float = 50.0


@dataclass
class Recovery:
    """Result of a job.

    Attributes:
        files: Downloads: the overlay, then :data:`EXPORTS`.
        page: Page with the turning mesh beside the overlay.
        remarks: Uncertainties, a sentence each.
    """

    files: list[Path]
    page: Path
    remarks: list[str]


@dataclass
class Job:
    """The job of one open page.

    Attributes:
        folder: Holds everything made from its upload.
        limits: Limits of the upload.
        cancelled: Set when the page is closed.
    """

    folder: Path
    limits: Limits
    cancelled: threading.Event = field(default_factory=threading.Event)

    def take(self, upload: Path) -> Path:
        """Moves an upload into the folder under a new name, keeping only a plain file ending."""
        ending = upload.suffix.lower()
        path = self.folder / f"upload{ending if ending[1:].isalnum() and len(ending) <= 5 else ''}"
        shutil.move(upload, path)
        with contextlib.suppress(OSError):
            upload.parent.rmdir()  # Gradio makes one for each upload
        return path

    def recover(self, recoverer: MeshRecoverer, path: Path, say: Progress) -> Recovery:
        """Recovers the people in a video or photo, which is removed afterwards.

        Args:
            recoverer: Recovers them.
            path: The file, in the job's folder.
            say: Called with the progress.

        Raises:
            MviperError: It is too large, too long or not a video or photo, shows nobody, or the page was closed.
        """
        try:
            source = Watched(path, self, say)
            result = recoverer(source, progress=lambda stage, _: source.enter(stage))
            source.enter("draw")
            files = [result.render(self.folder / ("overlay.png" if source.is_photo else "overlay.mp4"), turn=None)]
            source.enter("write")
            for ending in EXPORTS:
                self.check()
                files += result.export(self.folder / f"motion{ending}")
            page = write_recovery_page(result, self.folder / "page.html", open_frames(files[0]))
            self.check()
            return Recovery(files, page, remarks(result))
        except Exception:
            self.check()  # the folder was removed meanwhile: any error may follow from that
            raise
        finally:
            path.unlink(missing_ok=True)
            if self.cancelled.is_set():  # removes files written after the page was closed
                shutil.rmtree(self.folder, ignore_errors=True)

    def check(self) -> None:
        """Raises :class:`Cancelled` if the page was closed."""
        if self.cancelled.is_set():
            raise Cancelled("the page was closed")


class Workplace:
    """The folders of all open pages.

    Args:
        root: Existing folder for them.
        limits: Limits of uploads.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def begin(self, session: str) -> Job:
        """A new job for a page; its previous one is removed.

        Args:
            session: The page's session.
        """
        self.leave(session)
        folder = self.root / uuid.uuid4().hex
        folder.mkdir()
        with self._lock:
            job = self._jobs[session] = Job(folder, self.limits)
        return job

    def job(self, session: str) -> Job | None:
        """A page's job."""
        with self._lock:
            return self._jobs.get(session)

    def leave(self, session: str) -> None:
        """Stops a page's job and removes its folder."""
        with self._lock:
            job = self._jobs.pop(session, None)
        if job is not None:
            job.cancelled.set()
            shutil.rmtree(job.folder, ignore_errors=True)
        self.sweep()

    def sweep(self, seconds: float = 600.0) -> None:
        """Removes orphaned uploads: rejected ones, and those whose page was closed before they arrived.

        Args:
            seconds: Their minimum age [s].
        """
        with self._lock:
            kept = {job.folder for job in self._jobs.values()}
        for path in self.root.iterdir():
            with contextlib.suppress(OSError):
                if path not in kept and time.time() - path.stat().st_mtime > seconds:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


class Watched(DerivedFrames):
    """A video's frames, counted in iteration; iteration stops if the page is closed or the video is too long.

    Args:
        path: The video or photo.
        job: Its job.
        say: Called with the progress.

    Raises:
        FileFormatError: It cannot be read, or is too large or too long.
    """

    _STEPS = {"find people": "1 of 3: finding people", "draw": "3 of 3: drawing", "write": "3 of 3: writing the files"}

    def __init__(self, path: Path, job: Job, say: Progress) -> None:
        if path.stat().st_size > job.limits.megabytes * 1e6:
            raise FileFormatError(path, f"it is larger than {job.limits.megabytes:g} MB", hint="cut it shorter")
        super().__init__(open_frames(path))
        self.job, self._say = job, say
        if self.width * self.height > job.limits.megapixels * 1e6:
            raise FileFormatError(
                path,
                f"{self.width} x {self.height} pixels, more than {job.limits.megapixels:g} million",
                hint="make it smaller",
            )
        self.seconds = None if self.is_photo else _stated_seconds(path)
        if self.seconds is not None:
            self._refuse_if_long(self.seconds)
        self._step, self._began = self._STEPS["find people"], time.monotonic()

    def enter(self, stage: str) -> None:
        """Begins a step, named like the stages of :class:`MeshRecoverer`."""
        step = self._STEPS.get(stage, "2 of 3: recovering bodies")
        if step != self._step:
            self._step, self._began = step, time.monotonic()
            self._say(step, None, None)

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        for frame in self.source:
            self.job.check()
            self._refuse_if_long(frame.time)
            yield frame
            if self.seconds:
                share = min(1.0, (frame.time + 1 / self.fps) / self.seconds)
                spent = time.monotonic() - self._began
                self._say(self._step, share, spent * (1 - share) / share)

    def _refuse_if_long(self, seconds: float) -> None:
        if seconds > self.job.limits.seconds + 1:
            raise FileFormatError(self.path, f"it is longer than {self.job.limits.seconds:g} s", hint="cut it shorter")


def _stated_seconds(path: Path) -> float | None:
    """A video's length according to its container."""
    with open_video(path) as container:
        return container.duration / 1e6 if container.duration else None


def remarks(result: RecoveryResult) -> list[str]:
    """Caveats of a result.

    Args:
        result: The result.

    Returns:
        A sentence each.
    """
    found = []
    if result.source.problem:
        found.append(f"The file is damaged ({result.source.problem}); what could be read was recovered.")
    for person in result.people:
        missed = len(person) - int(person.detected.sum())
        if missed > (1 - _MOSTLY) * len(person):
            found.append(f"Person {person.number} was not found in {missed} of {len(person)} frames; the body there is "
                         "interpolated.")  # fmt: skip
        confidence = person.confidence
        unsure = [] if confidence is None else np.flatnonzero(confidence.level == 0)
        if len(unsure):
            reasons = ", ".join(dict.fromkeys(reason for frame in unsure for reason in confidence.explain(frame)))
            off = f"about {100 * confidence.error[unsure].mean():.0f} cm off{f': {reasons}' if reasons else ''}"
            found.append(f"Person {person.number}: {len(unsure)} of {len(person)} frames are unsure, {off}.")
    if result.optics.spread > _UNSURE_FOCAL:
        off = np.expm1(result.optics.spread)
        found.append(
            f"The camera's focal length ({result.focal:.0f} pixels) is a guess: distances may be {off:.0%} off."
        )
    return found
