"""Appearance of a person outside garments: skin, a painted face, hair, shoes.

All is placed by the body's joints and keypoints, never by vertex ids, so it fits every body.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.spatial.transform import Rotation

from mviper.body import BodyShape
from mviper.errors import ConfigError
from mviper.registry import APPEARANCES
from mviper.structures import KEYPOINTS, SMPL_JOINTS, SMPL_PARENTS, MeshSequence, Motion
from mviper.synthesis.scene.annotation import vertex_parts
from mviper.synthesis.scene.fabrics import random_colour
from mviper.synthesis.scene.hair import (
    BEARDS,
    CUTS,
    HAIR_COLOURS,
    grow_beard,
    grow_hair,
    hair_material,
    hair_mesh,
)
from mviper.synthesis.scene.scene import Material, Region, SceneMesh, Spot
from mviper.synthesis.scene.skin import (
    MONK_SCALE,
    draw_skin,
    rgb,
    skin_colour,
    skin_corners,
    skin_material,
    to_linear,
    to_srgb,
    vertex_mask,
)

#: Shoes and their shares. Pumps have no raised heel: it would need another pose of the foot in all motions.
FOOTWEAR = {"trainers": 0.4, "boots": 0.2, "pumps": 0.12, "sandals": 0.14, "bare": 0.14}
#: Leather, sRGB.
LEATHER = ("1c1a19", "3a2418", "5a3a22", "7a5230", "94704c", "2a2a2e")


@APPEARANCES.register_module()
class SkinHairShoes:
    """Draws a skin tone, hair and shoes, and applies them to the body.

    Args:
        tones: Which tones of the Monk scale, 1 to 10.
        maps: Whether the open body's skin has its pictures of colour and roughness, or is painted as other bodies' is.
        hair: Whether people have hair.
        cuts: Hair cuts, equally likely, of :data:`mviper.synthesis.scene.hair.CUTS`.
        beards: Share of people with beards among those with short hair.
        shoes: Whether people wear shoes.
        footwear: Of :data:`FOOTWEAR`, as frequent as there.

    Raises:
        ConfigError: No tones, or one outside the scale; an unknown cut or shoe.
    """

    def __init__(
        self, tones: tuple[int, ...] = tuple(range(1, 11)), maps: bool = True, hair: bool = True,
        cuts: tuple[str, ...] = tuple(CUTS), beards: float = 0.3, shoes: bool = True,
        footwear: tuple[str, ...] = tuple(FOOTWEAR),
    ) -> None:  # fmt: skip
        if not isinstance(tones, Sequence) or not tones or set(tones) - set(range(1, len(MONK_SCALE) + 1)):
            raise ConfigError(f"SkinHairShoes: expected tones of the Monk scale, 1 to 10, got {tones!r}")
        if not cuts or set(cuts) - set(CUTS):
            raise ConfigError(f"SkinHairShoes: expected cuts among {', '.join(CUTS)}; got {cuts!r}")
        if not footwear or set(footwear) - set(FOOTWEAR):
            raise ConfigError(f"SkinHairShoes: expected footwear among {', '.join(FOOTWEAR)}; got {footwear!r}")
        self.footwear = tuple(footwear)
        self.shares = np.array([FOOTWEAR[kind] for kind in footwear]) / sum(FOOTWEAR[kind] for kind in footwear)
        self.tones, self.cuts, self.beards = tuple(tones), tuple(cuts), beards
        self.maps, self.hair, self.shoes = maps, hair, shoes

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws one person's appearance.

        Returns:
            ``dict(tone, hair=dict(colour, cut`` of :data:`CUTS`, ``beard`` of :data:`BEARDS`, ``length`` (a factor),
            ``forehead, nape, seed) or None, shoes=dict(kind`` of :data:`FOOTWEAR`,
            ``colour, sole, height [m]) or None, skin`` (from :func:`draw_skin`)``, brow)``; colours are sRGB.
        """
        tone = int(self.tones[rng.integers(len(self.tones))])
        # Dark skin rarely goes with fair hair.
        code = HAIR_COLOURS[rng.integers(len(HAIR_COLOURS))] if tone < 6 else HAIR_COLOURS[rng.integers(3)]
        colour = rgb(code) * rng.uniform(0.8, 1.2)
        cut = self.cuts[rng.integers(len(self.cuts))]
        bearded = rng.uniform() < self.beards and not (cut in CUTS and CUTS[cut].hangs)
        beard = list(BEARDS)[rng.integers(1, len(BEARDS))] if bearded else "none"
        hair = dict(
            colour=[float(channel) for channel in np.clip(colour, 0, 1)],
            cut=cut,
            beard=beard,
            length=float(rng.uniform(0.75, 1.25)),
            forehead=float(rng.uniform(0.5, 0.75)),
            nape=float(rng.uniform(0.3, 0.8)),
            seed=int(rng.integers(2**31)),
        )
        sole = [0.9, 0.9, 0.88] if rng.uniform() < 0.5 else [0.12, 0.11, 0.1]
        kind = rng.choice(self.footwear, p=self.shares)
        height = rng.uniform(0.06, 0.18) if kind == "boots" else rng.uniform(-0.01, 0.03)
        colour = random_colour(rng)
        if kind in ("boots", "sandals"):  # leather
            colour = (rgb(LEATHER[rng.integers(len(LEATHER))]) * rng.uniform(0.8, 1.2)).clip(0, 1).tolist()
            sole = [0.12, 0.11, 0.1]
        shoes = None if kind == "bare" else dict(kind=str(kind), colour=colour, sole=sole, height=float(height))
        return dict(
            tone=tone,
            hair=hair if self.hair else None,
            shoes=shoes if self.shoes else None,
            skin=draw_skin(rng, tone),
            brow=hair["colour"],
        )

    def dress(
        self, drawn: dict, body: MeshSequence, shape: BodyShape, keypoints: np.ndarray, motion: Motion
    ) -> list[SceneMesh]:
        """Makes the body's meshes and materials.

        Args:
            drawn: From :meth:`draw`.
            body: The posed body.
            shape: The same body at rest.
            keypoints: In the world [m], shape (T, 44, 3).
            motion: The body's motion.

        Returns:
            The body first, its vertices unchanged (but without the faces under shoes), then hair and shoes.
        """
        parts = vertex_parts(shape.weights)
        painted, shells, faces, uv, hair = [], [], body.faces, skin_corners(shape) if self.maps else None, None
        if drawn["hair"]:
            colour = np.array(drawn["hair"]["colour"])
            value = _hair_value(shape, parts, drawn["hair"])
            if not CUTS[drawn["hair"]["cut"]].cards:  # shaved: the skin shows through
                colour = to_srgb(0.35 * to_linear(colour) + 0.65 * to_linear(skin_colour(drawn["tone"])))
            painted.append((value, colour))
            hair = _hair(shape, value, drawn["hair"], body, keypoints, motion)
        if drawn["shoes"]:
            colour = np.array(drawn["shoes"]["colour"])
            value = _shoe_value(shape, parts, drawn["shoes"])
            painted.append((value, colour))
            if drawn["shoes"]["kind"] == "sandals":
                painted.append((_strap_value(shape, parts), colour))
            shoes, kept, sole = _shoes(shape, value, drawn["shoes"])
            shells.append(("shoes", shoes, kept, Material(colour, 0.5, rest=shoes[kept], spots=[sole])))
            covered = _without_border(body.faces, _without_border(body.faces, kept))
            visible = ~covered[body.faces].all(1)
            faces, uv = faces[visible], uv[visible] if uv is not None else None
        if uv is not None:
            beard = drawn["hair"]["beard"] if drawn["hair"] else "none"
            skin = skin_material(shape, drawn["tone"], drawn["skin"], np.array(drawn["brow"]), painted, beard)
        else:
            skin = Material(skin_colour(drawn["tone"]), 0.55, rest=shape.vertices)
            skin.spots = _face(shape, skin.colour, drawn["hair"])
            skin.regions = [Region(value, colour) for value, colour in painted]
        meshes = [SceneMesh(MeshSequence(body.vertices, faces, uv, body.name), skin, parts)]
        if hair is not None:
            meshes.append(hair)
        for name, rest, kept, material in shells:
            index = np.full(len(rest), -1)
            index[kept] = np.arange(kept.sum())
            faces = index[shape.faces[kept[shape.faces].all(1)]]
            moved = _skin(rest[kept], shape.weights[kept], shape.joints, keypoints, motion)
            meshes.append(SceneMesh(MeshSequence(moved, faces, name=name), material, parts[kept]))
        return meshes


