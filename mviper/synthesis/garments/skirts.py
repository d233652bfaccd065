"""Skirts: a ring sector that flares from the waist, and a narrow one with a vent."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from mviper.registry import GARMENTS
from mviper.synthesis.garments.drafting import Draft, Fit, ParametricGarment, Range
from mviper.synthesis.garments.lower_body import LowerBody, ellipse_girth
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern import Edge, Panel, PatternError, Seam


class RingSkirt:
    """Front and back of a skirt in the form of a ring sector; also the lower half of a dress.

    Panels ``"skirt_front"`` and ``"skirt_back"`` with edges ``waist``, ``side_left``, ``side_right``, ``hem_left`` and
    ``hem_right``. In the flat pattern the ring's centre is the origin and the panel hangs down from it.

    Args:
        lower: The lower body; the waist seam is at its ``waist_height``.
        waist: Girth of the waist seam [m].
        flare: The sector's angle as a share of a full circle; increased if the hips would not fit.
        length: From the waist seam to the hem [m].
        hip_ease: Minimum girth of the cloth at the hips minus the body's [m].
        sewn_to: Front and back panel of a bodice to whose ``hem`` edges it is sewn; None: it has a waistband.
    """

    def __init__(
        self,
        lower: LowerBody,
        waist: float,
        flare: float,
        length: float,
        hip_ease: float,
        sewn_to: tuple[str, str] | None = None,
    ) -> None:
        self.lower, self.waist, self.length, self.sewn_to = lower, waist, length, sewn_to
        below = lower.waist_height - lower.levels[lower.levels < lower.waist_height - 0.05]
        least = (lower.girths[: len(below)] + hip_ease - waist) / (2 * np.pi * below)
        self.flare = min(max(flare, float(least.max())), 1.0)
        self.radius, self.half_angle = waist / (2 * np.pi * self.flare), 0.5 * np.pi * self.flare

    def _panel(self, name: str, sides: tuple[str, str]) -> Panel:
        """``sides``: the body's side at positive and at negative x."""
        right, left = sides
        hem, half_angle = self.radius + self.length, self.half_angle
        return Panel(name, (
            _arc(f"hem_{left}", hem, -half_angle, 0.0),
            _arc(f"hem_{right}", hem, 0.0, half_angle),
            Edge(f"side_{right}", _on_circle(hem, half_angle)),
            _arc("waist", self.radius, half_angle, -half_angle),
            Edge(f"side_{left}", _on_circle(self.radius, -half_angle)),
        ))  # fmt: skip

    def panels(self) -> tuple[Panel, ...]:
        """Front and back."""
        return self._panel("skirt_front", ("left", "right")), self._panel("skirt_back", ("right", "left"))

    def seams(self) -> tuple[Seam, ...]:
        """Sides, and the waist if it hangs from a bodice."""
        sides = [Seam(("skirt_front", f"side_{side}"), ("skirt_back", f"side_{side}")) for side in ("left", "right")]
        waist = [Seam((bodice, "hem"), (own, "waist")) for bodice, own in zip(self.sewn_to or (), _PANELS)]
        return (*sides, *waist)

    def fits(self) -> tuple[Fit, ...]:
        """The waist."""
        return (Fit("waist", self.lower.waist, tuple((name, "waist") for name in _PANELS)),)

    def placements(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """On a cone over the waist's ellipse, to which the ring can be bent without stretching."""
        return {name: functools.partial(self._place, forward=name == "skirt_front") for name in _PANELS}

    def _place(self, flat: np.ndarray, forward: bool) -> np.ndarray:
        across, depth, middle = self.lower.trunk(np.array(self.lower.waist_height))
        scale = self.waist / ellipse_girth(across, depth)
        turn = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 181)
        ring = np.stack([across * scale * np.sin(turn), depth * scale * np.cos(turn)], axis=1)
        normal = np.stack([depth * np.sin(turn), across * np.cos(turn)], axis=1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=1))])
        facing = np.arctan2(normal[:, 0], normal[:, 1]) + 0.5 * np.pi  # of the ellipse, from 0 to pi
        down = np.hypot(flat[:, 0], flat[:, 1]) - self.radius
        out = (self.flare * down).clip(0)
        # At a distance ``out`` from the ellipse its length grows by ``out`` times the rotation of its normal.
        share = 0.5 + 0.5 * np.arctan2(flat[:, 0], -flat[:, 1]) / self.half_angle
        lengths = along + out[:, None] * facing
        step = np.clip((lengths < (share * lengths[:, -1])[:, None]).sum(axis=1), 1, len(turn) - 1)
        rows = np.arange(len(flat))
        before, after = lengths[rows, step - 1], lengths[rows, step]
        part = ((share * lengths[:, -1] - before) / (after - before)).clip(0, 1)[:, None]
        x, y = (
            (1 - part) * (ring[step - 1] + out[:, None] * normal[step - 1])
            + part * (ring[step] + out[:, None] * normal[step])
        ).T
        z = self.lower.waist_height - np.sqrt(1 - self.flare**2) * down
        return np.stack([x, middle - y, z] if forward else [-x, middle + y, z], axis=1)

    def waistband(self, flat: np.ndarray) -> np.ndarray:
        """Pin weights: 1 in the upper centimetre, fading over 2 cm."""
        return ((self.radius + 0.03 - np.hypot(flat[:, 0], flat[:, 1])) / 0.02).clip(0, 1)


