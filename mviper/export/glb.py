"""GLB (glTF 2.0 in one file): skin, skeleton, blend shapes and animation, written without a library."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.body import SMPL
from mviper.export.skinning import skin_motion, strongest_weights
from mviper.files import atomic_path
from mviper.graphics import vertex_normals
from mviper.structures import SMPL_JOINTS, SMPL_PARENTS, Motion

_FLOAT, _BYTE, _INDEX = 5126, 5121, 5125
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
_KINDS = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (16,): "MAT4"}

#: Colours of the people's skins, linear RGBA.
_COLOURS = ((0.18, 0.39, 0.88, 1.0), (0.9, 0.55, 0.22, 1.0), (0.3, 0.65, 0.35, 1.0), (0.7, 0.35, 0.7, 1.0))
#: Joints per vertex: two sets of four, as many as common readers support.
_INFLUENCES = 8


class _Document:
    """Builds a glTF document with one binary buffer."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.json = {
            "asset": {"version": "2.0", "generator": "MVIPER"}, "scene": 0, "scenes": [{"nodes": []}], "nodes": [],
            "meshes": [], "skins": [], "animations": [], "materials": [], "accessors": [], "bufferViews": [],
        }  # fmt: skip

    def add(self, key: str, value: dict) -> int:
        self.json[key].append(value)
        return len(self.json[key]) - 1

    def array(
        self, values: np.ndarray, component: int = _FLOAT, target: int | None = None, bounds: bool = False
    ) -> int:
        """Stores an array (N,), (N, 3), (N, 4) or (N, 16); returns its accessor."""
        dtype = {_FLOAT: "<f4", _BYTE: "u1", _INDEX: "<u4"}[component]
        values = np.ascontiguousarray(values, dtype)
        self.binary.extend(b"\0" * (-len(self.binary) % 4))
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": values.nbytes}
        if target is not None:
            view["target"] = target
        self.binary.extend(values.tobytes())
        accessor = {
            "bufferView": self.add("bufferViews", view), "componentType": component, "count": len(values),
            "type": _KINDS[values.shape[1:]],
        }  # fmt: skip
        if bounds:  # required for positions and key times
            flat = values.reshape(len(values), -1)
            accessor["min"], accessor["max"] = flat.min(0).tolist(), flat.max(0).tolist()
        return self.add("accessors", accessor)

    def write(self, path: Path) -> None:
        """Writes header, JSON chunk and binary chunk."""
        self.binary.extend(b"\0" * (-len(self.binary) % 4))
        self.json["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.json, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(self.binary)))
            file.write(struct.pack("<I4s", len(text), b"JSON") + text)
            file.write(struct.pack("<I4s", len(self.binary), b"BIN\0") + self.binary)


def write_glb(path: str | Path, motions: Sequence[Motion], body: SMPL, starts: Sequence[int]) -> None:
    """Writes people with skeletons, skins, pose-corrective blend shapes and their animation.

    Skinning with the blend shapes reproduces the body's surface to a fraction of a millimetre. Axes are glTF's: y up,
    metres.

    Args:
        path: Ends in ``.glb``.
        motions: People in the same world, z up.
        body: The body they belong to.
        starts: Frame at which each motion begins; before it the person holds the first pose.
    """
    document = _Document()
    animation = {"name": motions[0].name or "motion", "samplers": [], "channels": []}
    for number, (motion, start) in enumerate(zip(motions, starts), 1):
        _add_person(document, animation, motion, body, number, start)
    document.add("animations", animation)
    document.write(Path(path))


def _add_person(document: _Document, animation: dict, motion: Motion, body: SMPL, number: int, start: int) -> None:
    skinned = skin_motion(motion, body)
    joints, weights = strongest_weights(body.weights, _INFLUENCES)
    attributes = {
        "POSITION": document.array(skinned.rest, target=_VERTEX_BUFFER, bounds=True),
        "NORMAL": document.array(vertex_normals(skinned.rest, body.faces), target=_VERTEX_BUFFER),
    }
    for group in range(_INFLUENCES // 4):
        four = slice(4 * group, 4 * group + 4)
        attributes[f"JOINTS_{group}"] = document.array(joints[:, four], _BYTE, _VERTEX_BUFFER)
        attributes[f"WEIGHTS_{group}"] = document.array(weights[:, four], target=_VERTEX_BUFFER)
    colour = _COLOURS[(number - 1) % len(_COLOURS)]
    material = {"name": f"person_{number}", "pbrMetallicRoughness": {
        "baseColorFactor": list(colour), "metallicFactor": 0.0, "roughnessFactor": 0.8}}  # fmt: skip
    primitive = {
        "attributes": attributes,
        "indices": document.array(body.faces.ravel(), _INDEX, _INDEX_BUFFER),
        "material": document.add("materials", material),
    }
    mesh = {"name": f"person_{number}", "primitives": [primitive]}
    if len(skinned.shapes):
        primitive["targets"] = [
            {"POSITION": document.array(shape, target=_VERTEX_BUFFER, bounds=True)} for shape in skinned.shapes
        ]
        mesh["weights"] = skinned.rest_weights.tolist()
        mesh["extras"] = {"targetNames": [f"corrective_{k}" for k in range(len(skinned.shapes))]}

    first = len(document.json["nodes"])
    for name, offset in zip(SMPL_JOINTS, skinned.offsets):
        document.add("nodes", {"name": name, "translation": offset.tolist()})
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            document.json["nodes"][first + parent].setdefault("children", []).append(first + joint)
    inverse_bind = np.tile(np.eye(4), (24, 1, 1))
    inverse_bind[:, :3, 3] = -skinned.joints
    skin = document.add(
        "skins",
        {
            "name": f"person_{number}", "skeleton": first, "joints": list(range(first, first + 24)),
            "inverseBindMatrices": document.array(inverse_bind.transpose(0, 2, 1).reshape(24, 16)),
        },
    )  # fmt: skip
    surface = document.add(
        "nodes", {"name": f"person_{number}_mesh", "mesh": document.add("meshes", mesh), "skin": skin}
    )
    top = document.add("nodes", {"name": f"person_{number}", "children": [first, surface]})
    document.json["scenes"][0]["nodes"].append(top)

    times = document.array((start + np.arange(len(motion))) / motion.fps, bounds=True)

    def animate(node: int, path: str, values: np.ndarray) -> None:
        sampler = {"input": times, "output": document.array(values), "interpolation": "LINEAR"}
        animation["samplers"].append(sampler)
        animation["channels"].append(
            {"sampler": len(animation["samplers"]) - 1, "target": {"node": node, "path": path}}
        )

    animate(first, "translation", skinned.pelvis)
    for joint in range(24):
        quaternions = Rotation.from_matrix(skinned.rotmat[:, joint]).as_quat()  # x, y, z, w, as in glTF
        animate(first + joint, "rotation", _continuous(quaternions))
    if len(skinned.shapes):
        animate(surface, "weights", skinned.shape_weights.ravel())


def _continuous(quaternions: np.ndarray) -> np.ndarray:
    """Chooses each quaternion's sign nearest to the previous one, so that interpolation takes the short way."""
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
    flips[flips == 0] = 1
    return quaternions * np.concatenate([[1.0], np.cumprod(flips)])[:, None]