def _point(shape: BodyShape, name: str) -> np.ndarray:
    return shape.joints[KEYPOINTS.index(name)]


def _face(shape: BodyShape, skin: np.ndarray, hair: dict | None) -> list[Spot]:
    """Eyes, brows and lips, in the detail that pictures show."""
    nose, chin, top = _point(shape, "nose"), _point(shape, "jaw_extra"), _point(shape, "headtop")
    eyes = [_point(shape, "left_eye"), _point(shape, "right_eye")]
    size = (top - np.mean(eyes, 0))[2] / 0.115  # of this head, 1 for an average one
    deep = 0.03 * size
    brow = np.array(hair["colour"]) if hair else skin * 0.4
    lips = np.clip(skin * [0.85, 0.55, 0.55], 0, 1)
    spots = []
    for eye in eyes:
        spots.append(Spot(eye, size * np.array([0.016, deep, 0.0075]), np.array([0.88, 0.87, 0.85]), 0.9, 0.3))
        spots.append(Spot(eye, size * np.array([0.0065, deep, 0.0065]), np.array([0.12, 0.08, 0.06]), 1.0, 0.3))
        above = eye + size * np.array([0.004 * np.sign(eye[0]), 0, 0.020])
        spots.append(Spot(above, size * np.array([0.022, deep, 0.006]), brow, 0.8, 0.5))
    mouth = np.array([0.0, nose[1], nose[2] - 0.42 * (nose[2] - chin[2])])
    spots.append(Spot(mouth, size * np.array([0.026, 0.05, 0.009]), lips, 0.8, 0.4))
    return spots


