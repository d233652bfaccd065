"""Estimates which way is up from a clip without knowing the camera's pose: one direction and its uncertainty.

Log-evidence is summed over a grid of directions: how cameras are usually held, that people are balanced over their
feet, that resting feet stand on one floor, that lines in the image are vertical, and the phone's accelerometer where
the file has its reading. The result is a posterior; its mean is the estimate and its spread the uncertainty. Robust
likelihoods keep single observations from dominating.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mviper.models.fitting import MASS
from mviper.structures import SMPL_JOINTS

#: The image's vertical in camera axes.
LEVEL = np.array([0.0, -1.0, 0.0])
#: Prior of the camera's orientation: standard deviations of roll and pitch, and the mean downward pitch [rad].
_HELD = np.deg2rad([5.0, 18.0, 8.0])
#: Deviation of a body's axis from the vertical in the image plane and perpendicular to it, and the bias that remains
#: over several seconds [rad].
_BALANCE, _BIAS = np.deg2rad([5.0, 8.0]), np.deg2rad([1.5, 3.0])
#: Angle between the trunk and the line from the feet to the centre of mass beyond which nobody stands upright [rad].
_BENT = np.deg2rad(45.0)
#: Correlation time of the body axis's deviation [s].
_SAME_LEAN = 0.7
#: Relative error of a person's distance and thus of the resting feet's positions; error of their height [m].
_DISTANCE_ERROR, _HEIGHT_ERROR = 0.08, 0.03
#: Deviation of a building's lines from the vertical [rad], the fraction of steep lines that are vertical, and the
#: maximum total weight of lines.
_PLUMB, _BUILT, _LINES_COUNT = np.deg2rad(1.0), 0.3, 10.0
#: Maximum number of lines used; the longest are kept.
_LINES_MOST = 100
#: Focal lengths for which lines are evaluated, in standard deviations of the focal length's logarithm.
_FOCALS = np.linspace(-2, 2, 17)
#: Minimum length of a line as a fraction of the image height, and its maximum deviation from upright [rad].
_LONG, _STEEP = 0.07, np.deg2rad(30)
#: Deviation of an accelerometer's reading from gravity in the hand that takes a photo [rad].
_TREMOR = np.deg2rad(2.0)
#: Beginning of Apple's maker note, a TIFF directory, and its entry with the accelerometer's reading.
_APPLE, _ACCELERATION = b"Apple iOS\0\0\1MM", 8
#: Axes of an upright picture (x right, y down) in those of the phone as one looks at its screen, by EXIF orientation.
_DISPLAYED = {
    1: ((0, -1, 0), (-1, 0, 0)),
    3: ((0, 1, 0), (1, 0, 0)),
    6: ((1, 0, 0), (0, -1, 0)),
    8: ((-1, 0, 0), (0, 1, 0)),
}
_ANKLES = [SMPL_JOINTS.index(f"{side}_ankle") for side in ("left", "right")]
_MASS = MASS.numpy().astype(float)
#: Degrees of freedom of Student's distribution, which tolerates outliers.
_TAILS = 4.0


@dataclass(frozen=True, eq=False)
class Gravity:
    """The up direction in a clip.

    Attributes:
        up: Unit vector in the axes of the first frame's camera, shape (3,).
        uncertainty: Standard deviation of its direction [rad].
        evidence: Log-likelihood gain of each kind of evidence over a level camera [nat].
    """

    up: np.ndarray
    uncertainty: float
    evidence: dict[str, float]


def estimate_gravity(
    bodies: Sequence[np.ndarray],
    fps: float,
    steps: Sequence[np.ndarray] = (),
    lines: np.ndarray | None = None,
    measured: np.ndarray | None = None,
) -> Gravity:
    """Estimates up from all evidence.

    Args:
        bodies: SMPL's joints of each person over its track, steady axes [m], shape (T, 24 or more, 3) each.
        fps: Frames per second.
        steps: Positions at which each person's feet rested [m], shape (S, 3) each.
        lines: The lines' log-likelihood, see :func:`plumb`.
        measured: Up as measured by the phone, see :func:`measured_up`.

    Returns:
        Up.
    """
    up, roll, pitch = _grid()
    sums = {"camera": _student(roll / _HELD[0]) + _student((pitch - _HELD[2]) / _HELD[1])}
    sums["balance"] = sum((_balance(joints, fps, up) for joints in bodies), np.zeros(len(up)))
    sums["floor"] = sum((_flatness(places, up) for places in steps if len(places) > 2), np.zeros(len(up)))
    sums["lines"] = np.zeros(len(up)) if lines is None else lines
    if measured is not None:
        sums["phone"] = -0.5 * (np.arccos((up @ measured).clip(-1, 1)) / _TREMOR) ** 2
    total = sum(sums.values())
    weight = np.exp(total - total.max()) * np.abs(up[:, 1])  # grid cells are smaller at steep pitch
    mean = (weight[:, None] * up).sum(0)
    mean /= np.linalg.norm(mean)
    angle = np.arccos((up @ mean).clip(-1, 1))
    nearest, level = angle.argmin(), np.hypot(roll, pitch).argmin()
    return Gravity(
        mean,
        float(np.sqrt((weight * angle**2).sum() / weight.sum())),
        {name: float(values[nearest] - values[level]) for name, values in sums.items()},
    )


def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions (G, 3) with their roll and pitch [rad], (G,) each: a degree apart; pitch is positive looking down."""
    roll, pitch = np.meshgrid(np.deg2rad(np.arange(-45.0, 46.0)), np.deg2rad(np.arange(-60.0, 61.0)), indexing="ij")
    roll, pitch = roll.ravel(), pitch.ravel()
    return (
        np.stack([np.cos(pitch) * np.sin(roll), -np.cos(pitch) * np.cos(roll), -np.sin(pitch)], 1),
        roll,
        pitch,
    )


