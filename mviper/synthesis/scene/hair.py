"""Hair and beards as cards: narrow strips of triangles that grow from the skin, follow the head and hang."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.spatial import cKDTree

from mviper.body import BodyShape
from mviper.structures import SMPL_JOINTS, MeshSequence
from mviper.synthesis.scene.scene import Material

#: Natural hair, sRGB.
HAIR_COLOURS = ("1a1614", "1d1512", "2e1f17", "4a3222", "6b4a2f", "96704a", "c6a46c", "7c3a20", "8d8a86", "cfcac4")

_HEAD = SMPL_JOINTS.index("head")
#: Parts of the body that long hair lies on.
_UNDER = [SMPL_JOINTS.index(name) for name in ("head", "neck", "spine_3", "spine_2", "left_collar", "right_collar",
                                               "left_shoulder", "right_shoulder")]  # fmt: skip
#: Clearance between long hair and the body, which is clothed [m].
_CLEAR = 0.015


@dataclass(frozen=True)
class Cut:
    """A hair cut; lengths in metres.

    Attributes:
        top: Length on top of the head.
        sides: Length at the hair line.
        lift: How steeply hair rises from the skin at its root, 0 (flat) to 1 (upright).
        comb: Direction in which it lies, to the left, back and up; () for down from the crown.
        part: Sideways position of the parting from which hair lies to both sides, in head sizes; None: without.
        weight: How quickly it turns down, 0 (as stiff as stubble) to 1.
        curl: Radius of its curls.
        pitch: Length of a curl.
        cards: Number of cards.
        width: Of a card.
        tail: Length of a pony tail, to which all hair is combed; 0: none.
        bun: Radius of a bun.
    """

    top: float
    sides: float
    lift: float = 0.3
    comb: tuple[float, ...] = ()
    part: float | None = None
    weight: float = 0.3
    curl: float = 0.0
    pitch: float = 0.03
    cards: int = 700
    width: float = 0.009
    tail: float = 0.0
    bun: float = 0.0

    def of_length(self, factor: float) -> Cut:
        """The same cut, longer or shorter."""
        return replace(self, top=factor * self.top, sides=factor * self.sides, tail=factor * self.tail)

    @property
    def steps(self) -> int:
        """Number of segments of a card."""
        return 10 if max(self.top, self.sides) > 0.15 else 5

    @property
    def hangs(self) -> bool:
        """Whether it moves by its own weight."""
        return max(self.sides, self.tail) > 0.12


#: Cuts by name; shaved heads have only the painted shadow of hair.
CUTS = {
    "shaved": Cut(0, 0, cards=0),
    "buzz": Cut(0.010, 0.007, lift=0.3, weight=0.1, cards=1600, width=0.007),
    "crew": Cut(0.032, 0.008, lift=0.3, comb=(0.15, -0.7, 0.1), weight=0.2, cards=1100, width=0.008),
    "side": Cut(0.075, 0.012, lift=0.35, part=0.35, weight=0.4),
    "back": Cut(0.08, 0.025, lift=0.2, comb=(0, 1, -0.1), weight=0.35, cards=800),
    "fringe": Cut(0.085, 0.05, lift=0.25, comb=(0.15, -1, -0.1), weight=0.5),
    "curly": Cut(0.055, 0.045, lift=0.6, weight=0.25, curl=0.01, pitch=0.03, cards=1100, width=0.009),
    "afro": Cut(0.075, 0.065, lift=0.9, weight=0.0, curl=0.011, pitch=0.028, cards=1600, width=0.01),
    "bob": Cut(0.2, 0.15, lift=0.15, part=0.0, weight=0.8, cards=900, width=0.011),
    "long": Cut(0.38, 0.33, lift=0.12, part=0.1, weight=0.75, cards=900, width=0.012),
    "wavy": Cut(0.33, 0.28, lift=0.2, part=-0.15, weight=0.7, curl=0.009, pitch=0.08, cards=900, width=0.012),
    "ponytail": Cut(0.2, 0.15, lift=0.05, weight=0.0, tail=0.3, width=0.012),
    "bun": Cut(0.2, 0.15, lift=0.05, weight=0.0, bun=0.038, width=0.012),
}

#: Beards: share of the beard's and of the moustache's region that grows, and the greatest length [m].
BEARDS = {
    "none": (0.0, 0.0, 0.0), "short": (1.0, 1.0, 0.012), "full": (1.0, 1.0, 0.04), "goatee": (0.35, 1.0, 0.014),
    "moustache": (0.0, 1.0, 0.009),
}  # fmt: skip


@dataclass(frozen=True)
class Face:
    """The part of a head, at rest, that hair does not fall over.

    Attributes:
        middle: Of the eyes, sideways [m].
        half: Half its width [m].
        front: It lies before this [m]; y points to the back.
        brow: It lies below this [m].
    """

    middle: float
    half: float
    front: float
    brow: float

    @classmethod
    def of(cls, shape: BodyShape) -> Face:
        """The face of a body at rest."""
        eyes, ears = ([shape.joint(f"{side}_{part}") for side in ("left", "right")] for part in ("eye", "ear"))
        (x, y, z), ear = np.mean(eyes, 0), np.mean(ears, 0)
        half = 0.75 * float(np.abs(ears[0] - ears[1])[0]) / 2
        return cls(float(x), half, float(y + ear[1]) / 2, float(z) + 0.3 * half)

    def parted(self, points: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Moves points (..., 3) that lie over the face to its side, those of ``left`` to the left."""
        over = (points[..., 1] < self.front) & (points[..., 2] < self.brow)
        edge = self.middle + np.where(left, self.half, -self.half)
        aside = np.where(left, np.maximum(points[..., 0], edge), np.minimum(points[..., 0], edge))
        return np.concatenate([np.where(over, aside, points[..., 0])[..., None], points[..., 1:]], -1)


