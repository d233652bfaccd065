"""Motions as files for other programs: AMASS ``.npz``, GLB, BVH, PC2, and through Blender FBX, USD and more.

Every writer takes motions in the world (z up, metres), the body they belong to, and the video frame at which each
begins: formats for several people keep the video's time, the others begin with their person.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mviper.body import SMPL, same_body
from mviper.errors import ConfigError
from mviper.export.blender import write_with_blender
from mviper.export.bvh import write_bvh
from mviper.export.glb import write_glb
from mviper.export.vertices import write_pc2
from mviper.structures import Motion


def write_amass(path: Path, motions: Sequence[Motion], body: SMPL, starts: Sequence[int]) -> None:
    """AMASS' layout of :meth:`mviper.structures.Motion.save`: 24 joints, z up; with ``first_frame``."""
    (motion,), (start,) = motions, starts
    motion.save(path, first_frame=np.int64(start))


#: By file ending: the writer, and whether one file holds several people.
WRITERS: dict[str, tuple[Callable[[Path, Sequence[Motion], SMPL, Sequence[int]], None], bool]] = {
    ".npz": (write_amass, False),
    ".bvh": (write_bvh, False),
    ".pc2": (write_pc2, False),
    ".glb": (write_glb, True),
    **dict.fromkeys((".fbx", ".usd", ".usda", ".usdc", ".blend", ".abc"), (write_with_blender, True)),
}


def export_motions(
    motions: Sequence[Motion], path: str | Path, body: SMPL, starts: Sequence[int] | None = None
) -> list[Path]:
    """Writes motions in the format of the file's ending.

    Args:
        motions: People in the same world.
        path: Ends in one of :data:`WRITERS`.
        body: The body they belong to.
        starts: Frame at which each motion begins, at the motions' rate; None: all at frame 0.

    Returns:
        The files written: one, or one per person if the format holds only one.

    Raises:
        ConfigError: Unknown ending, or betas of another body.
        MissingDependencyError: The format needs Blender, which is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        near = difflib.get_close_matches(path.suffix.lower(), WRITERS)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(WRITERS)}"
        raise ConfigError(f"{path}: unknown format {path.suffix!r}; {hint}")
    for motion in motions:
        if motion.body_model and not same_body(motion.body_model, body.body_model_id):
            raise ConfigError(f"{motion.name}: its betas belong to {motion.body_model}, not to {body.body_model_id}")
    starts = [0] * len(motions) if starts is None else starts
    write, several = WRITERS[path.suffix.lower()]
    if several or len(motions) == 1:
        write(path, motions, body, starts)
        return [path]
    paths = [path.with_stem(f"{path.stem}_{number}") for number in range(1, len(motions) + 1)]
    for place, motion, start in zip(paths, motions, starts):
        write(place, [motion], body, [start])
    return paths
