"""Checks a data set on disk (docs/data_format.md): every file, and whether the files agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from av.video.frame import PictureType

from mviper.body import SMPL, axis_angle_to_matrix, same_body
from mviper.config import command
from mviper.datasets.sequences import SPLITS, FactorySequence, read_manifest
from mviper.errors import FileFormatError, MissingDataError
from mviper.files import load_npz
from mviper.graphics import UNREADABLE, open_video
from mviper.structures import (
    IMAGE_PASSES,
    KEYPOINTS,
    Camera,
    HumanData,
    Motion,
    PassFile,
    PersonView,
    person_file,
)

#: Tolerances between recomputed and stored values: 3D [m] and 2D [px] keypoints and boxes [px]. Files hold float32, and
#: machines differ in the last bits.
TOLERANCE_3D, TOLERANCE_2D = 1e-4, 0.02

#: How far the body may sink into the floor [m]: the limit of ``motion_quality`` and what contact correction leaves.
SUNK = 0.10

_MANIFEST_KEYS = (
    "name", "split", "seed", "frames", "fps", "views", "body_model", "scene", "passes", "timings", "versions", "config",
)  # fmt: skip
_PERSON_KEYS = ("clip", "subject", "betas", "garments", "motion_quality", "quality")

#: Every n-th frame of a video is a key frame.
_GOP = 8


@dataclass
class DatasetCheck:
    """Result of a check.

    Attributes:
        sequences: Number of checked sequences.
        frames: Their frames, all views.
        problems: Errors by sequence ``<split>/<folder>`` (or by file or folder that is not a sequence).
        notes: What could not be checked, and why.
        readable: The sequences with a manifest.
    """

    sequences: int = 0
    frames: int = 0
    problems: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    readable: list[FactorySequence] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


def check_dataset(
    data_root: str | Path, body: SMPL | None = None, split: str | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> DatasetCheck:  # fmt: skip
    """Checks all sequences of a data set.

    Args:
        data_root: What ``tools/generate.py --out`` was given.
        body: The body that the data were made with, used to recompute keypoints and boxes. Sequences of another body
            (without one: all) are checked for everything else.
        split: Check only this one.
        progress: Called with the number of sequences done, the total, and the next one's name.

    Raises:
        MissingDataError: There is no sequence.
    """
    root, check = Path(data_root), DatasetCheck()
    folders = [
        path
        for name in SPLITS
        if split in (None, name)
        for path in sorted((root / name).glob("*"))
        if path.is_dir() and not path.name.startswith(".")
    ]
    if not folders:
        raise MissingDataError(
            f"no sequence in {root}; make some with: {command('generate', 'CONFIG', '--out', data_root)}"
        )
    for name in SPLITS:
        for path in sorted((root / name).glob(".*.tmp")):
            check.notes.append(f"{path.relative_to(root)} is in progress, or was left behind by a killed run")
    homes: dict[str, set[str]] = {}
    places = Counter(path.name for path in folders)
    other_bodies = 0
    for number, folder in enumerate(folders):
        name = f"{folder.parent.name}/{folder.name}"
        progress(number, len(folders), name)
        check.sequences += 1
        try:
            sequence = FactorySequence(folder, folder.parent.name, read_manifest(folder / "manifest.json"))
        except FileFormatError as error:
            check.problems[name] = [str(error)]
            continue
        check.readable.append(sequence)
        problems = check_sequence(sequence, body)
        if places[folder.name] > 1:
            problems.append("another split also has a sequence of this name")
        if problems:
            check.problems[name] = problems
        manifest = sequence.manifest
        check.frames += manifest["frames"] * len(manifest["views"])
        other_bodies += body is not None and not same_body(manifest.get("body_model", ""), body.body_model_id)
        for person in sequence.people:
            homes.setdefault(str(person.get("clip")), set()).add(sequence.split)
    for clip, splits in homes.items():
        if len(splits) > 1:
            check.problems.setdefault(f"clip {clip}", []).append(
                f"it is in several splits: {', '.join(sorted(splits))}"
            )
    if body is None:
        check.notes.append("keypoints and boxes were not recomputed: no body was given")
    elif other_bodies:
        check.notes.append(
            f"keypoints and boxes of {other_bodies} sequences were not recomputed: they belong to another body than "
            f"{body.body_model_id} (--body-model)"
        )
    check.notes.append(
        "visibility (chi) was not recomputed, only checked for values other than 0 and 1 and outside the image: hair "
        "and shoes, which also hide joints, are not stored"
    )
    progress(len(folders), len(folders), "")
    return check


def check_sequence(sequence: FactorySequence, body: SMPL | None = None) -> list[str]:
    """Errors of a sequence folder, a sentence each; see :func:`check_dataset`."""
    manifest, folder = sequence.manifest, sequence.folder
    problems = _check_manifest(sequence)
    posed: dict[str, tuple[np.ndarray, np.ndarray] | None] = {}
    widths: dict[str, int] = {}
    for person in sequence.people:
        name = person.get("person", "")
        found, posed[name] = _check_person(sequence, name, person, body)
        widths[name] = len(person.get("betas", []))
        problems += found
    cameras: dict[str, Camera | None] = {}
    for shown in sequence.person_views:
        try:
            data = sequence.annotation(shown)
        except FileFormatError as error:
            problems.append(str(error))
            continue
        cameras.setdefault(shown.view, data.camera)
        found = _check_annotation(data, manifest, shown, widths.get(shown.person, 0))
        surface = posed.get(shown.person)
        if not found and body is not None and surface is not None:
            found = _check_against_body(data, *surface, body)
        problems += [f"{shown.name}: {problem}" for problem in found]
    for view in manifest["views"]:
        camera = cameras.get(view)
        found = _check_passes(folder / f"{view}_passes.zip", manifest, camera)
        found += check_video(folder / f"{view}.mp4", manifest["frames"], manifest.get("fps"), camera)
        problems += [f"{view}: {problem}" for problem in found]
    return problems


def _check_person(
    sequence: FactorySequence, name: str, person: dict, body: SMPL | None
) -> tuple[list[str], tuple[np.ndarray, np.ndarray] | None]:
    """Errors of one person's own files; vertices and keypoints in the world [m] if ``body`` can pose them."""
    manifest, folder = sequence.manifest, sequence.folder
    problems, posed = [], None
    file = f"{person_file('motion', name)}.npz"
    try:
        motion = Motion.load(folder / file)
        problems += _check_motion(motion, file, manifest, person)
    except FileFormatError as error:
        motion = None
        problems.append(str(error))
    if "garments" in manifest.get("passes", ["garments"]):
        problems += _check_garments(folder / f"{person_file('garments', name)}.npz", manifest, person)
    fits = motion is not None and len(motion) == manifest["frames"]
    if body is not None and motion is not None and fits and same_body(motion.body_model, body.body_model_id):
        posed = _pose(body, motion.poses, motion.betas, motion.transl)
        if not np.isfinite(posed[0]).all():
            return [*problems, f"{file}: the posed body is not finite"], None
        lowest = float(posed[0][..., 2].min())
        if lowest < -SUNK:
            problems.append(f"{file}: the body is {-lowest:.2f} m below the floor z = 0")
    if "vertices" in manifest.get("passes", []):
        path = folder / f"{person_file('vertices', name)}.npz"
        problems += _check_vertices(path, None if posed is None else posed[0])
    return problems, posed


