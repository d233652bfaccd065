"""Where the cameras stand, and how they turn."""

from __future__ import annotations

import numpy as np

from mviper.errors import ConfigError
from mviper.registry import CAMERAS
from mviper.structures import Camera

#: Compass directions in world axes (north = +y, east = +x).
COMPASS = {"east": (1.0, 0.0, 0.0), "west": (-1.0, 0.0, 0.0), "south": (0.0, -1.0, 0.0), "north": (0.0, 1.0, 0.0)}


def look_at(eye: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World-to-camera transforms of upright cameras that look at a point.

    Args:
        eye: Camera centres [m], shape (T, 3).
        target: What each looks at [m], shape (T, 3); not straight above or below.

    Returns:
        R (T, 3, 3) and t (T, 3) of ``x_cam = R x_world + t``, x right, y down, z forward.
    """
    forward = target - eye
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    R = np.stack([right, np.cross(forward, right), forward], -2)
    return R, -np.einsum("tij,tj->ti", R, eye)


@CAMERAS.register_module()
class CompassCameras:
    """The paper's cameras (section 3): one on each side of the person, tracking the pelvis.

    Each stands at the height of the clip's mean pelvis, straight east, west, south or north of it, at the least
    distance that keeps every joint of every frame in the picture with a margin.

    Args:
        views: Which directions.
        resolution: Width and height of the picture [px].
        lens: Focal length [mm].
        sensor: Sensor width [mm].
        margin: Share of the picture that stays free on each side.
        follow: ``'turn'``: stand still and turn to the pelvis in each frame (the paper's); ``'translate'``: move
            along with the pelvis, never turn.
    """

    def __init__(
        self, views: tuple[str, ...] = ("east", "west", "south", "north"), resolution: int = 250, lens: float = 180.0,
        sensor: float = 32.0, margin: float = 0.08, follow: str = "turn",
    ) -> None:  # fmt: skip
        unknown = [view for view in views if view not in COMPASS]
        if unknown or not views:
            raise ConfigError(f"CompassCameras: views are some of {', '.join(COMPASS)}; got {views}")
        if follow not in ("turn", "translate"):
            raise ConfigError(f"CompassCameras: follow is 'turn' or 'translate', got {follow!r}")
        if not 0 <= margin < 0.5 or resolution % 2 or resolution < 16 or lens <= 0 or sensor <= 0:
            raise ConfigError(
                "CompassCameras: margin in [0, 0.5), an even resolution of 16 or more (H.264), lens and sensor > 0; "
                f"got margin={margin}, resolution={resolution}, lens={lens}, sensor={sensor}"
            )
        self.views, self.resolution, self.margin, self.follow = tuple(views), resolution, margin, follow
        self.focal = lens / sensor * resolution  # [px]

    def __call__(self, joints: np.ndarray) -> list[Camera]:
        """The cameras of one clip.

        Args:
            joints: World joints over the clip, the pelvis first [m], shape (T, J, 3).

        Returns:
            One camera a view.
        """
        return [self._camera(view, np.asarray(joints, np.float64)) for view in self.views]

    def _camera(self, view: str, joints: np.ndarray) -> Camera:
        centre = (self.resolution - 1) / 2
        K = np.array([[self.focal, 0, centre], [0, self.focal, centre], [0, 0, 1.0]])
        reach = np.linalg.norm(joints - joints[:, :1].mean(0), axis=-1).max()
        near, far = reach + 0.5, reach + 2 * reach * self.focal / self.resolution + 100.0
        for _ in range(40):  # bisection: to 1e-9 of the range
            distance = (near + far) / 2
            R, t = self._pose(view, joints[:, 0], distance)
            camera = Camera(K, R, t, self.resolution, self.resolution, view)
            off_centre = np.abs(camera.project(joints) - centre).max()
            if off_centre > (0.5 - self.margin) * self.resolution:
                near = distance
            else:
                far = distance
        R, t = self._pose(view, joints[:, 0], far)
        return Camera(K, R, t, self.resolution, self.resolution, view)

    def _pose(self, view: str, pelvis: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
        eye = pelvis.mean(0) + distance * np.array(COMPASS[view])
        if self.follow == "turn":
            return look_at(np.broadcast_to(eye, pelvis.shape), pelvis)
        R, _ = look_at(eye[None], pelvis.mean(0)[None])
        R = np.repeat(R, len(pelvis), 0)
        return R, -np.einsum("tij,tj->ti", R, eye + pelvis - pelvis.mean(0))