@dataclass
class Strands:
    """Centre lines of cards.

    Attributes:
        points: In the rest pose [m], shape (N, K + 1, 3), roots first.
        out: Unit directions away from the head, shape (N, K + 1, 3).
        width: [m], shape (N, K + 1).
    """

    points: np.ndarray
    out: np.ndarray
    width: np.ndarray


def grow_hair(
    shape: BodyShape, normals: np.ndarray, value: np.ndarray, cut: Cut, rng: np.random.Generator
) -> list[Strands]:
    """Grows the cards of a cut.

    Args:
        shape: The body at rest.
        normals: Of its vertices, shape (V, 3).
        value: Height above the hair line in head sizes, shape (V,); hair grows where it is above 0.
        cut: The cut.
        rng: Draws roots and disorder.
    """
    if not cut.cards:
        return []
    roots, out, height = _roots(shape, normals, value, cut.cards, rng)
    top, ears = shape.joint("headtop"), (shape.joint("left_ear") + shape.joint("right_ear")) / 2
    unit = top[2] - ears[2]
    crown = top + np.array([0, 0.3 * unit, 0])
    length = (cut.sides + (cut.top - cut.sides) * np.clip(height / 0.7, 0, 1)) * rng.uniform(0.8, 1.1, len(roots))
    jitter = rng.normal(size=roots.shape)
    tie = None
    if cut.tail or cut.bun:
        tie = ears + np.array([0, 0.95 * unit, 0.35 * unit])
        length = np.linalg.norm(tie - roots, axis=1) * 1.25
        lie = tie - roots
    elif cut.part is not None:
        # To both sides and a little back, on the back of the head down.
        behind = np.clip((roots[:, 1] - ears[1]) / unit, 0, 1)
        away = np.sign(roots[:, 0] - cut.part * unit / 2) * (1 - behind)
        lie = np.stack([away, 0.35 + 0.4 * behind, -0.15 - behind], 1)
    elif cut.comb:
        lie = np.tile(np.array(cut.comb, float), (len(roots), 1))
        lie[:, 2] -= np.clip((0.5 - height) * 2, 0, 1)  # the sides lie down
    else:
        lie = roots - crown
    lie = lie / np.linalg.norm(lie, axis=1, keepdims=True) + 0.12 * jitter
    lie -= (lie * out).sum(1, keepdims=True) * out
    direction = _unit(cut.lift * out + (1 - cut.lift) * _unit(lie) + 0.1 * cut.lift * jitter)
    # Long hair falls before or behind the shoulders.
    fall = np.stack([0 * height, np.where(roots[:, 1] < ears[1] - 0.25 * unit, -0.15, 0.45), 0 * height - 1], 1)
    fall = _unit(fall) if cut.hangs else np.array([0, 0, -1.0])
    layer = rng.uniform(0.002, 0.011, size=(len(roots), 1))
    head = np.isin(shape.weights.argmax(1), _UNDER)
    tree, surface, outward = cKDTree(shape.vertices[head]), shape.vertices[head], normals[head]
    points, outs, steps = [roots], [out], cut.steps
    face, left = Face.of(shape), roots[:, 0] > (cut.part or 0.0) * unit / 2
    for step in range(steps):
        if tie is not None:
            direction = _unit(tie - points[-1] + 1e-6)
        new = points[-1] + (length / steps)[:, None] * direction
        # Outside the head, at the card's own height over it.
        nearest = tree.query(new)[1]
        over = ((new - surface[nearest]) * outward[nearest]).sum(1, keepdims=True)
        near = np.linalg.norm(new - surface[nearest], axis=1, keepdims=True) < 0.06
        new = new + np.where(near, np.maximum(layer * min(1, (step + 1) / 2) - over, 0), 0) * outward[nearest]
        new = face.parted(new, left)
        new = points[-1] + (length / steps)[:, None] * _unit(new - points[-1])
        outs.append(np.where(near, outward[nearest], outs[-1]))
        direction = _unit((1 - cut.weight) * _unit(new - points[-1]) + cut.weight * fall)
        points.append(new)
    line = np.stack(points, 1)
    line = _curled(line, np.stack(outs, 1), cut, rng)
    taper = np.interp(np.linspace(0, 1, steps + 1), [0, 0.5, 1], [1, 0.9, 0.8 if cut.curl else 0.25])
    strands = [Strands(line, np.stack(outs, 1), cut.width * taper * rng.uniform(0.7, 1.2, (len(roots), 1)))]
    if cut.tail:
        strands.append(_tail(tie, cut, rng))
    if cut.bun:
        strands.append(_bun(tie, cut, rng))
    return strands