def _student(deviations: np.ndarray) -> np.ndarray:
    """Log-density of Student's distribution, up to a constant."""
    return -(_TAILS + 1) / 2 * np.log1p(deviations**2 / _TAILS)


def _balance(joints: np.ndarray, fps: float, up: np.ndarray) -> np.ndarray:
    """How well directions (G, 3) fit a balanced person, whose centre of mass is on average above the feet.

    A walking person sways, so axes are averaged over one or two seconds; the median of these makes jumps and falls
    irrelevant.
    """
    step = max(1, round(fps / 5))
    joints = joints[::step]
    axis = _MASS @ joints[:, :24] - joints[:, _ANKLES].mean(1)
    trunk = joints[:, SMPL_JOINTS.index("neck")] - joints[:, SMPL_JOINTS.index("pelvis")]
    axis, trunk = (each / np.linalg.norm(each, axis=1, keepdims=True).clip(1e-9) for each in (axis, trunk))
    axes = np.concatenate([axis, trunk])
    straight = (axis * trunk).sum(1) > np.cos(_BENT)
    upright = (axes @ LEVEL > 0.3) & np.tile(straight, 2)  # whoever lies, crawls or bends gives no evidence
    if not upright.any():
        return np.zeros(len(up))
    # Angles of the axis from each direction, in the image plane and perpendicular to it.
    forward = np.array([0.0, 0.0, 1.0]) - up[:, 2:] * up
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    side = np.cross(up, forward)
    axes = axes[upright]
    across, within = (np.arctan2(axes @ direction.T, (axes @ up.T).clip(1e-3)) for direction in (forward, side))
    independent = max(1.0, min(len(joints) * step / fps / _SAME_LEAN, 100.0))
    share = len(axes) / (2 * len(joints))
    total = np.zeros(len(up))
    for angles, spread, bias in ((within, _BALANCE[0], _BIAS[0]), (across, _BALANCE[1], _BIAS[1])):
        # n independent observations of spread s with a common bias b count as n' = 1 / (1 / n + (b / s)^2) do.
        count = share / (1 / independent + (bias / spread) ** 2)
        total += count * _student(angles / spread).mean(0)
    return total


def _flatness(places: np.ndarray, up: np.ndarray) -> np.ndarray:
    """How well the positions (S, 3) of resting feet lie at one height along directions (G, 3)."""
    heights = places @ up.T  # (S, G)
    along = heights * _DISTANCE_ERROR
    variance = _HEIGHT_ERROR**2 + along**2
    weight = 1 / variance
    middle = (weight * heights).sum(0) / weight.sum(0)
    # Distance errors of consecutive steps are correlated; the mean removes part of them. Distances are observed, not
    # heights, so the density is that of the distance relative to the one at which the ray meets the floor.
    off = (heights - middle) / np.sqrt(variance)
    return _student(off).sum(0) - 0.5 * np.log(variance / (heights**2 + _HEIGHT_ERROR**2)).sum(0)