def _check_manifest(sequence: FactorySequence) -> list[str]:
    manifest = sequence.manifest
    problems = []
    lacking = [key for key in _PERSON_KEYS if not all(key in person for person in sequence.people)]
    lacking += [key for key in _MANIFEST_KEYS if key not in manifest]
    names = {person.get("person", "") for person in sequence.people}
    if names != {shown.person for shown in sequence.person_views}:
        problems.append("view_list and people of manifest.json name different people")
    if lacking:
        problems.append(f"manifest.json lacks {', '.join(lacking)}")
    if manifest.get("name", sequence.folder.name) != sequence.folder.name:
        problems.append(f"manifest.json says name {manifest['name']!r}")
    if manifest.get("split", sequence.split) != sequence.split:
        problems.append(f"manifest.json says split {manifest['split']!r}")
    if not manifest["views"] or manifest["frames"] < 1:
        problems.append("manifest.json names no views or no frames")
    if len(str(manifest.get("body_model", "")).partition(":")[2]) != 64:
        problems.append("manifest.json does not give the body of its betas as name:sha256")
    return problems


def _check_motion(motion: Motion, file: str, manifest: dict, person: dict) -> list[str]:
    problems = []
    if len(motion) != manifest["frames"]:
        problems.append(f"{file} has {len(motion)} frames, the manifest says {manifest['frames']}")
    if not same_body(motion.body_model, manifest.get("body_model", "")):
        problems.append(f"{file} and the manifest name different bodies")
    if motion.fps != manifest.get("fps"):
        problems.append(f"{file} has {motion.fps:g} frames a second, the manifest says {manifest.get('fps')}")
    betas = np.asarray(person.get("betas", []), float)
    if betas.shape != motion.betas.shape or not np.array_equal(betas, motion.betas):
        problems.append(f"{file} and the manifest have different betas")
    if not all(np.isfinite(values).all() for values in (motion.poses, motion.transl, motion.betas)):
        problems.append(f"{file} contains NaN or infinite values")
    return problems


