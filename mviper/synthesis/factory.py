"""From one mocap clip to one finished sequence folder."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

import mviper
from mviper.body import BodyShape
from mviper.errors import ConfigError, FileFormatError, MviperError, SequenceRejected
from mviper.files import publish_folder
from mviper.motion import TargetBody, fit_error
from mviper.motion.sources import Clip, originals, split_of
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
from mviper.structures import Camera, Garment, HumanData, MeshSequence, person_file
from mviper.synthesis.company import Person, move, place_people, shorten
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

#: Clips tried for each further person before the sequence is rejected.
_CLIPS_TRIED = 5


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

    :meth:`make` makes one, step by step: :meth:`gather`, which calls :meth:`simulate` (:meth:`perform`, :meth:`cut`,
    :meth:`dress`) for each person; :meth:`stage`, :meth:`render`, :meth:`annotate`, :meth:`write_take`
    (``renders_per_simulation`` times), :meth:`write`. The steps' random numbers are independent.

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
        people = self.gather(job, rng, clock)
        takes = []
        for number in range(self.config["renders_per_simulation"]):
            with clock("scene"):
                take = self.stage(people, rng, number)
            self.render(folder, take, clock)
            with clock("annotate"):
                annotations = self.annotate(people, take)
            self.write_take(folder, people, take, annotations, clock)
            # Scenes are large, and the next take has its own.
            takes.append(dataclasses.replace(take, scene=None))
        self.write(folder, job, people, takes, clock)

    def gather(self, job: Job, rng: Draws, clock: Clock) -> list[Person]:
        """The job's person and, as the config's ``people`` says, others, whose clips are drawn from the same split.

        The sequence is as long as the shortest person's part of its clip. Where a further person is rejected or its
        clip cannot be read, the next clip is tried.

        Args:
            job: The sequence.
            rng: Random numbers for ``"people"`` and, by :meth:`simulate`, for each person.
            clock: Times :meth:`simulate`, and ``place`` if there are several.

        Raises:
            SequenceRejected: The job's own clip is rejected, or all that were tried for another person.
            FileFormatError: The job's own clip cannot be read.
        """
        settings, draw = self.config["people"], rng("people")
        least, most = settings["count"]
        count = int(draw.integers(least, most + 1))
        simulations, clips = [self.simulate(job.clip, rng, clock)], [job.clip]
        if count == 1:
            return [Person("", job.clip, simulations[0])]
        others = [clip for clip in self._clips_of_splits[job.split] if clip.name != job.clip.name] or [job.clip]
        queue = itertools.cycle([others[index] for index in draw.permutation(len(others))])
        frames = len(simulations[0].motion)
        for number in range(1, count):
            clip, simulation = self._simulate_another(queue, f"p{number}", frames, rng, clock)
            frames = min(frames, len(simulation.motion))
            clips.append(clip)
            simulations.append(simulation)
        with clock("place"):
            simulations = [shorten(simulation, frames) for simulation in simulations]
            placements = place_people(
                [[simulation.body, *simulation.cloth] for simulation in simulations],
                [simulation.keypoints[:, 0] for simulation in simulations], draw, settings["gap"], settings["room"],
            )  # fmt: skip
            return [
                Person(f"p{number}", clip, move(simulation, place, self._pelvis(simulation.motion.betas)), place)
                for number, (clip, simulation, place) in enumerate(zip(clips, simulations, placements))
            ]

    def _simulate_another(
        self, queue: Iterator[Clip], name: str, frames: int, rng: Draws, clock: Clock
    ) -> tuple[Clip, Simulation]:
        """A further person of at most this many frames, moved by the first clip of the queue that is accepted."""
        for number, clip in enumerate(itertools.islice(queue, _CLIPS_TRIED)):
            try:
                draws = functools.partial(_prefixed, rng, f"{name}/{number}")
                return clip, self.simulate(clip, draws, clock, frames)
            except (SequenceRejected, FileFormatError) as error:
                last = error
        raise SequenceRejected(f"no clip for {name}: {last}") from last

    @functools.cached_property
    def _clips_of_splits(self) -> dict[str | None, list[Clip]]:
        clips: dict[str | None, list[Clip]] = {}
        for clip in self.source.clips():
            clips.setdefault(split_of(clip, self.config["splits"]), []).append(clip)
        return clips

    def simulate(self, clip: Clip, rng: Draws, clock: Clock, frames: int | None = None) -> Simulation:
        """A clip's motion on a random body in random clothes.

        Args:
            clip: The clip.
            rng: Random numbers for ``"betas"``, ``"motion"`` and ``"cut"``.
            clock: Times ``retarget``, ``cut`` and ``simulate``.
            frames: Most frames of the clip; ``None``: the config's ``max_frames``. A stored simulation stays whole.

        Raises:
            SequenceRejected: The clip is too short, its motion is implausible, or the cloth failed.
            FileFormatError: The clip cannot be read.
        """
        if isinstance(self.source, StoredSimulations):
            with clock("read"):
                return self.source.simulation(clip, self.body)
        with clock("retarget"):
            performance = self.perform(clip, self.draw_betas(rng("betas")), rng("motion"), frames=frames)
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
        self, clip: Clip, betas: np.ndarray, rng: np.random.Generator, dressed: bool | None = None,
        frames: int | None = None,
    ) -> Performance:  # fmt: skip
        """The body in motion.

        Args:
            clip: A clip of the config's source.
            betas: The body's shape, shape (B,).
            rng: Draws the part of a long clip, see :func:`choose_part`.
            dressed: Whether clothes are worn, which needs a lead-in; ``None``: as in the config's outfit.
            frames: Most frames of it; ``None``: the config's ``max_frames``.

        Raises:
            SequenceRejected: The clip is too short, or its motion is implausible.
            FileFormatError: The clip cannot be read.
        """
        target = TargetBody.from_body(self.body, betas)
        motion, skeleton = self.source.fit(clip, target)
        limb_error = fit_error(skeleton, motion, target.rest_joints) if skeleton is not None else None
        dressed = bool(self.outfit) if dressed is None else dressed
        config = self.config if frames is None else {**self.config, "max_frames": frames}
        captured, leading, quality = choose_part(motion, limb_error, target, config, dressed, rng)
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

    def stage(self, people: Sequence[Person], rng: Draws, number: int = 0) -> Take:
        """Draws fabrics, skin and hair, light, surroundings, cameras and recording.

        Args:
            people: From :meth:`gather`; cameras look at all of them.
            rng: Random numbers for ``"lights"``, ``"background"``, ``"fabric"``, ``"appearance"``, ``"cameras"``,
                ``"recording"``; for further takes with the take's number appended (``"lights/1"``), for further people
                with the person's name before (``"p1/fabric"``).
            number: Number of the take, from 0.
        """

        def draws(purpose: str) -> np.random.Generator:
            return rng(f"{purpose}/{number}" if number else purpose)

        meshes, looks = [], []
        for index, person in enumerate(people):
            own, look = self._clothe(person, functools.partial(_prefixed, draws, f"p{index}") if index else draws)
            meshes += [dataclasses.replace(mesh, person=index) for mesh in own]
            looks.append(look)
        drawn = {
            "lights": self.lights.draw(draws("lights")),
            "background": self.background.draw(draws("background")),
            **(looks[0] if len(people) == 1 else {"people": looks}),
            "cameras": self.cameras.draw(draws("cameras")),
        }
        keypoints = [person.simulation.keypoints for person in people]
        middle = np.mean([each[:, 0] for each in keypoints], axis=0)
        # Cameras look at the first point.
        aims = keypoints[0] if len(people) == 1 else np.concatenate([middle[:, None], *keypoints], axis=1)
        centre = middle.mean(0)
        reach = max(float(np.linalg.norm((each[:, 0] - centre)[:, :2], axis=1).max()) for each in keypoints)
        background = self.background.load(drawn["background"])
        lamps = self.lights.place(drawn["lights"], centre, reach) + sun_lamps(background, centre)
        scene = Scene(meshes, lamps, background, floor=self.config["floor"])
        cameras = self.cameras(aims, drawn["cameras"])
        drawn["recording"] = self.recording.draw(draws("recording"), len(cameras))
        places = [camera.name for camera in cameras]
        if self.config["renders_per_simulation"] > 1:
            cameras = [dataclasses.replace(camera, name=f"{camera.name}_{number}") for camera in cameras]
        return Take(drawn, scene, cameras, places, number)

    def _clothe(self, person: Person, draws: Draws) -> tuple[list[SceneMesh], dict]:
        """One person's meshes with their materials, the body first, and what was drawn for them."""
        simulation, fabric_rng, one_fabric = person.simulation, draws("fabric"), self.config["fabric_per"] == "video"
        fabrics = [self.fabric.draw(fabric_rng) for _ in simulation.cloth[: 1 if one_fabric else None]]
        fabrics = fabrics * len(simulation.cloth) if one_fabric else fabrics
        look = {"fabrics": fabrics, "appearance": self.appearance.draw(draws("appearance"))}
        meshes = self.appearance.dress(
            look["appearance"], simulation.body, simulation.shape, simulation.keypoints, simulation.motion
        )
        for mesh, fabric in zip(simulation.cloth, fabrics):
            image = self.fabric.image(fabric)
            colour = image.mean((0, 1)) / 255
            cloth = Material(colour, fabric["roughness"], image, fabric["metres"])
            meshes.append(SceneMesh(mesh, cloth, garment=True))
        return meshes, look

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

    def annotate(self, people: Sequence[Person], take: Take) -> list[list[HumanData]]:
        """Each person's annotation of each view."""
        annotations = []
        for number, person in enumerate(people):
            motion, shape = person.simulation.motion, person.simulation.shape
            own = keypoint_parts(shape.joints, shape.vertices, vertex_parts(self.body.weights))
            annotations.append(
                annotate(
                    take.cameras, motion, person.simulation.keypoints, self._pelvis(motion.betas), own,
                    take.scene.meshes, number,
                )
            )  # fmt: skip
        return annotations

    def _pelvis(self, betas: np.ndarray) -> np.ndarray:
        """J0(beta) in SMPL's axes [m], shape (3,)."""
        return self.body.rest_joints(_tensor(betas)[None])[0, 0].numpy().astype(np.float64)

    def write_take(
        self, folder: Path, people: Sequence[Person], take: Take, annotations: list[list[HumanData]], clock: Clock
    ) -> None:
        """Writes the files of a take's views; for the first take also those shared by all.

        Args:
            folder: The sequence's.
            people: From :meth:`gather`.
            take: The take.
            annotations: From :meth:`annotate`.
            clock: Times ``write`` and ``passes``.
        """
        with clock("write"):
            for person, views in zip(people, annotations):
                for annotation in views:
                    annotation.save(folder / f"{person_file(annotation.camera.name, person.name)}.npz")
        with clock("passes"):
            names = [name for name in self.config["passes"] if take.number == 0 or name in IMAGE_PASSES]
            write_passes(folder, names, take.scene.meshes, take.cameras, [person.name for person in people])

    def write(self, folder: Path, job: Job, people: Sequence[Person], takes: Sequence[Take], clock: Clock) -> None:
        """Writes the motions, and the manifest last.

        Args:
            folder: The sequence's.
            job: The sequence's job.
            people: From :meth:`gather`.
            takes: All takes.
            clock: Times ``write``; all its times go into the manifest.
        """
        with clock("write"):
            for person in people:
                person.simulation.motion.save(folder / f"{person_file('motion', person.name)}.npz")
        views = [
            dict(name=camera.name, camera=place, render=take.number)
            for take in takes
            for camera, place in zip(take.cameras, take.places)
        ]
        alone = len(people) == 1
        view_list = views if alone else [{**view, "person": person.name} for view in views for person in people]
        told = [_about(person) for person in people]
        cloth: Counter[str] = Counter()
        for person in people:
            cloth.update({f"cloth_{step}": spent for step, spent in person.simulation.timings.items()})
        manifest = dict(
            name=job.name,
            split=job.split,
            seed=self.config["seed"],
            frames=len(people[0].simulation.motion),
            fps=self.config["fps"],
            views=[view["name"] for view in views],
            view_list=view_list,
            passes=self.config["passes"],
            body_model=self.body.body_model_id,
            **(told[0] if alone else dict(people=told)),
            scene=takes[0].drawn,
            renders=[take.drawn for take in takes],
            timings={**clock.seconds, **cloth},
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


def _prefixed(rng: Draws, prefix: str, purpose: str) -> np.random.Generator:
    """One person's random numbers."""
    return rng(f"{prefix}/{purpose}")


def _about(person: Person) -> dict:
    """What the manifest says of a person."""
    simulation = person.simulation
    told = dict(
        clip=person.clip.name,
        originals=[clip.name for clip in originals(person.clip)],
        subject=person.clip.subject,
        betas=simulation.motion.betas.tolist(),
        garments=simulation.garments,
        motion_quality=simulation.motion_quality,
        quality=simulation.quality,
    )
    return {"person": person.name, **told, "placement": dataclasses.asdict(person.placement)} if person.name else told


def _from_frame(mesh: MeshSequence, first: int) -> MeshSequence:
    return MeshSequence(mesh.vertices[first:], mesh.faces, mesh.uv, mesh.name)


def _plain(value: object) -> object:
    """Converts numpy scalars, arrays and paths for JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)
