"""Quality figures that detect cloth that tore, fell off or sank into the body, and their limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from mviper.synthesis.simulation.meshes import border_vertices, edges_of, vertex_normals
from mviper.synthesis.simulation.probes import INSIDE, LayerProbe, SurfaceProbe, ray_tree

#: Below this stretch, whether the body holds the cloth is not tested [share of its length].
_STRETCHED = 1.3

#: Height of a body's top over its middle, as a share of their distance, below which it is upside down.
_TIPPED = -0.25

#: Distance of arms from a vertical line through the body's middle in the rest pose, a T [m].
_TO_ARMS = 0.25

#: Horizontal part of a normal from which on a ray along it can be made horizontal.
_SIDEWAYS = 0.3


@dataclass(frozen=True)
class QualityLimits:
    """Limits for a simulated sequence; shares in percent, depths in millimetres.

    "Inside" counts the garment's vertices inside the body, except where the body touches itself. The values separated
    good simulations from torn ones on runs, kicks, flips and squats.

    Attributes:
        inside_mean: Before projection, mean over the frames.
        inside_worst: Before projection, worst frame.
        deepest: Before projection.
        projected_inside_mean: After projection.
        projected_inside_worst: After projection.
        projected_deepest: After projection.
        stretch_top: 99th percentile of the edges' length over their rest length, mean over the frames, for tops,
            skirts and dresses.
        stretch_bottom: The same for what has legs (``kind`` "bottom").
        bare: Skin that the garment covered and that is bare (:func:`bare_figures`), worst frame; and skin covered after
            sewing that is bare after draping (it has fallen off).
        layers: Vertices of the outer garment, near the inner one, that are behind it, mean over the frames; before
            projection (beyond that the outer garment is caught on the inner one) and after.
        seams_closed: Minimum share of seam pairs within 3 mm when merged.
    """

    inside_mean: float = 0.5
    inside_worst: float = 5.0
    deepest: float = 25.0
    projected_inside_mean: float = 0.1
    projected_inside_worst: float = 0.5
    projected_deepest: float = 10.0
    stretch_top: float = 1.5
    stretch_bottom: float = 2.0
    bare: float = 20.0
    layers: float = 3.0
    seams_closed: float = 99.0


def penetration_figures(cloth: np.ndarray, probe: SurfaceProbe, first: int, prefix: str = "") -> dict[str, float]:
    """Share and depth of cloth inside the body, outside self-contact.

    Args:
        cloth: Vertices over time [m], shape (T, V, 3), as long as the body's sequence.
        probe: The body.
        first: First frame evaluated.
        prefix: Prefix of the figures' names.

    Returns:
        ``inside_mean``, ``inside_worst`` [%] and ``deepest`` [mm].
    """
    shares, depths = [], []
    for frame in range(first, len(cloth)):
        distance, _, counts = probe.inside(frame, cloth[frame])
        shares.append(100 * np.mean((distance < INSIDE) & counts))
        depths.append(-1000 * min(0.0, distance[counts].min(initial=0.0)))
    return {
        f"{prefix}inside_mean": float(np.mean(shares)),
        f"{prefix}inside_worst": float(np.max(shares)),
        f"{prefix}deepest": float(np.max(depths)),
    }


def stretch_figures(
    cloth: np.ndarray, faces: np.ndarray, rest_lengths: np.ndarray, probe: SurfaceProbe, first: int
) -> dict[str, float]:
    """99th percentile of the edges' stretch, outside self-contact: mean over the frames and the worst frame.

    Args:
        cloth: Vertices over time [m], shape (T, V, 3).
        faces: Shape (F, 3).
        rest_lengths: Of ``edges_of(faces)`` [m], shape (E,).
        probe: The body.
        first: First frame evaluated.
    """
    edges = edges_of(faces)
    worst = []
    for frame in range(first, len(cloth)):
        ends = cloth[frame][edges]
        stretch = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) / rest_lengths
        p99 = np.percentile(stretch, 99)
        if p99 > _STRETCHED:
            free = ~probe.held(frame, ends.mean(axis=1))
            p99 = np.percentile(stretch[free], 99) if free.any() else 1.0
        worst.append(p99)
    return {"stretch_p99": float(np.mean(worst)), "stretch_p99_worst": float(np.max(worst))}


def bare_figures(
    cloth: np.ndarray,
    faces: np.ndarray,
    probe: SurfaceProbe,
    first: int,
    every: int = 4,
    among: np.ndarray | None = None,
    settling: int = 0,
) -> dict[str, float]:
    """Share of skin covered in the rest pose, 6 cm or more from the hems, that is bare now.

    Skin is covered when a ray along its normal meets the garment (within 10 cm in the rest pose, 30 cm in motion). With
    ``among``, the garment is loose: rays from skin that faces the ground are horizontal, as nothing covers it from
    below; and cloth that has flown up, of a skirt in a spin or a jacket in a run, covers what is up to 45 degrees below
    it. Frames in which the wearer is upside down, and ``settling`` frames more, do not count: there cloth falls over.

    Args:
        cloth: Vertices over time [m], shape (T, V, 3); frame 0 = draped on the rest pose.
        faces: Shape (F, 3).
        probe: The body.
        first: First frame evaluated.
        every: Evaluates every n-th frame.
        among: Body vertices that count, shape (B,) bool; None: all.
        settling: Number of frames in which cloth falls back into place.

    Returns:
        ``bare_mean`` and ``bare_worst`` [%]; with ``among`` also ``bare_anywhere_worst``, of all skin. All are 0 for a
        garment with no point so far from its hems and for somebody upside down throughout, 100 if the garment has such
        points but they cover nothing.
    """
    face_list = faces.tolist()

    def outwards(frame: int, skin: np.ndarray) -> np.ndarray:
        ways = vertex_normals(probe.vertices[frame], probe.faces)[skin]
        if among is not None:
            sideways = np.linalg.norm(ways[:, :2], axis=1) > _SIDEWAYS
            ways[sideways, 2] = np.maximum(ways[sideways, 2], 0.0)  # rays need no unit direction
        return ways

    def cast(tree: object, places: np.ndarray, ways: np.ndarray, reach: float) -> np.ndarray:
        hits = [tree.ray_cast(place, way, reach)[0] for place, way in zip(places.tolist(), ways.tolist())]
        return np.array([(np.nan,) * 3 if hit is None else tuple(hit) for hit in hits]).reshape(-1, 3)

    box = cloth[0].min(axis=0) - 0.02, cloth[0].max(axis=0) + 0.02
    rest = probe.vertices[0]
    skin = np.flatnonzero(((rest > box[0]) & (rest < box[1])).all(axis=1))[::2]
    hem = cKDTree(cloth[0][border_vertices(faces)])
    if hem.query(cloth[0])[0].max() <= 0.06:  # a belt, without points 6 cm from its hems
        return {"bare_mean": 0.0, "bare_worst": 0.0} | ({} if among is None else {"bare_anywhere_worst": 0.0})
    hits = cast(ray_tree(cloth[0], face_list), rest[skin], outwards(0, skin), 0.10)
    met = np.flatnonzero(np.isfinite(hits[:, 0]))
    skin = skin[met[hem.query(hits[met])[0] > 0.06]]
    counts = np.ones(len(skin), bool) if among is None else among[skin]
    if not counts.any():
        return {"bare_mean": 100.0, "bare_worst": 100.0}
    frames = np.arange(first, len(cloth), every)
    shares, anywhere = [], []
    for frame in frames[_upright(probe.vertices, settling)[frames]]:
        free = ~probe.contact(frame)[skin]
        seen = skin[free]
        tree, places, ways = ray_tree(cloth[frame], face_list), probe.vertices[frame, seen], outwards(frame, seen)
        bare = np.isnan(cast(tree, places, ways, 0.30)[:, 0])
        if among is not None:
            ways[:, 2] = np.linalg.norm(ways[:, :2], axis=1)
            bare[bare] = np.isnan(cast(tree, places[bare], ways[bare], 0.30)[:, 0])
        anywhere.append(100 * bare.mean() if len(bare) else 0.0)
        own = bare[counts[free]]
        shares.append(100 * own.mean() if len(own) else 0.0)
    figures = {"bare_mean": float(np.mean(shares or [0.0])), "bare_worst": float(max(shares, default=0.0))}
    return figures if among is None else figures | {"bare_anywhere_worst": float(max(anywhere, default=0.0))}


def _upright(body: np.ndarray, settling: int) -> np.ndarray:
    """Frames (T,) bool in which a body's top is not below its middle, and was not in ``settling`` frames before.

    Args:
        body: Vertices over time [m], shape (T, B, 3); frame 0 = rest pose, a T. Its arms are ignored; its top is the
            highest tenth of the rest.
        settling: Number of frames.
    """
    rest = body[0]
    own = np.flatnonzero(np.linalg.norm(rest[:, :2] - rest[:, :2].mean(axis=0), axis=1) < _TO_ARMS)
    top = own[rest[own, 2] >= np.quantile(rest[own, 2], 0.9)]
    axis = body[:, top].mean(axis=1) - body[:, own].mean(axis=1)
    tipped = axis[:, 2] < _TIPPED * np.linalg.norm(axis, axis=1)
    return np.convolve(tipped, np.ones(settling + 1))[: len(body)] < 0.5


def layer_figures(
    outer: np.ndarray, inner: LayerProbe, first: int, prefix: str = "", every: int = 4
) -> dict[str, float]:  # fmt: skip
    """Share of the outer garment behind the inner one, outside self-contact, mean and worst frame [%].

    Relative to the vertices with the inner garment under or over them, in the rest pose or now, whichever are more: a
    shirt that has ridden up has few of them left.

    Args:
        outer: Vertices over time [m], shape (T, V, 3).
        inner: The inner garment.
        first: First frame evaluated.
        prefix: Prefix of the figures' names.
        every: Evaluates every n-th frame.
    """
    overlap = np.isfinite(inner.distance(0, outer[0])[0]).sum()
    shares = []
    for frame in range(first, len(outer), every):
        distance = inner.distance(frame, outer[frame])[0]
        behind = distance < INSIDE
        if behind.any():
            behind &= ~inner.body.held(frame, outer[frame])
        shares.append(100 * behind.sum() / max(overlap, np.isfinite(distance).sum(), 1))
    return {f"{prefix}layers_mean": float(np.mean(shares)), f"{prefix}layers_worst": float(np.max(shares))}


def upper_limits(kind: str, limits: QualityLimits) -> dict[str, float]:
    """Each figure's limit for garments of a kind."""
    return {
        "inside_mean": limits.inside_mean,
        "inside_worst": limits.inside_worst,
        "deepest": limits.deepest,
        "stretch_p99": limits.stretch_bottom if kind == "bottom" else limits.stretch_top,
        "bare_draped": limits.bare,
        "bare_worst": limits.bare,
        "layers_mean": limits.layers,
        "projected_layers_mean": limits.layers,
        "projected_inside_mean": limits.projected_inside_mean,
        "projected_inside_worst": limits.projected_inside_worst,
        "projected_deepest": limits.projected_deepest,
    }


def first_breach(figures: dict[str, float], kind: str, limits: QualityLimits) -> str | None:
    """The first figure of a garment that exceeds its limit, as a sentence, or None."""
    if not figures.get("finite", True):
        return "the cloth has NaN vertices"
    for name, bound in upper_limits(kind, limits).items():
        if name in figures and figures[name] > bound:
            return f"{name} is {figures[name]:.2f}, the limit {bound:g}"
    return None
