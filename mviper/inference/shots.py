"""Shot detection: finds the cuts in a video, so that nobody is tracked across one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from mviper.inference.frames import Frame

#: Longer side of the compared images [px]; small images reduce large motion.
_SIDE = 96
#: Minimum change at a cut: 1 minus the correlation with the motion-compensated previous frame.
_CHANGED = 0.2
#: Factor by which it must exceed the surrounding changes, since fast motion also causes large ones.
_STANDS_OUT = 2.5
#: Frames examined on each side, which are kept in memory.
_AROUND = 2


def with_cuts(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Yields a video's frames, and whether each begins a new shot; the first frame does not count.

    Each frame is compared with the previous one after compensating for the optical flow between them (Farnebäck, 2003):
    flow explains motion of people and cameras, but not a cut. A flash or a damaged frame, after which the image is as
    before, is not a cut either.

    Args:
        frames: The video.

    Yields:
        Each frame, with a delay of two frames.
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
    """Whether a frame from the middle on resembles one before it: a flash, or a damaged frame."""
    middle = len(small) - _AROUND - 1
    return any(_change(before, after) < _CHANGED for before in small[:middle] for after in small[middle:])


def _shrunk(image: np.ndarray) -> np.ndarray:
    scale = _SIDE / max(image.shape[:2])
    size = max(16, round(image.shape[1] * scale)), max(16, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _change(before: np.ndarray, after: np.ndarray) -> float:
    """1 minus the correlation of two small images, the first warped to the second by the optical flow."""
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (after, before)]
    flow = cv2.calcOpticalFlowFarneback(*greys, None, 0.5, 3, 15, 2, 5, 1.1, 0)
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    moved = cv2.remap(before, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    first, second = (picture.reshape(-1, 3).astype(np.float32) for picture in (moved, after))
    first, second = first - first.mean(0), second - second.mean(0)
    # Images without contrast, such as black ones, count as equal.
    floor = first.size * 2.0**2
    energies = (first**2).sum() + floor, (second**2).sum() + floor
    return float(1 - ((first * second).sum() + floor) / np.sqrt(energies[0] * energies[1]))
