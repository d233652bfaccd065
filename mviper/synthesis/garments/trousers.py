"""Trousers and shorts of four panels: front and back of each leg."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from mviper.registry import GARMENTS
from mviper.synthesis.garments.drafting import Draft, Fit, ParametricGarment, Range
from mviper.synthesis.garments.lower_body import LowerBody, ellipse_girth
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern import Edge, Panel, Seam


@GARMENTS.register_module()
class Trousers(ParametricGarment):
    """Straight trousers, held by a waistband that follows the body.

    The eases are deliberately wide: cloth that starts less than about 25 mm from the thigh tears in a squat.

    Args:
        hip_ease: Girth of the cloth at the hip minus the body's [m].
        thigh_ease: The same at the thigh [m].
        length: Inseam as a share of the distance from crotch to ankle joint.
        taper: Girth at the hem as a share of the girth at the thigh.
        rise: Position of the waistband, as a share of the distance from the hip joints to the joint ``spine_2``.
    """

    name, kind = "trousers", "bottom"

    hip_ease: Range = (0.12, 0.18)
    thigh_ease: Range = (0.14, 0.20)
    length: Range = (0.90, 0.98)
    taper: Range = (0.58, 0.72)
    rise: Range = (0.55, 0.70)

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Panels round hips and legs, the waistband pinned."""
        fit = _Fit(LowerBody(body, drawn["rise"]), drawn)
        return Draft.of(fit, pins=dict.fromkeys(fit.placements(), fit.waistband))


@GARMENTS.register_module()
class Shorts(Trousers):
    """Trousers that end between hips and knees."""

    name = "shorts"

    length: Range = (0.22, 0.48)
    taper: Range = (0.88, 1.0)


