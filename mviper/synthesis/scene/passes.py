"""Optional annotation passes: segmentation, depth, normals and optical flow of each pixel. Pure numpy.

They are computed from the rendered meshes, not by the renderer: values are exact at the pixel's centre, without
smoothed edges or jittered samples, for any renderer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mviper.errors import ConfigError
from mviper.files import save_npz
from mviper.graphics import perspective, rasterize
from mviper.structures import IMAGE_PASSES, Camera, PassWriter, person_file
from mviper.synthesis.scene.scene import SceneMesh

#: Passes that are whole meshes, one file per sequence.
MESH_PASSES = ("garments", "vertices")

#: A point at most this far behind the first hit of the next frame's pixel counts as visible there [m].
_SAME = 0.02


def check_passes(names: object) -> list[str]:
    """Checks a config's ``passes``.

    Returns:
        The names in the documented order.

    Raises:
        ConfigError: Not a list of known names.
    """
    known = (*IMAGE_PASSES, *MESH_PASSES)
    if not isinstance(names, list | tuple) or any(name not in known for name in names):
        raise ConfigError(f"passes is a list of {', '.join(known)}; got {names!r}")
    return [name for name in known if name in names]


class _View:
    """One camera's view, frame by frame, of all meshes as one."""

    def __init__(self, meshes: Sequence[SceneMesh], camera: Camera) -> None:
        self.meshes, self.camera = meshes, camera
        starts = np.cumsum([0, *(part.mesh.vertices.shape[1] for part in meshes)])
        self.faces = np.concatenate([part.mesh.faces + start for part, start in zip(meshes, starts)])
        self.face_label = np.repeat(
            np.arange(1, len(meshes) + 1, dtype=np.uint8), [len(part.mesh.faces) for part in meshes]
        )
        self.rows, self.columns = np.mgrid[: camera.height, : camera.width].astype(float)

    def points(self, frame: int) -> np.ndarray:
        """All vertices in the camera's axes [m], shape (V, 3)."""
        vertices = np.concatenate([part.mesh.vertices[frame] for part in self.meshes]).astype(np.float64)
        return vertices @ self.camera.R[frame].T + self.camera.t[frame]

    def look(self, frame: int) -> _Look:
        """Visible surface at each pixel's centre."""
        return _Look(self, frame)


