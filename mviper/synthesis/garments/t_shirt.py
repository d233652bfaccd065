"""A T-shirt of four panels: front, back and two sleeves with a cap."""

from __future__ import annotations

import numpy as np

from mviper.registry import GARMENTS
from mviper.synthesis.garments.drafting import Draft, ParametricGarment
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern import Edge, Panel, Pattern, PatternError, Seam


@GARMENTS.register_module()
class TShirt(ParametricGarment):
    """A T-shirt with a round neck.

    Ranges are drawn uniformly; a pair of equal numbers fixes a value.

    Args:
        ease: Chest girth of the cloth minus the body's [m].
        length: From the armpit down, as a share of the way from armpit to crotch.
        sleeve: Sleeve's length below the underarm, as a share of the upper arm.
        sleeve_ease: Sleeve's girth minus the upper arm's [m].
        neck_depth: Depth of the neckline in front [m].
        edge_length: Edge length of the mesh [m].
        material: Name of a preset in ``mviper.synthesis.simulation.materials``.
    """

    name, kind = "t_shirt", "top"

    def __init__(
        self,
        ease: tuple[float, float] = (0.08, 0.18),
        length: tuple[float, float] = (0.85, 1.05),
        sleeve: tuple[float, float] = (0.35, 0.65),
        sleeve_ease: tuple[float, float] = (0.08, 0.14),
        neck_depth: tuple[float, float] = (0.07, 0.10),
        edge_length: float = 0.02,
        material: str = "cotton",
    ) -> None:
        super().__init__(
            edge_length, material, ease=ease, length=length, sleeve=sleeve, sleeve_ease=sleeve_ease,
            neck_depth=neck_depth,
        )  # fmt: skip

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Panels round the torso and the upper arms."""
        # A deeper armhole until the sleeve goes round the arm.
        for drop in np.arange(0.02, 0.12, 0.01):
            fit = _Fit(body, drawn, drop)
            if fit.armhole > 0.52 * fit.sleeve_girth:
                return Draft(fit.pattern(), fit.placements())
        raise PatternError(
            f"panels 'front' and 'sleeve_left', edge 'armhole_left': no armhole within 12 cm of the armpit lets "
            f"an arm of {1000 * fit.arm_girth:.0f} mm through"
        )


class _Fit:
    """The shirt's sizes on one body; heights z in the world, flat heights y above the hem."""

    def __init__(self, body: Measurements, drawn: dict[str, float], drop: float) -> None:
        self.body = body
        armpit, crotch = body.armpit_height, body.crotch_height
        self.z_underarm = armpit - drop
        self.y_underarm = drawn["length"] * (armpit - crotch) - drop
        self.z_shoulder = body.shoulder_height + 0.01
        self.z_hem = self.z_underarm - self.y_underarm
        levels = np.linspace(self.z_underarm, max(self.z_hem, crotch + 0.015), 9)
        self.levels, self.sections = levels, [body.torso(level) for level in levels]
        girths = np.array([section.girth for section in self.sections]) + drawn["ease"]
        # The side seam is straight from hem to underarm and nowhere tighter than the ease.
        chest, hem = girths[:3].max() / 4, girths[-4:].max() / 4
        share = (levels - self.z_hem) / (self.z_underarm - self.z_hem)
        short = (girths / 4 - (hem + share * (chest - hem))).max().clip(0)
        self.half_chest, self.half_hem = chest + short, hem + short
        shoulder = body.joint("left_shoulder")
        self.half_shoulder = shoulder[0] + 0.005
        self.half_chest = max(self.half_chest, self.half_shoulder + 0.02)
        neck = body.horizontal(body.joint("neck")[2] + 0.03, tuple(body.joint("neck")[:2]))
        self.half_neck = min(neck.half[0] + 0.025, self.half_shoulder - 0.05)
        self.neck_depth = drawn["neck_depth"]
        # How far the cloth runs from the underarm's level up to the shoulder seam, over the breast or the back.
        self.rise_tip = self._over_surface(self.half_shoulder - 0.03) + 0.02
        self.rise_neck = max(self._over_surface(self.half_neck) + 0.015, self.rise_tip + 0.005)
        self.arm_girth = max(body.arm(share).girth for share in (0.3, 0.4, 0.5))
        self.sleeve_girth = self.arm_girth + drawn["sleeve_ease"]
        self.sleeve_length = drawn["sleeve"] * (body.joint("left_elbow")[0] - shoulder[0])
        self.armhole = self._front().length("armhole_left")

    def _over_surface(self, x: float) -> float:
        body = self.body
        sides = body.contour_lengths(x, self.z_underarm)
        return max(sides)

    def _front(self) -> Panel:
        return self._torso("front", self.neck_depth, ("left", "right"))

    def _torso(self, name: str, neck_depth: float, sides: tuple[str, str]) -> Panel:
        """Front or back; ``sides`` = the body's side at positive and at negative x."""
        right, left = sides
        hem, chest, tip, neck = self.half_hem, self.half_chest, self.half_shoulder, self.half_neck
        y_under, y_tip, y_neck = self.y_underarm, self.y_underarm + self.rise_tip, self.y_underarm + self.rise_neck
        low, middle = (tip + 0.1 * (chest - tip), y_under), (tip - 0.012, y_under + 0.45 * self.rise_tip)
        bowl = 4 / 3 * neck_depth  # a cubic's middle lies at 3/4 of its controls' depth
        return Panel(name, (
            Edge("hem", (-hem, 0.0)),
            Edge(f"side_{right}", (hem, 0.0)),
            Edge(f"armhole_{right}", (chest, y_under), (low, middle)),
            Edge(f"shoulder_{right}", (tip, y_tip)),
            Edge("neck", (neck, y_neck), ((0.8 * neck, y_neck - bowl), (-0.8 * neck, y_neck - bowl))),
            Edge(f"shoulder_{left}", (-neck, y_neck)),
            Edge(f"armhole_{left}", (-tip, y_tip), ((-middle[0], middle[1]), (-low[0], low[1]))),
            Edge(f"side_{left}", (-chest, y_under)),
        ))  # fmt: skip

    def _sleeve(self, cap: float) -> Panel:
        half, length = self.sleeve_girth / 2, self.sleeve_length
        cuff = max(half - 0.01 * length / 0.15, self.arm_girth / 2 + 0.02)
        top = length + cap
        return Panel("sleeve_left", (
            Edge("cuff", (-cuff, 0.0)),
            Edge("underarm_back", (cuff, 0.0)),
            Edge("cap_back", (half, length), ((0.55 * half, length), (0.45 * half, top))),
            Edge("cap_front", (0.0, top), ((-0.45 * half, top), (-0.55 * half, length))),
            Edge("underarm_front", (-half, length)),
        ))  # fmt: skip

    def pattern(self) -> Pattern:
        """Panels and seams; the sleeve's cap is as high as its seam to the armhole asks for."""
        low, high = 0.0, self.armhole
        for _ in range(40):
            cap = 0.5 * (low + high)
            low, high = (cap, high) if self._sleeve(cap).length("cap_front") < self.armhole else (low, cap)
        self.cap = low
        left = self._sleeve(self.cap)
        seams = []
        for side in ("left", "right"):
            sleeve = f"sleeve_{side}"
            seams += [
                Seam(("front", f"shoulder_{side}"), ("back", f"shoulder_{side}")),
                Seam(("front", f"side_{side}"), ("back", f"side_{side}")),
                Seam(("front", f"armhole_{side}"), (sleeve, "cap_front")),
                Seam(("back", f"armhole_{side}"), (sleeve, "cap_back")),
                Seam((sleeve, "underarm_front"), (sleeve, "underarm_back")),
            ]
        back = self._torso("back", 0.02, ("right", "left"))
        return Pattern((self._front(), back, left, left.mirrored("sleeve_right")), tuple(seams))

    def placements(self) -> dict:
        """Front and back bent round the torso, closed in above like a dome; sleeves rolled round the arms."""
        return {
            "front": lambda flat: self._place_torso(flat, front=True),
            "back": lambda flat: self._place_torso(flat, front=False),
            "sleeve_left": lambda flat: self._place_sleeve(flat, 1.0),
            "sleeve_right": lambda flat: self._place_sleeve(flat, -1.0),
        }

    def _place_torso(self, flat: np.ndarray, front: bool) -> np.ndarray:
        x, y = flat[:, 0] * (1 if front else -1), flat[:, 1]
        half_width = np.interp(y, [0.0, self.y_underarm], [self.half_hem, self.half_chest])
        z = self.z_underarm + y - self.y_underarm
        order = np.argsort(self.levels)
        sections = [self.sections[k] for k in order]
        across, depth, middle = (
            np.interp(z, self.levels[order], values)
            for values in (
                [section.half[0] for section in sections],
                [section.half[1] for section in sections],
                [section.centre[1] for section in sections],
            )
        )
        # The ellipse of the trunk's proportions whose girth is the cloth's (Ramanujan's formula).
        girth = np.pi * (3 * (across + depth) - np.sqrt((3 * across + depth) * (across + 3 * depth)))
        scale = 4 * half_width / girth
        angle = 0.5 * np.pi * x / half_width
        above = ((y - self.y_underarm) / self.rise_neck).clip(0, 1)
        tilt = 0.5 * np.pi * above
        top = self.z_shoulder + 0.02 - self.z_underarm
        z = np.where(above > 0, self.z_underarm + top * np.sin(tilt), z)
        shoulder = self.body.arm(0.0).centre[0]
        middle = middle + above * (shoulder - middle)
        away = depth * scale * np.cos(angle) * np.cos(tilt) + 0.004
        return np.stack([across * scale * np.sin(angle), middle + (-away if front else away), z], axis=1)

    def _place_sleeve(self, flat: np.ndarray, side: float) -> np.ndarray:
        body, half, length = self.body, self.sleeve_girth / 2, self.sleeve_length
        x = self.half_shoulder + (length + self.cap) - flat[:, 1]
        shoulder, elbow = body.joint("left_shoulder")[0], body.joint("left_elbow")[0]
        shares = np.linspace(0.25, 1.0, 6)
        centres = np.array([body.arm(share).centre for share in shares])
        share = (x - shoulder) / (elbow - shoulder)
        angle = np.pi * side * flat[:, 0] / half * 0.98
        radius = half / np.pi
        y = np.interp(share, shares, centres[:, 0]) + radius * np.sin(angle)
        z = np.interp(share, shares, centres[:, 1]) + radius * np.cos(angle)
        return np.stack([side * x, y, z], axis=1)