def _hair_value(shape: BodyShape, parts: np.ndarray, drawn: dict) -> np.ndarray:
    """Height of each vertex above the hair line, in head sizes, shape (V,); negative without hair."""
    ear = (_point(shape, "left_ear") + _point(shape, "right_ear")) / 2
    eye = (_point(shape, "left_eye") + _point(shape, "right_eye")) / 2
    unit = _point(shape, "headtop")[2] - eye[2]
    forward = ear[1] - shape.vertices[:, 1]  # from the ears to the face
    # The hair line's height as a function of the forward position: nape, round the ear, up the temple, forehead.
    line = np.interp(
        forward,
        np.array([-0.9, -0.25, -0.05, 0.3, 0.65, 1.0]) * (ear[1] - eye[1]),
        np.array([
            ear[2] - drawn["nape"] * unit, ear[2] - 0.6 * drawn["nape"] * unit, ear[2] + 0.15 * unit,
            ear[2] + 0.25 * unit, eye[2] + 0.8 * drawn["forehead"] * unit, eye[2] + drawn["forehead"] * unit,
        ]),
    )  # fmt: skip
    # Hair leaves the ears free.
    for side in ("left", "right"):
        away = shape.vertices - _point(shape, f"{side}_ear")
        outside = np.abs(shape.vertices[:, 0]) > np.abs(_point(shape, f"{side}_ear")[0]) - 0.1 * unit
        line = np.where(outside & (np.linalg.norm(away, axis=1) < 0.4 * unit), np.inf, line)
    head = np.isin(parts, [SMPL_JOINTS.index("head"), SMPL_JOINTS.index("neck")])
    return np.where(head, ((shape.vertices[:, 2] - line) / unit).clip(-1), -1.0)


