"""Textile laboratory tests of a cloth engine: free fall, hanging sheet, cantilever, Cusick's drape test.

They run through :meth:`~mviper.synthesis.simulation.dressing.ClothSimulator.simulate`, like garments, so they apply to
any engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.integrate import solve_ivp
from scipy.spatial import Delaunay

from mviper.structures import Garment, MeshSequence
from mviper.synthesis.simulation import ClothSimulator, SewnGarment, edges_of

#: Radii of specimen and stand in Cusick's test (BS 5058, ISO 9073-9: 30 cm on 18 cm) [m].
SPECIMEN, STAND = 0.15, 0.09
#: Initial amplitude of the waves in the specimen's rim in Cusick's test [m].
UNEVEN = 0.006


@dataclass(frozen=True)
class DrapeTest:
    """Result of Cusick's drape test.

    Attributes:
        coefficient: Share of the overhanging ring covered by the shadow [%]: 0 hangs straight down, 100 stays flat.
        nodes: Number of folds.
        vertices: The draped specimen, with the stand's axis at x = y = 0 [m], shape (V, 3).
        faces: Shape (F, 3).
        free: Whether each vertex is beyond the stand, (V,) bool.
    """

    coefficient: float
    nodes: int
    vertices: np.ndarray
    faces: np.ndarray
    free: np.ndarray


def free_fall(
    simulator: ClothSimulator, material: str, seconds: float = 0.5, fps: float = 30.0, steps: int = 10
) -> np.ndarray:
    """Depth of a sheet in free fall from rest, frame by frame [m], shape (T,)."""
    flat, faces = sheet(0.3, 0.3, 0.03)
    start = np.column_stack([flat, np.full(len(flat), 5.0)])
    moved = _run(simulator, flat, faces, start, np.zeros(len(flat), bool), material, seconds, fps, steps)
    return 5.0 - moved[:, :, 2].mean(axis=1)


def hanging_sheet(
    simulator: ClothSimulator,
    material: str,
    length: float = 0.5,
    edge_length: float = 0.025,
    seconds: float = 2.0,
    fps: float = 60.0,
    steps: int = 10,
) -> np.ndarray:
    """Releases a horizontal sheet held at one edge, which swings down.

    Returns:
        Depth of its free edge below the held one, frame by frame [m], shape (T,).
    """
    flat, faces = sheet(0.2, length, edge_length)
    start = np.column_stack([flat, np.full(len(flat), 5.0)])
    moved = _run(simulator, flat, faces, start, flat[:, 1] < 1e-9, material, seconds, fps, steps)
    return 5.0 - moved[:, flat[:, 1] > length - 1e-9, 2].mean(axis=1)


def chain_depth(length: float, times: np.ndarray, links: int = 16) -> np.ndarray:
    """Reference for :func:`hanging_sheet`: a limp sheet as a chain of rigid links, by its equation of motion.

    Args:
        length: Of the sheet [m].
        times: Times from 0 [s], shape (T,).
        links: Point masses at the links' ends.

    Returns:
        Depth of the free end [m], shape (T,).
    """
    link, index = length / links, np.arange(links)
    below = links - np.maximum(index[:, None], index)  # masses carried by both links
    weight = (links - index) - 0.5  # the last mass is halved, as the sheet ends there
    below = below - 0.5

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        angle, speed = state[:links], state[links:]  # angle from the vertical
        gap = angle[:, None] - angle
        push = -below * np.sin(gap) @ speed**2 - weight * 9.81 / link * np.sin(angle)
        return np.concatenate([speed, np.linalg.solve(below * np.cos(gap), push)])

    start = np.concatenate([np.full(links, np.pi / 2), np.zeros(links)])
    solution = solve_ivp(rate, (0.0, times[-1]), start, t_eval=times, rtol=1e-6, atol=1e-8)
    return link * np.cos(solution.y[:links]).sum(axis=0)


def cantilever(
    simulator: ClothSimulator, material: str, overhang: float, edge_length: float = 0.015, seconds: float = 2.0
) -> float:
    """Peirce's cantilever test (ASTM D1388): a strip on a table hangs over its edge.

    Args:
        simulator: The engine.
        material: Name of the preset.
        overhang: Length beyond the edge [m].
        edge_length: Of the mesh [m].
        seconds: Settling time.

    Returns:
        Bending length c, from the angle of its hanging end [m].
    """
    height = overhang / (max(2, round(overhang / (0.866 * edge_length) - 0.5)) + 0.5)
    flat, faces = sheet(0.12, 1.5 * height + overhang, height / 0.866)
    flat = flat - [0.0, 1.5 * height]  # the last held row lies half a row beyond the edge: see drape_test
    start = np.column_stack([flat, np.full(len(flat), 5.0)])
    moved = _run(simulator, flat, faces, start, flat[:, 1] < 0.75 * height, material, seconds, 30.0, 10)
    end = moved[-1][flat[:, 1] > overhang - 1e-9].mean(axis=0)
    angle = np.arctan2(5.0 - end[2], end[1])
    return float(overhang * (np.cos(angle / 2) / (8 * np.tan(angle))) ** (1 / 3))


def drape_test(
    simulator: ClothSimulator, material: str, edge_length: float = 0.02, seconds: float = 2.0, steps: int = 10
) -> DrapeTest:
    """Cusick's drape test: a disc of cloth on a smaller round stand hangs over its rim.

    The part on the stand is held. A row of hinges represents the bending of half a row of triangles on either side, so
    the last held ring lies half a row beyond the rim; otherwise the rim would bend twice as easily as the cloth.

    Args:
        simulator: The engine.
        material: Name of the preset.
        edge_length: Of the mesh [m].
        seconds: Settling time.
        steps: Solver steps per frame, at 30 frames per second.
    """
    rim = STAND + 0.25 * 3**0.5 * edge_length
    flat, faces = disc(SPECIMEN, rim, edge_length)
    radius, angle = np.linalg.norm(flat, axis=1), np.arctan2(flat[:, 1], flat[:, 0])
    held = radius < rim + 1e-6
    # No cloth lies perfectly flat. Without initial unevenness, rounding errors would determine the folds.
    waves, phase = np.arange(2, 11), np.random.default_rng(1).uniform(0, 2 * np.pi, 9)
    uneven = np.cos(angle[:, None] * waves + phase).sum(axis=1) / 3
    start = np.column_stack([flat, 5.0 + UNEVEN * (radius - rim).clip(0) / (SPECIMEN - rim) * uneven])
    draped = _run(simulator, flat, faces, start, held, material, seconds, 30.0, steps)[-1]
    return DrapeTest(*drape_coefficient(draped, faces), draped, faces, ~held)


def drape_coefficient(vertices: np.ndarray, faces: np.ndarray, pixel: float = 0.0005) -> tuple[float, int]:
    """Drape coefficient [%] and number of folds of a draped specimen, from its shadow on the floor.

    Args:
        vertices: Shape (V, 3), with the stand's axis at x = y = 0 [m].
        faces: Shape (F, 3).
        pixel: Pixel size of the shadow's image [m].
    """
    size = 2 * round(1.2 * SPECIMEN / pixel)
    shadow = np.zeros((size, size), np.uint8)
    corners = np.round(16 * (vertices[:, :2] / pixel + 0.5 * size - 0.5)).astype(np.int32)
    for triangle in corners[faces]:
        cv2.fillConvexPoly(shadow, triangle, 255, shift=4)
    stand, specimen = np.pi * STAND**2, np.pi * SPECIMEN**2
    coefficient = 100 * (np.count_nonzero(shadow) * pixel**2 - stand) / (specimen - stand)
    # Folds: maxima of the outline's radius, smoothed over 15 degrees.
    row, column = np.nonzero(shadow)
    centred = np.column_stack([column, row]) - 0.5 * size + 0.5
    sector = ((np.arctan2(centred[:, 1], centred[:, 0]) + np.pi) * 90 / np.pi).astype(int) % 180
    radius = np.zeros(180)
    np.maximum.at(radius, sector, pixel * np.linalg.norm(centred, axis=1))
    smooth = np.mean([np.roll(radius, shift) for shift in range(-4, 5)], axis=0)
    around = np.max([np.roll(smooth, shift) for shift in range(-5, 6)], axis=0)
    return float(coefficient), int(np.sum((smooth >= around) & (smooth > smooth.mean())))


def sheet(width: float, length: float, edge_length: float) -> tuple[np.ndarray, np.ndarray]:
    """An even rectangle from (0, 0) to (width, length): points (V, 2) [m] and faces (F, 3)."""
    across, along = round(width / edge_length), round(length / (0.866 * edge_length))
    straight = np.linspace(0.0, width, across + 1)
    between = np.concatenate([[0.0], 0.5 * (straight[1:] + straight[:-1]), [width]])
    rows = [between if row % 2 else straight for row in range(along + 1)]
    points = [np.column_stack([x, np.full(len(x), length * row / along)]) for row, x in enumerate(rows)]
    return _triangles(np.concatenate(points))


def disc(radius: float, ring: float, edge_length: float) -> tuple[np.ndarray, np.ndarray]:
    """A round mesh with vertices along an inner ring, slightly uneven like cloth: points (V, 2) [m], faces (F, 3)."""
    circles = []
    for r in (radius, ring):
        angle = 2 * np.pi * np.arange(round(2 * np.pi * r / edge_length)) / round(2 * np.pi * r / edge_length)
        circles.append(r * np.column_stack([np.cos(angle), np.sin(angle)]))
    height = 3**0.5 / 2 * edge_length
    grid = [
        (x + 0.5 * edge_length * (row % 2), y)
        for row, y in enumerate(np.arange(-radius, radius, height))
        for x in np.arange(-radius, radius + edge_length, edge_length)
    ]
    grid = np.array(grid)
    distance = np.linalg.norm(grid, axis=1)
    grid = grid[(distance < radius - 0.6 * edge_length) & (np.abs(distance - ring) > 0.55 * edge_length)]
    grid += np.random.default_rng(0).normal(0.0, 0.03 * edge_length, grid.shape)
    return _triangles(np.concatenate([*circles, grid]))


def _triangles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Delaunay triangles, facing up, without slivers on the border."""
    faces = Delaunay(points).simplices.astype(np.int64)
    corners = points[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return points, np.where((area < 0)[:, None], faces[:, ::-1], faces)[np.abs(area) > 1e-3 * np.abs(area).max()]


def _run(
    simulator: ClothSimulator,
    flat: np.ndarray,
    faces: np.ndarray,
    start: np.ndarray,
    held: np.ndarray,
    material: str,
    seconds: float,
    fps: float,
    steps: int,
) -> np.ndarray:
    """Simulates a specimen of cloth from rest; returns its vertices (T, V, 3) [m]."""
    edges, pins = edges_of(faces), held.astype(float)
    lengths = np.linalg.norm(flat[edges[:, 0]] - flat[edges[:, 1]], axis=1)
    panel, seams = np.zeros(len(flat), int), np.zeros((0, 2), int)
    source = Garment("specimen", start, faces, flat, panel, ("specimen",), seams, pins, material=material)
    rest = np.column_stack([flat, np.zeros(len(flat))])
    specimen = SewnGarment(source, start, faces, flat[faces], rest, lengths, pins, 100.0, 0.0)
    # The body that pins follow and cloth collides with: a static floor far below.
    floor, floor_faces = sheet(1.0, 1.0, 0.2)
    still = np.repeat(np.column_stack([floor, np.zeros(len(floor))])[None], round(seconds * fps) + 1, axis=0)
    return simulator.simulate([specimen], MeshSequence(still, floor_faces, name="floor"), fps, steps)[0].astype(float)