def measured_up(metadata: Mapping[str, object]) -> np.ndarray | None:
    """Up in a photo's camera axes from the accelerometer reading that Apple's phones write into EXIF's maker note.

    Its axes are those of ExifTool's "AccelerationVector": gravity in units of g, as one looks at the screen x to the
    right, y to the top and z out of the screen.

    Args:
        metadata: EXIF tags by their standard names (``MakerNote``, ``Orientation``, ``LensModel``).

    Returns:
        Unit vector, shape (3,); None without a reading, of a phone in motion, or of the camera beside the screen.
    """
    note, axes = metadata.get("MakerNote"), _DISPLAYED.get(metadata.get("Orientation", 1))  # type: ignore[arg-type]
    if not isinstance(note, bytes) or not note.startswith(_APPLE) or axes is None:
        return None
    if "front" in str(metadata.get("LensModel", "")).lower():
        return None
    directory, content = ImageFileDirectory_v2(b"MM\0*\0\0\0\0"), io.BytesIO(note)
    content.seek(len(_APPLE))
    try:
        with warnings.catch_warnings(action="ignore"):
            directory.load(content)
        gravity = np.array([float(value) for value in directory[_ACCELERATION]])
    except Exception:  # as for the rest of EXIF: the image is usable without
        return None
    if gravity.shape != (3,) or not 0.8 < np.linalg.norm(gravity) < 1.2:
        return None
    away = (0, 0, -1)  # the camera at the phone's back looks away from the screen
    return -np.array([*axes, away]) @ gravity / np.linalg.norm(gravity)


def plumb(lines: Sequence[np.ndarray], turns: Sequence[np.ndarray], spread: float) -> np.ndarray | None:
    """Log-likelihood of lines, of which some are vertical, for each candidate direction of up.

    The pitch that a vertical line implies depends on the focal length: the likelihood is averaged over its uncertainty.

    Args:
        lines: See :func:`steep_lines`, one array (L, 4) per image.
        turns: Each image's camera rotation from steady axes, shape (3, 3) each.
        spread: Standard deviation of the focal length's logarithm.

    Returns:
        One value per candidate direction; None without lines.
    """
    if not sum(map(len, lines)):
        return None
    up, *_ = _grid()
    length = np.concatenate([each[:, 3] for each in lines])
    used = np.argsort(-length)[:_LINES_MOST]
    weight = length[used] / _LONG
    weight *= min(1.0, _LINES_COUNT / weight.sum())
    focals = _FOCALS if spread > 0 else np.zeros(1)
    total = np.empty((len(focals), len(up)))
    for row, step in zip(total, focals):
        normals = [each[:, :3] * [1, 1, np.exp(-step * spread)] @ turn for each, turn in zip(lines, turns)]
        normals = np.concatenate(normals)[used]
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        sine = normals @ up.T / _PLUMB  # (L, G)
        density = np.exp(-0.5 * sine**2) / (_PLUMB * np.sqrt(2 * np.pi))
        row[:] = weight @ np.log((1 - _BUILT) + _BUILT * density * (2 * _STEEP)) - 0.5 * step**2
    return np.logaddexp.reduce(total) - np.logaddexp.reduce(-0.5 * focals**2)


def line_segments(image: np.ndarray) -> np.ndarray:
    """Straight lines in an image (von Gioi et al., "LSD", PAMI 2010).

    Args:
        image: RGB uint8, shape (H, W, 3).

    Returns:
        Their ends [px], shape (L, 2, 2).
    """
    scale = min(1.0, 720 / max(image.shape[:2]))
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    return (np.zeros((0, 2, 2)) if found is None else found.reshape(-1, 2, 2).astype(float) + 0.5) / scale - 0.5


def steep_lines(
    ends: np.ndarray, width: int, height: int, focal: float, people: Iterable[Sequence[float]] = ()
) -> np.ndarray:
    """Lines of an image that may be vertical in the world.

    Args:
        ends: See :func:`line_segments` [px], shape (L, 2, 2).
        width: Of the picture [px].
        height: Of the picture [px].
        focal: [px].
        people: Boxes in which lines are ignored: centre x, centre y, side [px].

    Returns:
        For M lines, the unit normal of the plane through camera and line in camera axes, and the length in image
        heights, shape (M, 4).
    """
    way = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(way, axis=1)
    keep = (length > _LONG * height) & (np.abs(way[:, 1]) > np.cos(_STEEP) * length)
    for x, y, side in people:
        keep &= ~(np.abs(ends - [x, y]) < side / 2).all(-1).any(-1)
    middle = np.abs(ends[..., 0] - (width - 1) / 2)
    keep &= (middle < 0.48 * width).any(1)  # ignores the edges of letterbox bars
    rays = np.concatenate([(ends[keep] - [(width - 1) / 2, (height - 1) / 2]) / focal, np.ones((keep.sum(), 2, 1))], -1)
    normals = np.cross(rays[:, 0], rays[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    return np.concatenate([normals, length[keep, None] / height], 1)