def _hair(
    shape: BodyShape, value: np.ndarray, drawn: dict, body: MeshSequence, keypoints: np.ndarray, motion: Motion
) -> SceneMesh | None:
    """Hair and beard; ``None`` for a shaved head."""
    cut, rng = CUTS[drawn["cut"]], np.random.default_rng(drawn["seed"])
    normals = _normals(shape.vertices, shape.faces)
    strands = grow_hair(shape, normals, value, cut.of_length(drawn["length"]), rng)
    strands += grow_beard(
        shape, normals, *(vertex_mask(shape, part) for part in ("beard", "moustache")), drawn["beard"], rng
    )
    if not strands:
        return None
    head = SMPL_JOINTS.index("head")
    R, t = _joint_motion(shape, head, keypoints, motion)
    mesh = hair_mesh(strands, (R, t), cut.hangs, body, shape)
    # Hair that lies on the shoulders covers them as cloth does.
    parts = None if cut.hangs else np.full(mesh.vertices.shape[1], head)
    return SceneMesh(mesh, hair_material(np.array(drawn["colour"]), rng), parts)


def _joint_motion(shape: BodyShape, joint: int, keypoints: np.ndarray, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """The motion of one joint's part from the rest pose, in world axes: R (T, 3, 3) and t (T, 3)."""
    ends = np.concatenate([np.eye(3), np.zeros((1, 3))]) + shape.joints[joint]
    weights = np.zeros((4, 24))
    weights[:, joint] = 1
    moved = _skin(ends, weights, shape.joints, keypoints, motion).astype(float)
    R = (moved[:, :3] - moved[:, 3:]).transpose(0, 2, 1)
    return R, moved[:, 3] - np.einsum("tij,j->ti", R, shape.joints[joint])


def _shoe_value(shape: BodyShape, parts: np.ndarray, drawn: dict) -> np.ndarray:
    """Depth of each vertex of a foot below the shoes' rim [m], shape (V,); negative elsewhere."""
    legs = [SMPL_JOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("knee", "ankle", "foot")]
    ankle = max(_point(shape, "left_ankle")[2], _point(shape, "right_ankle")[2])
    along, _ = _along_foot(shape)
    if drawn["kind"] == "pumps":  # the instep is free
        rim = ankle * np.interp(along, [0, 0.2, 0.45, 0.66, 0.72, 0.8], [0.75, 0.65, 0.4, 0.42, 0.9, 1.0])
    elif drawn["kind"] == "sandals":
        rim = np.full(len(along), 0.2 * ankle)
    else:
        rim = ankle + drawn["height"]
    return np.where(np.isin(parts, legs), rim - shape.vertices[:, 2], -1.0)


def _strap_value(shape: BodyShape, parts: np.ndarray) -> np.ndarray:
    """Distance of each vertex of a foot inside the sandals' straps' edges [m], shape (V,); negative outside."""
    along, length = _along_foot(shape)
    feet = np.isin(
        parts, [SMPL_JOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("ankle", "foot")]
    )
    # Across the toes and the instep, and round the heel.
    height = shape.vertices[:, 2] / max(_point(shape, "left_ankle")[2], 1e-6)
    across = np.maximum(0.045 - np.abs(along - 0.72), 0.035 - np.abs(along - 0.45)) * length
    heel = np.where(along < 0.45, 0.008 - np.abs(height - 0.75) * 0.08, -1)
    return np.where(feet, np.maximum(across, heel), -1.0)


def _along_foot(shape: BodyShape) -> tuple[np.ndarray, float]:
    """Position of each vertex from the heel (0) to the big toe (1), shape (V,), and the foot's length [m]."""
    heel, toe = (
        np.mean([_point(shape, f"{side}_{name}")[1] for side in ("left", "right")]) for name in ("heel", "bigtoe")
    )
    return (heel - shape.vertices[:, 1]) / (heel - toe), float(heel - toe)


def _shoes(shape: BodyShape, value: np.ndarray, drawn: dict) -> tuple[np.ndarray, np.ndarray, Spot]:
    """A pair of shoes: rest vertices (V, 3), a mask of those they use (V,), and the sole's colour."""
    kept = value > 0
    thick, sole_height = {"trainers": (0.006, 0.026), "boots": (0.006, 0.02), "pumps": (0.003, 0.012),
                          "sandals": (0.006, 0.1)}[drawn["kind"]]  # fmt: skip
    # A foot with its toes merged into a round shape, pushed out to enclose the toes nearby.
    smooth = _smoothed(shape.vertices, shape.faces, kept, 30)
    normals = _normals(smooth, shape.faces)
    own = ((shape.vertices - smooth) * normals).sum(1).clip(0)
    push = own.copy()
    for _ in range(7):
        np.maximum.at(push, shape.faces, push[shape.faces].max(1, keepdims=True))
    matrix = _averaging(shape.faces, np.ones_like(kept))
    for _ in range(12):
        push = matrix @ push
    ankle = max(_point(shape, "left_ankle")[2], _point(shape, "right_ankle")[2])
    push = own + (push - own) * np.clip((ankle - shape.vertices[:, 2]) / 0.03, 0, 1)  # a boot's shaft fits the leg
    rim = np.clip(value / min(0.035, 0.5 * value.max()), 0, 1)
    rest = smooth + ((push + thick) * rim * kept)[:, None] * normals
    ground = shape.vertices[:, 2].min()
    rest[:, 2] = np.where(kept, np.maximum(rest[:, 2], ground - 0.002), rest[:, 2])
    middle = shape.vertices[kept].mean(0)
    sole = Spot(
        np.array([0.0, middle[1], ground]), np.array([50.0, 50.0, sole_height]), np.array(drawn["sole"]), 1.0, 0.1
    )
    return rest, kept, sole


def _averaging(faces: np.ndarray, kept: np.ndarray) -> object:
    """Sparse (V, V): moves each kept vertex to its neighbours' mean, leaves the others."""
    count = len(kept)
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    ones = np.ones(len(pairs))
    matrix = (coo_matrix((ones, pairs.T), shape=(count, count)).tocsr() > 0).astype(float)
    matrix = diags(1 / np.asarray(matrix.sum(1)).ravel().clip(1)) @ matrix
    return diags(kept.astype(float)) @ matrix + diags(1.0 - kept)


def _smoothed(vertices: np.ndarray, faces: np.ndarray, kept: np.ndarray, rounds: int) -> np.ndarray:
    """Smooths kept vertices by repeatedly moving them to their neighbours' mean; their border is fixed."""
    matrix = _averaging(faces, _without_border(faces, kept))
    for _ in range(rounds):
        vertices = matrix @ vertices
    return vertices


def _without_border(faces: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Vertices with only kept neighbours, (V,) bool."""
    inner = kept.copy()
    inner[faces[~kept[faces].all(1)]] = False
    return inner


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit vertex normals (V, 3)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normals = np.zeros_like(vertices)
    np.add.at(normals, faces, np.cross(b - a, c - a)[:, None])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)


def _skin(
    rest: np.ndarray, weights: np.ndarray, rest_joints: np.ndarray, keypoints: np.ndarray, motion: Motion
) -> np.ndarray:
    """Linear blend skinning of points that follow the body.

    Args:
        rest: In the rest pose, world axes [m], shape (P, 3).
        weights: Shape (P, 24).
        rest_joints: In the rest pose, world axes [m], shape (24 or more, 3).
        keypoints: Posed joints [m], shape (T, 24 or more, 3).
        motion: The body's motion.

    Returns:
        (T, P, 3) float32 [m].
    """
    # Rest positions are in world axes, rotations in SMPL's: undo the rotation of BodyShape.
    upright = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    local = Rotation.from_rotvec(motion.poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    moved = np.zeros((len(motion), len(rest), 3))
    turned = np.empty_like(local)
    for joint, parent in enumerate(SMPL_PARENTS):
        turned[:, joint] = local[:, joint] if parent < 0 else turned[:, parent] @ local[:, joint]
        used = np.flatnonzero(weights[:, joint])
        arm = (rest[used] - rest_joints[joint]) @ upright
        place = np.einsum("tij,pj->tpi", turned[:, joint], arm) + keypoints[:, joint, None]
        moved[:, used] += weights[used, joint, None] * place
    return moved.astype(np.float32)
