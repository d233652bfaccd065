"""Cloth materials: named presets in the quantities of textile testing, for any engine."""

from __future__ import annotations

from dataclasses import dataclass

from mviper.errors import ConfigError

#: Standard gravity [m/s2].
GRAVITY = 9.81


@dataclass(frozen=True)
class ClothMaterial:
    """Mass and stiffness of a fabric; mean of warp (wales) and weft (courses).

    Attributes:
        density: Mass per area [kg/m2].
        bending: Bending rigidity of a strip over its width, KES-F's B [N m] (1 gf cm2/cm = 98.1e-6 N m).
        stretch: Tensile stiffness of a strip over its width at small strains [N/m].
        shear: Shear stiffness, KES-F's G [N/m] (1 gf/cm/degree = 56 N/m).
        drape: Drape coefficients (30 cm disc, 18 cm stand) that the literature reports for such fabrics [%].
        source: Source of the figures.
    """

    density: float
    bending: float
    stretch: float
    shear: float
    drape: tuple[float, float]
    source: str

    @property
    def bending_length(self) -> float:
        """Peirce's bending length c = (B / (density g))^(1/3) [m], which determines drape."""
        return (self.bending / (self.density * GRAVITY)) ** (1 / 3)


#: One fabric of each kind. Density, bending and drape coefficient are published figures of that kind; of published
#: ranges, a value whose bending length matches the drape coefficient.
MATERIALS = {
    "cotton": ClothMaterial(
        density=0.12, bending=9.8e-6, stretch=5000, shear=60, drape=(48, 80),
        source="plain-weave shirting; KES-F B 0.04-0.10 gf cm2/cm; drape 48-72 % with the weft's density ('Analysis of "
        "a fabric drape profile', Fibres and Textiles 1/2018), 68 % (Gan, Ly, Steven, J. Text. Inst. 82, 1991)",
    ),
    "jersey": ClothMaterial(
        density=0.16, bending=1.2e-6, stretch=300, shear=35, drape=(15, 35),
        source="single jersey, 147-209 g/m2; stretch as the knits of Wang, O'Brien, Ramamoorthi, 'Data-driven elastic "
        "models for cloth', SIGGRAPH 2011; drape 18-31 % (25 cm disc)",
    ),
    "silk": ClothMaterial(
        density=0.08, bending=0.6e-6, stretch=2000, shear=17, drape=(20, 40),
        source="crepe de chine; silk weaves shear very easily (Matsudaira, Kanazawa University); drape of light "
        "silk weaves 20-40 % (Matsudaira, Yang, Text. Res. J. 73, 2003)",
    ),
    "wool": ClothMaterial(
        density=0.25, bending=13e-6, stretch=4000, shear=48, drape=(40, 70),
        source="worsted suiting; B 0.08-0.15 gf cm2/cm, G 0.9 gf/cm/degree, 26 mg/cm2, as men's winter suitings have "
        "(Kawabata, 'The standardization and analysis of hand evaluation', 1980); drape 40-70 %",
    ),
    "denim": ClothMaterial(
        density=0.40, bending=100e-6, stretch=8000, shear=120, drape=(70, 95),
        source="12 oz/yd2 twill; B 64e-6 N m at 324 g/m2 (Wang et al., 2011), G 1.5-3.4 gf/cm/degree ('Regenerated "
        "cellulose-based denim fabric for tropical regions', J. Textiles 2016); drape of 3/1 cotton twills of 249 g/m2 "
        "80 % (Fibres and Textiles 1/2018), denim heavier and stiffer",
    ),
    "leather": ClothMaterial(
        density=0.50, bending=50e-6, stretch=8000, shear=3000, drape=(47, 70),
        source="sheep garment leather, 0.64-0.96 mm, the same in all directions; drape 47-70 % (Memon et al., "
        "Materials 14, 4553, 2021)",
    ),
}  # fmt: skip


def cloth_material(name: str) -> ClothMaterial:
    """The preset of that name.

    Raises:
        ConfigError: There is none; the message lists them.
    """
    if name not in MATERIALS:
        raise ConfigError(f"unknown cloth material {name!r}; there are {', '.join(MATERIALS)}")
    return MATERIALS[name]
