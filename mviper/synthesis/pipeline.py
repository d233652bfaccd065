"""From one captured clip to one finished sequence folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

import mviper
from mviper.body.surface import BodyShape
from mviper.errors import ConfigError, MviperError, SequenceRejected
from mviper.files import publish_folder
from mviper.motion import busiest_start, lead_in, resample
from mviper.motion.arm_room import make_arm_room
from mviper.motion.quality import BodyMeasures, MotionQuality, fit_error, measure_motion
from mviper.motion.sources.base import Clip, split_of
from mviper.registry import (
    APPEARANCES,
    BACKGROUNDS,
    CAMERAS,
    FABRICS,
    GARMENTS,
    LIGHTS,
    MODELS,
    MOTION_SOURCES,
    OUTFITS,
    RENDERERS,
    SIMULATORS,
)
from mviper.structures import Camera, Garment, MeshSequence, Motion
from mviper.synthesis.garments import PatternError
from mviper.synthesis.rendering import VideoWriter
from mviper.synthesis.scene import Material, Scene, SceneMesh
from mviper.synthesis.scene.annotation import annotate, keypoint_parts, vertex_parts
from mviper.synthesis.scene.passes import check_passes, write_passes

#: What is called as ``report(stage, done, total)`` while a sequence is made.
Report = Callable[[str, int, int], None]

#: Every key of a synthesis config, with its default (``...``: must be given).
CONFIG_KEYS: dict[str, object] = {
    "source": ...,
    "seed": 0,
    "splits": {},
    "variants": 1,
    "betas": {"scale": 1.0, "limit": 2.0},
    "fps": 30,
    "max_frames": 120,
    "clip_part": "random",
    "arm_room": 0.03,
    "min_seconds": 1.0,
    "motion_quality": {
        "limb_error": 8.0, "skating": 1.0, "penetration": 0.05, "limit_excess": 25.0, "intersection": 0.9,
        "turn_speed": 3000.0, "joint_speed": 20.0,
    },
    "lead_in": {"frames": 30, "still": 5},
    "body_model": {"type": "SMPL"},
    "outfit": [],
    "simulator": {"type": "BlenderCloth"},
    "cameras": {"type": "CompassCameras"},
    "lights": {"type": "AreaLights"},
    "background": {"type": "SphericalBackground"},
    "fabric": {"type": "ProceduralFabric"},
    "appearance": {"type": "SkinHairShoes"},
    "renderer": {"type": "CyclesRenderer"},
    "passes": ["garments"],
}  # fmt: skip

#: What has random numbers of its own.
_PURPOSES = (
    "betas", "motion", "cut", "simulate", "lights", "background", "fabric", "appearance", "cameras",
)  # fmt: skip

#: Packages whose versions a manifest records.
_PACKAGES = ("numpy", "torch", "scipy", "smplx", "bpy", "newton", "av", "opencv-python")


@dataclass(frozen=True)
class Job:
    """One sequence to make.

    Attributes:
        name: ``<clip>__<variant>``, also the folder's name.
        split: ``train``, ``val`` or ``test``.
        clip: What was captured.
        variant: Number of the body, outfit and scene that this clip is shown with.
    """

    name: str
    split: str
    clip: Clip
    variant: int

    def folder(self, out: Path) -> Path:
        """Where the sequence goes."""
        return out / self.split / self.name


def complete_config(config: dict) -> dict:
    """Fills in defaults and checks values.

    Args:
        config: A synthesis config as plain data; keys that synthesis does not know are kept.

    Raises:
        ConfigError: A key is missing or impossible.
    """
    full = {**config}
    for key, default in CONFIG_KEYS.items():
        if full.get(key, default) is ...:
            raise ConfigError(f"not a synthesis config such as configs/synthesis/deepmimic.py: it lacks {key!r}")
        if isinstance(default, dict) and "type" not in default and key in config:
            if not isinstance(config[key], dict):
                raise ConfigError(f"{key} must be a dict such as {default}, got {config[key]!r}")
            unknown = [f"{name}={value!r}" for name, value in config[key].items() if default and name not in default]
            if unknown:
                raise ConfigError(f"{key} takes {', '.join(default)}; got {', '.join(unknown)}")
            full[key] = {**default, **config[key]}
        else:
            full.setdefault(key, default)
        if isinstance(default, int | float) and not isinstance(full[key], int | float | None):
            raise ConfigError(f"{key} must be a number such as {default}, got {full[key]!r}")
    if full["variants"] < 1 or full["fps"] <= 0 or full["max_frames"] < 2:
        raise ConfigError(
            f"variants >= 1, fps > 0, max_frames >= 2 are needed, got variants={full['variants']}, "
            f"fps={full['fps']}, max_frames={full['max_frames']}"
        )
    if full["clip_part"] not in ("random", "busiest"):
        raise ConfigError(f"clip_part is 'random' or 'busiest', got {full['clip_part']!r}")
    for name, limit in full["motion_quality"].items():
        if not (limit is None or (isinstance(limit, int | float) and limit >= 0)):
            raise ConfigError(f"motion_quality takes numbers >= 0, or None for no limit; got {name}={limit!r}")
    full["passes"] = check_passes(full["passes"])
    unknown = set(full["splits"]) - {"val", "test"}
    if unknown:
        raise ConfigError(f"splits takes lists of clip patterns for 'val' and 'test', got {sorted(unknown)}")
    return full


def list_jobs(config: dict, limit: int | None = None) -> list[Job]:
    """All sequences that a config asks for: every clip once, then every clip with the next variant.

    Clips made of clips of different splits are left out.

    Args:
        config: A completed config.
        limit: Only the first so many.

    Raises:
        MissingDataError: The motion source has no clips.
    """
    clips = [(clip, split_of(clip, config["splits"])) for clip in MOTION_SOURCES.build(config["source"]).clips()]
    jobs = [
        Job(f"{clip.name}__{variant:02d}", split, clip, variant)
        for variant in range(config["variants"])
        for clip, split in clips
        if split is not None
    ]
    return jobs[:limit]


def job_rng(seed: int, name: str, purpose: str) -> np.random.Generator:
    """Random numbers that depend on seed, sequence and purpose alone, not on which worker draws when."""
    digest = hashlib.sha256(f"{seed}/{name}/{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


class Factory:
    """Everything that a config builds, ready to make sequences.

    Args:
        config: A completed synthesis config as plain data.
    """

    def __init__(self, config: dict) -> None:
        self.config = config
        self.source = MOTION_SOURCES.build(config["source"])
        self.body = MODELS.build(config["body_model"])
        outfit = config["outfit"]
        self.outfit = (
            OUTFITS.build(outfit) if isinstance(outfit, dict) else [GARMENTS.build(garment) for garment in outfit]
        )
        if isinstance(self.outfit, list):
            names = [garment.name for garment in self.outfit]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ConfigError(f"outfit: {', '.join(twice)} twice; meshes and figures are told apart by name")
        self.simulator = SIMULATORS.build(config["simulator"])
        self.cameras = CAMERAS.build(config["cameras"])
        self.lights = LIGHTS.build(config["lights"])
        self.background = BACKGROUNDS.build(config["background"])
        self.fabric = FABRICS.build(config["fabric"])
        self.appearance = APPEARANCES.build(config["appearance"])
        self.renderer = RENDERERS.build(config["renderer"])

    def make(self, job: Job, out: Path, report: Report = lambda stage, done, total: None) -> Path:
        """Makes one sequence folder.

        Args:
            job: Which.
            out: The data set's folder.
            report: Called as the work goes on.

        Returns:
            The finished folder.

        Raises:
            SequenceRejected: The clip is too short, or the cloth failed.
            FileFormatError: The clip cannot be read.
        """
        target = job.folder(out)
        temporary = target.with_name(f".{job.name}.{socket.gethostname()}.{os.getpid()}.tmp")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            self._make_in(temporary, job, report)
            publish_folder(temporary, target)
        except OSError as error:
            place, problem = Path(error.filename or target), error.strerror or error
            if not (place.is_relative_to(out) or target.is_relative_to(place)):  # something that was to be read
                raise MviperError(f"{place}: {problem}") from error
            raise MviperError(f"{target}: cannot be written: {problem}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def _make_in(self, folder: Path, job: Job, report: Report) -> None:
        clock = _Clock(report)
        rng = {purpose: job_rng(self.config["seed"], job.name, purpose) for purpose in _PURPOSES}
        with clock("retarget"):
            motion, leading, checked = self.prepare_motion(job.clip, self.draw_betas(rng["betas"]), rng["motion"])
            pelvis = self.body.rest_joints(_tensor(motion.betas)[None])[0, 0].numpy().astype(np.float64)
            shape = BodyShape.from_body(self.body, motion.betas)
            vertices, keypoints = pose_body(self.body, leading)
        before = len(leading) - len(motion)  # frames that are simulated, not shown
        body = MeshSequence(vertices, self.body.faces, name="body")

        garments, cloth, quality, timings = [], [], {}, {}
        if self.outfit:
            with clock("cut"):
                garments = self.cut(shape, rng["cut"])
            with clock("simulate"):
                result = self.simulator(garments, body, self.config["fps"], before, rng["simulate"])
            quality, timings = result.quality, {f"cloth_{key}": value for key, value in result.timings.items()}
            cloth = [_from_frame(mesh, before) for mesh in result.meshes]
        body, keypoints = _from_frame(body, before), keypoints[before:].astype(np.float64)

        with clock("scene"):
            drawn = {
                "lights": self.lights.draw(rng["lights"]),
                "background": self.background.draw(rng["background"]),
                "fabrics": [self.fabric.draw(rng["fabric"]) for _ in cloth],
                "appearance": self.appearance.draw(rng["appearance"]),
                "cameras": self.cameras.draw(rng["cameras"]),
            }
            scene = self._scene(drawn, body, cloth, keypoints, motion, shape)
            cameras = self.cameras(keypoints, drawn["cameras"])
        self._render(folder, scene, cameras, clock)
        with clock("annotate"):
            parts = vertex_parts(self.body.weights)
            own = keypoint_parts(shape.joints, shape.vertices, parts)
            annotations = annotate(cameras, motion, keypoints, pelvis, own, scene.meshes)
        with clock("write"):
            for annotation in annotations:
                annotation.save(folder / f"{annotation.camera.name}.npz")
            motion.save(folder / "motion.npz")
        with clock("passes"):
            write_passes(folder, self.config["passes"], scene.meshes, cameras)
        manifest = dict(
            name=job.name,
            split=job.split,
            clip=job.clip.name,
            subject=job.clip.subject,
            seed=self.config["seed"],
            frames=len(motion),
            fps=self.config["fps"],
            views=[camera.name for camera in cameras],
            passes=self.config["passes"],
            body_model=self.body.body_model_id,
            betas=motion.betas.tolist(),
            garments=[dict(name=piece.name, kind=piece.kind, parameters=piece.parameters) for piece in garments],
            motion_quality=dataclasses.asdict(checked),
            scene=drawn,
            quality=quality,
            timings={**clock.seconds, **timings},
            versions=versions(),
            config=self.config,
        )
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, default=_plain) + "\n")

    def draw_betas(self, rng: np.random.Generator) -> np.ndarray:
        """A random body shape, shape (B,)."""
        config = self.config["betas"]
        betas = np.clip(config["scale"] * rng.normal(size=self.body.num_betas), *_both(config["limit"]))
        return betas.astype(np.float32).astype(np.float64)

    def cut(self, shape: BodyShape, rng: np.random.Generator) -> list[Garment]:
        """The outfit for a body, innermost first.

        Raises:
            SequenceRejected: There is no pattern of one of its garments for this body.
        """
        try:
            garments = self.outfit if isinstance(self.outfit, list) else self.outfit.draw(rng)
            return [garment.cut(shape, rng) for garment in garments]
        except PatternError as error:
            raise SequenceRejected(f"no pattern for this body: {error}") from error

    def prepare_motion(
        self, clip: Clip, betas: np.ndarray, rng: np.random.Generator
    ) -> tuple[Motion, Motion, MotionQuality]:
        """The motion that is shown, the same with its lead-in before it, and its figures.

        Args:
            clip: Of the config's source.
            betas: The body's shape, shape (B,).
            rng: Draws which part of a long clip is shown.

        Raises:
            SequenceRejected: It is too short, or no body can have moved so.
            FileFormatError: The clip cannot be read.
        """
        config = self.config
        body = BodyMeasures.from_body(self.body, betas)
        motion, skeleton = self.source.fit(clip, body.rest_joints, body.soles, betas, self.body.body_model_id)
        limb_error = fit_error(skeleton, motion, body.rest_joints) if skeleton is not None else None
        motion = resample(motion, config["fps"])
        if len(motion) < max(2, config["min_seconds"] * config["fps"]):
            raise SequenceRejected(
                f"clip of {len(motion) / config['fps']:.2f} s, min_seconds is {config['min_seconds']}"
            )
        start = int(rng.integers(max(0, len(motion) - config["max_frames"]) + 1))
        if config["clip_part"] == "busiest":
            start = busiest_start(motion, config["max_frames"], body.rest_joints)
        motion = motion[start : start + config["max_frames"]]
        shown = len(motion)
        if self.outfit:
            motion = lead_in(motion, body.rest_joints, **config["lead_in"], soles=body.soles)
            if config["arm_room"] is not None:
                motion = make_arm_room(motion, body, config["arm_room"])
        captured = motion[len(motion) - shown :]
        quality = measure_motion(captured, body, limb_error)
        problems = quality.problems(MotionQuality(**config["motion_quality"]))
        if problems:
            raise SequenceRejected("; ".join(problems), {"motion": dataclasses.asdict(quality)})
        return captured, motion, quality

    def _scene(
        self, drawn: dict, body: MeshSequence, cloth: list[MeshSequence], keypoints: np.ndarray, motion: Motion,
        shape: BodyShape,
    ) -> Scene:  # fmt: skip
        centre = keypoints[:, 0].mean(0)
        reach = float(np.linalg.norm((keypoints[:, 0] - centre)[:, :2], axis=1).max())
        meshes = self.appearance.dress(drawn["appearance"], body, shape, keypoints, motion)
        for mesh, fabric in zip(cloth, drawn["fabrics"]):
            image = self.fabric.image(fabric)
            colour = image.mean((0, 1)) / 255
            meshes.append(SceneMesh(mesh, Material(colour, fabric["roughness"], image, fabric["metres"])))
        lamps = self.lights.place(drawn["lights"], centre, reach)
        return Scene(meshes, lamps, self.background.load(drawn["background"]))

    def _render(self, folder: Path, scene: Scene, cameras: list[Camera], clock: _Clock) -> None:
        fps = self.config["fps"]
        writers = [VideoWriter(folder / f"{c.name}.mp4", fps, c.width, c.height) for c in cameras]
        pictures = self.renderer.render(scene, cameras)
        try:
            while True:
                with clock("render"):
                    picture = next(pictures, None)
                if picture is None:
                    break
                frame, view, image = picture
                with clock("write"):
                    writers[view].add(image)
                if view == 0:
                    clock.report("render", frame + 1, len(scene))
        finally:
            pictures.close()
            for writer in writers:
                writer.close()


def generate_sequence(config: dict, job: Job, out: str | Path) -> Path:
    """Makes one sequence; for many, keep one :class:`Factory`.

    Args:
        config: A synthesis config as plain data.
        job: Which, from :func:`list_jobs`.
        out: The data set's folder.

    Returns:
        The finished folder.

    Raises:
        SequenceRejected: See :meth:`Factory.make`.
        FileFormatError: See :meth:`Factory.make`.
    """
    return Factory(complete_config(config)).make(job, Path(out))


def pose_body(body: torch.nn.Module, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Poses a body model through a motion.

    Args:
        body: The body model (``mviper.body.SMPL``).
        motion: In the world.

    Returns:
        Vertices (T, V, 3) and keypoints (T, 44, 3) in the world [m], float32.
    """
    rotmat = _tensor(Rotation.from_rotvec(motion.poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3))
    betas, transl = _tensor(motion.betas)[None], _tensor(motion.transl)
    vertices, keypoints = [], []
    with torch.no_grad():
        for start in range(0, len(motion), 32):
            chunk = slice(start, start + 32)
            posed = body(betas.expand(len(rotmat[chunk]), -1), rotmat[chunk], transl[chunk])
            vertices.append(posed.vertices.numpy())
            keypoints.append(posed.joints.numpy())
    return np.concatenate(vertices), np.concatenate(keypoints)


def versions() -> dict[str, str]:
    """Versions of what made a sequence."""
    found = {"mviper": mviper.__version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


class _Clock:
    """CPU seconds by stage."""

    def __init__(self, report: Report) -> None:
        self.report, self.seconds = report, {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if stage not in self.seconds:
            self.report(stage, 0, 1)
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - start


def _both(limit: float) -> tuple[float, float]:
    return -limit, limit


def _from_frame(mesh: MeshSequence, first: int) -> MeshSequence:
    return MeshSequence(mesh.vertices[first:], mesh.faces, mesh.uv, mesh.name)


def _plain(value: object) -> object:
    """Numpy scalars, arrays and paths for JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)