_PANELS = ("skirt_front", "skirt_back")


@GARMENTS.register_module()
class CircleSkirt(ParametricGarment):
    """A skirt cut from part of a ring: an A-line skirt for a small part, a circle skirt for the whole.

    Two panels; the waistband follows the body.

    Args:
        flare: The hem's angle as a share of a full circle; increased if the hips would not fit.
        length: From the waistband down, as a share of the distance to the ankle joints.
        hip_ease: Minimum girth of the cloth at the hips minus the body's [m].
        rise: Position of the waistband, as a share of the distance from the hip joints to the joint ``spine_2``.
    """

    name, kind = "circle_skirt", "skirt"

    flare: Range = (0.3, 0.8)
    length: Range = (0.40, 0.75)
    hip_ease: Range = (0.06, 0.12)
    rise: Range = (0.60, 0.80)

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Front and back round the hips, the waistband pinned."""
        lower = LowerBody(body, drawn["rise"])
        length = drawn["length"] * (lower.waist_height - lower.ankle_height)
        skirt = RingSkirt(lower, lower.waistband, drawn["flare"], length, drawn["hip_ease"])
        return Draft.of(skirt, pins=dict.fromkeys(_PANELS, skirt.waistband))


@GARMENTS.register_module()
class PencilSkirt(ParametricGarment):
    """A narrow skirt of three panels with shaped side and back seams that end in slits and a vent.

    The waistband follows the body. Vent and slits let the knees part.

    Args:
        hip_ease: Girth of the cloth at the hips minus the body's [m].
        length: From the waistband down, as a share of the distance to the ankle joints.
        taper: Girth at the hem as a share of the girth at the hips; increased if the legs would not fit.
        vent: Length of the open part of the back seam, as a share of the distance from the hem to the hips.
        slit: Length of the open part of the side seams, like ``vent``.
        rise: Position of the waistband, as a share of the distance from the hip joints to the joint ``spine_2``.
    """

    name, kind = "pencil_skirt", "skirt"

    hip_ease: Range = (0.08, 0.14)
    length: Range = (0.55, 0.66)
    taper: Range = (0.90, 1.0)
    vent: Range = (0.50, 0.70)
    slit: Range = (0.50, 0.70)
    rise: Range = (0.60, 0.80)

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Front and two backs round hips and thighs, the waistband pinned."""
        skirt = _NarrowSkirt(LowerBody(body, drawn["rise"]), drawn)
        return Draft.of(skirt, pins=dict.fromkeys(skirt.placements(), skirt.held))