def _check_garments(path: Path, manifest: dict, person: dict) -> list[str]:
    try:
        arrays = load_npz(path)
    except FileFormatError as error:
        return [str(error)]
    problems = []
    for piece in person.get("garments") or []:
        name = piece["name"]
        vertices, faces, uv = (arrays.get(f"{name}_{kind}") for kind in ("vertices", "faces", "uv"))
        if vertices is None or faces is None or uv is None:
            problems.append(f"{path.name} lacks {name}, which the manifest names")
            continue
        if vertices.ndim != 3 or len(vertices) != manifest["frames"] or vertices.shape[2] != 3:
            problems.append(f"{path.name}: {name}_vertices has shape {vertices.shape}, expected (T, V, 3)")
        elif faces.ndim != 2 or faces.shape[1] != 3 or not 0 <= faces.min() <= faces.max() < vertices.shape[1]:
            problems.append(f"{path.name}: {name}_faces refers to vertices that do not exist")
        elif not np.isfinite(vertices).all():
            problems.append(f"{path.name}: {name}_vertices contains NaN or infinite values")
        if uv.shape != (len(faces), 3, 2):
            problems.append(f"{path.name}: {name}_uv has shape {uv.shape}, expected {(len(faces), 3, 2)}")
    return problems


def _check_vertices(path: Path, expected: np.ndarray | None) -> list[str]:
    """Compares the stored surface with the one posed by ``motion.npz``, (T, V, 3) [m]."""
    try:
        vertices = load_npz(path).get("vertices")
    except FileFormatError as error:
        return [str(error)]
    if vertices is None or (expected is not None and vertices.shape != expected.shape):
        return [f"{path.name} does not hold the body's vertices of all frames"]
    off = 0.0 if expected is None else np.abs(vertices - expected).max()
    return [] if off < TOLERANCE_3D else [f"{path.name} is {1000 * off:.3g} mm from what motion.npz poses"]


def _check_passes(path: Path, manifest: dict, camera: Camera | None) -> list[str]:
    """Checks a view's archive of picture passes: its content, and that its last frames can be read."""
    wanted = [name for name in manifest.get("passes", []) if name in IMAGE_PASSES]
    if not wanted:
        return []
    try:
        passes = PassFile(path)
        if sorted(passes.names) != sorted(wanted) or passes.frames != manifest["frames"]:
            return [
                f"{path.name} holds {', '.join(passes.names)} of {passes.frames} frames, the manifest says otherwise"
            ]
        if camera is not None and (passes.width, passes.height) != (camera.width, camera.height):
            return [f"{path.name} is {passes.width} x {passes.height}, cam_param says otherwise"]
        for name in wanted:
            last = passes.frames - 1 - (name == "flow")
            if last >= 0:
                passes.read(name, last)
    except (FileFormatError, MissingDataError) as error:
        return [str(error)]
    return []


