"""Tries an outfit on: one body, one motion, the factory's own steps up to the cloth, with what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np

from mviper.errors import SequenceRejected
from mviper.motion.sources.base import Clip
from mviper.structures import Garment, MeshSequence, Motion
from mviper.synthesis.factory import Factory
from mviper.synthesis.simulation import ClothSimulator, SewnGarment


@dataclass
class Attempt:
    """One run of the solver.

    Attributes:
        steps: Solver steps a frame.
        frames: Frames simulated, those in which the cloth is draped included.
        seconds: CPU time [s].
    """

    steps: int
    frames: int
    seconds: float


@dataclass
class TryOn:
    """What came of it.

    Attributes:
        garments: As they were cut, innermost first.
        motion: Lead-in included.
        body: The same frames.
        lead_in: Frames of the lead-in.
        cloth: For each garment its mesh over the body's frames; of a rejected outfit the last run's, as it came from
            the solver; empty if there was none.
        reason: Why it was rejected, "" if it was not.
        quality: Figures of the last run.
        attempts: Runs of the solver.
        timings: CPU seconds of ``cut``, ``baste``, ``sew``, ``simulate``, ``project`` and ``measure``; of a rejected
            outfit those of ``cut`` alone.
    """

    garments: list[Garment]
    motion: Motion
    body: MeshSequence
    lead_in: int
    cloth: list[MeshSequence] = field(default_factory=list)
    reason: str = ""
    quality: dict = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)


def try_on(factory: Factory, clip: Clip, betas: np.ndarray, rng: np.random.Generator) -> TryOn:
    """Cuts a factory's outfit for a body, sews it and moves it; a rejection is a result, not an error.

    Args:
        factory: Its ``outfit`` may be set to any garments before.
        clip: Of its motion source.
        betas: The body's shape, shape (B,).
        rng: Draws the part of the clip that is shown, then the garments' designs.

    Raises:
        SequenceRejected: The motion is, or there is no pattern for this body.
        FileFormatError: The clip cannot be read.
    """
    performance = factory.perform(clip, betas, rng)
    start = time.process_time()
    garments = factory.cut(performance.shape, rng)
    timings = {"cut": time.process_time() - start}
    body = performance.body
    tried = TryOn(garments, performance.leading, body, performance.lead_in, timings=timings)
    solver = isinstance(factory.simulator, ClothSimulator)  # painted cloth needs none
    with _watched(factory.simulator, tried) if solver else nullcontext():
        try:
            result = factory.simulator(garments, body, factory.config["fps"], tried.lead_in)
        except SequenceRejected as error:
            tried.reason, tried.quality = error.reason, error.quality
        else:
            tried.cloth, tried.quality = result.meshes, result.quality
            tried.timings |= result.timings
    return tried


@contextmanager
def _watched(simulator: ClothSimulator, tried: TryOn) -> Iterator[None]:
    """Notes each run of the solver: what it cost, and its cloth, which a rejection would drop."""
    simulate = simulator.simulate

    def noted(sewn: list[SewnGarment], body: MeshSequence, fps: float, steps: int) -> list[np.ndarray]:
        start = time.process_time()
        raw = simulate(sewn, body, fps, steps)
        if len(body) < len(tried.body):
            return raw  # draped for what is worn over it
        tried.attempts.append(Attempt(steps, len(body), time.process_time() - start))
        moved = [
            MeshSequence(cloth.astype(np.float32), piece.faces, piece.uv, piece.source.name)
            for cloth, piece in zip(raw, sewn)
        ]
        draping = len(body) - len(tried.body)
        tried.cloth = [replace(mesh, vertices=mesh.vertices[draping:]) for mesh in moved]
        return raw

    simulator.simulate = noted
    try:
        yield
    finally:
        simulator.simulate = simulate


def stretch_by_frame(cloth: MeshSequence) -> np.ndarray:
    """99th percentile of the triangles' sides over their length in the pattern, each frame, (T,)."""
    sides = [np.linalg.norm(cloth.uv[:, k] - cloth.uv[:, k - 1], axis=1) for k in range(3)]
    shares = []
    for vertices in cloth.vertices:
        corners = vertices[cloth.faces]
        now = [np.linalg.norm(corners[:, k] - corners[:, k - 1], axis=1) for k in range(3)]
        shares.append(np.percentile(np.concatenate(now) / np.concatenate(sides), 99))
    return np.array(shares)