def grow_beard(
    shape: BodyShape, normals: np.ndarray, beard: np.ndarray, moustache: np.ndarray, kind: str, rng: np.random.Generator
) -> list[Strands]:
    """Grows a beard's cards.

    Args:
        shape: The body at rest.
        normals: Of its vertices, shape (V, 3).
        beard: Where it grows on cheeks and chin, at each vertex, in [0, 1], shape (V,).
        moustache: The same of the moustache.
        kind: Of :data:`BEARDS`.
        rng: Draws roots and disorder.
    """
    chin, lip, longest = BEARDS[kind]
    strands = []
    for where, share, count in ((beard, chin, 1400), (moustache, lip, 350)):
        if not share:
            continue
        if share < 1:
            where = where * about_mouth(shape.vertices[:, 0])
        if (where[shape.faces] > 0.4).all(1).sum() < 2:
            continue
        roots, out, _ = _roots(shape, normals, where - 0.4, round(count * share**0.5), rng)
        middle = np.clip(1 - np.abs(roots[:, 0]) / 0.07, 0.2, 1)
        length = longest * middle * rng.uniform(0.6, 1.1, len(roots))
        aside = np.sign(roots[:, :1]) * (0.6 if where is moustache else 0.1)
        lie = np.concatenate([aside, np.full_like(aside, -0.15), np.full_like(aside, -1.0)], 1)
        direction = _unit(0.35 * out + _unit(lie) + 0.12 * rng.normal(size=roots.shape))
        at = np.linspace(0, 1, 4)[None, :, None]
        points = roots[:, None] + 0.001 * out[:, None] + at * length[:, None, None] * direction[:, None]
        width = np.interp(at[..., 0], [0, 0.6, 1], [1, 0.8, 0.2]) * 0.0025 * rng.uniform(0.7, 1.2, (len(roots), 1))
        strands.append(Strands(points, np.repeat(out[:, None], 4, 1), width))
    return strands


def about_mouth(sideways: np.ndarray) -> np.ndarray:
    """Share of a goatee at points by their sideways position [m], in [0, 1]."""
    return np.clip((0.034 - np.abs(sideways)) / 0.008, 0, 1)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True).clip(1e-9)


