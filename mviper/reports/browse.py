"""Contact sheets and a page for viewing motions before anything is generated from them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import nn

from mviper.body import axis_angle_to_matrix, same_body
from mviper.extras import import_extra
from mviper.graphics import TRUTH_COLOUR, contact_sheet, draw_label, overlay, view
from mviper.structures import Camera, Motion

_PAPER = (238, 240, 243)
_LINE = (205, 210, 217)


def motion_sheet(
    motion: Motion, body: nn.Module, *, pictures: int = 10, columns: int = 5, size: int = 256
) -> np.ndarray:
    """Evenly spaced moments of a motion, with the body on a floor grid, seen from the front and slightly from the left.

    Args:
        motion: In the world.
        body: The body, shown in its mean shape if the motion's betas belong to another body.
        pictures: Number of pictures.
        columns: Pictures per row.
        size: Side of a picture [px].

    Returns:
        RGB sheet.
    """
    rows = np.unique(np.linspace(0, len(motion) - 1, pictures).round().astype(int))
    vertices = _vertices(motion, body, rows)
    camera = _camera_for(vertices, size)
    images = []
    for i, row in enumerate(rows):
        image = overlay(_floor(camera, i), view(vertices[i], body.faces, camera, i), body.faces, colour=TRUTH_COLOUR)
        images.append(draw_label(image, f"{row / motion.fps:.2f} s"))
    return contact_sheet(images, columns)


def _vertices(motion: Motion, body: nn.Module, rows: np.ndarray) -> np.ndarray:
    """The body in some frames (N, V, 3) [m], in its mean shape if the motion's betas belong to another body."""
    betas = motion.betas if same_body(motion.body_model, body.body_model_id) else np.zeros(body.num_betas)
    vertices = []
    with torch.no_grad():
        for some in np.array_split(rows, max(1, len(rows) // 32)):
            posed = body(
                torch.tensor(np.tile(betas, (len(some), 1)), dtype=torch.float32),
                axis_angle_to_matrix(torch.tensor(motion.poses[some], dtype=torch.float32)),
                torch.tensor(motion.transl[some], dtype=torch.float32),
            )
            vertices.append(posed.vertices.numpy())
    return np.concatenate(vertices)


#: Maximum number of meshes on a page; each takes about 60 kB.
_PAGE_MESHES = 300

#: Distance between the bodies on a page [m].
_APART = 2.5


def motion_page(motions: Sequence[Motion], body: nn.Module) -> str:
    """A self-contained page with the animated meshes of some motions side by side; it needs no network.

    Frames are dropped, down to ten per second, and then ends cut off, to keep the page below some 20 MB.

    Args:
        motions: In the world; each is moved to start next to the previous one.
        body: As in :func:`motion_sheet`.

    Returns:
        HTML.

    Raises:
        MissingDependencyError: viser is not installed.
    """
    viser = import_extra("viser")
    seconds = max(len(motion) / motion.fps for motion in motions)
    fps = float(np.clip(_PAGE_MESHES / len(motions) / seconds, 10.0, 30.0))
    frames = max(1, round(min(seconds * fps, _PAGE_MESHES / len(motions))))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a server address that is of no use here
        server = viser.ViserServer(host="127.0.0.1", verbose=False)
    try:
        server.scene.set_up_direction("+z")
        server.scene.add_grid("/floor", width=40.0, height=40.0, cell_size=0.5, section_size=1.0)
        shown = []
        for number, motion in enumerate(motions):
            rows = np.minimum((np.arange(frames) * motion.fps / fps).round().astype(int), len(motion) - 1)
            place = [(number - (len(motions) - 1) / 2) * _APART, 0.0, 0.0]
            moved = _vertices(motion, body, rows) + (place - motion.transl[0] * [1, 1, 0])
            # Values rounded to binary fractions (0.5 mm) compress to half the size.
            vertices = (np.round(moved * 2048) / 2048).astype(np.float32)
            mesh = server.scene.add_mesh_simple(f"/body_{number}", vertices[0], body.faces, color=TRUTH_COLOUR)
            if motion.name:
                server.scene.add_label(f"/name_{number}", motion.name, position=(place[0], place[1], 0.0))
            shown.append((mesh, vertices))
        middle = np.mean([vertices.mean(axis=(0, 1)) for _, vertices in shown], axis=0)
        reach = 0.5 + _APART * len(motions)
        server.initial_camera.look_at = tuple(middle)
        server.initial_camera.position = tuple(middle + np.array([0.35, -0.8, 0.35]) * reach)
        recording = server.get_scene_serializer()
        for frame in range(frames):
            for mesh, vertices in shown:
                mesh.vertices = vertices[frame]
            recording.insert_sleep(1 / fps)
        return recording.as_html()
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()


def _camera_for(vertices: np.ndarray, size: int) -> Camera:
    """A camera that follows the body (T, V, 3) [m] at a constant distance, so that sizes are comparable."""
    low, high = vertices.min(axis=1), vertices.max(axis=1)
    reach = np.linalg.norm(high - low, axis=1).max()
    forward = np.array([-0.45, 0.85, -0.25])  # from the south-east, slightly above
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])  # OpenCV: x right, y down, z forward
    centre = (low + high) / 2
    translation = -centre @ rotation.T + [0.0, 0.0, 4.0 * reach]
    focal = 0.95 * size * 4.0
    K = np.array([[focal, 0, (size - 1) / 2], [0, focal, (size - 1) / 2], [0, 0, 1]])
    return Camera(K, np.repeat(rotation[None], len(vertices), 0), translation, size, size)


def _floor(camera: Camera, frame: int, spacing: float = 0.5, half: float = 6.0) -> np.ndarray:
    """Lines of a world grid on z = 0, as far as they lie within the picture."""
    image = np.full((camera.height, camera.width, 3), _PAPER, np.uint8)
    centre = -camera.R[frame].T @ camera.t[frame]
    ahead = centre + camera.R[frame, 2] * (-centre[2] / camera.R[frame, 2, 2])  # where the axis meets the floor
    middle = np.round(ahead[:2] / spacing) * spacing
    steps = np.arange(-half, half + spacing / 2, spacing)
    for axis in (0, 1):
        ends = np.zeros((len(steps), 2, 3))
        ends[..., axis] = middle[axis] + steps[:, None]
        ends[..., 1 - axis] = middle[1 - axis] + np.array([-half, half])
        points = (ends @ camera.R[frame].T + camera.t[frame]) @ camera.K.T
        for a, b in points:
            if min(a[2], b[2]) > 0.1:
                start, stop = (tuple(int(value) for value in np.round(p[:2] / p[2] * 16)) for p in (a, b))
                cv2.line(image, start, stop, _LINE, 1, cv2.LINE_AA, 4)
    return image