class _Fit:
    """Dimensions on one body; flat heights y above the hem."""

    #: Share of the crotch's depth that the front panel takes.
    FRONT_SHARE = 0.38
    #: Distance of the inseam's top below the body's crotch [m].
    DROP = 0.02

    def __init__(self, lower: LowerBody, drawn: dict[str, float]) -> None:
        self.lower = lower
        self.z_crotch = lower.crotch_height - self.DROP
        self.y_crotch = drawn["length"] * (self.z_crotch - lower.ankle_height)
        self.z_hem = self.z_crotch - self.y_crotch
        self.y_waist = lower.waist_height - self.z_hem
        self.quarter_hip, self.quarter_waist = (lower.hips + drawn["hip_ease"]) / 4, lower.waistband / 4
        thigh = float(self._leg_girth(self.z_crotch - 0.03)) + drawn["thigh_ease"]
        self.crotch_depth = max(0.17 * lower.hips, thigh - 2 * self.quarter_hip)
        girth = 2 * self.quarter_hip + self.crotch_depth
        # Straight from the crotch to the hem, and 8 cm wider than the leg everywhere.
        share = np.linspace(0.0, 0.85, 9)
        needed = self._leg_girth(self.z_hem + share * self.y_crotch) + 0.08
        self.hem = max(drawn["taper"] * girth, float(((needed - share * girth) / (1 - share)).max()))

    def _leg_girth(self, height: np.ndarray) -> np.ndarray:
        """Girth of the left leg at heights [m]."""
        across, depth, *_ = self.lower.leg(height)
        return ellipse_girth(across, depth)

    def waistband(self, flat: np.ndarray) -> np.ndarray:
        """Pin weights: 1 in the upper centimetre, fading over 2 cm."""
        return ((flat[:, 1] - (self.y_waist - 0.03)) / 0.02).clip(0, 1)

    def _panel(self, name: str, share: float) -> Panel:
        """A left panel with its outseam at positive x; ``share``: its part of the crotch's depth and of the hem."""
        depth, hip, waist = share * self.crotch_depth, self.quarter_hip, self.quarter_waist
        y_crotch, y_waist = self.y_crotch, self.y_waist
        rise = y_waist - y_crotch
        hem = self.hem * (hip + depth) / (2 * hip + self.crotch_depth)
        middle = 0.5 * (hip - depth)
        return Panel(name, (
            Edge("hem", (middle - 0.5 * hem, 0.0)),
            Edge("outseam", (middle + 0.5 * hem, 0.0)),
            Edge("hip", (hip, y_crotch), ((hip, y_crotch + 0.5 * rise),)),
            Edge("waist", (waist, y_waist)),
            Edge("rise", (0.0, y_waist), ((0.0, y_crotch + 0.35 * rise), (-0.2 * depth, y_crotch + 0.01))),
            Edge("inseam", (-depth, y_crotch)),
        ))  # fmt: skip

    def panels(self) -> tuple[Panel, ...]:
        """Front and back of both legs."""
        front = self._panel("front_left", self.FRONT_SHARE)
        back = self._panel("back_right", 1 - self.FRONT_SHARE)
        # Seen from behind, the right leg's outseam is at positive x.
        return front, front.mirrored("front_right"), back.mirrored("back_left"), back

    def seams(self) -> tuple[Seam, ...]:
        """Outseams, inseams and the rise."""
        seams = [
            Seam((f"front_{side}", edge), (f"back_{side}", edge))
            for side in ("left", "right")
            for edge in ("outseam", "hip", "inseam")
        ]
        return (*seams, *(Seam((f"{face}_left", "rise"), (f"{face}_right", "rise")) for face in ("front", "back")))

    def fits(self) -> tuple[Fit, ...]:
        """Waist, thighs and hems."""
        names = {side: (f"front_{side}", f"back_{side}") for side in ("left", "right")}
        fits = [Fit("waist", self.lower.waist, tuple((name, "waist") for pair in names.values() for name in pair))]
        thigh, ankle = (float(self._leg_girth(height)) for height in (self.z_crotch - 0.03, self.z_hem))
        across = {"front_left": ("hip", "inseam"), "back_left": ("outseam", "rise")}
        across |= {"front_right": ("outseam", "rise"), "back_right": ("hip", "inseam")}  # mirrored: in reverse order
        for side, pair in names.items():
            fits.append(Fit(f"{side} thigh", thigh, tuple((name, *across[name]) for name in pair)))
            fits.append(Fit(f"{side} leg at the hem", ankle, tuple((name, "hem") for name in pair)))
        return tuple(fits)

    def placements(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Bent round the trunk above the crotch, round each leg below it."""
        front, back = self._panel("front_left", self.FRONT_SHARE), self._panel("back_right", 1 - self.FRONT_SHARE)
        place = functools.partial
        return {
            "front_left": place(self._place, panel=front, turn=1, side=1.0, forward=-1.0),
            "front_right": place(self._place, panel=front, turn=-1, side=-1.0, forward=-1.0),
            "back_left": place(self._place, panel=back, turn=-1, side=1.0, forward=1.0),
            "back_right": place(self._place, panel=back, turn=1, side=-1.0, forward=1.0),
        }

    def _place(self, flat: np.ndarray, panel: Panel, turn: int, side: float, forward: float) -> np.ndarray:
        """``panel``: reference outline; ``turn``: sign of its x to flat x; ``side``, ``forward``: signs of x, y."""
        x, y = turn * flat[:, 0], flat[:, 1]
        inner = np.concatenate([panel.curve("inseam")[::-1], panel.curve("rise")[::-1]])
        outer = np.concatenate([panel.curve("outseam"), panel.curve("hip")])
        inner_x, outer_x = (np.interp(y, line[:, 1], line[:, 0]) for line in (inner, outer))
        share = ((x - inner_x) / (outer_x - inner_x)).clip(0, 1)  # 0 at the inseam or the rise, 1 at the outseam
        z = self.z_hem + y
        margin = 0.02
        across, depth, middle = self.lower.trunk(z)
        angle = 0.5 * np.pi * share
        on_trunk = np.stack(
            [(across + margin) * np.sin(angle) + 0.002, middle + forward * ((depth + margin) * np.cos(angle) + 0.002)],
            1,
        )
        across, depth, middle, leg_x = self.lower.leg(z)
        angle = np.pi * (share - 0.5)
        on_leg = np.stack(
            [leg_x + (across + margin) * np.sin(angle),
             middle + forward * ((depth + margin) * np.cos(angle) + 0.002)], 1,
        )  # fmt: skip
        on_leg[:, 0] = np.maximum(on_leg[:, 0], 0.003)
        blend = ((z - self.z_crotch) / 0.10).clip(0, 1)[:, None]
        blend = blend * blend * (3 - 2 * blend)
        place = blend * on_trunk + (1 - blend) * on_leg
        return np.stack([side * place[:, 0], place[:, 1], z], axis=1)