def _roots(
    shape: BodyShape, normals: np.ndarray, value: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random points of the skin with their normals and values, where the value is above 0."""
    faces = shape.faces[(value[shape.faces] > 0).any(1)]
    a, b, c = (shape.vertices[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    picked = faces[rng.choice(len(faces), size=2 * count, p=area / area.sum())]
    share = rng.dirichlet(np.ones(3), size=2 * count)
    found = (share * value[picked]).sum(1)
    picked, share = picked[found > 0][:count], share[found > 0][:count]
    mean = [np.einsum("nk,nkc->nc", share, values[picked]) for values in (shape.vertices, normals)]
    return mean[0], _unit(mean[1]), (share * value[picked]).sum(1)


def _curled(line: np.ndarray, out: np.ndarray, cut: Cut, rng: np.random.Generator) -> np.ndarray:
    """Winds centre lines (N, K, 3) into curls."""
    if not cut.curl:
        return line
    along = np.concatenate([np.zeros((len(line), 1)), np.cumsum(np.linalg.norm(np.diff(line, axis=1), axis=2), 1)], 1)
    turn = 2 * np.pi * along / cut.pitch + rng.uniform(0, 2 * np.pi, (len(line), 1))
    forward = _unit(np.gradient(line, axis=1))
    side = _unit(np.cross(forward, out))
    radius = cut.curl * np.clip(along / cut.pitch, 0, 1) * rng.uniform(0.6, 1.3, (len(line), 1))
    return line + radius[..., None] * (
        np.cos(turn)[..., None] * side + np.sin(turn)[..., None] * np.cross(side, forward)
    )


def _tail(tie: np.ndarray, cut: Cut, rng: np.random.Generator) -> Strands:
    """A pony tail's cards, which leave the tie backwards and fall."""
    count, steps = 90, 10
    angle, radius = rng.uniform(0, 2 * np.pi, count), 0.014 * np.sqrt(rng.uniform(size=count))
    across = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1) * radius[:, None]
    share = np.linspace(0, 1, steps + 1)[None, :, None]
    length = cut.tail * rng.uniform(0.8, 1.05, (count, 1, 1))
    bow = np.concatenate([0 * share, 0.045 * np.sin(np.minimum(share * 3, np.pi / 2)), -share], -1) * [1, 1, 0] + (
        np.concatenate([0 * share, 0 * share, -share], -1) * length
    )
    spread = np.interp(share[..., 0], [0, 0.3, 0.8, 1], [0.8, 1.6, 1.4, 0.6])[..., None]
    points = tie + across[:, None] * spread + bow
    out = _unit(np.repeat(across[:, None] + [0, 0.004, 0], steps + 1, 1))
    taper = np.interp(share[..., 0], [0, 0.7, 1], [1, 1, 0.3])
    return Strands(points, out, 0.012 * taper * np.ones((count, 1)))


def _bun(tie: np.ndarray, cut: Cut, rng: np.random.Generator) -> Strands:
    """A bun's cards, wound round a ball."""
    count, steps = 130, 8
    axis = _unit(rng.normal(size=(count, 3)) * [0.5, 1, 0.5])
    first = _unit(np.cross(axis, rng.normal(size=(count, 3))))
    second = np.cross(axis, first)
    turn = np.linspace(0, 1.3 * np.pi, steps + 1)[None, :, None]
    out = np.cos(turn) * first[:, None] + np.sin(turn) * second[:, None]
    points = tie + [0, 0.6 * cut.bun, 0] + cut.bun * out * rng.uniform(0.85, 1.05, (count, 1, 1))
    return Strands(points, out, np.full((count, steps + 1), 0.013))


def hair_mesh(
    strands: list[Strands], pose: tuple[np.ndarray, np.ndarray], hangs: bool, body: MeshSequence, shape: BodyShape
) -> MeshSequence:
    """The cards over time.

    Args:
        strands: From :func:`grow_hair` and :func:`grow_beard`.
        pose: The head's motion: rotations (T, 3, 3) and translations (T, 3) from the rest pose to the world.
        hangs: Whether the strands move by their own weight; otherwise all follow the head rigidly.
        body: The posed body, on which long hair lies.
        shape: The body at rest.
    """
    vertices, faces, uv, first = [], [], [], 0
    for group in strands:
        count, knots = group.points.shape[:2]
        R, t = pose
        points = np.einsum("tij,nkj->tnki", R, group.points) + t[:, None, None]
        if hangs and knots > 6:
            points = _hang(points, group.points, pose, body, shape)
        out = np.einsum("tij,nkj->tnki", R, group.out)
        forward = np.gradient(points, axis=2)
        side = _unit(np.cross(forward, out)) * (group.width / 2)[..., None]
        vertices.append(np.stack([points - side, points + side], 3).reshape(len(points), -1, 3))
        at = first + 2 * (knots * np.arange(count)[:, None] + np.arange(knots - 1)).ravel()
        faces.append(np.stack([at, at + 3, at + 1, at, at + 2, at + 3], -1).reshape(-1, 3))
        left = np.repeat((np.arange(count) * 0.618) % 1, knots - 1)
        low = np.tile(np.arange(knots - 1), count) / (knots - 1)
        high, right = low + 1 / (knots - 1), left + 0.1
        corners = np.stack([left, low, right, high, right, low, left, low, left, high, right, high], -1)
        uv.append(corners.reshape(-1, 3, 2))
        first += 2 * count * knots
    return MeshSequence(
        np.concatenate(vertices, 1).astype(np.float32), np.concatenate(faces), np.concatenate(uv), "hair"
    )


