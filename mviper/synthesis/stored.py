"""Renders stored simulations again with other fabrics, skin, light, surroundings and cameras."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mviper.body import SMPL, BodyShape, same_body
from mviper.config import command
from mviper.errors import ConfigError, FileFormatError
from mviper.files import load_npz
from mviper.motion import TargetBody
from mviper.motion.sources import Clip, MotionSource
from mviper.registry import MOTION_SOURCES
from mviper.structures import MeshSequence, Motion, people_of, person_file
from mviper.synthesis.performance import Simulation, pose_body


@dataclass(frozen=True)
class StoredClip(Clip):
    """A person of a finished sequence folder (``path``); its ``parts`` are its clip, whose split it stays in.

    Attributes:
        manifest: What the folder's manifest says of the person.
    """

    manifest: dict = field(default_factory=dict, kw_only=True)

    def file(self, stem: str) -> Path:
        """One of the person's own files, ``"motion"`` or ``"garments"``."""
        return self.path / f"{person_file(stem, self.manifest.get('person', ''))}.npz"


@MOTION_SOURCES.register_module()
class StoredSimulations(MotionSource):
    """The dressed people of a data set made with ``passes=["garments"]``.

    A config with this source simulates nothing: it renders each stored sequence ``variants`` times, each with
    ``renders_per_simulation`` takes; body, outfit, simulator and length are those stored.

    Args:
        data_root: The data set's folder, given to ``tools/generate.py --out``.
        names: Names or patterns of sequences to keep (``"walk__*"``); ``None`` keeps all.
    """

    how_to_get = (
        f"make it with: {command('generate', 'configs/volume/simulations.py', '--out', 'FOLDER')}, and set "
        "source.data_root"
    )

    def __init__(self, data_root: str | Path, names: str | list[str] | None = None) -> None:
        super().__init__(data_root, names)

    def find_clips(self) -> Iterator[StoredClip]:
        """The people of the finished sequences, sorted by name; several have theirs appended (``"walk__00_p1"``)."""
        paths = sorted(self.root.glob("*/*/manifest.json"), key=lambda path: path.parent.name)
        for path in paths:
            if path.parent.name.startswith("."):
                continue
            try:
                manifest = json.loads(path.read_text())
                found = [_stored_clip(path, manifest, person) for person in people_of(manifest)]
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise FileFormatError(path, f"not a manifest of the factory: {error!r}") from error
            yield from found

    def read(self, clip: StoredClip) -> Motion:
        """The stored motion; see :meth:`MotionSource.read`."""
        return Motion.load(clip.file("motion"))

    def fit(self, clip: StoredClip, target: TargetBody) -> tuple[Motion, None]:
        """Not supported: a stored simulation belongs to its own body."""
        raise ConfigError(
            f"{clip.name}: a stored simulation belongs to its own body; it can be rendered, but not fitted to "
            "another body"
        )

    def simulation(self, clip: StoredClip, body: SMPL) -> Simulation:
        """Reads a sequence.

        Args:
            clip: One of :meth:`clips`.
            body: The body model with which it was made.

        Raises:
            ConfigError: It was made with another body model.
            FileFormatError: A file in its folder is not as the factory writes it.
        """
        manifest, motion = clip.manifest, replace(self.read(clip), name=clip.name)
        if not same_body(motion.body_model, body.body_model_id):
            raise ConfigError(
                f"{clip.path}: simulated on the body {motion.body_model}, but the config's body_model is "
                f"{body.body_model_id}; set the config's body_model to the same body"
            )
        path = clip.file("garments")
        names = [garment["name"] for garment in manifest["garments"]]
        cloth = []
        if names:
            arrays = load_npz(path)
            for name in names:
                try:
                    vertices, faces, uv = (arrays[f"{name}_{key}"] for key in ("vertices", "faces", "uv"))
                except KeyError as error:
                    raise FileFormatError(path, f"lacks {error}", hint="simulate with passes=['garments']") from error
                if len(vertices) != len(motion):
                    raise FileFormatError(path, f"{name} has {len(vertices)} frames, its motion {len(motion)}")
                cloth.append(MeshSequence(vertices, faces, uv, name))
        vertices, keypoints = pose_body(body, motion)
        return Simulation(
            motion=motion,
            motion_quality=manifest["motion_quality"],
            shape=BodyShape.from_body(body, motion.betas),
            body=MeshSequence(vertices, body.faces, name="body"),
            keypoints=keypoints.astype(np.float64),
            cloth=cloth,
            garments=manifest["garments"],
            quality=manifest["quality"],
        )


def _stored_clip(path: Path, manifest: dict, person: dict) -> StoredClip:
    name, subject = person_file(manifest["name"], person.get("person", "")), person["subject"]
    captured = tuple(Clip(original, subject, path) for original in person.get("originals", [person["clip"]]))
    return StoredClip(name, subject, path.parent, captured, split=manifest["split"], manifest=person)
