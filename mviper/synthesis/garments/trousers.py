"""Trousers of four panels: front and back of each leg."""

from __future__ import annotations

import numpy as np

from mviper.registry import GARMENTS
from mviper.synthesis.garments.drafting import Draft, ParametricGarment
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern import Edge, Panel, Pattern, Seam


@GARMENTS.register_module()
class Trousers(ParametricGarment):
    """Straight trousers, held by a waistband that follows the body.

    The eases are wide on purpose: cloth that starts less than about 25 mm off the thigh tears in a squat.

    Args:
        hip_ease: Girth of the cloth at the hip minus the body's [m].
        thigh_ease: The same at the thigh [m].
        length: Inseam as a share of the way from crotch to ankle joint.
        taper: Girth at the hem as a share of the girth at the thigh.
        rise: Where the waistband sits, as a share of the way from the hip joints to the joint ``spine_2``.
        edge_length: Edge length of the mesh [m].
        material: Name of a preset in ``mviper.synthesis.simulation.materials``.
    """

    name, kind = "trousers", "bottom"

    def __init__(
        self,
        hip_ease: tuple[float, float] = (0.12, 0.18),
        thigh_ease: tuple[float, float] = (0.14, 0.20),
        length: tuple[float, float] = (0.90, 0.98),
        taper: tuple[float, float] = (0.58, 0.72),
        rise: tuple[float, float] = (0.55, 0.70),
        edge_length: float = 0.02,
        material: str = "cotton",
    ) -> None:
        super().__init__(
            edge_length, material, hip_ease=hip_ease, thigh_ease=thigh_ease, length=length, taper=taper, rise=rise
        )

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Panels round hips and legs, the waistband pinned."""
        fit = _Fit(body, drawn)
        pattern = fit.pattern()
        return Draft(pattern, fit.placements(), {panel.name: fit.waistband for panel in pattern.panels})


class _Fit:
    """The trousers' sizes on one body; heights z in the world, flat heights y above the hem."""

    #: Share of the crotch's depth that the front panel takes.
    FRONT_SHARE = 0.38

    def __init__(self, body: Measurements, drawn: dict[str, float]) -> None:
        self.body = body
        hip, spine = body.joint("left_hip")[2], body.joint("spine_2")[2]
        crotch = body.crotch_height
        self.z_waist = hip + drawn["rise"] * (spine - hip)
        self.z_crotch = crotch - 0.02
        ankle = body.joint("left_ankle")[2]
        self.y_crotch = drawn["length"] * (self.z_crotch - ankle)
        self.y_waist = self.y_crotch + self.z_waist - self.z_crotch
        self.trunk_levels = np.linspace(crotch + 0.015, self.z_waist, 8)
        self.trunk = [body.torso(level) for level in self.trunk_levels]
        hips = max(section.girth for section in self.trunk)
        self.quarter_hip = (hips + drawn["hip_ease"]) / 4
        # Near the body at the waistband, so that it does not stand off; the hips below are wider.
        self.quarter_waist = (self.trunk[-1].girth + 0.05) / 4
        self.leg_levels = np.linspace(self.z_crotch - 0.03, self.z_crotch - self.y_crotch, 12)
        self.legs = [self._leg(level) for level in self.leg_levels]
        thigh = 2 * np.pi * np.sqrt(0.5 * (self.legs[0][2] ** 2 + self.legs[0][3] ** 2)) + drawn["thigh_ease"]
        self.crotch_depth = max(0.17 * hips, thigh - 2 * self.quarter_hip)
        girth = 2 * self.quarter_hip + self.crotch_depth
        knee = 2 * np.pi * max(np.hypot(leg[2], leg[3]) / np.sqrt(2) for leg in self.legs[5:]) + 0.08
        self.hem = max(drawn["taper"] * girth, knee)

    def _leg(self, level: float) -> tuple[float, float, float, float]:
        """Centre x, y and half extent in x, y of the left leg; thighs that touch are parted at the midline."""
        section = self.body.leg(level)
        low, high = section.centre[0] - section.half[0], section.centre[0] + section.half[0]
        low = max(low, 0.0)
        return 0.5 * (low + high), section.centre[1], 0.5 * (high - low), section.half[1]

    def waistband(self, flat: np.ndarray) -> np.ndarray:
        """Pin weights: 1 in the upper centimetre, fading over 2 cm."""
        return ((flat[:, 1] - (self.y_waist - 0.03)) / 0.02).clip(0, 1)

    def _panel(self, name: str, share: float) -> Panel:
        """A left panel seen with its outseam at positive x; ``share`` of the crotch's depth and of the hem is its."""
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

    def pattern(self) -> Pattern:
        """Panels and seams."""
        front = self._panel("front_left", self.FRONT_SHARE)
        back = self._panel("back_right", 1 - self.FRONT_SHARE)
        # Seen from behind, the right leg's outseam is at positive x.
        panels = (front, front.mirrored("front_right"), back.mirrored("back_left"), back)
        seams = [
            Seam((f"front_{side}", edge), (f"back_{side}", edge))
            for side in ("left", "right")
            for edge in ("outseam", "hip", "inseam")
        ]
        seams += [Seam((f"{face}_left", "rise"), (f"{face}_right", "rise")) for face in ("front", "back")]
        return Pattern(panels, tuple(seams))

    def placements(self) -> dict:
        """Above the crotch bent round the trunk, below it round each leg."""
        front, back = self._panel("front_left", self.FRONT_SHARE), self._panel("back_right", 1 - self.FRONT_SHARE)
        # For each panel: the outline to go by, its x against the flat x, the body's side, front or back.
        return {
            "front_left": lambda flat: self._place(front, flat, 1, 1.0, front=True),
            "front_right": lambda flat: self._place(front, flat, -1, -1.0, front=True),
            "back_left": lambda flat: self._place(back, flat, -1, 1.0, front=False),
            "back_right": lambda flat: self._place(back, flat, 1, -1.0, front=False),
        }

    def _place(self, panel: Panel, flat: np.ndarray, turn: int, side: float, front: bool) -> np.ndarray:
        x, y = turn * flat[:, 0], flat[:, 1]
        inner = np.concatenate([panel.curve("inseam")[::-1], panel.curve("rise")[::-1]])
        outer = np.concatenate([panel.curve("outseam"), panel.curve("hip")])
        inner_x, outer_x = (np.interp(y, line[:, 1], line[:, 0]) for line in (inner, outer))
        share = ((x - inner_x) / (outer_x - inner_x)).clip(0, 1)  # 0 at the inseam or the rise, 1 at the outseam
        z = self.z_crotch + y - self.y_crotch
        margin = 0.02
        trunk = np.array([[*section.half, section.centre[1]] for section in self.trunk])
        across, depth, middle = (np.interp(z, self.trunk_levels, trunk[:, k]) for k in range(3))
        forward = -1.0 if front else 1.0
        angle = 0.5 * np.pi * share
        on_trunk = np.stack(
            [(across + margin) * np.sin(angle) + 0.002, middle + forward * ((depth + margin) * np.cos(angle) + 0.002)],
            1,
        )
        legs = np.array(self.legs)[::-1]
        leg_x, leg_y, leg_across, leg_depth = (np.interp(z, self.leg_levels[::-1], legs[:, k]) for k in range(4))
        angle = np.pi * (share - 0.5)
        on_leg = np.stack(
            [leg_x + (leg_across + margin) * np.sin(angle),
             leg_y + forward * ((leg_depth + margin) * np.cos(angle) + 0.002)], 1,
        )  # fmt: skip
        on_leg[:, 0] = np.maximum(on_leg[:, 0], 0.003)
        blend = ((z - self.z_crotch) / 0.10).clip(0, 1)[:, None]
        blend = blend * blend * (3 - 2 * blend)
        place = blend * on_trunk + (1 - blend) * on_leg
        return np.stack([side * place[:, 0], place[:, 1], z], axis=1)