def _hang(
    rigid: np.ndarray, rest: np.ndarray, pose: tuple[np.ndarray, np.ndarray], body: MeshSequence, shape: BodyShape
) -> np.ndarray:
    """Lets strands swing and hang, and lie on the body.

    Each segment turns from the direction it has on the upright head to hang, the more the farther from its root, and
    lags behind as a damped spring does.

    Args:
        rigid: Strands that follow the head, (T, N, K, 3).
        rest: The same at rest, (N, K, 3).
        pose: The head's motion, see :func:`hair_mesh`.
        body: The posed body.
        shape: The body at rest.
    """
    (R, t), knots = pose, rigid.shape[2]
    face, left = Face.of(shape), rest[:, -1, 0] > 0
    under = np.isin(shape.weights.argmax(1), _UNDER)
    index = np.full(len(under), -1)
    index[under] = np.arange(under.sum())
    faces = index[shape.faces[under[shape.faces].all(1)]]
    length = np.linalg.norm(np.diff(rigid[0], axis=1), axis=2)
    result = np.empty_like(rigid)
    speed = np.zeros_like(rigid[0])
    # What "down" is for the head when it is upright.
    tip = np.einsum("tij,j->ti", R, [0, 0, -1.0])
    for frame in range(len(rigid)):
        skin = body.vertices[frame][under].astype(float)
        normal = _vertex_normals(skin, faces)
        tree = cKDTree(skin)
        before = result[frame - 1] if frame else rigid[0]
        points = rigid[frame].copy()
        for k in range(1, knots):
            loose = np.clip((k / (knots - 1) - 0.15) * 1.6, 0, 1)
            along = rigid[frame, :, k] - rigid[frame, :, k - 1]
            # Turned by as much as the head leans.
            along = along + loose * length[:, k - 1, None] * (np.array([0, 0, -1.0]) - tip[frame])
            wanted = points[:, k - 1] + length[:, k - 1, None] * _unit(along)
            free = before[:, k] + 0.75 * speed[:, k]
            new = wanted + 0.55 * loose * (free - wanted) if frame else wanted
            for _ in range(2):
                nearest = tree.query(new)[1]
                over = ((new - skin[nearest]) * normal[nearest]).sum(1, keepdims=True)
                near = np.linalg.norm(new - skin[nearest], axis=1, keepdims=True) < 0.1
                new = new + np.where(near, np.maximum(_CLEAR * loose - over, 0), 0) * normal[nearest]
                new = face.parted((new - t[frame]) @ R[frame], left) @ R[frame].T + t[frame]
                new = points[:, k - 1] + length[:, k - 1, None] * _unit(new - points[:, k - 1])
            points[:, k] = new
        if frame:
            speed = points - before
        result[frame] = points
    return result


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    from mviper.graphics import vertex_normals

    return vertex_normals(vertices, faces).astype(float)


def hair_material(colour: np.ndarray, rng: np.random.Generator) -> Material:
    """A material of streaks along the cards, darker at the root.

    Args:
        colour: sRGB in [0, 1], shape (3,).
        rng: Draws the streaks.
    """
    across = cv2.GaussianBlur(rng.normal(size=(1, 256)).astype(np.float32), (0, 0), 0.9) * 1.5
    across = across + np.repeat(rng.normal(size=(1, 16)), 16, 1) * 0.6
    along = np.interp(np.linspace(0, 1, 128), [0, 0.25, 1], [0.62, 1.0, 1.08])[::-1, None]
    picture = colour * np.clip(along * (1 + 0.16 * across), 0.35, 1.6)[..., None]
    return Material(colour, 0.55, image=np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8), metres=1.0)
