"""Camera positions and motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError
from mviper.registry import CAMERAS
from mviper.structures import Camera
from mviper.synthesis.scene.mixture import Mixture

#: Compass directions in world axes (north = +y, east = +x).
COMPASS = {"east": (1.0, 0.0, 0.0), "west": (-1.0, 0.0, 0.0), "south": (0.0, -1.0, 0.0), "north": (0.0, 1.0, 0.0)}

#: Minimum depth of every joint in front of the camera [m].
_NEAREST = 0.5
#: Steepest view up or down [rad], with less steep placement: nobody walks straight below a camera.
_STEEPEST, _HIGHEST = 1.05, 0.95
#: Minimum height above the floor of cameras that move up and down [m].
_LOWEST = 0.3
#: Largest offset of the person for a phone that follows late [picture sizes].
_LATE = 0.2


def look_at(eye: np.ndarray, target: np.ndarray, roll: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """World-to-camera transforms of cameras that look at a point.

    Args:
        eye: Camera centres [m], shape (T, 3).
        target: Points to look at [m], shape (T, 3); not straight above or below.
        roll: Rotation about the viewing direction, clockwise seen from behind the camera [rad], () or (T,); 0: upright.

    Returns:
        R (T, 3, 3) and t (T, 3) of ``x_cam = R x_world + t``, x right, y down, z forward.
    """
    forward = target - eye
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(forward, right)
    if np.any(roll):
        cos, sin = (np.broadcast_to(f(roll), len(eye))[:, None] for f in (np.cos, np.sin))
        right, down = cos * right + sin * down, cos * down - sin * right
    R = np.stack([right, down, forward], -2)
    return R, -np.einsum("tij,tj->ti", R, eye)


def direction(azimuth: np.ndarray | float, elevation: np.ndarray | float) -> np.ndarray:
    """Unit vectors in the world by compass bearing (clockwise from north) and height above the horizon [rad]."""
    flat = np.cos(elevation)
    parts = np.broadcast_arrays(flat * np.sin(azimuth), flat * np.cos(azimuth), np.sin(elevation))
    return np.stack(parts, -1)


class FittedCameras:
    """Cameras at the minimum distance with every joint of every frame in the picture and at least half a metre away.

    None looks up or down by more than 60 degrees.

    Args:
        resolution: Width and height of the picture [px].
        margin: Free share of the picture on each side.
    """

    def __init__(self, resolution: int, margin: float) -> None:
        if not 0 <= margin < 0.5 or resolution % 2 or resolution < 16:
            raise ConfigError(
                f"{type(self).__name__}: expected margin in [0, 0.5) and an even resolution of 16 or more (H.264); "
                f"got margin={margin}, resolution={resolution}"
            )
        self.resolution, self.margin = resolution, margin

    def fit(
        self, name: str, focal: float, pose: Callable[[float], tuple[np.ndarray, np.ndarray]], joints: np.ndarray,
        centre: np.ndarray, is_enough: Callable[[float], bool] | None = None,
    ) -> Camera:  # fmt: skip
        """Finds the distance.

        Args:
            name: The camera's name.
            focal: Focal length [px].
            pose: Function from a distance to the centre [m] to R (T, 3, 3) and t (T, 3).
            joints: In the world [m], shape (T, J, 3).
            centre: Reference point of the distance [m], shape (3,) or (T, 3).
            is_enough: Whether a distance [m], and all larger ones, are sufficient. ``None``: whether every joint is in
                the picture with its margin, half a metre away and not seen too steeply.
        """
        size, middle = self.resolution, (self.resolution - 1) / 2
        K = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]])
        reach = np.linalg.norm(joints - np.broadcast_to(centre, (len(joints), 3))[:, None], axis=-1).max()

        def shows_all(distance: float) -> bool:
            camera = Camera(K, *pose(distance), size, size, name)
            if camera.to_camera(joints)[..., 2].min() < _NEAREST or np.abs(camera.R[:, 2, 2]).max() > np.sin(_STEEPEST):
                return False
            return np.abs(camera.project(joints) - middle).max() <= (0.5 - self.margin) * size

        is_enough = shows_all if is_enough is None else is_enough
        near, far = reach + _NEAREST, reach + 2 * reach * focal / size + 100.0
        if is_enough(near):  # short lenses
            near, far = 0.0, near
        for _ in range(40):  # bisection: to 1e-9 of the range
            distance = (near + far) / 2
            near, far = (near, distance) if is_enough(distance) else (distance, far)
        return Camera(K, *pose(far), size, size, name)


def _check_ranges(
    owner: object, count: int, elevation: tuple[float, float] = (0.0, 0.0), **ranges: Sequence[float]
) -> None:
    if max(map(abs, elevation)) > _HIGHEST:
        raise ConfigError(f"{type(owner).__name__}: expected elevation within +-{_HIGHEST} rad, got {elevation}")
    ranges = {"elevation": elevation, **ranges}
    wrong = [f"{key}={value}" for key, value in ranges.items() if len(value) != 2 or value[0] > value[1]]
    if count < 1 or wrong:
        raise ConfigError(
            f"{type(owner).__name__}: count of 1 or more, ranges as (least, most); got count={count} {' '.join(wrong)}"
        )


@CAMERAS.register_module()
class CompassCameras(FittedCameras):
    """The paper's cameras (section 3): one on each side of the person, tracking the pelvis.

    Each stands at the height of the clip's mean pelvis, straight east, west, south or north of it, at the minimum
    distance with every joint of every frame in the picture with a margin.

    Args:
        views: Directions.
        resolution: Width and height of the picture [px].
        lens: Focal length [mm].
        sensor: Sensor width [mm].
        margin: Free share of the picture on each side.
        follow: ``'turn'``: stand still and rotate to the pelvis in each frame (the paper's); ``'translate'``: move with
            the pelvis without rotating.
    """

    def __init__(
        self, views: tuple[str, ...] = ("east", "west", "south", "north"), resolution: int = 250, lens: float = 180.0,
        sensor: float = 32.0, margin: float = 0.08, follow: str = "turn",
    ) -> None:  # fmt: skip
        super().__init__(resolution, margin)
        unknown = [view for view in views if view not in COMPASS]
        if unknown or not views:
            raise ConfigError(f"CompassCameras: expected views among {', '.join(COMPASS)}; got {views}")
        if follow not in ("turn", "translate"):
            raise ConfigError(f"CompassCameras: expected follow 'turn' or 'translate', got {follow!r}")
        if lens <= 0 or sensor <= 0:
            raise ConfigError(f"CompassCameras: expected lens and sensor > 0 [mm], got lens={lens}, sensor={sensor}")
        self.views, self.follow = tuple(views), follow
        self.focal = lens / sensor * resolution  # [px]

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws nothing: an empty dict."""
        return {}

    def __call__(self, joints: np.ndarray, drawn: dict | None = None) -> list[Camera]:
        """The cameras of one clip.

        Args:
            joints: World joints over the clip, the pelvis first [m], shape (T, J, 3).
            drawn: From :meth:`draw`; not used.

        Returns:
            One camera per view.
        """
        joints = np.asarray(joints, np.float64)
        pelvis, mean = joints[:, 0], joints[:, 0].mean(0)
        cameras = []
        for view in self.views:
            side = np.array(COMPASS[view])

            def pose(distance: float, away: np.ndarray = side) -> tuple[np.ndarray, np.ndarray]:
                eye = mean + distance * away
                if self.follow == "turn":
                    return look_at(np.broadcast_to(eye, pelvis.shape), pelvis)
                R, _ = look_at(eye[None], mean[None])
                R = np.repeat(R, len(pelvis), 0)
                return R, -np.einsum("tij,tj->ti", R, eye + pelvis - mean)

            cameras.append(self.fit(view, self.focal, pose, joints, mean))
        return cameras


@CAMERAS.register_module()
class OrbitCameras(FittedCameras):
    """Cameras that circle the person at constant speed, aimed at the pelvis, evenly spaced on the circle.

    Args:
        count: Number of cameras.
        resolution: Width and height of the picture [px].
        lens: Focal length [mm].
        sensor: Sensor width [mm].
        margin: Free share of the picture on each side.
        speed: Range of the speed [rad a frame]; the direction is random too.
        elevation: Range of the height above the pelvis' horizon [rad].
    """

    def __init__(
        self, count: int = 4, resolution: int = 250, lens: float = 85.0, sensor: float = 32.0, margin: float = 0.08,
        speed: tuple[float, float] = (0.004, 0.02), elevation: tuple[float, float] = (-0.05, 0.5),
    ) -> None:  # fmt: skip
        super().__init__(resolution, margin)
        _check_ranges(self, count, speed=speed, elevation=elevation)
        self.count, self.speed, self.elevation = count, speed, elevation
        self.focal = lens / sensor * resolution

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws the orbit.

        Returns:
            ``dict(azimuth`` of the first camera in the first frame [rad], ``speed`` [rad a frame], ``elevation`` [rad]
            of each camera``)``.
        """
        return dict(
            azimuth=float(rng.uniform(0, 2 * np.pi)),
            speed=float(rng.choice([-1, 1]) * rng.uniform(*self.speed)),
            elevation=[float(rng.uniform(*self.elevation)) for _ in range(self.count)],
        )

    def __call__(self, joints: np.ndarray, drawn: dict) -> list[Camera]:
        """The cameras of one clip; arguments as for :class:`CompassCameras`, but ``drawn`` is required."""
        joints = np.asarray(joints, np.float64)
        pelvis, mean = joints[:, 0], joints[:, 0].mean(0)
        turn = drawn["azimuth"] + drawn["speed"] * np.arange(len(joints))
        cameras = []
        for index, elevation in enumerate(drawn["elevation"]):
            away = direction(turn + 2 * np.pi * index / self.count, elevation)

            def pose(distance: float, away: np.ndarray = away) -> tuple[np.ndarray, np.ndarray]:
                return look_at(_above_floor(mean + distance * away), pelvis)

            cameras.append(self.fit(f"orbit_{index}", self.focal, pose, joints, mean))
        return cameras


@CAMERAS.register_module()
class PhoneCameras(FittedCameras):
    """Hand-held phones as in typical videos: from below and above, tilted, shaky, near and far.

    Rare settings are drawn rarely: elevation, roll and the holder's walk are drawn uniformly in their range, then
    multiplied by a uniform factor in [0, 1], so they are densest at 0; likewise the lens, from its shortest up.

    The person fills a random share of the picture, not always in its middle: an edge may cut off up to a given part.
    Sway and shake are sums of sines of random phase with periods round :attr:`period` frames, the spectrum of hands at
    rest being broad round 1 Hz.

    Args:
        count: Number of cameras, spread round the person.
        resolution: Width and height of the picture [px].
        lens: Range of the focal length [mm]; on 36 mm, 23.5 to 37.5 are a phone's 85 to 60 degrees across the picture's
            diagonal, 78 its tele.
        sensor: Sensor width [mm].
        elevation: Range of the height above the pelvis' horizon [rad]; no camera is less than 0.3 m above the floor.
        roll: Maximum tilt to either side [rad].
        fill: Range of the larger side of the box round the joints, in the frame where it is largest, as a share of the
            picture's.
        cut: Largest share of that side beyond the picture's edge; less than half.
        sway: Range of the hands' movement, root mean square along each axis [m].
        shake: Range of the view's rotation about each axis, root mean square [rad].
        lag: Range of the sigma of the Gaussian that smooths the followed joints' box [frames].
        walk: Maximum walking speed of the holder [m a frame].
        period: Period of sway and shake [frames].
    """

    kind = "phone"  # the cameras' name

    def __init__(
        self, count: int = 4, resolution: int = 250, lens: tuple[float, float] = (23.5, 78.0), sensor: float = 36.0,
        elevation: tuple[float, float] = (-0.26, 0.79), roll: float = 0.26, fill: tuple[float, float] = (0.25, 0.95),
        cut: float = 0.3, sway: tuple[float, float] = (0.003, 0.03), shake: tuple[float, float] = (0.001, 0.02),
        lag: tuple[float, float] = (2.0, 15.0), walk: float = 0.02, period: float = 30.0,
    ) -> None:  # fmt: skip
        super().__init__(resolution, 0.0)
        _check_ranges(self, count, elevation, lens=lens, fill=fill, sway=sway, shake=shake, lag=lag)
        if min(lens[0], fill[0], sway[0], shake[0], lag[0]) <= 0 or fill[1] > 1 or not 0 <= cut < 0.5:
            raise ConfigError(
                f"{type(self).__name__}: lens, fill, sway, shake, lag > 0, fill <= 1, cut in [0, 0.5); got "
                f"lens={lens}, fill={fill}, sway={sway}, shake={shake}, lag={lag}, cut={cut}"
            )
        self.count, self.lens, self.sensor, self.elevation, self.roll = count, lens, sensor, elevation, roll
        self.fill, self.cut, self.sway, self.shake, self.lag = fill, cut, sway, shake, lag
        self.walk, self.period = walk, period

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws the cameras' positions, lenses and steadiness.

        Returns:
            ``dict(cameras=[dict(azimuth, elevation, roll [rad], lens [mm], fill, aim`` (x, y: the person's offset from
            the picture's middle, in picture sizes)``, sway [m], shake [rad], lag [frames], walk`` (x, y [m a frame])``,
            seed), ...])``.
        """
        start = rng.uniform(0, 2 * np.pi)
        return dict(cameras=[self._draw_one(start, index, rng) for index in range(self.count)])

    def _draw_one(self, start: float, index: int, rng: np.random.Generator) -> dict:
        shortest, longest = self.lens
        fill = rng.uniform(*self.fill)
        aim = rng.uniform(-1, 1, size=2) * ((1 - fill) / 2 + self.cut * fill * rng.uniform(size=2))
        pace, heading = self.walk * rng.uniform() * rng.uniform(), rng.uniform(0, 2 * np.pi)
        return dict(
            azimuth=float(start + 2 * np.pi * (index + rng.uniform(-0.3, 0.3)) / self.count),
            elevation=float(rng.uniform(*self.elevation) * rng.uniform()),
            roll=float(rng.uniform(-self.roll, self.roll) * rng.uniform()),
            lens=float(shortest * (longest / shortest) ** (rng.uniform() * rng.uniform())),
            fill=float(fill),
            aim=aim.tolist(),
            **{name: float(np.exp(rng.uniform(*np.log(getattr(self, name))))) for name in ("sway", "shake", "lag")},
            walk=[float(pace * np.sin(heading)), float(pace * np.cos(heading))],
            seed=int(rng.integers(2**31)),
        )

    def __call__(self, joints: np.ndarray, drawn: dict) -> list[Camera]:
        """The cameras of one clip; arguments as for :class:`CompassCameras`, but ``drawn`` is required."""
        joints = np.asarray(joints, np.float64)
        return [self._place(f"{self.kind}_{index}", joints, one) for index, one in enumerate(drawn["cameras"])]

    def _place(self, name: str, joints: np.ndarray, one: dict) -> Camera:
        frames, size = len(joints), self.resolution
        focal = one["lens"] / self.sensor * size
        middles = (joints.min(1) + joints.max(1)) / 2
        followed = gaussian_filter1d(middles, one["lag"], axis=0, mode="nearest")
        noise = smooth_noise(np.random.default_rng(one["seed"]), frames, 6, self.period)
        hands = one["sway"] * noise[:, :3]
        hands[:, :2] += (np.arange(frames) - (frames - 1) / 2)[:, None] * one["walk"]
        # From looking at the person to the drawn position in the picture, with shake.
        right, down = np.array(one["aim"]) * size / focal
        aside = np.arctan(np.hypot(right, down)) / max(np.hypot(right, down), 1e-9)
        shake = Rotation.from_rotvec(one["shake"] * noise[:, 3:])
        turns = (shake * Rotation.from_rotvec([-down * aside, right * aside, 0.0])).as_matrix()

        def place(distance: float) -> np.ndarray:
            return _above_floor(self._stand(middles.mean(0), distance, one) + hands)

        def pose(distance: float) -> tuple[np.ndarray, np.ndarray]:
            eye = place(distance)
            R = turns @ look_at(eye, followed, one["roll"])[0]
            return R, -np.einsum("tij,tj->ti", R, eye)

        def is_enough(distance: float) -> bool:
            eye = place(distance)
            R, _ = look_at(eye, followed)
            straight = np.einsum("tij,tnj->tni", R, joints - eye[:, None])
            if straight[..., 2].min() < _NEAREST or np.abs(R[:, 2, 2]).max() > np.sin(_STEEPEST):
                return False
            pixels = focal * straight[..., :2] / straight[..., 2:]
            low, high = pixels.min(1), pixels.max(1)
            return (high - low).max() <= one["fill"] * size and np.abs(low + high).max() / 2 <= _LATE * size

        return self.fit(name, focal, pose, joints, middles.mean(0), is_enough if "fill" in one else None)

    def _stand(self, middle: np.ndarray, distance: float, one: dict) -> np.ndarray:
        """Mean position of a camera [m], shape (3,)."""
        return middle + distance * direction(one["azimuth"], one["elevation"])


@CAMERAS.register_module()
class HandheldCameras(PhoneCameras):
    """Phones held level at chest to eye height, at the minimum distance with the whole person in the picture.

    Args:
        count: Number of cameras, spread round the person.
        resolution: Width and height of the picture [px].
        lens: Range of the focal length [mm].
        sensor: Sensor width [mm].
        margin: Free share of the picture on each side.
        height: Range of the height above the floor [m].
        sway: Movement of the hands, root mean square along each axis [m].
        shake: Rotation of the view about each axis, root mean square [rad].
        lag: Sigma of the Gaussian that smooths the followed joints' box [frames].
        period: Period of sway and shake [frames].
    """

    kind = "handheld"

    def __init__(
        self, count: int = 4, resolution: int = 250, lens: tuple[float, float] = (26.0, 50.0), sensor: float = 36.0,
        margin: float = 0.08, height: tuple[float, float] = (1.1, 1.75), sway: float = 0.02, shake: float = 0.012,
        lag: float = 5.0, period: float = 30.0,
    ) -> None:  # fmt: skip
        steady = dict(sway=(sway, sway), shake=(shake, shake), lag=(lag, lag))
        super().__init__(count, resolution, lens, sensor, elevation=(0.0, 0.0), walk=0.0, period=period, **steady)
        _check_ranges(self, count, height=height)
        FittedCameras.__init__(self, resolution, margin)
        self.height = height

    def _draw_one(self, start: float, index: int, rng: np.random.Generator) -> dict:
        """Azimuth [rad], lens [mm], height [m] and seed; the same for all: roll, aim, sway, shake, lag, walk."""
        return dict(
            azimuth=float(start + 2 * np.pi * (index + rng.uniform(-0.3, 0.3)) / self.count),
            lens=float(np.exp(rng.uniform(*np.log(self.lens)))),
            height=float(rng.uniform(*self.height)),
            seed=int(rng.integers(2**31)),
            roll=0.0,
            aim=[0.0, 0.0],
            **{name: float(getattr(self, name)[0]) for name in ("sway", "shake", "lag")},
            walk=[0.0, 0.0],
        )

    def _stand(self, middle: np.ndarray, distance: float, one: dict) -> np.ndarray:
        return np.array([*(middle + distance * direction(one["azimuth"], 0.0))[:2], one["height"]])


@CAMERAS.register_module()
class WideAngleCameras(FittedCameras):
    """Close cameras with short lenses: strong perspective, from low and from above. They stand still and rotate.

    Args:
        count: Number of cameras, spread round the person.
        resolution: Width and height of the picture [px].
        lens: Range of the focal length [mm].
        sensor: Sensor width [mm].
        margin: Free share of the picture on each side.
        elevation: Range of the height above the pelvis' horizon [rad].
    """

    def __init__(
        self, count: int = 4, resolution: int = 250, lens: tuple[float, float] = (16.0, 28.0), sensor: float = 36.0,
        margin: float = 0.08, elevation: tuple[float, float] = (-0.25, 0.7),
    ) -> None:  # fmt: skip
        super().__init__(resolution, margin)
        _check_ranges(self, count, lens=lens, elevation=elevation)
        self.count, self.lens, self.sensor, self.elevation = count, lens, sensor, elevation

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws positions and lenses.

        Returns:
            ``dict(cameras=[dict(azimuth, elevation [rad], lens [mm]), ...])``.
        """
        start = rng.uniform(0, 2 * np.pi)
        cameras = [
            dict(
                azimuth=float(start + 2 * np.pi * (index + rng.uniform(-0.3, 0.3)) / self.count),
                elevation=float(rng.uniform(*self.elevation)),
                lens=float(np.exp(rng.uniform(*np.log(self.lens)))),
            )
            for index in range(self.count)
        ]
        return dict(cameras=cameras)

    def __call__(self, joints: np.ndarray, drawn: dict) -> list[Camera]:
        """The cameras of one clip; arguments as for :class:`CompassCameras`, but ``drawn`` is required."""
        joints = np.asarray(joints, np.float64)
        pelvis, mean = joints[:, 0], joints[:, 0].mean(0)
        cameras = []
        for index, one in enumerate(drawn["cameras"]):
            away = direction(one["azimuth"], one["elevation"])

            def pose(distance: float, away: np.ndarray = away) -> tuple[np.ndarray, np.ndarray]:
                return look_at(_above_floor(np.broadcast_to(mean + distance * away, pelvis.shape)), pelvis)

            focal = one["lens"] / self.sensor * self.resolution
            cameras.append(self.fit(f"wide_{index}", focal, pose, joints, mean))
        return cameras


@CAMERAS.register_module()
class TripodCameras(FittedCameras):
    """Cameras at fixed positions: high or low, slightly rolled, still or panning with the person.

    Args:
        count: Number of cameras, spread round the person.
        resolution: Width and height of the picture [px].
        lens: Range of the focal length [mm].
        sensor: Sensor width [mm].
        margin: Free share of the picture on each side.
        elevation: Range of the height above the pelvis' horizon [rad].
        roll: Range of the rotation about the viewing direction [rad].
        panning: Probability that a camera follows the person.
        lag: Then the sigma of the Gaussian that smooths the followed pelvis [frames].
    """

    def __init__(
        self, count: int = 4, resolution: int = 250, lens: tuple[float, float] = (24.0, 70.0), sensor: float = 36.0,
        margin: float = 0.08, elevation: tuple[float, float] = (-0.1, 0.6), roll: tuple[float, float] = (-0.15, 0.15),
        panning: float = 0.5, lag: float = 5.0,
    ) -> None:  # fmt: skip
        super().__init__(resolution, margin)
        _check_ranges(self, count, lens=lens, elevation=elevation, roll=roll)
        if not 0 <= panning <= 1:
            raise ConfigError(f"TripodCameras: expected panning as a probability, got {panning}")
        self.count, self.lens, self.sensor, self.elevation = count, lens, sensor, elevation
        self.roll, self.panning, self.lag = roll, panning, lag

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws who stands where.

        Returns:
            ``dict(cameras=[dict(azimuth, elevation, roll [rad], lens [mm], pans), ...])``.
        """
        start = rng.uniform(0, 2 * np.pi)
        cameras = [
            dict(
                azimuth=float(start + 2 * np.pi * (index + rng.uniform(-0.3, 0.3)) / self.count),
                elevation=float(rng.uniform(*self.elevation)),
                roll=float(rng.uniform(*self.roll)),
                lens=float(np.exp(rng.uniform(*np.log(self.lens)))),
                pans=bool(rng.uniform() < self.panning),
            )
            for index in range(self.count)
        ]
        return dict(cameras=cameras)

    def __call__(self, joints: np.ndarray, drawn: dict) -> list[Camera]:
        """The cameras of one clip; arguments as for :class:`CompassCameras`, but ``drawn`` is required."""
        joints = np.asarray(joints, np.float64)
        mean = joints[:, 0].mean(0)
        followed = gaussian_filter1d(joints[:, 0], max(self.lag, 1e-6), axis=0, mode="nearest")
        cameras = []
        for index, one in enumerate(drawn["cameras"]):
            away = direction(one["azimuth"], one["elevation"])
            target = followed if one["pans"] else np.broadcast_to(mean, followed.shape)

            def pose(distance: float, away=away, target=target, roll=one["roll"]) -> tuple[np.ndarray, np.ndarray]:
                return look_at(_above_floor(np.broadcast_to(mean + distance * away, target.shape)), target, roll)

            focal = one["lens"] / self.sensor * self.resolution
            cameras.append(self.fit(f"tripod_{index}", focal, pose, joints, mean))
        return cameras


@CAMERAS.register_module()
class MixedCameras(Mixture):
    """A random kind of cameras for each sequence.

    Args:
        cameras: Configs of camera samplers, all of one resolution.
        weights: Relative frequencies; equal by default.
    """

    def __init__(self, cameras: Sequence[dict], weights: Sequence[float] | None = None) -> None:
        super().__init__([CAMERAS.build(one) for one in cameras], weights)

    def __call__(self, joints: np.ndarray, drawn: dict) -> list[Camera]:
        """The cameras of one clip, of the drawn kind."""
        return self.chosen(drawn)(joints, drawn)


def _above_floor(eye: np.ndarray) -> np.ndarray:
    return np.concatenate([eye[:, :2], np.maximum(eye[:, 2:], _LOWEST)], 1)


def smooth_noise(rng: np.random.Generator, frames: int, channels: int, period: float) -> np.ndarray:
    """Smooth noise of unit variance, independent of the clip's length.

    Args:
        rng: Draws periods and phases.
        frames: T.
        channels: C.
        period: Typical period [frames]; the sines' are up to twice and half as long.

    Returns:
        Shape (T, C).
    """
    sines = 5
    periods = period * 2.0 ** rng.uniform(-1, 1, size=(sines, channels))
    phases = rng.uniform(0, 2 * np.pi, size=(sines, channels))
    angles = 2 * np.pi * np.arange(frames)[:, None, None] / periods + phases
    return np.sqrt(2 / sines) * np.sin(angles).sum(1)