class _Look:
    """One frame of a view.

    Attributes:
        points: All vertices in camera axes [m], shape (V, 3).
        there: Foreground pixels, shape (H, W) bool; P of them, row by row.
        label: Number of the mesh at a pixel, from 1, or 0, shape (H, W) uint8.
        depth: z in camera axes [m], infinite on the background, shape (H, W).
    """

    def __init__(self, view: _View, frame: int) -> None:
        camera, self.view = view.camera, view
        self.points = view.points(frame)
        self.screen = perspective(self.points, view.faces, camera.K)
        found = rasterize(self.screen, view.faces, camera.height, camera.width, cull=False)
        self.there = found.mask
        self.face = found.face[self.there]
        self.corners = view.faces[self.face]  # (P, 3)
        pixels = self.screen.points[self.corners]
        here = np.stack([view.columns[self.there], view.rows[self.there]], -1)
        a, b, c = (pixels[:, k] - here for k in range(3))
        on_screen = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], 1)
        self.area = on_screen.sum(1)  # sign: the visible side of the triangle
        # 1 / z is linear on the screen, and so are values divided by z.
        weights = on_screen / self.points[self.corners, 2]
        self.weights = weights / weights.sum(1, keepdims=True)  # barycentric in space, (P, 3)
        self.label = np.zeros(self.there.shape, np.uint8)
        self.label[self.there] = view.face_label[self.face]
        self.depth = np.full(self.there.shape, np.inf)
        self.depth[self.there] = self.spread(self.points[:, 2:])[:, 0]

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Interpolates vertex values (V, C) at the foreground pixels, (P, C)."""
        return np.einsum("pk,pkc->pc", self.weights, values[self.corners])

    def normals(self) -> np.ndarray:
        """Smooth normals in camera axes on the visible side, zero on the background, (H, W, 3)."""
        normals = self.spread(self.screen.normals)
        normals[self.area > 0] *= -1  # seen from behind: clockwise faces, y down
        picture = np.zeros((*self.there.shape, 3))
        picture[self.there] = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
        return picture


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _flow(now: _Look, after: _Look, frame: int) -> np.ndarray:
    """Optical flow to the next frame and visibility there, (H, W, 3); see :meth:`PassFile.read`."""
    view = now.view
    camera = view.camera
    # The background is infinitely distant: it moves only with the camera's rotation.
    turn = camera.K @ camera.R[frame + 1] @ camera.R[frame].T @ np.linalg.inv(camera.K)
    place = np.stack([view.columns, view.rows, np.ones_like(view.rows)], -1) @ turn.T
    depth = np.full(now.there.shape, np.inf)
    moved = now.spread(after.points)
    place[now.there] = moved @ camera.K.T
    depth[now.there] = moved[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        place = place[..., :2] / place[..., 2:]
    flow = np.zeros((*now.there.shape, 3))
    flow[..., 0], flow[..., 1] = place[..., 0] - view.columns, place[..., 1] - view.rows
    # Visible again if the pixel nearest to the new position shows the same mesh, and no nearer part of it: on a surface
    # at a grazing angle, half a pixel aside may be two pixels' width nearer.
    size = np.array([camera.width, camera.height])
    with np.errstate(invalid="ignore"):
        inside = ((place >= -0.5) & (place < size - 0.5)).all(-1) & (depth > 0)
    column, row = np.round(place[inside]).astype(int).clip(0, size - 1).T
    found, wanted, person = after.depth[row, column], depth[inside], now.there[inside]
    same = after.label[row, column] == now.label[inside]
    same[person] &= wanted[person] - found[person] < _SAME + 2 * wanted[person] / camera.K[0, 0]
    flow[inside, 2] = same
    return flow


def view_passes(
    meshes: Sequence[SceneMesh], camera: Camera, names: Sequence[str]
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Computes the picture passes of one view.

    Args:
        meshes: The rendered meshes, without the floor's shadow.
        camera: The view.
        names: A selection of ``IMAGE_PASSES``.

    Yields:
        Name, frame and values as from :meth:`mviper.structures.passes.PassFile.read`, frame by frame. The number of a
        mesh in ``segmentation`` is its position in ``meshes``, from 1.
    """
    view = _View(meshes, camera)
    frames = len(meshes[0].mesh)
    look = view.look(0)
    for frame in range(frames):
        if "segmentation" in names:
            yield "segmentation", frame, look.label
        if "depth" in names:
            yield "depth", frame, look.depth.astype(np.float32)
        if "normals" in names:
            yield "normals", frame, look.normals().astype(np.float32)
        if frame + 1 < frames:
            after = view.look(frame + 1)
            if "flow" in names:
                yield "flow", frame, _flow(look, after, frame).astype(np.float32)
            look = after


def write_passes(
    folder: Path, names: Sequence[str], meshes: Sequence[SceneMesh], cameras: Sequence[Camera],
    people: Sequence[str] = ("",),
) -> None:  # fmt: skip
    """Writes the passes of a sequence: ``<view>_passes.zip``, and ``garments.npz``, ``vertices.npz`` of each person.

    Args:
        folder: The sequence's.
        names: From :func:`check_passes`.
        meshes: The rendered meshes, each person's body first.
        cameras: The views.
        people: The people's names in the names of files, see :func:`mviper.structures.person_file`.
    """
    owners = [part.person + 1 for part in meshes]
    wanted = [name for name in names if name in IMAGE_PASSES]
    for camera in cameras if wanted else ():
        depth = [camera.to_camera(part.mesh.vertices)[..., 2] for part in meshes]
        near, far = min(float(z.min()) for z in depth), max(float(z.max()) for z in depth)
        path, size = folder / f"{camera.name}_passes.zip", (camera.width, camera.height)
        labels = [part.mesh.name if len(people) == 1 else f"{people[part.person]}_{part.mesh.name}" for part in meshes]
        with PassWriter(
            path, len(meshes[0].mesh), *size, wanted, ["background", *labels], near, far,
            None if len(people) == 1 else [0, *owners],
        ) as writer:  # fmt: skip
            for name, frame, values in view_passes(meshes, camera, wanted):
                writer.add(name, frame, values)
    for number, person in enumerate(people):
        own = [part for part in meshes if part.person == number]
        if "garments" in names:
            arrays = {}
            for mesh in (part.mesh for part in own if part.garment):
                arrays |= {f"{mesh.name}_vertices": mesh.vertices.astype(np.float32), f"{mesh.name}_faces": mesh.faces}
                arrays |= {f"{mesh.name}_uv": mesh.uv.astype(np.float32)}
            save_npz(folder / f"{person_file('garments', person)}.npz", **arrays)
        if "vertices" in names:
            path = folder / f"{person_file('vertices', person)}.npz"
            save_npz(path, vertices=own[0].mesh.vertices.astype(np.float32))
