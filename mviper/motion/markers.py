"""Optical motion capture markers: their names, and their places on any body.

The standard set is the 41 markers of CMU's and Vicon's full-body sets. A marker is placed by anatomy, in the T-pose: a
ray starts at a point between the body's keypoints and runs in a given direction (palms face down, so the arm's outside
is up); the marker lies where the ray leaves the skin, :data:`MARKER_HEIGHT` above it. No vertex ids are involved, so
any body in SMPL's format will do. MoSh then finds the markers' true places on a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mviper.body import SMPL, AttachedPoints
from mviper.structures import KEYPOINTS, SMPL_JOINTS

#: Centre of a marker above the skin [m]: a ball of 14 mm on a thin base.
MARKER_HEIGHT = 0.0095

#: Name -> (start of the ray as weights of keypoints, its direction). Directions are for the left side, where x is
#: outwards; y is up, z forwards. ``L`` names have an ``R`` counterpart.
_PLACES: dict[str, tuple[dict[str, float], tuple[float, float, float]]] = {
    # Head band, above the ears.
    "LFHD": ({"left_ear": 0.35, "right_ear": 0.35, "headtop": 0.3}, (0.45, 0.0, 0.9)),
    "LBHD": ({"left_ear": 0.35, "right_ear": 0.35, "headtop": 0.3}, (0.55, 0.0, -0.8)),
    # Trunk: 7th neck and 10th chest vertebra, notch and lower end of the breastbone, right shoulder blade, shoulders.
    "C7": ({"neck": 1.0}, (0.0, 0.0, -1.0)),
    "T10": ({"spine_2": 0.5, "spine_3": 0.5}, (0.0, 0.0, -1.0)),
    "CLAV": ({"left_shoulder": 0.5, "right_shoulder": 0.5}, (0.0, 0.0, 1.0)),
    "STRN": ({"spine_2": 0.5, "spine_3": 0.5}, (0.0, 0.0, 1.0)),
    "RBAC": ({"spine_3": 0.45, "right_shoulder": 0.55}, (0.0, 0.0, -1.0)),
    "LSHO": ({"left_shoulder": 1.0}, (0.0, 1.0, 0.0)),
    # Arm: upper arm, outer bump of the elbow, forearm, thumb's and little finger's side of the wrist, back of the hand.
    "LUPA": ({"left_shoulder": 0.5, "left_elbow": 0.5}, (0.0, 0.9, -0.4)),
    "LELB": ({"left_elbow": 1.0}, (0.0, 0.9, -0.4)),
    "LFRM": ({"left_elbow": 0.5, "left_wrist": 0.5}, (0.0, 0.9, -0.4)),
    "LWRA": ({"left_wrist": 1.0}, (0.0, 0.3, 1.0)),
    "LWRB": ({"left_wrist": 1.0}, (0.0, 0.3, -1.0)),
    "LFIN": ({"left_hand": 1.0}, (0.0, 1.0, 0.0)),
    # Pelvis: the front and back spines of the hip bones.
    "LFWT": ({"left_hip": 1.0, "pelvis": -0.5, "spine_1": 0.5}, (0.25, 0.0, 1.0)),
    "LBWT": ({"left_hip": 0.6, "spine_1": 0.8, "pelvis": -0.4}, (0.0, 0.0, -1.0)),
    # Leg: thigh, outer side of the knee, shin, outer ankle, heel, and the roots of the second and fifth toes.
    "LTHI": ({"left_hip": 0.45, "left_knee": 0.55}, (1.0, 0.0, 0.0)),
    "LKNE": ({"left_knee": 1.0}, (1.0, 0.0, 0.0)),
    "LSHN": ({"left_knee": 0.5, "left_ankle": 0.5}, (0.9, 0.0, 0.4)),
    "LANK": ({"left_ankle": 1.0}, (1.0, 0.0, 0.0)),
    "LHEE": ({"left_ankle": 0.3, "left_heel": 0.7}, (0.0, 0.0, -1.0)),
    "LTOE": ({"left_foot": 1.0}, (0.0, 1.0, 0.0)),
    "LMT5": ({"left_foot": 1.0}, (1.0, 0.0, 0.0)),
}  # fmt: skip

#: Markers of other sets, at places missing in the standard set: base of the spine, inner elbow, knee and ankle, the
#: root of the big toe.
_EXTRA_PLACES: dict[str, tuple[dict[str, float], tuple[float, float, float]]] = {
    "SACR": ({"pelvis": 1.0}, (0.0, 0.0, -1.0)),
    "LELM": ({"left_elbow": 1.0}, (0.0, -0.9, 0.4)),
    "LKNM": ({"left_knee": 1.0}, (-1.0, 0.0, 0.0)),
    "LANM": ({"left_ankle": 1.0}, (-1.0, 0.0, 0.0)),
    "LMT1": ({"left_foot": 1.0}, (-1.0, 0.0, 0.0)),
}


def _both_sides(places: dict) -> dict[str, tuple[dict[str, float], np.ndarray]]:
    result = {}
    for name, (start, direction) in places.items():
        result[name] = start, np.array(direction)
        if name.startswith("L"):
            other = {key.replace("left_", "~").replace("right_", "left_").replace("~", "right_"): share
                     for key, share in start.items()}  # fmt: skip
            result["R" + name[1:]] = other, np.array(direction) * [-1, 1, 1]
    return result


#: Every marker that can be placed: (start of its ray, direction).
MARKER_PLACES = {**_both_sides(_PLACES), **_both_sides(_EXTRA_PLACES)}

#: The 41 markers of the standard set.
STANDARD_MARKERS = tuple(_both_sides(_PLACES))

#: Other laboratories' names for these markers. SMPL's joint names are also accepted, as joint centres.
SYNONYMS = {
    "LFWT": ("LASI", "LASIS"), "LBWT": ("LPSI", "LPSIS"), "SACR": ("SACRUM", "MWBK"), "RBAC": ("RBAK",),
    "LSHN": ("LTIB", "LSHIN"), "LFRM": ("LFRA", "LFARM"), "LUPA": ("LUPAA", "LARM", "LUARM"), "LWRA": ("LIWR", "LWRI"),
    "LWRB": ("LOWR", "LWRO"), "LHEE": ("LHEEL",), "LKNE": ("LKNEE",), "LELB": ("LELBOW",), "LANK": ("LANKLE",),
    "LFIN": ("LFING", "LHAND"), "LTHI": ("LTHIGH",), "LSHO": ("LSHOULDER",), "LTOE": ("LTOES", "LMT2"),
    "LMT5": ("LTOEOUT",), "LELM": ("LELBM", "LIEL", "LMELB"), "LKNM": ("LKNI", "LMKNE", "LKNEM", "LMKN"),
    "LANM": ("LANI", "LMANK", "LANKM", "LMED"), "LMT1": ("LTOEIN",), "LFHD": ("LFHEAD",), "LBHD": ("LBHEAD",),
    "CLAV": ("CLAVICLE",), "STRN": ("STERNUM", "STERN"),
}  # fmt: skip

_NAMES = {name: name for name in MARKER_PLACES} | {joint.upper(): joint for joint in SMPL_JOINTS}
for _name, _others in SYNONYMS.items():
    _NAMES.update({other: _name for other in _others})
    if _name.startswith("L"):
        _NAMES.update({"R" + other[1:]: "R" + _name[1:] for other in _others})


def split_label(label: str) -> tuple[str, str]:
    """Splits a label into (subject, marker): ``"Jack:LFHD"``, ``"Jack LFHD"`` and ``"Jack_LFHD"`` are Jack's LFHD."""
    parts = [part for part in re.split(r"[:\s]+", label.strip()) if part]
    subject, marker = (parts[0] if len(parts) > 1 else ""), (parts[-1] if parts else "")
    if not subject and known_marker(marker) is None and "_" in marker:
        subject, _, marker = marker.rpartition("_")
    return subject, marker


