"""Shot cuts: where a film goes on with another take, so that nobody is followed across."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from mviper.inference.frames import Frame

#: Longer side of the pictures that are compared [px]: large motion is small in them.
_SIDE = 96
#: Beyond this change a frame may begin a shot: 1 less the correlation with its predecessor, once that is moved along.
_CHANGED = 0.2
#: By so much it must exceed the changes round it, which fast motion makes as large.
_STANDS_OUT = 2.5
#: Frames to each side that are looked at; as many are held.
_AROUND = 2


def with_cuts(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Frames of a video, and whether a shot begins with each; the first does not count as one.

    Each frame is compared with the one before it, once that is moved along by the optical flow between them (Farnebäck,
    2003): flow explains how people and cameras move, but no cut. A frame after which the picture is again as before, a
    flash or a damaged one, is no cut either.

    Args:
        frames: The video; two of them are held.

    Yields:
        Each frame, two frames late.
    """
    waiting: deque[Frame] = deque()
    small: deque[np.ndarray] = deque(maxlen=2 * _AROUND + 2)
    changes: deque[float] = deque([0.0] * (_AROUND + 1), maxlen=2 * _AROUND + 1)

    def oldest() -> tuple[Frame, bool]:
        return waiting.popleft(), _stands_out(changes) and not _goes_on(list(small))

    for frame in frames:
        picture = _shrunk(frame.image)
        if waiting or len(small):
            changes.append(_change(small[-1], picture))
        waiting.append(frame)
        small.append(picture)
        if len(waiting) > _AROUND:
            yield oldest()
    while waiting:
        if len(waiting) <= _AROUND:
            changes.append(0.0)
            small.append(small[-1])
        yield oldest()


def _stands_out(changes: deque[float]) -> bool:
    change = changes[_AROUND]
    others = max(value for place, value in enumerate(changes) if place != _AROUND)
    return change > max(_CHANGED, _STANDS_OUT * others)


def _goes_on(small: list[np.ndarray]) -> bool:
    """Whether one of the frames from the middle on is like one of those before it: a flash, or a damaged frame."""
    middle = len(small) - _AROUND - 1
    return any(_change(before, after) < _CHANGED for before in small[:middle] for after in small[middle:])


def _shrunk(image: np.ndarray) -> np.ndarray:
    scale = _SIDE / max(image.shape[:2])
    size = max(16, round(image.shape[1] * scale)), max(16, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _change(before: np.ndarray, after: np.ndarray) -> float:
    """1 less the correlation of two small pictures, the first moved along by the flow to the second."""
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (after, before)]
    flow = cv2.calcOpticalFlowFarneback(*greys, None, 0.5, 3, 15, 2, 5, 1.1, 0)
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    moved = cv2.remap(before, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    first, second = (picture.reshape(-1, 3).astype(np.float32) for picture in (moved, after))
    first, second = first - first.mean(0), second - second.mean(0)
    # Pictures without contrast, black ones, are alike.
    floor = first.size * 2.0**2
    energies = (first**2).sum() + floor, (second**2).sum() + floor
    return float(1 - ((first * second).sum() + floor) / np.sqrt(energies[0] * energies[1]))