class _NarrowSkirt:
    """The pencil skirt's dimensions on one body; flat heights y above the hem."""

    #: Share of the difference between hips and waist taken in at the back seam; the side seams take the rest.
    BACK_SHARE = 0.2
    #: How strongly the cloth at the hips follows them: a tight skirt is held by lining and seat, and does not ride up
    #: to the waist when its wearer squats, crawls or kicks.
    SEAT = 0.8

    def __init__(self, lower: LowerBody, drawn: dict[str, float]) -> None:
        self.lower = lower
        self.y_waist = drawn["length"] * (lower.waist_height - lower.ankle_height)
        self.z_hem = lower.waist_height - self.y_waist
        self.y_hip = float(lower.levels[lower.girths.argmax()]) - self.z_hem
        if self.y_hip < 0.1:
            raise PatternError(
                f"panel 'skirt_front', edge 'thigh_left': the hem lies {1000 * self.y_hip:.0f} mm under the hips, at "
                "least 100 mm are needed; use a longer skirt"
            )
        self.half_hip, self.half_waist = (lower.hips + drawn["hip_ease"]) / 4, lower.waistband / 4
        # Straight from the hips to the hem, with at least the ease everywhere.
        share = np.linspace(0.0, 0.85, 9)
        needed = (lower.outline_girth(self.z_hem + share * self.y_hip) + drawn["hip_ease"]) / 4
        least = float(((needed - share * self.half_hip) / (1 - share)).max())
        self.half_hem = max(drawn["taper"] * self.half_hip, least)
        self.y_vent, self.y_slit = drawn["vent"] * self.y_hip, drawn["slit"] * self.y_hip
        self.hollow = self.BACK_SHARE * (self.half_hip - self.half_waist)

    def panels(self) -> tuple[Panel, ...]:
        """Front and two backs."""
        hem, hip, waist, y_hip, y_waist = self.half_hem, self.half_hip, self.half_waist, self.y_hip, self.y_waist
        bend = 0.5 * (y_hip + y_waist)
        slit = hem + (hip - hem) * self.y_slit / y_hip
        front = Panel("skirt_front", (
            Edge("hem", (-hem, 0.0)),
            Edge("slit_left", (hem, 0.0)),
            Edge("thigh_left", (slit, self.y_slit)),
            Edge("hip_left", (hip, y_hip), ((hip, bend),)),
            Edge("waist", (waist, y_waist)),
            Edge("hip_right", (-waist, y_waist), ((-hip, bend),)),
            Edge("thigh_right", (-hip, y_hip)),
            Edge("slit_right", (-slit, self.y_slit)),
        ))  # fmt: skip
        # Seen from behind, the right side is at positive x.
        hollow = self.hollow
        back = Panel("skirt_back_right", (
            Edge("hem", (0.0, 0.0)),
            Edge("slit_right", (hem, 0.0)),
            Edge("thigh_right", (slit, self.y_slit)),
            Edge("hip_right", (hip, y_hip), ((hip, bend),)),
            Edge("waist", (waist + hollow, y_waist)),
            Edge("hollow", (hollow, y_waist), ((0.0, bend),)),
            Edge("back", (0.0, y_hip)),
            Edge("vent", (0.0, self.y_vent)),
        ))  # fmt: skip
        mirrored = back.mirrored("skirt_back_left")
        renamed = tuple(Edge(edge.name.replace("right", "left"), edge.start, edge.controls) for edge in mirrored.edges)
        return front, Panel("skirt_back_left", renamed), back

    def seams(self) -> tuple[Seam, ...]:
        """Seams of the sides down to the slits, and of the back down to the vent."""
        sides = [
            Seam(("skirt_front", f"{edge}_{side}"), (f"skirt_back_{side}", f"{edge}_{side}"), easing=0.05)
            for side in ("left", "right")
            for edge in ("thigh", "hip")
        ]
        back = [Seam(("skirt_back_left", edge), ("skirt_back_right", edge)) for edge in ("hollow", "back")]
        return (*sides, *back)

    def fits(self) -> tuple[Fit, ...]:
        """Waist and hips."""
        backs = ("skirt_back_right", "skirt_back_left")
        across = (
            ("skirt_front", "hip_left", "thigh_right"),
            (backs[0], "hip_right", "back"),
            (backs[1], "thigh_left", "hollow"),
        )
        return (
            Fit("waist", self.lower.waist, tuple((panel, "waist") for panel in ("skirt_front", *backs))),
            Fit("hips", self.lower.hips, across),
        )

    def placements(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Bent round hips and legs."""
        front, back_left, back_right = self.panels()
        return {
            front.name: functools.partial(self._place, half=self._curve(front, "left"), forward=True),
            back_left.name: functools.partial(self._place, half=self._curve(back_right, "right"), forward=False),
            back_right.name: functools.partial(self._place, half=self._curve(back_right, "right"), forward=False),
        }

    def _curve(self, panel: Panel, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Outline (N, 2) of the half of a panel at positive x: its inner and its outer edge, upwards."""
        outer = np.concatenate([panel.curve(f"{edge}_{side}") for edge in ("slit", "thigh", "hip")])
        if panel.name == "skirt_front":
            return outer * [0.0, 1.0], outer
        return np.concatenate([panel.curve(edge)[::-1] for edge in ("vent", "back", "hollow")]), outer

    def _place(self, flat: np.ndarray, half: tuple[np.ndarray, np.ndarray], forward: bool) -> np.ndarray:
        x, y = flat[:, 0] * (1 if forward else -1), flat[:, 1]
        z = self.z_hem + y
        inner, outer = (np.interp(y, line[:, 1], line[:, 0]) for line in half)
        width = outer - inner
        share = np.sign(x) * ((np.abs(x) - inner) / width).clip(0, 1)  # from 0 in the middle to 1 at the side
        across, depth, middle = self.lower.outline(z)
        scale = 4 * width / ellipse_girth(across, depth)
        angle = 0.5 * np.pi * share
        away = depth * scale * np.cos(angle) + 0.002
        return np.stack([across * scale * np.sin(angle), middle + (-away if forward else away), z], axis=1)

    def held(self, flat: np.ndarray) -> np.ndarray:
        """Pin weights: 1 in the waistband's upper centimetre, fading over 2 cm; ``SEAT`` round the hips, over 4 cm."""
        waistband = ((flat[:, 1] - (self.y_waist - 0.03)) / 0.02).clip(0, 1)
        seat = self.SEAT * (1 - np.abs(flat[:, 1] - self.y_hip) / 0.04).clip(0, 1)
        return np.maximum(waistband, seat)


def _on_circle(radius: float, angle: float) -> tuple[float, float]:
    """A point on a circle round the origin, its angle from straight down."""
    return radius * float(np.sin(angle)), -radius * float(np.cos(angle))


def _arc(name: str, radius: float, start: float, end: float) -> Edge:
    """The arc between two angles as a cubic: off by 0.03 % of the radius for a quarter circle, 1.8 % for a half."""
    reach = 4 / 3 * np.tan(0.25 * (end - start)) * radius
    first, last = _on_circle(radius, start), _on_circle(radius, end)
    controls = (
        (first[0] + reach * float(np.cos(start)), first[1] + reach * float(np.sin(start))),
        (last[0] - reach * float(np.cos(end)), last[1] - reach * float(np.sin(end))),
    )
    return Edge(name, first, controls)