def _check_annotation(data: HumanData, manifest: dict, shown: PersonView, betas: int) -> list[str]:
    """Checks that need only one file."""
    frames = manifest["frames"]
    keypoints3d, smpl, visibility, frame_idx, camera = (
        data.keypoints3d, data.smpl, data.visibility, data.frame_idx, data.camera,
    )  # fmt: skip
    if keypoints3d is None or smpl is None or visibility is None or frame_idx is None or camera is None:
        needed = {
            "keypoints3d": keypoints3d, "smpl": smpl, "visibility": visibility, "frame_idx": frame_idx,
            "cam_param": camera,
        }  # fmt: skip
        return [f"it lacks {', '.join(name for name, value in needed.items() if value is None)}"]
    if len(data) != frames:
        return [f"it has {len(data)} frames, the manifest says {frames}"]
    problems = []
    shapes = {
        "global_orient": (frames, 3), "body_pose": (frames, 23, 3), "betas": (frames, betas),
        "transl": (frames, 3),
    }  # fmt: skip
    for key, shape in shapes.items():
        found = np.shape(smpl.get(key, ()))
        if found != shape:
            problems.append(f"smpl[{key!r}] has shape {found}, expected {shape}")
    if camera.K.shape != (3, 3) or camera.R.shape != (frames, 3, 3) or camera.t.shape != (frames, 3):
        problems.append("cam_param is not K (3, 3), R (N, 3, 3), t (N, 3)")
    if problems:
        return problems
    if not (data.keypoints2d[..., 2].all() and keypoints3d[..., 3].all()):
        problems.append(f"not all of the {len(KEYPOINTS)} keypoints are annotated")
    values = [data.keypoints2d, keypoints3d, data.bbox_xywh, camera.K, camera.R, camera.t, *smpl.values()]
    if not all(np.isfinite(value).all() for value in values):
        return [*problems, "it contains NaN or infinite values"]
    if np.abs(np.einsum("tij,tkj->tik", camera.R, camera.R) - np.eye(3)).max() > 1e-5:
        problems.append("R of cam_param is not a rotation matrix")
    if not np.array_equal(frame_idx, np.arange(frames)):
        problems.append("frame_idx is not 0, 1, 2, ...")
    if data.video_path != f"{shown.view}.mp4" or len(data.image_path) != frames:
        problems.append("video_path or image_path are not this view's")
    if not same_body(data.body_model, manifest.get("body_model", "")):
        problems.append("its body differs from the manifest's")
    if not np.isin(visibility, (0, 1)).all():
        problems.append("visibility is not 0 or 1")
    size = np.array([camera.width, camera.height])
    inside = ((data.keypoints2d[..., :2] > -0.51) & (data.keypoints2d[..., :2] < size - 0.49)).all(-1)
    if (visibility.astype(bool) & ~inside).any():
        problems.append("keypoints outside the image are marked visible")
    box = data.bbox_xywh
    if (box[:, :2] < -0.51).any() or (box[:, :2] + box[:, 2:4] > size - 0.49).any() or (box[:, 2:4] < 0).any():
        problems.append("bbox_xywh extends beyond the image")
    pixels = keypoints3d[..., :3] @ camera.K.T
    off = np.abs(pixels[..., :2] / pixels[..., 2:] - data.keypoints2d[..., :2]).max()
    if not off < TOLERANCE_2D:
        problems.append(f"keypoints2d are {off:.3g} px from keypoints3d seen through K")
    return problems


