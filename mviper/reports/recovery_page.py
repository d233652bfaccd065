"""A self-contained web page with the moving mesh, rotated by mouse, beside the video."""

from __future__ import annotations

import base64
import html
import json
import tempfile
from pathlib import Path

import numpy as np

from mviper.export import skin_motion, strongest_weights
from mviper.files import atomic_path
from mviper.graphics import enlarge, vertex_normals, write_video
from mviper.inference import COLOURS, FAIR, SURE, FrameSource, RecoveredPerson, RecoveryResult
from mviper.structures import SMPL_PARENTS

_PLAYER = Path(__file__).parent / "recovery_page.html"
#: Longer side of the video in the page [px].
_VIDEO_SIDE = 640


def write_recovery_page(result: RecoveryResult, path: str | Path, pictures: FrameSource | None = None) -> Path:
    """Writes the page. The browser skins the mesh without pose correctives, with an error of a few millimetres.

    Args:
        result: The recovery.
        path: Ends in ``.html``.
        pictures: Shown next to the mesh, with the same frames as the video; None: the video.

    Returns:
        The path.
    """
    people = []
    for person in result.people:
        motion = result.motion(person)
        skinned = skin_motion(motion, result.body, correctives=False)
        joints, weights = strongest_weights(result.body.weights, 4)
        people.append(
            {
                "number": person.number,
                "first": float(person.times[0]),
                "fps": motion.fps,
                "count": len(motion),
                "colour": COLOURS[(person.number - 1) % len(COLOURS)],
                "pelvis": skinned.joints[0].tolist(),
                "positions": _packed(skinned.rest, "<f4"),
                "normals": _packed(vertex_normals(skinned.rest, result.body.faces), "<f4"),
                "joints": _packed(joints, "<f4"),
                "weights": _packed(weights, "<f4"),
                "bones": _packed(_bone_matrices(skinned.rotmat, skinned.joints, skinned.pelvis), "<f4"),
                "sure": _sureness(person, len(motion)),
            }
        )
    scene = {
        "duration": float(result.times[-1]) + 1 / result.fps,
        "faces": _packed(result.body.faces, "<u2" if result.body.num_vertices < 65536 else "<u4"),
        "wide": result.body.num_vertices >= 65536,
        "levels": [round(100 * limit) for limit in (SURE, FAIR)],
        "people": people,
    }
    page = _PLAYER.read_text()
    for mark, content in {
        "@TITLE@": html.escape(result.source.path.name),
        "@VIDEO@": _video(pictures or result.source, result),
        "@SCENE@": json.dumps(scene, separators=(",", ":")),
    }.items():
        page = page.replace(mark, content)
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_text(page)
    return path


def _sureness(person: RecoveredPerson, count: int) -> dict[str, list] | None:
    """For each frame of the motion: expected error [cm], confidence (2 to 0), and reasons for low confidence."""
    confidence = person.confidence
    if confidence is None:
        return None
    frames = np.linspace(0, len(person) - 1, count).round().astype(int)
    return {
        "error": (100 * confidence.error[frames]).round(1).tolist(),
        "level": confidence.level[frames].tolist(),
        "why": [", ".join(confidence.explain(frame)) for frame in frames],
    }


def _packed(values: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()


def _bone_matrices(rotmat: np.ndarray, joints: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    """Transforms of T-pose points by each joint, as 3 x 4 matrices, (T, 24, 3, 4)."""
    turned, placed = np.empty_like(rotmat), np.empty((*rotmat.shape[:2], 3))
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent < 0:
            turned[:, joint], placed[:, joint] = rotmat[:, joint], pelvis
        else:
            turned[:, joint] = turned[:, parent] @ rotmat[:, joint]
            placed[:, joint] = placed[:, parent] + turned[:, parent] @ (joints[joint] - joints[parent])
    shift = placed - np.einsum("tjab,jb->tja", turned, joints)
    return np.concatenate([turned, shift[..., None]], axis=-1)


def _video(pictures: FrameSource, result: RecoveryResult) -> str:
    """The video, scaled down, upright and playable in browsers, as base64."""
    scale = min(1.0, _VIDEO_SIDE / max(pictures.width, pictures.height))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        frames = (frame.image if scale == 1 else enlarge(frame.image, scale) for frame in pictures)
        write_video(path, frames, result.fps, crf=26, preset="veryfast", times=list(result.times))
        return base64.b64encode(path.read_bytes()).decode()