def known_marker(marker: str) -> str | None:
    """The standard name of a marker (or SMPL's name of a joint); None if unknown."""
    plain = marker.upper().replace("-", "_")
    return _NAMES.get(plain, _NAMES.get(plain.replace("_", "")))


@dataclass(frozen=True)
class MarkerLayout:
    """The markers' assumed places on a body, before MoSh has seen the person.

    Attributes:
        names: Names of the P markers.
        points: Their places on the skin (or joints).
        offsets: From there to the marker's centre, in T-pose axes [m], shape (P, 3).
        deviations: Standard deviation of the true place, along and off the skin [m], shape (P, 2).
    """

    names: tuple[str, ...]
    points: AttachedPoints
    offsets: Tensor
    deviations: Tensor

    def precision(self) -> Tensor:
        """Inverse covariance of the offsets, (P, 3, 3) [1/m^2]."""
        normal = torch.nn.functional.normalize(self.offsets, dim=-1)
        along, off = (1 / self.deviations.square()).unbind(-1)
        outer = normal[..., None] * normal[..., None, :]
        return along[:, None, None] * torch.eye(3).to(outer) + (off - along)[:, None, None] * outer


#: Markers are placed to within 2 cm along the skin and 4 mm off it; joint centres computed by another model lie within
#: 1 cm of SMPL's.
ALONG_SKIN, OFF_SKIN, JOINT_DEVIATION = 0.015, 0.004, 0.01


