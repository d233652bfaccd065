"""Lamps round the person."""

from __future__ import annotations

import numpy as np

from mviper.errors import ConfigError
from mviper.registry import LIGHTS
from mviper.synthesis.scene.cameras import direction

#: Distance of the sun: near enough for shadow maps, far enough for even light [m].
_SUN_DISTANCE = 40.0
#: Minimum elevation of a sun, so that its lamp is above the floor [rad].
_SUN_LOWEST = 0.06


def blackbody(kelvin: float) -> np.ndarray:
    """Black-body colour in linear sRGB, brightest channel 1.

    Chromaticity by the cubic fit of the Planckian locus of Kim et al. (US patent 7024034, 2002), which holds from
    1667 to 25000 K.

    Args:
        kelvin: Temperature [K].

    Returns:
        (3,).
    """
    k = 1e3 / kelvin
    if kelvin < 4000:
        x = -0.2661239 * k**3 - 0.2343589 * k**2 + 0.8776956 * k + 0.179910
    else:
        x = -3.0258469 * k**3 + 2.1070379 * k**2 + 0.2226347 * k + 0.240390
    if kelvin < 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin < 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    to_rgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    rgb = np.clip(to_rgb @ xyz, 0, None)
    return rgb / rgb.max()


@LIGHTS.register_module()
class AreaLights:
    """The paper's lights: area lamps that point at the person, with random strength and colour.

    Args:
        count: Number of lamps.
        exposure: Range of one lamp's contribution to a facing white surface (1 = white in the picture), drawn
            log-uniformly: mostly one lamp outshines the others, and its shadow is visible.
        kelvin: Range of colour temperature [K], warm to cool.
        elevation: Range above the horizon [rad].
        distance: Range from the person's circle [m].
        size: Range of the square's side [m].

    Raises:
        ConfigError: An invalid count or range, or a range that starts at 0 but must be positive.
    """

    def __init__(
        self, count: int = 4, exposure: tuple[float, float] = (0.03, 0.5), kelvin: tuple[float, float] = (2700, 7500),
        elevation: tuple[float, float] = (0.25, 1.2), distance: tuple[float, float] = (2.5, 4.5),
        size: tuple[float, float] = (0.4, 1.5),
    ) -> None:  # fmt: skip
        if not isinstance(count, int) or count < 0:
            raise ConfigError(f"AreaLights: expected count as an integer >= 0, got {count!r}")
        ranges = dict(exposure=exposure, kelvin=kelvin, elevation=elevation, distance=distance, size=size)
        for name, bounds in ranges.items():
            pair = np.array(bounds)
            if pair.shape != (2,) or pair.dtype.kind not in "if" or not np.isfinite(pair).all() or pair[0] > pair[1]:
                raise ConfigError(f"AreaLights: {name} is (lowest, highest), got {bounds!r}")
            if name != "elevation" and pair[0] <= 0:
                raise ConfigError(f"AreaLights: {name} must be > 0, got {bounds!r}")
        if not (1667 <= kelvin[0] and kelvin[1] <= 25000):
            raise ConfigError(f"AreaLights: expected kelvin between 1667 and 25000, got {kelvin!r}")
        self.count, self.exposure, self.kelvin = count, exposure, kelvin
        self.elevation, self.distance, self.size = elevation, distance, size

    def draw(self, rng: np.random.Generator) -> dict:
        """Draws the lamps, spread round the person.

        Returns:
            ``dict(lamps=[dict(azimuth, elevation [rad], distance [m], exposure, kelvin, size [m]), ...])``.
        """
        start = rng.uniform(0, 2 * np.pi)
        lamps = []
        for index in range(self.count):
            turn = (index + rng.uniform(-0.35, 0.35)) / self.count
            lamps.append(
                dict(
                    azimuth=float(start + 2 * np.pi * turn),
                    exposure=float(np.exp(rng.uniform(*np.log(self.exposure)))),
                    **{
                        name: float(rng.uniform(*getattr(self, name)))
                        for name in ("elevation", "distance", "kelvin", "size")
                    },
                )
            )
        return dict(lamps=lamps)

    @staticmethod
    def place(drawn: dict, centre: np.ndarray, radius: float) -> list[dict]:
        """Places drawn lamps round the person's circle.

        Args:
            drawn: From :meth:`draw`.
            centre: Target of the lamps [m], shape (3,).
            radius: Largest distance of the person from there [m], added to the lamps' distance.

        Returns:
            ``[dict(position (3,), target (3,) [m], power [W], colour (3,) linear, size [m]), ...]``.
        """
        placed = []
        for lamp in drawn["lamps"]:
            distance = lamp["distance"] + radius
            placed.append(
                dict(
                    position=centre + distance * direction(lamp["azimuth"], lamp["elevation"]),
                    target=np.asarray(centre),
                    # A lamp of power P lights a facing surface with P / (pi d^2), of which white reflects 1 / pi.
                    power=lamp["exposure"] * np.pi**2 * distance**2,
                    colour=blackbody(lamp["kelvin"]),
                    size=lamp["size"],
                )
            )
        return placed


def sun_lamps(background: dict, centre: np.ndarray) -> list[dict]:
    """The lamp for a background's sun, if it has one, in the form of :meth:`AreaLights.place`.

    Args:
        background: From a background sampler's ``load``.
        centre: Its target [m], shape (3,).
    """
    sun = background.get("sun")
    if not sun:
        return []
    elevation = max(sun["elevation"], _SUN_LOWEST)
    strength = float(sun["exposure"].max())
    return [
        dict(
            position=centre + _SUN_DISTANCE * direction(sun["bearing"], elevation),
            target=np.asarray(centre),
            power=strength * np.pi**2 * _SUN_DISTANCE**2,
            colour=np.asarray(sun["exposure"], float) / max(strength, 1e-9),
            # A square with the area of the visible disc.
            size=float(np.sqrt(np.pi) * np.tan(min(sun["radius"], 0.6)) * _SUN_DISTANCE),
        )
    ]
