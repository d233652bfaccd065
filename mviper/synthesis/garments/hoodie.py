"""A hoodie: a bodice with long sleeves and a hood."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from mviper.registry import GARMENTS
from mviper.synthesis.garments.bodice import SIDES, Bodice, Sleeve, arm_girth, bodice_for_sleeve
from mviper.synthesis.garments.drafting import Draft, Fit, ParametricGarment, Range
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern import Edge, Panel, Seam


@GARMENTS.register_module()
class Hoodie(ParametricGarment):
    """A wide sweater with long sleeves and a hood worn up, its drawstring tied.

    Args:
        ease: Girth of the cloth round the trunk minus the body's [m].
        length: From the armpit down, as a share of the distance from armpit to crotch.
        sleeve: Where the sleeves end: 1 at the elbow, 2 at the wrist.
        sleeve_ease: Sleeve's girth minus the upper arm's [m].
        cuff_ease: Girth of the cuff minus the arm's there [m].
        hood_ease: Excess height and depth of the hood over the head [m].
    """

    name, kind = "hoodie", "top"

    ease: Range = (0.14, 0.24)
    length: Range = (0.95, 1.1)
    sleeve: Range = (1.85, 2.0)
    sleeve_ease: Range = (0.12, 0.18)
    cuff_ease: Range = (0.05, 0.08)
    hood_ease: Range = (0.03, 0.06)
    material: str = "jersey"

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Panels round trunk, arms and head."""
        bodice = bodice_for_sleeve(
            body, arm_girth(body) + drawn["sleeve_ease"], ease=drawn["ease"], hem=body.trunk_level(drawn["length"]),
            neck_width=0.03,
        )  # fmt: skip
        sleeve = Sleeve(bodice, drawn["sleeve_ease"], drawn["sleeve"], drawn["cuff_ease"])
        hood = Hood(bodice, drawn["hood_ease"])
        return Draft.of(bodice, sleeve, hood, pins=hood.drawstring_pins())


class Hood:
    """Two panels round the head, ``"hood_left"`` and ``"hood_right"``, sewn to a bodice's neckline.

    Edges: ``neck_front`` and ``neck_back`` below, ``nape`` and ``crown`` sewn to the other panel's, ``face`` open.

    Args:
        bodice: The bodice with the neckline.
        ease: Excess height and depth over the head [m].
    """

    def __init__(self, bodice: Bodice, ease: float) -> None:
        body = self.body = bodice.body
        self.bodice = bodice
        front, back = (next(p for p in bodice.panels() if p.name == name) for name in (bodice.front("left"), "back"))
        self.neck_front, self.neck_back = front.length("neck_left"), back.length("neck_left")
        self.z_neck = body.shoulder_height + 0.03
        head = body.head
        levels = np.linspace(body.joint("head")[2], body.head_top - 0.02, 12)
        ears = max(body.horizontal(level, tuple(head.centre)).half[0] for level in levels)
        self.half_width = ears + 0.01 + 0.5 * ease
        self.head_front, self.head_back = head.lowest, head.highest
        # Down the side, half way over the top and back: a quarter of the circumference is bent over the edge.
        over = 0.25 * np.pi * self.half_width
        self.height = body.head_top - self.z_neck + ease + over
        self.depth = head.highest - head.lowest + ease + over - 0.03  # the face is free

    def _left(self) -> Panel:
        """Seen from the body's left: the face at small x, the back of the head at large x."""
        deep, high = self.depth, self.height
        # The neck edge falls to the front, like the neckline, and is bent so that both parts have their lengths.
        fall = 0.3 * self.neck_front
        x_shoulder = np.sqrt(self.neck_front**2 - fall**2)
        x_back = x_shoulder + np.sqrt(self.neck_back**2 - (0.1 * self.neck_back) ** 2)
        return Panel("hood_left", (
            Edge("neck_front", (0.0, -fall)),
            Edge("neck_back", (x_shoulder, 0.0)),
            Edge("nape", (x_back, 0.1 * self.neck_back), ((deep, 0.3 * high),)),
            Edge("crown", (deep, 0.6 * high), ((deep, 0.9 * high), (0.75 * deep, high))),
            Edge("face", (0.12 * deep, high), ((0.0, 0.5 * high),)),
        ))  # fmt: skip

    def panels(self) -> tuple[Panel, ...]:
        """Left and right."""
        return self._left(), self._left().mirrored("hood_right")

    def seams(self) -> tuple[Seam, ...]:
        """Seams down the middle and to the neckline."""
        neck = [
            Seam((f"hood_{side}", f"neck_{part}"), (panel, f"neck_{side}"))
            for side in SIDES
            for part, panel in (("front", self.bodice.front(side)), ("back", "back"))
        ]
        middle = [Seam(("hood_left", edge), ("hood_right", edge)) for edge in ("nape", "crown")]
        return (*neck, *middle)

    def fits(self) -> tuple[Fit, ...]:
        """Round the face and over the head."""
        around = self.body.head_top - self.body.joint("neck")[2]
        return (Fit("height from neck to crown", around, (("hood_left", "face"),)),)

    def drawstring_pins(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Pins over the forehead, where crown and face edge meet: without a drawstring hoods fall back."""

        def pin(flat: np.ndarray, forehead: np.ndarray) -> np.ndarray:
            return (np.linalg.norm(flat - forehead, axis=1) < 0.035).astype(float)

        return {panel.name: functools.partial(pin, forehead=panel.curve("face")[0 if left else -1])
                for left, panel in zip((True, False), self.panels())}  # fmt: skip

    def placements(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Upright on both sides of the head, bent to the middle along the crown."""
        left = self._left()
        seam = cKDTree(np.concatenate([left.curve("nape"), left.curve("crown")]))
        return {
            "hood_left": functools.partial(self._place, seam=seam, side=1.0),
            "hood_right": functools.partial(self._place, seam=seam, side=-1.0),
        }

    def _place(self, flat: np.ndarray, seam: cKDTree, side: float) -> np.ndarray:
        x, y = side * flat[:, 0], flat[:, 1]
        distance = seam.query(np.stack([x, y], axis=1))[0]
        bent = (distance / (0.5 * np.pi * self.half_width)).clip(0, 1)
        across = (self.half_width + 0.01) * np.sin(0.5 * np.pi * bent) + 0.002
        # The bend towards the middle takes length from the top and the back.
        shrink = 1 - 0.25 * np.pi * self.half_width / self.height
        forward = self.head_front - 0.02 + x * shrink
        return np.stack([side * across, forward, self.z_neck + y * shrink], axis=1)
