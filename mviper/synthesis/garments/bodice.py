"""Parts shared by tops and dresses: a bodice of front and back, and set-in sleeves."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from mviper.synthesis.garments.drafting import Fit
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern import Edge, Panel, PatternError, Seam

SIDES = ("left", "right")


class Bodice:
    """Front and back of the trunk on one body, with armholes, shoulder seams and a round neckline.

    The front is one panel ``"front"``, or with ``opening`` two, ``"front_left"`` and ``"front_right"``; the back is
    ``"back"``. Edges have the body's side as suffix: ``side_left``, ``armhole_left``, ``shoulder_left``, ``neck_left``
    and the same on the right; ``hem`` and, of an open front, ``opening`` have none. Flat heights y count from the hem.

    Args:
        body: The body's measurements.
        ease: Girth of the cloth minus the body's, at every height [m].
        hem: Height of the hem in the world [m].
        drop: How far the armhole's lowest point lies below the armpit [m].
        neck_depth: How far the neckline dips in front [m].
        neck_width: Half width of the neckline minus the neck's [m].
        strap: Length of the shoulder seam [m]; None: up to the shoulder joint, for sleeves.
        flare: Extra girth of the hem beyond the ease [m].
        opening: Whether the front is open.
    """

    #: How far the neckline dips at the back [m].
    NECK_BACK = 0.02

    def __init__(
        self,
        body: Measurements,
        ease: float,
        hem: float,
        drop: float = 0.03,
        neck_depth: float = 0.08,
        neck_width: float = 0.025,
        strap: float | None = None,
        flare: float = 0.0,
        opening: bool = False,
    ) -> None:
        self.body, self.neck_depth, self.opening = body, neck_depth, opening
        self.z_hem, self.z_underarm = hem, body.armpit_height - drop
        self.y_underarm = self.z_underarm - hem
        if self.y_underarm < 0.03:
            raise PatternError(
                f"panel {self.front('left')!r}, edge 'side_left': the hem lies {1000 * self.y_underarm:.0f} mm under "
                "the armhole, at least 30 mm are needed; use a longer bodice or a smaller drop"
            )
        self.levels = np.linspace(max(hem, min(body.crotch_height + 0.015, self.z_underarm - 0.03)), self.z_underarm, 9)
        self.sections = [body.torso(level) for level in self.levels]
        girths = np.array([section.girth for section in self.sections]) + ease
        # The side seam is straight from hem to underarm and keeps at least the ease everywhere.
        chest, lower = girths[-3:].max() / 4, girths[:4].max() / 4
        share = (self.levels - hem) / self.y_underarm
        short = (girths / 4 - (lower + share * (chest - lower))).max().clip(0)
        joint = body.joint("left_shoulder")[0]
        self.half_shoulder = joint + 0.005
        neck = body.horizontal(body.joint("neck")[2] + 0.03, tuple(body.joint("neck")[:2]))
        self.half_neck = min(neck.half[0] + neck_width, self.half_shoulder - 0.05)
        if strap is not None:
            self.half_shoulder = min(self.half_neck + strap, self.half_shoulder)
        self.half_chest = max(chest + short, joint + 0.025)
        self.half_hem = lower + short + 0.25 * flare
        # Length of the cloth from the underarm's level up to the shoulder seam, over the breast or the back.
        self.rise_tip = self._over_surface(min(self.half_shoulder, joint - 0.025)) + 0.02
        self.rise_neck = max(self._over_surface(self.half_neck) + 0.015, self.rise_tip + 0.005)

    def _over_surface(self, x: float) -> float:
        return max(self.body.contour_lengths(x, self.z_underarm))

    @functools.cached_property
    def armhole(self) -> float:
        """Length of the armhole in front, the same at the back [m]."""
        return self._half("left", self.neck_depth).length("armhole_left")

    def _half(self, side: str, neck_depth: float) -> Panel:
        """The half of a front or back at positive x."""
        hem, chest, tip, neck = self.half_hem, self.half_chest, self.half_shoulder, self.half_neck
        y_under, y_tip, y_neck = self.y_underarm, self.y_underarm + self.rise_tip, self.y_underarm + self.rise_neck
        scoop = ((tip + 0.1 * (chest - tip), y_under), (tip - 0.012, y_under + 0.45 * self.rise_tip))
        bowl = ((0.9 * neck, y_neck - 2 / 3 * neck_depth), (0.45 * neck, y_neck - neck_depth))
        return Panel("half", (
            Edge("hem", (0.0, 0.0)),
            Edge(f"side_{side}", (hem, 0.0)),
            Edge(f"armhole_{side}", (chest, y_under), scoop),
            Edge(f"shoulder_{side}", (tip, y_tip)),
            Edge(f"neck_{side}", (neck, y_neck), bowl),
            Edge("opening", (0.0, y_neck - neck_depth)),
        ))  # fmt: skip

    def panels(self) -> tuple[Panel, ...]:
        """Front or fronts, and back."""
        fronts = [self._half(side, self.neck_depth) for side in SIDES]
        backs = [self._half(side, self.NECK_BACK) for side in SIDES]
        # Seen from outside, positive x is the body's left in front and its right at the back.
        back = self._whole("back", backs[1], backs[0])
        if self.opening:
            return Panel("front_left", fronts[0].edges), fronts[1].mirrored("front_right"), back
        return self._whole("front", *fronts), back

    def _whole(self, name: str, positive: Panel, negative: Panel) -> Panel:
        """One panel of two halves; the second is mirrored to negative x."""
        hem = Edge("hem", (-self.half_hem, 0.0))
        return Panel(name, (hem, *positive.edges[1:-1], *negative.mirrored(name).edges[1:-1]))

    def front(self, side: str) -> str:
        """Name of the front panel on a side of the body."""
        return f"front_{side}" if self.opening else "front"

    def seams(self) -> tuple[Seam, ...]:
        """Shoulders and sides."""
        return tuple(
            Seam((self.front(side), f"{edge}_{side}"), ("back", f"{edge}_{side}"))
            for side in SIDES
            for edge in ("shoulder", "side")
        )

    def fits(self) -> tuple[Fit, ...]:
        """Neck; chest and hem unless the front is open."""
        necks = [(self.front(side), f"neck_{side}") for side in SIDES] + [("back", f"neck_{side}") for side in SIDES]
        neck = Fit("neck", self.body.neck, tuple(necks))
        if self.opening:
            return (neck,)
        chest = (("front", "armhole_left", "side_right"), ("back", "armhole_right", "side_left"))
        hem = (("front", "hem"), ("back", "hem"))
        return (
            neck,
            Fit("trunk below the armpits", self.sections[-1].girth, chest),
            Fit("trunk at the hem", self.sections[0].girth, hem),
        )

    def collar_pins(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Pins along the back's neckline, in place of a collar, for a jacket worn open."""
        back = next(panel for panel in self.panels() if panel.name == "back")
        neckline = cKDTree(np.concatenate([back.curve(f"neck_{side}", 64) for side in SIDES]))
        return {"back": lambda flat: (neckline.query(flat)[0] < 0.005).astype(float)}

    def placements(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Front and back bent round the trunk, closed above like a dome."""
        fronts = {self.front(side): functools.partial(self._place, forward=True) for side in SIDES}
        return fronts | {"back": functools.partial(self._place, forward=False)}

    def _place(self, flat: np.ndarray, forward: bool) -> np.ndarray:
        x, y = flat[:, 0] * (1 if forward else -1), flat[:, 1]
        half_width = np.interp(y, [0.0, self.y_underarm], [self.half_hem, self.half_chest])
        z = self.z_hem + y
        across, depth, middle = (
            np.interp(z, self.levels, values)
            for values in np.transpose([(*section.half, section.centre[1]) for section in self.sections])
        )
        # The ellipse with the trunk's proportions and the cloth's girth (Ramanujan's formula).
        girth = np.pi * (3 * (across + depth) - np.sqrt((3 * across + depth) * (across + 3 * depth)))
        scale = 4 * half_width / girth
        angle = 0.5 * np.pi * x / half_width
        above = ((y - self.y_underarm) / self.rise_neck).clip(0, 1)
        tilt = 0.5 * np.pi * above
        top = self.body.shoulder_height + 0.03 - self.z_underarm
        z = np.where(above > 0, self.z_underarm + top * np.sin(tilt), z)
        middle = middle + above * (self.body.arm(0.0).centre[0] - middle)
        away = depth * scale * np.cos(angle) * np.cos(tilt) + 0.004
        return np.stack([across * scale * np.sin(angle), middle + (-away if forward else away), z], axis=1)


class Sleeve:
    """A sleeve with a cap, on both arms; panels ``"sleeve_left"`` and ``"sleeve_right"``.

    Edges: ``cuff``, ``underarm_front``, ``underarm_back``, ``cap_front``, ``cap_back``.

    Args:
        bodice: The bodice with the armholes.
        ease: Minimum girth of the cloth minus the upper arm's [m].
        reach: Where it ends over the arm: 0 at the shoulder joint, 1 at the elbow, 2 at the wrist.
        cuff_ease: Girth of the cuff minus the arm's there [m]; None: ``ease``, for a short sleeve.
    """

    #: Girth at the underarm over the armhole's length: the wider, the flatter the cap, and the higher the arm can be
    #: raised before it pulls at the trunk.
    FLATNESS = 1.8

    #: Excess length of the cap over the armhole, eased in, as a share.
    CAP_EASE = 0.02

    def __init__(self, bodice: Bodice, ease: float, reach: float, cuff_ease: float | None = None) -> None:
        self.bodice, self.body, self.reach = bodice, bodice.body, reach
        arm = arm_girth(self.body)
        self.girth = max(arm + ease, self.FLATNESS * bodice.armhole)
        if cuff_ease is None:
            self.cuff = min(arm + ease, self.girth)
        else:
            self.cuff = self.body.arm(reach).girth + cuff_ease
            # On the straight line from the underarm to the cuff never tighter than the cuff.
            for share in np.linspace(0.4, reach, 9)[:-1]:
                way = share / reach
                self.cuff = max(self.cuff, (self.body.arm(share).girth + cuff_ease - (1 - way) * self.girth) / way)
            self.cuff = min(self.cuff, self.girth)
        self.length = 0.0
        self.cap = self._cap_height()
        joints = [self.body.joint(f"left_{name}")[0] for name in ("shoulder", "elbow", "wrist")]
        # Over the arm it runs from the end of the shoulder seam: cap plus length.
        self.length = max(float(np.interp(reach, [0, 1, 2], joints)) - bodice.half_shoulder - self.cap, 0.03)

    def _left(self, cap: float) -> Panel:
        half, cuff, length, top = self.girth / 2, self.cuff / 2, self.length, self.length + cap
        return Panel("sleeve_left", (
            Edge("cuff", (-cuff, 0.0)),
            Edge("underarm_back", (cuff, 0.0)),
            Edge("cap_back", (half, length), ((0.55 * half, length), (0.45 * half, top))),
            Edge("cap_front", (0.0, top), ((-0.45 * half, top), (-0.55 * half, length))),
            Edge("underarm_front", (-half, length)),
        ))  # fmt: skip

    def _cap_height(self) -> float:
        """Height that gives the cap's seam the armhole's length [m]."""
        wanted = self.bodice.armhole * (1 + self.CAP_EASE)
        if wanted < 0.5 * self.girth:
            raise PatternError(
                f"panel 'sleeve_left', edge 'cap_front' and panel {self.bodice.front('left')!r}, edge 'armhole_left': "
                f"an armhole of {2000 * self.bodice.armhole:.0f} mm does not fit a sleeve of {1000 * self.girth:.0f} "
                "mm; use a deeper drop or less sleeve ease"
            )
        low, high = 0.0, wanted
        for _ in range(40):
            cap = 0.5 * (low + high)
            low, high = (cap, high) if self._left(cap).length("cap_front") < wanted else (low, cap)
        return low

    def panels(self) -> tuple[Panel, ...]:
        """Left and right."""
        left = self._left(self.cap)
        return left, left.mirrored("sleeve_right")

    def seams(self) -> tuple[Seam, ...]:
        """Seams of the caps to the armholes, and along the underarms."""
        seams = []
        for side in SIDES:
            sleeve = f"sleeve_{side}"
            seams += [
                Seam((self.bodice.front(side), f"armhole_{side}"), (sleeve, "cap_front")),
                Seam(("back", f"armhole_{side}"), (sleeve, "cap_back")),
                Seam((sleeve, "underarm_front"), (sleeve, "underarm_back")),
            ]
        return tuple(seams)

    def fits(self) -> tuple[Fit, ...]:
        """Upper arm, and the arm at the cuff."""
        across = {"sleeve_left": ("cap_back", "underarm_front"), "sleeve_right": ("underarm_back", "cap_front")}
        arm, end = arm_girth(self.body), self.body.arm(self.reach).girth
        return (
            *(Fit("upper arm", arm, ((name, *edges),)) for name, edges in across.items()),
            *(Fit("arm at the cuff", end, ((name, "cuff"),)) for name in across),
        )

    def placements(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Rolled round the arms."""
        return {
            "sleeve_left": functools.partial(self._place, side=1.0),
            "sleeve_right": functools.partial(self._place, side=-1.0),
        }

    def _place(self, flat: np.ndarray, side: float) -> np.ndarray:
        shares = np.linspace(0.25, 2.0, 12)
        axis = np.array([self.body.arm(share).centre for share in shares])
        along = np.interp(shares, [0, 1, 2], [self.body.joint(f"left_{n}")[0] for n in ("shoulder", "elbow", "wrist")])
        x = self.bodice.half_shoulder + self.length + self.cap - flat[:, 1]
        half = np.interp(flat[:, 1], [0.0, self.length], [self.cuff / 2, self.girth / 2])
        angle = np.pi * side * flat[:, 0] / half * 0.98
        y = np.interp(x, along, axis[:, 0]) + half / np.pi * np.sin(angle)
        z = np.interp(x, along, axis[:, 1]) + half / np.pi * np.cos(angle)
        return np.stack([side * x, y, z], axis=1)


def arm_girth(body: Measurements) -> float:
    """Girth of the upper arm where it is thickest below the shoulder [m]."""
    return max(body.arm(share).girth for share in (0.3, 0.4, 0.5))


def bodice_for_sleeve(body: Measurements, sleeve_girth: float, **design: float | bool) -> Bodice:
    """The bodice with the shallowest armholes for a sleeve of a given girth whose cap lets the arm move.

    Args:
        body: The body's measurements.
        sleeve_girth: Girth of the sleeve [m].
        design: Further arguments of :class:`Bodice`.

    Raises:
        PatternError: No armhole within 11 cm of the armpit is large enough.
    """
    for drop in np.arange(0.03, 0.12, 0.01):
        bodice = Bodice(body, drop=drop, **design)
        if bodice.armhole > 0.53 * sleeve_girth:
            return bodice
    raise PatternError(
        f"panel {bodice.front('left')!r}, edge 'armhole_left' and panel 'sleeve_left', edge 'cap_front': no armhole "
        f"within 11 cm of the armpit fits a sleeve of {1000 * sleeve_girth:.0f} mm"
    )
