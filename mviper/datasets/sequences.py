"""The factory's sequence folders, and their assignment to splits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mviper.config import command
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.structures import HumanData, PersonView, people_of, person_views

SPLITS = ("train", "val", "test")


@dataclass
class FactorySequence:
    """A sequence folder of the factory.

    Attributes:
        folder: Its path.
        split: train, val or test.
        manifest: Content of ``manifest.json``.
    """

    folder: Path
    split: str
    manifest: dict = field(repr=False)

    @property
    def name(self) -> str:
        """``<split>/<folder>``."""
        return f"{self.split}/{self.folder.name}"

    @property
    def people(self) -> list[dict]:
        """What the manifest says of each person, see :func:`mviper.structures.people_of`."""
        return people_of(self.manifest)

    @property
    def person_views(self) -> list[PersonView]:
        """Every person in every view."""
        return person_views(self.manifest)

    def annotations(self, view: str) -> list[HumanData]:
        """The annotation of each person in a view."""
        return [self.annotation(shown) for shown in self.person_views if shown.view == view]

    def annotation(self, shown: PersonView) -> HumanData:
        """The annotation of one person in a view."""
        return HumanData.load(self.folder / f"{shown.name}.npz")


def find_sequences(data_root: Path, skipped: dict[str, str] | None = None) -> list[FactorySequence]:
    """All complete sequences under a data set's root, by split (train, val, test) and name.

    Args:
        data_root: What ``tools/generate.py --out`` was given.
        skipped: Collects errors of manifests, by file; None: raises on such a manifest.

    Raises:
        MissingDataError: There are none.
        FileFormatError: A manifest is not what the factory writes.
    """
    sequences = []
    for split in SPLITS:
        for path in sorted((data_root / split).glob("[!.]*/manifest.json")):
            try:
                sequences.append(FactorySequence(path.parent, split, read_manifest(path)))
            except FileFormatError as error:
                if skipped is None:
                    raise
                skipped[str(path)] = error.problem
    if not sequences:
        raise MissingDataError(
            f"no complete sequence in {data_root}; make some with: {command('generate', 'CONFIG', '--out', data_root)}"
        )
    return sequences


def read_manifest(path: Path) -> dict:
    """A sequence's ``manifest.json``.

    Raises:
        FileFormatError: It is not what the factory writes.
    """
    try:
        manifest = json.loads(path.read_text())
        if not (isinstance(manifest["frames"], int) and isinstance(manifest["views"], list)):
            raise TypeError("expected frames to be a number and views to be a list")
        if not all(isinstance(shown.name, str) for shown in person_views(manifest)):
            raise TypeError("expected view_list to name views")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(path, f"not a manifest that the factory wrote: {error!r}") from error
    return manifest


#: Attributes that sequences may share, and how to read their values.
SPLIT_ATTRIBUTES: dict[str, Callable[[dict], set[str]]] = {
    "subject": lambda manifest: {str(person.get("subject", "")) for person in people_of(manifest)},
    "motion": lambda manifest: {str(person.get("clip", "")) for person in people_of(manifest)},
    "garment": lambda manifest: {
        str(piece["name"]) for person in people_of(manifest) for piece in person.get("garments") or []
    },
}

#: Number of assignments tried; the one that keeps the most sequences is used.
_TRIES = 200


def split_without_overlap(
    manifests: Sequence[dict], by: Sequence[str], shares: Mapping[str, float], seed: int = 0
) -> list[str | None]:
    """Assigns sequences to splits so that no two splits have a subject, motion or garment in common.

    Sequences connected by an attribute stay together, as long as every split gets some. If an attribute would connect
    everything (garments are worn in all combinations), its values are assigned to splits instead, and sequences whose
    values belong to different splits are left out.

    Args:
        manifests: Content of the sequences' ``manifest.json``.
        by: Attributes that splits must not share, of ``subject``, ``motion`` and ``garment``.
        shares: Share of the sequences for each split; need not sum to 1.
        seed: Random seed.

    Returns:
        A split for each sequence; None for those left out.

    Raises:
        ConfigError: An unknown attribute, shares that are negative or all 0, or a split would be empty.
    """
    unknown = [name for name in by if name not in SPLIT_ATTRIBUTES]
    if unknown or not by:
        raise ConfigError(f"expected a split by {', '.join(SPLIT_ATTRIBUTES)}, got {', '.join(unknown) or 'nothing'}")
    wanted = {split: share for split, share in shares.items() if share > 0}
    total = sum(wanted.values())
    if not 0 < total < np.inf or not all(share >= 0 for share in shares.values()):
        raise ConfigError(
            f"expected shares >= 0, not all 0, got {', '.join(f'{share:g}' for share in shares.values())}"
        )
    wanted = {split: share / total * len(manifests) for split, share in wanted.items()}
    whole, loose = [f"#{number}" for number in range(len(manifests))], []
    for name in by:
        values = [{f"{name}={value}" for value in SPLIT_ATTRIBUTES[name](manifest)} for manifest in manifests]
        together = _components([{lump} | own for lump, own in zip(whole, values)])
        sizes = Counter(together)
        if len(sizes) >= len(wanted) and max(sizes.values()) <= 1.2 * max(wanted.values()):
            whole = together
        else:
            loose.append(values)
    rng = np.random.default_rng(seed)
    best: list[str | None] = [None] * len(manifests)
    best_score = -1.0
    for _ in range(_TRIES):
        place = _share_out(Counter(whole), wanted, rng)
        for values in loose:
            place |= _share_out(Counter(value for own in values for value in sorted(own)), wanted, rng)
        splits: list[str | None] = []
        for number, lump in enumerate(whole):
            found = {place[lump]} | {place[value] for values in loose for value in values[number]}
            splits.append(found.pop() if len(found) == 1 else None)
        found_sizes = Counter(splits)
        score = sum(min(found_sizes[split] / size, 1.0) for split, size in wanted.items())
        score += 1e-3 * (len(splits) - found_sizes[None]) / len(splits)
        if all(found_sizes[split] for split in wanted) and score > best_score:
            best, best_score = splits, score
        if not loose and best_score >= 0:
            break
    if best_score < 0:
        raise ConfigError(
            f"{len(manifests)} sequences cannot be shared out among {', '.join(wanted)} without an overlap in "
            f"{', '.join(by)}: make more, or ask for fewer of these at once"
        )
    return best


def _components(values: Sequence[set[str]]) -> list[str]:
    """A label for each set, the same for sets connected by common elements."""
    parent: dict[str, str] = {}

    def root(value: str) -> str:
        while parent.setdefault(value, value) != value:
            parent[value] = parent[parent[value]]
            value = parent[value]
        return value

    for own in values:
        first, *others = sorted(own)
        for other in others:
            parent[root(other)] = root(first)
    return [root(min(own)) for own in values]


def _share_out(weights: Counter, wanted: Mapping[str, float], rng: np.random.Generator) -> dict[str, str]:
    """A split for each value, assigned in random order to the split that lacks most."""
    names = sorted(weights)
    lacking = {split: size * sum(weights.values()) / sum(wanted.values()) for split, size in wanted.items()}
    place = {}
    for index in rng.permutation(len(names)):
        split = max(lacking, key=lacking.__getitem__)
        place[names[index]] = split
        lacking[split] -= weights[names[index]]
    return place
