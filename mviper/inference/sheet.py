"""A sheet of a recovered video: frames with the bodies over them, and the same from the side and from above."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from mviper.graphics import contact_sheet, draw_label, enlarge, overlay, perspective, weak_perspective
from mviper.inference.frames import ahead
from mviper.inference.render import COLOURS
from mviper.inference.result import RecoveredPerson, RecoveryResult

_PAPER, _LINE, _FLOOR, _PATH = (238, 240, 243), (214, 218, 224), (120, 126, 134), (90, 96, 104)
#: Axes of the views in world axes, right, down and away: seen from the right of the camera, and from above.
_FROM_SIDE = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
_FROM_ABOVE = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
#: Minimum distance from the middle of a view to its edge, and the margin round people [m].
_REACH, _MARGIN = 1.1, 0.25


def draw_sheet(result: RecoveryResult, columns: int = 6, side: int = 320) -> np.ndarray:
    """Draws frames of a video, spread over the time in which somebody is seen, one per column.

    Below each frame with its bodies are two views of the level world, both without perspective: from the right of the
    first frame's camera, which is on the left, with the floor as a line; and from above, the camera below, with a
    line per metre and the path of each pelvis so far.

    Args:
        result: What to draw.
        columns: Number of frames.
        side: Width of a column [px].

    Returns:
        RGB, (H, W, 3) uint8.
    """
    seen = sorted({frame for person in result.people for frame in range(person.first, person.first + len(person))})
    chosen = [seen[k] for k in np.unique(np.linspace(0, len(seen) - 1, columns).round().astype(int))]
    levelled = {person.number: result.levelled(person) for person in result.people}
    pictures = {frame.number: frame.image for frame in ahead(result.source) if frame.number in chosen}
    rows: list[list[np.ndarray]] = [[], [], []]
    for number in chosen:
        people = [person for person in result.people if person.first <= number < person.first + len(person)]
        picture = enlarge(pictures[number], side / pictures[number].shape[1])
        K = result.intrinsics
        K[:2] *= side / result.source.width
        K[:2, 2] += (side / result.source.width - 1) / 2
        world, paths = {}, {}
        for person in sorted(people, key=lambda person: -person.transl[number - person.first, 2]):
            at = number - person.first
            rotmat, transl = levelled[person.number]
            mesh = perspective(_surface(result, person, at, person.rotmat, person.transl), result.body.faces, K)
            picture = overlay(picture, mesh, result.body.faces, colour=_colour(person), alpha=0.8)
            world[person] = _surface(result, person, at, rotmat, transl)
            paths[person] = transl[: at + 1] + result.rest_pelvis(person.betas)
        rows[0].append(draw_label(picture, f"{result.times[number]:.1f} s"))
        rows[1].append(_view(result, world, _FROM_SIDE, side, {}))
        rows[2].append(_view(result, world, _FROM_ABOVE, side, paths))
    return np.concatenate([contact_sheet(row, len(row)) for row in rows])


def _colour(person: RecoveredPerson) -> tuple[float, float, float]:
    return COLOURS[(person.number - 1) % len(COLOURS)]


@torch.no_grad()
def _surface(
    result: RecoveryResult, person: RecoveredPerson, at: int, rotmat: np.ndarray, transl: np.ndarray
) -> np.ndarray:
    values = (torch.as_tensor(each[at : at + 1], dtype=torch.float32) for each in (person.shapes, rotmat, transl))
    return result.body(*values).vertices[0].numpy()


def _view(
    result: RecoveryResult,
    people: dict[RecoveredPerson, np.ndarray],
    axes: np.ndarray,
    side: int,
    paths: dict[RecoveredPerson, np.ndarray],
) -> np.ndarray:
    """People's surfaces in the world (V, 3) along a view's axes (3, 3), with lines a metre apart."""
    turned = {person: vertices @ axes.T for person, vertices in people.items()}
    every = np.concatenate(list(turned.values()))
    low, high = every.min(0)[:2], every.max(0)[:2]
    reach = max(_REACH, (high - low).max() / 2 + _MARGIN)
    middle, scale = (low + high) / 2, side / 2 / reach

    def pixels(points: np.ndarray) -> np.ndarray:
        return np.round((points - middle + reach) * scale).astype(int)

    picture = np.full((side, side, 3), _PAPER, np.uint8)
    for metre in range(int(np.floor((middle - reach).min())), int(np.ceil((middle + reach).max())) + 1):
        across, down = pixels(np.full(2, float(metre)))
        cv2.line(picture, (int(across), 0), (int(across), side), _LINE, 1)
        floor = axes is _FROM_SIDE and metre == 0
        cv2.line(picture, (0, int(down)), (side, int(down)), _FLOOR if floor else _LINE, 2 if floor else 1)
    for path in paths.values():
        cv2.polylines(picture, [pixels((path @ axes.T)[:, :2])], False, _PATH, 1, cv2.LINE_AA)
    faces, crop = result.body.faces, np.array([(side - 1) / 2, (side - 1) / 2, float(side)])
    for person, vertices in sorted(turned.items(), key=lambda item: -item[1][:, 2].mean()):
        mesh = weak_perspective(vertices, faces, np.array([1.0, *-middle]) / reach, crop)
        picture = overlay(picture, mesh, faces, colour=_colour(person), alpha=1.0)
    return picture
