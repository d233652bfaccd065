"""From one mocap clip to one finished sequence folder."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

import mviper
from mviper.body import BodyShape
from mviper.errors import ConfigError, MviperError, SequenceRejected
from mviper.files import publish_folder
from mviper.motion import TargetBody, fit_error
from mviper.motion.sources import Clip, originals
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
    RECORDINGS,
    RENDERERS,
    SIMULATORS,
)
from mviper.structures import Camera, Garment, HumanData, MeshSequence
from mviper.synthesis.garments import ParametricGarment, PatternError, RandomOutfit
from mviper.synthesis.jobs import Job, job_rng
from mviper.synthesis.performance import Performance, Simulation, choose_part, draw_betas, pose_body
from mviper.synthesis.rendering import VideoWriter
from mviper.synthesis.scene import (
    IMAGE_PASSES,
    Material,
    Scene,
    SceneMesh,
    annotate,
    keypoint_parts,
    sun_lamps,
    vertex_parts,
    write_passes,
)
from mviper.synthesis.stored import StoredSimulations

#: Progress callback, called as ``report(stage, done, total)``.
Report = Callable[[str, int, int], None]

#: Gives a purpose's random generator, as :func:`job_rng` does for one sequence.
Draws = Callable[[str], np.random.Generator]

#: Garments, innermost first, or a component of ``OUTFITS`` that draws them.
Outfit = list[ParametricGarment] | RandomOutfit

#: Packages whose versions a manifest records.
_PACKAGES = ("numpy", "torch", "scipy", "smplx", "bpy", "newton", "av", "opencv-python")


@dataclass(frozen=True)
class Take:
    """One rendering of a simulation: its fabrics, light and cameras.

    Attributes:
        drawn: The samplers' draws, for the manifest.
        scene: The scene; ``None`` once rendered.
        cameras: One per view, with the view's name.
        places: The sampler's camera names (``"east"``); with several takes of a simulation, view names end in the
            take's number (``"east_2"``).
        number: Number of the take, from 0.
    """

    drawn: dict
    scene: Scene | None
    cameras: list[Camera]
    places: list[str]
    number: int = 0


class Factory:
    """All components of a config, ready to make sequences.

    :meth:`make` makes one, step by step: :meth:`simulate` (:meth:`perform`, :meth:`cut`, :meth:`dress`),
    :meth:`stage`, :meth:`render`, :meth:`annotate`, :meth:`write_take` (``renders_per_simulation`` times),
    :meth:`write`. The steps' random numbers are independent.

    Args:
        config: A completed synthesis config as plain data.

    Raises:
        ConfigError: A component cannot be built, or a garment is worn twice.
    """

    def __init__(self, config: dict) -> None:
        self.config = config
        self.source = MOTION_SOURCES.build(config["source"])
        self.body = MODELS.build(config["body_model"])
        outfit = config["outfit"]
        self.outfit: Outfit = (
            OUTFITS.build(outfit) if isinstance(outfit, dict) else [GARMENTS.build(garment) for garment in outfit]
        )
        if isinstance(self.outfit, list):
            _check_names(self.outfit)
        self.simulator = SIMULATORS.build(config["simulator"])
        self.cameras = CAMERAS.build(config["cameras"])
        self.lights = LIGHTS.build(config["lights"])
        self.background = BACKGROUNDS.build(config["background"])
        self.fabric = FABRICS.build(config["fabric"])
        self.appearance = APPEARANCES.build(config["appearance"])
        self.renderer = RENDERERS.build(config["renderer"])
        self.recording = RECORDINGS.build(config["recording"])

    def make(self, job: Job, out: Path, report: Report = lambda stage, done, total: None) -> Path:
        """Makes one sequence folder.

        Args:
            job: The sequence.
            out: The data set's folder.
            report: Progress callback.

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
            self._make_in(temporary, job, Clock(report))
            publish_folder(temporary, target)
        except OSError as error:
            place, problem = Path(error.filename or target), error.strerror or error
            if not (place.is_relative_to(out) or target.is_relative_to(place)):  # an input path
                raise MviperError(f"{place}: {problem}") from error
            raise MviperError(f"{target}: cannot be written: {problem}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def _make_in(self, folder: Path, job: Job, clock: Clock) -> None:
        rng = functools.partial(job_rng, self.config["seed"], job.name)
        simulation = self.simulate(job, rng, clock)
        takes = []
        for number in range(self.config["renders_per_simulation"]):
            with clock("scene"):
                take = self.stage(simulation, rng, number)
            self.render(folder, take, clock)
            with clock("annotate"):
                annotations = self.annotate(simulation, take)
            self.write_take(folder, take, annotations, clock)
            # Scenes are large, and the next take has its own.
            takes.append(dataclasses.replace(take, scene=None))
        self.write(folder, job, simulation, takes, clock)

    def simulate(self, job: Job, rng: Draws, clock: Clock) -> Simulation:
        """A clip's motion on a random body in random clothes.

        Args:
            job: The sequence, with its clip.
            rng: Random numbers for ``"betas"``, ``"motion"`` and ``"cut"``.
            clock: Times ``retarget``, ``cut`` and ``simulate``.

        Raises:
            SequenceRejected: The clip is too short, its motion is implausible, or the cloth failed.
            FileFormatError: The clip cannot be read.
        """
        if isinstance(self.source, StoredSimulations):
            with clock("read"):
                return self.source.simulation(job.clip, self.body)
        with clock("retarget"):
            performance = self.perform(job.clip, self.draw_betas(rng("betas")), rng("motion"))
        if not self.outfit:
            return self.dress(performance, [])
        with clock("cut"):
            garments = self.cut(performance.shape, rng("cut"))
        with clock("simulate"):
            return self.dress(performance, garments)

    def draw_betas(self, rng: np.random.Generator) -> np.ndarray:
        """A random body shape, shape (B,)."""
        return draw_betas(self.body.num_betas, self.config, rng)

    def cut(self, shape: BodyShape, rng: np.random.Generator, outfit: Outfit | None = None) -> list[Garment]:
        """The outfit for a body, innermost first.

        Args:
            shape: The body at rest.
            rng: Draws the outfit, unless given as a list, and each garment's design.
            outfit: The outfit; ``None``: the config's.

        Raises:
            ConfigError: A garment is worn twice.
            SequenceRejected: One of its garments has no pattern for this body.
        """
        outfit = self.outfit if outfit is None else outfit
        try:
            garments = outfit if isinstance(outfit, list) else outfit.draw(rng)
            _check_names(garments)
            return [garment.cut(shape, rng) for garment in garments]
        except PatternError as error:
            raise SequenceRejected(f"no pattern for this body: {error}") from error

    def perform(
        self, clip: Clip, betas: np.ndarray, rng: np.random.Generator, dressed: bool | None = None
    ) -> Performance:
        """The body in motion.

        Args:
            clip: A clip of the config's source.
            betas: The body's shape, shape (B,).
            rng: Draws the part of a long clip, see :func:`choose_part`.
            dressed: Whether clothes are worn, which needs a lead-in; ``None``: as in the config's outfit.

        Raises:
            SequenceRejected: The clip is too short, or its motion is implausible.
            FileFormatError: The clip cannot be read.
        """
        target = TargetBody.from_body(self.body, betas)
        motion, skeleton = self.source.fit(clip, target)
        limb_error = fit_error(skeleton, motion, target.rest_joints) if skeleton is not None else None
        dressed = bool(self.outfit) if dressed is None else dressed
        captured, leading, quality = choose_part(motion, limb_error, target, self.config, dressed, rng)
        vertices, keypoints = pose_body(self.body, leading)
        body = MeshSequence(vertices, self.body.faces, name="body")
        return Performance(captured, leading, quality, BodyShape.from_body(self.body, captured.betas), body, keypoints)

    def dress(self, performance: Performance, garments: list[Garment]) -> Simulation:
        """Sews the garments and simulates them on the moving body.

        Args:
            performance: The moving body.
            garments: From :meth:`cut`; none: without clothes.

        Raises:
            SequenceRejected: The cloth failed.
        """
        first, quality, timings, cloth = performance.lead_in, {}, {}, []
        if garments:
            result = self.simulator(garments, performance.body, self.config["fps"], first)
            quality, timings = result.quality, result.timings
            cloth = [_from_frame(mesh, first) for mesh in result.meshes]
        return Simulation(
            motion=performance.motion,
            motion_quality=dataclasses.asdict(performance.quality),
            shape=performance.shape,
            body=_from_frame(performance.body, first),
            keypoints=performance.keypoints[first:].astype(np.float64),
            cloth=cloth,
            garments=[dict(name=piece.name, kind=piece.kind, parameters=piece.parameters) for piece in garments],
            quality=quality,
            timings=timings,
        )

    def stage(self, simulation: Simulation, rng: Draws, number: int = 0) -> Take:
        """Draws fabrics, skin and hair, light, surroundings, cameras and recording.

        Args:
            simulation: The dressed person.
            rng: Random numbers for ``"lights"``, ``"background"``, ``"fabric"``, ``"appearance"``, ``"cameras"``,
                ``"recording"``; for further takes with the take's number appended (``"lights/1"``).
            number: Number of the take, from 0.
        """

        def draws(purpose: str) -> np.random.Generator:
            return rng(f"{purpose}/{number}" if number else purpose)

        fabric_rng, one_fabric = draws("fabric"), self.config["fabric_per"] == "video"
        fabrics = [self.fabric.draw(fabric_rng) for _ in simulation.cloth[: 1 if one_fabric else None]]
        drawn = {
            "lights": self.lights.draw(draws("lights")),
            "background": self.background.draw(draws("background")),
            "fabrics": fabrics * len(simulation.cloth) if one_fabric else fabrics,
            "appearance": self.appearance.draw(draws("appearance")),
            "cameras": self.cameras.draw(draws("cameras")),
        }
        keypoints = simulation.keypoints
        meshes = self.appearance.dress(
            drawn["appearance"], simulation.body, simulation.shape, keypoints, simulation.motion
        )
        for mesh, fabric in zip(simulation.cloth, drawn["fabrics"]):
            image = self.fabric.image(fabric)
            colour = image.mean((0, 1)) / 255
            meshes.append(SceneMesh(mesh, Material(colour, fabric["roughness"], image, fabric["metres"])))
        centre = keypoints[:, 0].mean(0)
        reach = float(np.linalg.norm((keypoints[:, 0] - centre)[:, :2], axis=1).max())
        background = self.background.load(drawn["background"])
        lamps = self.lights.place(drawn["lights"], centre, reach) + sun_lamps(background, centre)
        scene = Scene(meshes, lamps, background)
        cameras = self.cameras(keypoints, drawn["cameras"])
        drawn["recording"] = self.recording.draw(draws("recording"), len(cameras))
        places = [camera.name for camera in cameras]
        if self.config["renders_per_simulation"] > 1:
            cameras = [dataclasses.replace(camera, name=f"{camera.name}_{number}") for camera in cameras]
        return Take(drawn, scene, cameras, places, number)

    def render(self, folder: Path, take: Take, clock: Clock) -> None:
        """Renders and writes a video of each view.

        Args:
            folder: The sequence's.
            take: Scene and cameras.
            clock: Times ``render`` and ``write``.
        """
        fps = self.config["fps"]
        recorded = take.drawn["recording"]
        writers = [
            VideoWriter(folder / f"{camera.name}.mp4", fps, camera.width, camera.height, one["crf"])
            for camera, one in zip(take.cameras, recorded)
        ]
        pictures = self.recording(self.renderer.render(take.scene, take.cameras), take.scene, take.cameras, recorded)
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
                    clock.report("render", frame + 1, len(take.scene))
        finally:
            pictures.close()
            for writer in writers:
                writer.close()

    def annotate(self, simulation: Simulation, take: Take) -> list[HumanData]:
        """Each view's annotation."""
        motion, shape = simulation.motion, simulation.shape
        pelvis = self.body.rest_joints(_tensor(motion.betas)[None])[0, 0].numpy().astype(np.float64)
        own = keypoint_parts(shape.joints, shape.vertices, vertex_parts(self.body.weights))
        return annotate(take.cameras, motion, simulation.keypoints, pelvis, own, take.scene.meshes)

    def write_take(self, folder: Path, take: Take, annotations: list[HumanData], clock: Clock) -> None:
        """Writes the files of a take's views; for the first take also those shared by all.

        Args:
            folder: The sequence's.
            take: The take.
            annotations: From :meth:`annotate`.
            clock: Times ``write`` and ``passes``.
        """
        with clock("write"):
            for annotation in annotations:
                annotation.save(folder / f"{annotation.camera.name}.npz")
        with clock("passes"):
            names = [name for name in self.config["passes"] if take.number == 0 or name in IMAGE_PASSES]
            write_passes(folder, names, take.scene.meshes, take.cameras)

    def write(self, folder: Path, job: Job, simulation: Simulation, takes: Sequence[Take], clock: Clock) -> None:
        """Writes the motion, and the manifest last.

        Args:
            folder: The sequence's.
            job: The sequence's job.
            simulation: The dressed person.
            takes: All takes.
            clock: Times ``write``; all its times go into the manifest.
        """
        with clock("write"):
            simulation.motion.save(folder / "motion.npz")
        views = [
            dict(name=camera.name, camera=place, render=take.number)
            for take in takes
            for camera, place in zip(take.cameras, take.places)
        ]
        manifest = dict(
            name=job.name,
            split=job.split,
            clip=job.clip.name,
            originals=[clip.name for clip in originals(job.clip)],
            subject=job.clip.subject,
            seed=self.config["seed"],
            frames=len(simulation.motion),
            fps=self.config["fps"],
            views=[view["name"] for view in views],
            view_list=views,
            passes=self.config["passes"],
            body_model=self.body.body_model_id,
            betas=simulation.motion.betas.tolist(),
            garments=simulation.garments,
            motion_quality=simulation.motion_quality,
            scene=takes[0].drawn,
            renders=[take.drawn for take in takes],
            quality=simulation.quality,
            timings={**clock.seconds, **{f"cloth_{step}": spent for step, spent in simulation.timings.items()}},
            versions=versions(),
            substitutes=self.config.get("substitutes", []),
            config=self.config,
        )
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, default=_plain) + "\n")


def versions() -> dict[str, str]:
    """Versions of the packages that made a sequence."""
    found = {"mviper": mviper.__version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


class Clock:
    """Measures CPU seconds by stage.

    Args:
        report: Called as each stage begins.

    Attributes:
        seconds: By stage, in the order in which they began.
    """

    def __init__(self, report: Report = lambda stage, done, total: None) -> None:
        self.report, self.seconds = report, {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Adds the block's CPU time to a stage."""
        if stage not in self.seconds:
            self.report(stage, 0, 1)
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - start


def _check_names(outfit: list[ParametricGarment]) -> None:
    names = [garment.name for garment in outfit]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"outfit: {', '.join(twice)} twice; meshes and figures are identified by name")


def _from_frame(mesh: MeshSequence, first: int) -> MeshSequence:
    return MeshSequence(mesh.vertices[first:], mesh.faces, mesh.uv, mesh.name)


def _plain(value: object) -> object:
    """Converts numpy scalars, arrays and paths for JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)
