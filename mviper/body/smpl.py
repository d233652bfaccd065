"""The SMPL body model, as computed by the ``smplx`` package, with this project's keypoints."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import smplx
import torch
from smplx.lbs import batch_rigid_transform
from smplx.utils import Struct
from smplx.vertex_ids import vertex_ids
from torch import Tensor, nn

from mviper.body.keypoint_regressor import LANDMARK_VERTICES, bodies_around, fit_surface_regressor
from mviper.errors import FileFormatError
from mviper.files import load_npz, names_in, restricted_unpickle, sha256_of
from mviper.registry import MODELS
from mviper.structures import SURFACE_JOINTS

#: The open body shipped with the package (see ``mviper/body/data/README.md``).
OPEN_BODY = Path(__file__).parent / "data" / "open_body.npz"
#: Masks of its skin, made by ``tools/build_skin.py``.
OPEN_BODY_SKIN = OPEN_BODY.with_name("open_body_skin.npz")

#: Relatives of SMPL by the width of their pose correctives: nine numbers for each joint except the root, four in STAR.
_OTHER_MODELS = {
    459: "an SMPL-H file", 486: "an SMPL-X file", 135: "a MANO file (a hand)", 93: "a STAR file",
    36: "a FLAME file (a head)",
}  # fmt: skip
_WHERE = "SMPL can be downloaded from https://smpl.is.tue.mpg.de"
#: More numbers than any body array has.
_LARGEST = 10**8

#: SMPL's own arrays, which every body file must have.
REQUIRED_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")


@dataclasses.dataclass
class SMPLOutput:
    """What a body model returns.

    Attributes:
        vertices: (N, V, 3) [m], or None if not requested.
        joints: (N, J, 3) [m], in the order of ``mviper.structures.KEYPOINTS``.
    """

    vertices: Tensor | None
    joints: Tensor


class _ChumpyArray:
    """Stands in for a pickled ``chumpy.Ch``: keeps its state, computes nothing."""

    x: Any
    a: Any
    idxs: Any

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    def to_array(self) -> np.ndarray:
        if "x" in self.__dict__:  # chumpy.Ch: the array itself
            return np.asarray(self.x)
        if "a" in self.__dict__ and "idxs" in self.__dict__:  # chumpy.reordering.Select: elements of another array
            shape = getattr(self, "preferred_shape", None)
            return np.asarray(_dense(self.a)).ravel()[np.asarray(self.idxs)].reshape(shape or -1)
        raise ValueError(f"a chumpy object with fields {sorted(self.__dict__)} is not known")


class _SparseMatrix:
    """Stands in for a pickled scipy sparse matrix in CSC, CSR or COO form."""

    layout = ""
    row: Any
    col: Any
    data: Any
    indices: Any
    indptr: Any

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    def to_array(self) -> np.ndarray:
        shape = self.__dict__.get("_shape", self.__dict__.get("shape"))
        if self.layout == "coo":
            place = self.__dict__["coords"] if "coords" in self.__dict__ else (self.row, self.col)
            return scipy.sparse.coo_matrix((self.data, place), shape=shape).toarray()
        make = {"csc": scipy.sparse.csc_matrix, "csr": scipy.sparse.csr_matrix}[self.layout]
        return make((self.data, self.indices, self.indptr), shape=shape).toarray()


class _SparseCSC(_SparseMatrix):
    layout = "csc"


class _SparseCSR(_SparseMatrix):
    layout = "csr"


class _SparseCOO(_SparseMatrix):
    layout = "coo"


def _new_object(cls: type, base: type, state: object) -> object:
    """``copyreg._reconstructor``, restricted to the stand-ins."""
    if not (isinstance(cls, type) and issubclass(cls, _ChumpyArray | _SparseMatrix) and base is object):
        raise ValueError(f"it makes a {cls}, which is not allowed")
    return object.__new__(cls)


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """``_codecs.encode``, restricted to bytes in a protocol 2 pickle written by Python 3."""
    if encoding != "latin1":
        raise ValueError(f"it encodes text as {encoding}, which is not allowed")
    return text.encode(encoding)


#: Globals that a licensed SMPL pickle needs beyond numpy's, with their stand-ins.
_PICKLE_GLOBALS = {
    ("chumpy.ch", "Ch"): _ChumpyArray,
    ("chumpy.reordering", "Select"): _ChumpyArray,
    ("builtins", "object"): object,
    ("__builtin__", "object"): object,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("copy_reg", "_reconstructor"): _new_object,
    ("copyreg", "_reconstructor"): _new_object,
    ("_codecs", "encode"): _latin1_bytes,
    **{
        (f"scipy.sparse.{module}", f"{layout}_{kind}"): stand_in
        for layout, stand_in in (("csc", _SparseCSC), ("csr", _SparseCSR), ("coo", _SparseCOO))
        for module in (layout, f"_{layout}")
        for kind in ("matrix", "array")
    },
}


def _dense(value: Any) -> Any:
    return value.to_array() if isinstance(value, _ChumpyArray | _SparseMatrix) else value


def load_body_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a body model file: SMPL's keys from a ``.npz`` or ``.pkl``.

    A matrix ``X`` may be stored sparsely as ``X_data``, ``X_indices`` (into the flattened array) and ``X_shape``.
    Pickles (licensed SMPL files, from Python 2 or 3, or MVIPER's) are read without chumpy and without executing
    anything.

    Args:
        path: The file.

    Returns:
        All arrays of the file; SMPL's arrays in float64, ``f`` (F, 3) and ``kintree_table`` (2, 24) in int64.

    Raises:
        FileFormatError: Missing, truncated, unsafe, or not a body model.
    """
    path = Path(path).expanduser()
    ending = path.suffix.lower()
    if ending == ".npz":
        arrays = load_npz(path)
    elif ending == ".pkl":
        arrays = _load_pickle(path)
    else:
        raise FileFormatError(path, "not a body model file: expected .npz or .pkl")
    _make_dense(path, arrays)
    other = _other_model(arrays)
    if other:
        raise FileFormatError(path, f"it is {other}; expected SMPL itself, e.g. SMPL_NEUTRAL.pkl", hint=_WHERE)
    missing = [key for key in REQUIRED_KEYS if key not in arrays]
    if missing:
        raise FileFormatError(
            path, f"not an SMPL body model: it lacks {', '.join(missing)}; it holds {names_in(arrays)}", hint=_WHERE
        )
    for key in REQUIRED_KEYS:
        integer = key in ("f", "kintree_table")
        try:
            arrays[key] = np.asarray(arrays[key]).astype(np.int64 if integer else np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise FileFormatError(path, f"{key} is not an array of numbers: {error}") from error
    _check_shapes(path, arrays)
    return arrays


def _make_dense(path: Path, arrays: dict[str, Any]) -> None:
    for key in [key.removesuffix("_indices") for key in arrays if key.endswith("_indices")]:
        if not {f"{key}_data", f"{key}_shape"} <= set(arrays):
            continue  # not sparse: SMPL-X has arrays with such names
        indices, data, shape = (np.asarray(arrays.pop(f"{key}_{part}")) for part in ("indices", "data", "shape"))
        try:
            size = math.prod(int(n) for n in shape)
            if not 0 <= size <= _LARGEST:
                raise ValueError(f"{size} elements")
            full = np.zeros(size, data.dtype)
            full[indices] = data
            arrays[key] = full.reshape(shape)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise FileFormatError(path, f"{key} is not a sparse array: {error}") from error


def _other_model(arrays: dict[str, Any]) -> str:
    """Which relative of SMPL this is, by the width of its pose correctives or by its keys; '' for none."""
    width = (np.shape(arrays.get("posedirs", ())) or (0,))[-1]
    count = (np.shape(arrays.get("v_template", ())) or (0,))[0]
    if width in _OTHER_MODELS:
        return f"{_OTHER_MODELS[width]} (posedirs has {width} columns, SMPL's 207; {count} vertices)"
    if {"poses", "root_orient", "global_orient", "smpl"} & set(arrays) and width == 0:
        return f"a motion or annotation, not a body: it holds {names_in(arrays)}"
    return ""


def _load_pickle(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = restricted_unpickle(file, path, _PICKLE_GLOBALS, encoding="latin1")
    except OSError as error:
        raise FileFormatError(path, f"cannot be opened: {error.strerror}") from error
    if not isinstance(content, dict):
        raise FileFormatError(path, f"not an SMPL body model: a dict was expected, it holds a {type(content).__name__}")
    try:
        return {str(key): _dense(value) for key, value in content.items()}
    except Exception as error:  # a damaged stand-in can fail in many ways
        raise FileFormatError(path, f"an array in it cannot be read: {error}") from error


def _check_shapes(path: Path, arrays: dict[str, np.ndarray]) -> None:
    count = np.shape(arrays["v_template"])[0] if np.ndim(arrays["v_template"]) else 0
    expected = {
        "v_template": (count, 3),
        "shapedirs": (count, 3, "betas"),
        "posedirs": (count, 3, 207),
        "J_regressor": (24, count),
        "weights": (count, 24),
        "f": ("faces", 3),
        "kintree_table": (2, 24),
    }
    for key, shape in expected.items():
        found = arrays[key].shape
        if len(found) != len(shape) or any(isinstance(n, int) and n != m for n, m in zip(shape, found)):
            raise FileFormatError(path, f"{key} has shape {found}, expected {shape}")
    if not arrays["f"].size or arrays["f"].min() < 0 or arrays["f"].max() >= count:
        raise FileFormatError(path, f"f refers to vertices outside 0..{count - 1}")
    for key in expected:
        if not np.isfinite(arrays[key]).all():
            raise FileFormatError(path, f"{key} contains NaN or infinite values")
    for key in ("J_regressor", "weights"):
        _check_means(path, key, arrays[key])


def _check_means(path: Path, key: str, weights: np.ndarray) -> None:
    """Refuses rows of weights that do not sum to 1: their weighted means would be misplaced."""
    if not (np.abs(weights.sum(axis=1) - 1) < 0.02).all():  # false for NaN too
        raise FileFormatError(path, f"{key} has rows that do not sum to 1")


def _extra_regressor(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    """The file's regressor of the surface joints; for a licensed SMPL file, one fitted on loading."""
    count = len(arrays["v_template"])
    if "extra_regressor" in arrays:
        regressor = np.asarray(arrays["extra_regressor"], np.float64)
        if regressor.shape != (len(SURFACE_JOINTS), count):
            raise FileFormatError(
                path, f"extra_regressor has shape {regressor.shape}, expected {(len(SURFACE_JOINTS), count)}"
            )
        _check_means(path, "extra_regressor", regressor)
        return regressor
    if count != 6890:
        raise FileFormatError(
            path, f"it has no extra_regressor, and with {count} vertices it is not SMPL's mesh, where one can be fitted"
        )
    return fit_surface_regressor(
        bodies_around(arrays["v_template"], arrays["shapedirs"][..., :10]),
        arrays["f"],
        arrays["J_regressor"],
        arrays["weights"],
        {name: vertex_ids["smplh"][landmark] for name, landmark in LANDMARK_VERTICES.items()},
    )


@MODELS.register_module()
class SMPL(nn.Module):
    """A body model in SMPL's format: maps shape and pose to surface and keypoints.

    The surface is computed by ``smplx.SMPL``. The keypoints are SMPL's 24 joints followed by the surface joints, which
    the file's ``extra_regressor`` computes from the posed surface. Licensed SMPL files have no such regressor; it is
    fitted on loading (see :mod:`mviper.body.keypoint_regressor`).

    The body is not stored in checkpoints, as licensed body files must not be redistributed.

    Args:
        model_path: A ``.npz`` or ``.pkl`` with SMPL's keys; None for the open body shipped with the package.
        num_betas: Number of shape directions to use.

    Attributes:
        faces: (F, 3) int64 array.
        weights: (V, 24) float64 array, skinning weights.
        uv: (VT, 2) float64 array in [0, 1], or None.
        uv_faces: (F, 3) int64 array into ``uv``, or None.
        mirror_vertices: (V,) int64 array, each vertex's left-right partner, or None.
        num_vertices: V.
        num_betas: Number of shape directions.
        body_model_id: ``name:sha256`` of template and shape directions, which identifies the betas' body.
        template: (V, 3) buffer, the mean body in the T-pose [m].
        shapedirs: (V, 3, num_betas) buffer [m].
        extra_regressor: (20, V) buffer.
        part_bones: (P,) buffer, the joint that moves each rigid part of the surface joints.
        part_template: (P, 3) buffer, the parts of the mean body in the T-pose [m].
        part_shapedirs: (P, 3, num_betas) buffer [m].
        part_posedirs: (207, 3 P) buffer, the parts' pose correctives [m].
        part_share: (20, P) buffer, each part's share in each surface joint.
    """

    extra_regressor: Tensor
    _joints_template: Tensor
    _joints_shapedirs: Tensor
    part_bones: Tensor
    part_template: Tensor
    part_shapedirs: Tensor
    part_posedirs: Tensor
    part_share: Tensor

    def __init__(self, model_path: str | Path | None = None, num_betas: int = 10) -> None:
        super().__init__()
        path = Path(model_path) if model_path is not None else OPEN_BODY
        arrays = load_body_arrays(path)
        available = arrays["shapedirs"].shape[2]
        if num_betas > available:
            raise FileFormatError(path, f"it has {available} shape directions, but num_betas = {num_betas}")
        shapedirs = arrays["shapedirs"][..., :num_betas]
        regressor = _extra_regressor(arrays, path)

        self.faces: np.ndarray = arrays["f"]
        self.weights: np.ndarray = arrays["weights"]
        self.uv = np.asarray(arrays["uv"], np.float64) if "uv" in arrays else None
        self.uv_faces = np.asarray(arrays["uv_faces"], np.int64) if "uv_faces" in arrays else None
        self.mirror_vertices = np.asarray(arrays["mirror_vertices"], np.int64) if "mirror_vertices" in arrays else None
        self.num_vertices, self.num_betas = len(arrays["v_template"]), num_betas
        name = str(arrays["name"]) if "name" in arrays else path.stem
        self.body_model_id = f"{name}:{sha256_of(arrays['v_template'], shapedirs)}"

        # smplx keeps only 10 directions of a file with fewer than SHAPE_SPACE_DIM (300), and prints a warning.
        genuine = type("SMPL", (smplx.SMPL,), {"SHAPE_SPACE_DIM": num_betas})
        self.layer: Any = genuine(
            model_path="",
            data_struct=Struct(**{**{key: arrays[key] for key in REQUIRED_KEYS}, "shapedirs": shapedirs}),
            num_betas=num_betas,
            vertex_ids=dict.fromkeys(vertex_ids["smplh"], 0),
            use_hands=False,
            use_feet_keypoints=False,
            **{f"create_{name}": False for name in ("betas", "global_orient", "body_pose", "transl")},
        )
        for module in self.layer.modules():
            for key, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(key, buffer, persistent=False)

        # Keypoints without the surface. A surface joint is a convex combination of skinned vertices, and thus a sum of
        # one rigid part for each bone that moves any of them.
        mass = regressor @ arrays["weights"]  # (20, 24)
        keypoint, bone = np.nonzero(mass > 1e-6)
        mixing = regressor[keypoint] * arrays["weights"].T[bone] / mass[keypoint, bone][:, None]  # (P, V)
        share = np.zeros((len(regressor), len(bone)))
        share[keypoint, np.arange(len(bone))] = mass[keypoint, bone]
        for key, value in {
            "extra_regressor": regressor,
            "_joints_template": arrays["J_regressor"] @ arrays["v_template"],
            "_joints_shapedirs": np.einsum("jv,vcb->jcb", arrays["J_regressor"], shapedirs),
            "part_template": mixing @ arrays["v_template"],
            "part_shapedirs": np.einsum("pv,vcb->pcb", mixing, shapedirs),
            "part_posedirs": np.einsum("pv,vcf->fpc", mixing, arrays["posedirs"]).reshape(-1, 3 * len(bone)),
            "part_share": share,
        }.items():
            self.register_buffer(key, torch.tensor(value, dtype=torch.float32), persistent=False)
        self.register_buffer("part_bones", torch.from_numpy(bone), persistent=False)

    @property
    def template(self) -> Tensor:
        """(V, 3), the mean body in the T-pose [m]."""
        return self.layer.v_template

    @property
    def shapedirs(self) -> Tensor:
        """(V, 3, num_betas) [m]."""
        return self.layer.shapedirs

    def rest_vertices(self, betas: Tensor) -> Tensor:
        """Surface in the T-pose.

        Args:
            betas: (N, num_betas).

        Returns:
            (N, V, 3) [m].
        """
        return self.template + torch.einsum("nb,vcb->nvc", betas, self.shapedirs)

    def rest_joints(self, betas: Tensor) -> Tensor:
        """SMPL's joints in the T-pose.

        Args:
            betas: (N, num_betas).

        Returns:
            (N, 24, 3) [m].
        """
        return self._joints_template + torch.einsum("nb,jcb->njc", betas, self._joints_shapedirs)

    def forward(
        self, betas: Tensor, rotmat: Tensor, transl: Tensor | None = None, return_vertices: bool = True
    ) -> SMPLOutput:
        """Poses the body.

        Args:
            betas: (N, num_betas) shape.
            rotmat: (N, 24, 3, 3) rotation of each joint relative to its parent's, the root's first.
            transl: (N, 3) added to everything [m].
            return_vertices: Whether to compute the surface; the keypoints alone are about ten times cheaper.

        Returns:
            Vertices (N, V, 3) or None, and keypoints (N, 44, 3).
        """
        if return_vertices:
            output = self.layer(betas=betas, global_orient=rotmat[:, :1], body_pose=rotmat[:, 1:], pose2rot=False)
            vertices, joints = output.vertices, output.joints[:, :24]
            surface = torch.einsum("jv,nvc->njc", self.extra_regressor, vertices)
        else:
            vertices = None
            joints, surface = self._keypoints(betas, rotmat)
        joints = torch.cat([joints, surface], 1)
        if transl is not None:
            joints = joints + transl[:, None]
            vertices = vertices + transl[:, None] if vertices is not None else None
        return SMPLOutput(vertices, joints)

    def _keypoints(self, betas: Tensor, rotmat: Tensor) -> tuple[Tensor, Tensor]:
        """SMPL's joints (N, 24, 3) and the surface joints (N, 20, 3), from their rigid parts alone."""
        count = len(betas)
        joints, transforms = batch_rigid_transform(
            rotmat, self.rest_joints(betas), self.layer.parents, dtype=betas.dtype
        )
        identity = torch.eye(3, dtype=rotmat.dtype, device=rotmat.device)
        offsets = (rotmat[:, 1:] - identity).reshape(count, -1) @ self.part_posedirs
        shaped = self.part_template + torch.einsum("nb,pcb->npc", betas, self.part_shapedirs)
        shaped = shaped + offsets.view(count, -1, 3)
        own = transforms[:, self.part_bones, :3]  # (N, P, 3, 4)
        posed = (own[..., :3] @ shaped[..., None]).squeeze(-1) + own[..., 3]
        return joints, torch.einsum("jp,npc->njc", self.part_share, posed)
