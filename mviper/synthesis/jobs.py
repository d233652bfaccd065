"""The sequences of a config, and the random generator of each."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mviper.motion.sources import Clip, split_of
from mviper.registry import MOTION_SOURCES


@dataclass(frozen=True)
class Job:
    """One sequence to make.

    Attributes:
        name: ``<clip>__<variant>``, also the folder's name.
        split: ``train``, ``val`` or ``test``.
        clip: The mocap clip.
        variant: Number of the body, outfit and scene drawn for this clip.
    """

    name: str
    split: str
    clip: Clip
    variant: int

    def folder(self, out: Path) -> Path:
        """The sequence's folder."""
        return out / self.split / self.name


def list_jobs(config: dict, limit: int | None = None, splits: Collection[str] | None = None) -> list[Job]:
    """All sequences of a config: every clip once, then every clip with the next variant.

    Clips composed of clips from different splits are left out.

    Args:
        config: A completed config.
        limit: Only the first sequences, this many.
        splits: Only sequences of these splits; None: of all.

    Raises:
        MissingDataError: The motion source has no clips.
    """
    clips = [(clip, split_of(clip, config["splits"])) for clip in MOTION_SOURCES.build(config["source"]).clips()]
    jobs = [
        Job(f"{clip.name}__{variant:02d}", split, clip, variant)
        for variant in range(config["variants"])
        for clip, split in clips
        if split is not None and (splits is None or split in splits)
    ]
    return jobs[:limit]


def job_rng(seed: int, name: str, purpose: str) -> np.random.Generator:
    """Random generator that depends only on seed, sequence and purpose, not on the worker or the time."""
    digest = hashlib.sha256(f"{seed}/{name}/{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