def place_markers(body: SMPL, names: tuple[str, ...] = STANDARD_MARKERS) -> MarkerLayout:
    """Places markers on a body by anatomy.

    Args:
        body: Any body in SMPL's format.
        names: Names of :data:`MARKER_PLACES`, or SMPL joint names for joint centres.

    Returns:
        The layout, on the body's device.
    """
    device = body.template.device
    with torch.no_grad():
        rest = body(torch.zeros(1, body.num_betas, device=device), torch.eye(3, device=device).expand(1, 24, 3, 3))
    vertices = rest.vertices[0].double().cpu().numpy()
    keypoints = dict(zip(KEYPOINTS, rest.joints[0].double().cpu().numpy()))
    mesh = _Mesh(vertices, np.asarray(body.faces))
    on_skin = [name for name in names if name in MARKER_PLACES]
    faces, shares, normals = [], [], []
    for name in on_skin:
        start, direction = MARKER_PLACES[name]
        origin = sum(share * keypoints[key] for key, share in start.items())
        # A ray from one of a pair of limbs must not run on into the other.
        side = 0.0 if all(not key.startswith(("left_", "right_")) for key in start) else np.sign(origin[0])
        face, barycentric, normal = mesh.leaves_skin(origin, direction, side if abs(origin[0]) > 0.02 else 0.0)
        faces.append(face)
        shares.append(barycentric)
        normals.append(normal)
    joints = [SMPL_JOINTS.index(name) for name in names if name not in MARKER_PLACES]
    parts = []
    if on_skin:
        weights = torch.tensor(np.array(shares), dtype=torch.float32, device=device)
        parts.append(AttachedPoints.on_surface(body, torch.tensor(faces, device=device), weights))
    if joints:
        parts.append(AttachedPoints.at_joints(body, torch.tensor(joints, device=device)))
    points = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    # So far skin points come first, joints last; restore the requested order.
    stored = on_skin + [name for name in names if name not in MARKER_PLACES]
    order = torch.tensor([stored.index(name) for name in names], device=device)
    offsets = np.concatenate([MARKER_HEIGHT * np.reshape(normals, (-1, 3)), np.zeros((len(joints), 3))])
    deviations = [(ALONG_SKIN, OFF_SKIN)] * len(on_skin) + [(JOINT_DEVIATION, JOINT_DEVIATION)] * len(joints)
    heights, spread = (
        torch.tensor(values, dtype=torch.float32, device=device)[order] for values in (offsets, deviations)
    )
    return MarkerLayout(tuple(names), points[order], heights, spread)


class _Mesh:
    """A rest mesh for ray casting."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.faces = faces
        self.corner = vertices[faces[:, 0]]
        self.edges = vertices[faces[:, 1]] - self.corner, vertices[faces[:, 2]] - self.corner
        self.centre_x = vertices[faces][..., 0].mean(1)
        normals = np.cross(*self.edges)
        self.vertex_normals = np.zeros_like(vertices)
        for corner in range(3):
            np.add.at(self.vertex_normals, faces[:, corner], normals)

    def leaves_skin(self, origin: np.ndarray, direction: np.ndarray, side: float) -> tuple[int, np.ndarray, np.ndarray]:
        """Face, barycentric coordinates and outward normal of a ray's last crossing (Möller and Trumbore, 1997).

        Args:
            origin: (3,) [m].
            direction: (3,).
            side: 1 or -1 to consider only skin with that sign of x, else 0.
        """
        first, second = self.edges
        cross = np.cross(direction, second)
        determinant = (first * cross).sum(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            to_origin = origin - self.corner
            u = (to_origin * cross).sum(-1) / determinant
            normal = np.cross(to_origin, first)
            v = (normal @ direction) / determinant
            distance = (normal * second).sum(-1) / determinant
        hit = (np.abs(determinant) > 1e-14) & (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (distance > 0)
        hit &= (self.centre_x * side >= 0) if side else True
        if hit.any():
            face = int(np.where(hit, distance, -np.inf).argmax())
            barycentric = np.array([1 - u[face] - v[face], u[face], v[face]])
        else:  # an unusual body: take the nearest skin, as MoSh moves markers anyway
            centres = self.corner + (first + second) / 3
            away = np.linalg.norm(centres - origin, axis=1) + np.where(self.centre_x * side >= 0, 0.0, 1e3)
            face, barycentric = int(away.argmin()), np.full(3, 1 / 3)
        outward = barycentric @ self.vertex_normals[self.faces[face]]
        return face, barycentric, outward / np.linalg.norm(outward)
