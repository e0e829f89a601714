"""What one scene has throughout: sun, view, and the colours of its land."""

import math
from dataclasses import dataclass

import numpy as np

from oil_storage.synthetic.geometry import Array, unit

METRES_PER_PIXEL = 1.2

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Palette:
    """Colours (RGB, 0 to 255) of a kind of country."""

    ground: Colour
    fields: tuple[Colour, ...]
    trees: Colour
    water: tuple[Colour, ...]
    yards: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    uses: tuple[float, float, float, float, float]  # weights of field, forest, town, scrub, bare land


_ROOFS: tuple[Colour, ...] = (
    (206, 204, 198), (172, 172, 170), (128, 126, 124), (150, 98, 78), (118, 84, 70), (190, 180, 160), (92, 92, 96),
    (84, 104, 132), (228, 228, 224), (160, 140, 118),
)  # fmt: skip

PALETTES = {
    "temperate": Palette(
        (92, 96, 68), ((78, 98, 58), (62, 84, 50), (122, 112, 76), (142, 124, 90), (96, 110, 66), (104, 88, 66)),
        (38, 54, 34), ((34, 56, 66), (74, 86, 78), (28, 62, 62)), ((128, 122, 108), (106, 104, 92), (84, 92, 66)),
        _ROOFS, (0.42, 0.2, 0.16, 0.12, 0.1),
    ),
    "arid": Palette(
        (186, 168, 134), ((176, 158, 122), (190, 172, 138), (160, 146, 116), (120, 122, 84)),
        (86, 88, 60), ((24, 62, 82), (40, 92, 98)),
        ((180, 164, 132), (164, 146, 114), (196, 182, 154), (148, 136, 112)),
        (*_ROOFS, (214, 202, 176), (196, 184, 160)), (0.06, 0.02, 0.14, 0.28, 0.5),
    ),
    "savanna": Palette(
        (136, 104, 76), ((118, 98, 70), (146, 108, 74), (104, 98, 62), (156, 124, 88)),
        (58, 62, 40), ((58, 72, 64), (92, 88, 70)), ((144, 112, 82), (126, 102, 80), (152, 130, 104)),
        _ROOFS, (0.22, 0.14, 0.14, 0.34, 0.16),
    ),
    "tropical": Palette(
        (70, 90, 54), ((64, 98, 52), (52, 80, 44), (88, 104, 58), (112, 104, 72)),
        (30, 52, 30), ((22, 48, 62), (30, 66, 66), (96, 96, 74)), ((130, 120, 100), (110, 104, 88), (72, 88, 52)),
        _ROOFS, (0.26, 0.34, 0.2, 0.12, 0.08),
    ),
    "continental": Palette(
        (108, 98, 78), ((102, 92, 72), (88, 84, 66), (122, 110, 86), (78, 74, 60), (94, 98, 70)),
        (50, 52, 40), ((26, 40, 54), (48, 62, 68)), ((116, 108, 96), (98, 94, 86), (134, 124, 106)),
        _ROOFS, (0.34, 0.14, 0.22, 0.18, 0.12),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Climate:
    """Sun, view and palette of a scene.

    Attributes:
        palette: colours of the land.
        shadow: ``(2,)`` px by which the shadow of something one metre high reaches over flat ground.
        lean: ``(2,)`` px by which the top of something one metre high is displaced, the view being oblique.
    """

    palette: Palette
    shadow: Array
    lean: Array

    @property
    def shadow_direction(self) -> Array:
        """Unit vector ``(2,)`` away from the sun."""
        return np.asarray(self.shadow / np.linalg.norm(self.shadow))


def draw_climate(rng: np.random.Generator) -> Climate:
    """Draw a climate; the sun stands 28 to 66 degrees high, the view is up to 14 degrees oblique."""
    names = list(PALETTES)
    palette = PALETTES[names[rng.choice(len(names), p=(0.3, 0.2, 0.12, 0.16, 0.22))]]
    elevation, oblique = np.radians(rng.uniform(28, 66)), np.radians(rng.uniform(0, 14))
    # Morning overpass: shadows fall west to north on the northern half of the earth, west to south on the southern.
    azimuth = np.radians(rng.uniform(185, 275)) if rng.random() < 0.75 else np.radians(rng.uniform(95, 175))
    return Climate(
        palette,
        unit(azimuth) / np.tan(elevation) / METRES_PER_PIXEL,
        unit(rng.uniform(0, 2 * np.pi)) * np.tan(oblique) / METRES_PER_PIXEL,
    )


def tint(colour: Colour, rng: np.random.Generator, spread: float = 6.0) -> Colour:
    """The colour, a little lighter or darker and of a slightly other hue."""
    stray = rng.standard_normal(4).tolist()
    factor, shift = math.exp(stray[3] * spread / 90), spread / 3
    red, green, blue = (min(255.0, max(8.0, c * factor + s * shift)) for c, s in zip(colour, stray, strict=False))
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """The colour times ``factor``, kept within 0 to 255."""
    return min(255.0, colour[0] * factor), min(255.0, colour[1] * factor), min(255.0, colour[2] * factor)
