"""A poncho of two panels, joined along the tops of the arms."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from mviper.body import BodyShape
from mviper.registry import GARMENTS
from mviper.synthesis.garments import Draft, Edge, Fit, Measurements, Panel, ParametricGarment, Range, Seam


@GARMENTS.register_module()
class Poncho(ParametricGarment):
    """A poncho with a round hem that hangs from shoulders and arms.

    Args:
        reach: How far it covers the arms: 0 at the shoulder joint, 1 at the elbow.
        length: From the shoulders down, as a fraction of the distance from armpit to crotch.
        neck_width: Half width of the neck opening minus that of the neck [m].
    """

    name, kind = "poncho", "top"

    reach: Range = (0.7, 1.0)
    length: Range = (0.7, 1.0)
    neck_width: Range = (0.05, 0.07)
    material: str = "wool"

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Drafts front and back, placed over the arms."""
        return Draft.of(_Sheets(body, **drawn))

    def covers(self, body_shape: BodyShape) -> np.ndarray:
        """The trunk: arms move freely under it."""
        return np.abs(body_shape.vertices[:, 0]) < body_shape.joint("left_shoulder")[0]


class _Sheets:
    """Front and back on one body; flat heights y above the lowest point of the hem."""

    def __init__(self, body: Measurements, reach: float, length: float, neck_width: float) -> None:
        shoulder, elbow, neck = (body.joint(name) for name in ("left_shoulder", "left_elbow", "neck"))
        self.half_width = shoulder[0] + reach * (elbow[0] - shoulder[0])
        section = body.horizontal(neck[2] + 0.03, tuple(neck[:2]))
        self.neck, self.half_neck = section.girth, section.half[0] + neck_width
        self.ridge, self.middle = body.shoulder_height + 0.06, body.arm(0.0).centre[0]
        trunk = [body.torso(body.trunk_level(share)) for share in np.linspace(0.1, 0.8, 6)]
        self.bend = max(abs(s.centre[1] - self.middle) + s.half[1] for s in trunk) + 0.02
        # Over the arm's curve, then straight down.
        self.top = (0.5 * np.pi - 1) * self.bend + self.ridge - body.trunk_level(length)

    def _panel(self, name: str, sides: tuple[str, str], neck_depth: float) -> Panel:
        """``sides``: the body's side at positive and at negative x."""
        right, left = sides
        width, neck, top, tip = self.half_width, self.half_neck, self.top, 0.45 * self.top
        bowl = ((0.9 * neck, top - neck_depth), (-0.9 * neck, top - neck_depth))
        return Panel(name, (
            Edge("hem", (-width, tip), ((-0.7 * width, -tip / 3), (0.7 * width, -tip / 3))),
            Edge(f"side_{right}", (width, tip)),
            Edge(f"shoulder_{right}", (width, top)),
            Edge("neck", (neck, top), bowl),
            Edge(f"shoulder_{left}", (-neck, top)),
            Edge(f"side_{left}", (-width, top)),
        ))  # fmt: skip

    def panels(self) -> tuple[Panel, ...]:
        """Front and back."""
        return self._panel("front", ("left", "right"), 0.10), self._panel("back", ("right", "left"), 0.05)

    def seams(self) -> tuple[Seam, ...]:
        """Along the tops of the arms."""
        return tuple(Seam(("front", f"shoulder_{side}"), ("back", f"shoulder_{side}")) for side in ("left", "right"))

    def fits(self) -> tuple[Fit, ...]:
        """The neck opening."""
        return (Fit("neck", self.neck, (("front", "neck"), ("back", "neck"))),)

    def placements(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Bent over the arms as over a pole, without stretching."""
        return {name: functools.partial(self._place, forward=name == "front") for name in ("front", "back")}

    def _place(self, flat: np.ndarray, forward: bool) -> np.ndarray:
        down = self.top - flat[:, 1]
        angle = (down / self.bend).clip(0, 0.5 * np.pi)
        away, z = self.bend * np.sin(angle), self.ridge - self.bend * (1 - np.cos(angle))
        z = z - (down - 0.5 * np.pi * self.bend).clip(0)
        x, y = (flat[:, 0], self.middle - away) if forward else (-flat[:, 0], self.middle + away)
        return np.stack([x, y, z], axis=1)
