"""What a sequence's ``manifest.json`` names: views, people, and the files of each."""

from __future__ import annotations

from dataclasses import dataclass


def person_file(stem: str, person: str) -> str:
    """Stem of a person's own file: ``"motion"`` alone, ``"motion_p1"`` for ``"p1"`` of several people."""
    return f"{stem}_{person}" if person else stem


@dataclass(frozen=True)
class PersonView:
    """One person in one view.

    Attributes:
        view: The view's name; its video is ``<view>.mp4``.
        person: The person's name; "" for the only one.
    """

    view: str
    person: str = ""

    @property
    def name(self) -> str:
        """Stem of the annotation's file: ``<view>`` or ``<view>_<person>``."""
        return person_file(self.view, self.person)


def people_of(manifest: dict) -> list[dict]:
    """What a manifest says of each person: ``clip, originals, subject, betas, garments, motion_quality, quality``.

    Args:
        manifest: Content of ``manifest.json``.

    Returns:
        Its ``people``, each with a name in ``person``; the manifest itself, which has these keys, for one person.
    """
    return manifest.get("people") or [manifest]


def person_views(manifest: dict) -> list[PersonView]:
    """Every person in every view that a manifest names, people of a view one after the other."""
    listed = manifest.get("view_list") or [dict(name=name) for name in manifest["views"]]
    found = [PersonView(entry["name"], entry.get("person", "")) for entry in listed]
    return sorted(found, key=lambda shown: manifest["views"].index(shown.view))