def _check_against_body(data: HumanData, vertices: np.ndarray, keypoints: np.ndarray, body: SMPL) -> list[str]:
    """Compares annotation with the body posed by ``motion.npz`` in the world: (T, V, 3) and (T, J, 3) [m]."""
    camera, smpl, keypoints3d, problems = data.camera, data.smpl, data.keypoints3d, []
    assert camera is not None and smpl is not None and keypoints3d is not None  # ensured by _check_annotation
    off = np.abs(camera.to_camera(keypoints) - keypoints3d[..., :3]).max()
    if not off < TOLERANCE_3D:
        problems.append(f"keypoints3d are {1000 * off:.3g} mm from motion.npz seen through R and t")
    poses = np.concatenate([smpl["global_orient"][:, None], smpl["body_pose"]], axis=1)
    _, own = _pose(body, poses, smpl["betas"][0], smpl["transl"])
    off = np.abs(own - keypoints3d[..., :3]).max()
    if not off < TOLERANCE_3D:
        problems.append(f"keypoints3d are {1000 * off:.3g} mm from what smpl poses")
    projected = camera.project(vertices)
    limit = np.array([camera.width, camera.height]) - 0.5
    low, high = (np.clip(corner, -0.5, limit) for corner in (projected.min(1), projected.max(1)))
    off = np.abs(np.concatenate([low, high - low], 1) - data.bbox_xywh[:, :4]).max()
    if not off < TOLERANCE_2D:
        problems.append(f"bbox_xywh is {off:.3g} px from the box of the projected body")
    return problems


@torch.no_grad()
def _pose(
    body: SMPL, poses: np.ndarray, betas: np.ndarray, transl: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Vertices (T, V, 3) and keypoints (T, J, 3) [m]."""
    vertices, keypoints = [], []
    rotmat = axis_angle_to_matrix(torch.as_tensor(np.asarray(poses, np.float64))).float()
    shape, place = torch.as_tensor(np.asarray(betas, np.float32)), torch.as_tensor(np.asarray(transl, np.float32))
    for start in range(0, len(rotmat), 32):
        some = slice(start, start + 32)
        posed = body(shape.expand(len(rotmat[some]), -1), rotmat[some], place[some])
        vertices.append(posed.vertices.numpy())
        keypoints.append(posed.joints.numpy())
    return np.concatenate(vertices).astype(np.float64), np.concatenate(keypoints).astype(np.float64)


def check_video(path: Path, frames: int, fps: float | None, camera: Camera | None) -> list[str]:
    """Errors of a view's video.

    Args:
        path: The ``.mp4``.
        frames: Expected number of frames.
        fps: Expected frames per second.
        camera: Its camera.
    """
    problems = []
    try:
        with open_video(path) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            stream.codec_context.options = {"err_detect": "explode"}
            context = stream.codec_context
            if (context.name, context.pix_fmt) != ("h264", "yuv420p"):
                problems.append(f"video is {context.name} {context.pix_fmt}, expected h264 yuv420p")
            if camera is not None and (context.width, context.height) != (camera.width, camera.height):
                problems.append(f"video is {context.width} x {context.height}, cam_param says otherwise")
            rate = float(stream.average_rate or 0)
            if fps and abs(rate - round(fps)) > 1e-3:
                told = f"{rate:g} frames a second" if rate else "no frame rate"
                problems.append(f"video has {told}, the manifest says {fps:g}")
            keys, kinds, count = [], set(), 0
            for picture in container.decode(stream):
                if picture.is_corrupt:
                    problems.append(f"video: frame {count} is corrupt")
                    break
                kinds.add(PictureType(picture.pict_type))
                keys += [count] * picture.key_frame
                count += 1
    except (*UNREADABLE, IndexError) as error:
        return [*problems, f"video cannot be decoded: {error}"]
    if count != frames:
        problems.append(f"video has {count} frames, expected {frames}")
    elif keys != list(range(0, frames, _GOP)):
        problems.append(f"video has key frames {keys[:5]}, expected one every {_GOP} frames")
    if PictureType.B in kinds:
        problems.append("video has B-frames")
    return problems
