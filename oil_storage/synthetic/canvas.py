"""Paint a scene in layers and convert the layers to a satellite image."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from oil_storage.synthetic.geometry import Array, Field, fractal_noise, smooth_noise, sweep, unit

METRES_PER_PIXEL = 1.2

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Palette:
    """Colours (RGB, 0 to 255) of a type of landscape."""

    ground: Colour
    fields: tuple[Colour, ...]
    trees: Colour
    water: tuple[Colour, ...]
    yards: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    uses: tuple[float, float, float, float, float]  # shares of field, forest, town, scrub, bare land


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
    """Colours, sun and view of a scene; ``shadow`` and ``lean`` ``(2,)`` are in pixels per metre of object height."""

    palette: Palette
    shadow: Array  # from an object to the end of its shadow on flat ground
    lean: Array  # from the base of an object to its top in the oblique view

    @property
    def shadow_direction(self) -> Array:
        """Unit vector ``(2,)`` away from the sun."""
        return np.asarray(self.shadow / np.linalg.norm(self.shadow))


def draw_climate(rng: Generator) -> Climate:
    """Draw a climate: the sun 28 to 66 degrees above the horizon, the camera up to 14 degrees off nadir."""
    palette = PALETTES[rng.choice(list(PALETTES), p=(0.3, 0.2, 0.12, 0.16, 0.22))]
    elevation, oblique = np.radians(rng.uniform(28, 66)), np.radians(rng.uniform(0, 14))
    # In the morning, shadows point between west and north (northern hemisphere) or between west and south (southern).
    azimuth = np.radians(rng.uniform(185, 275)) if rng.random() < 0.75 else np.radians(rng.uniform(95, 175))
    return Climate(
        palette,
        unit(azimuth) / np.tan(elevation) / METRES_PER_PIXEL,
        unit(rng.uniform(0, 2 * np.pi)) * np.tan(oblique) / METRES_PER_PIXEL,
    )


def tint(colour: ArrayLike, rng: Generator, spread: float = 6.0) -> Colour:
    """Vary the brightness and the hue of a colour at random."""
    *hue, light = rng.standard_normal(4) * spread
    red, green, blue = np.clip(np.asarray(colour) * np.exp(light / 90) + np.array(hue) / 3, 8, 255).tolist()
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """Multiply a colour by ``factor`` and clip it to 255."""
    red, green, blue = np.minimum(np.array(colour) * factor, 255).tolist()
    return red, green, blue


_SHIFT = 4  # fractional bits of OpenCV coordinates; the resolution is 1/16 px


def _fixed(points: Array) -> NDArray[np.int32]:
    # The centre of pixel i is at i in OpenCV and at i + 0.5 in this package.
    return np.asarray(np.round((points - 0.5) * 2**_SHIFT), np.int32)


class Canvas:
    """Image in layers ``(pixels, pixels)`` of uint8; the layer ``albedo`` is ``(pixels, pixels, 3)`` RGB.

    The image can be finer or coarser than the plan of the scene, which has :data:`METRES_PER_PIXEL`. All methods take
    positions and lengths in pixels of the plan.

    Args:
        size: side of the plan in pixels.
        climate: sun, viewing direction and colours.
        pixels: side of the image in pixels; the default is ``size``.

    Attributes:
        zoom: image pixels per plan pixel.
    """

    def __init__(self, size: int, climate: Climate, pixels: int | None = None) -> None:
        self.size = size
        self.pixels = side = pixels or size
        self.zoom = side / size
        self.climate = climate
        self.palette = climate.palette
        self.albedo = np.zeros((side, side, 3), np.uint8)
        self.grain = np.zeros((side, side), np.uint8)  # strength of the fine texture of a surface
        self.bump = np.zeros((side, side), np.uint8)  # strength of the bumps of tree crowns
        self.shadow = np.zeros((side, side), np.uint8)  # shaded share of each pixel; 255 is the whole pixel
        self.layers = (self.albedo, self.grain, self.bump, self.shadow)

    def sees(self, centre: Array, reach: float) -> bool:
        """Return whether the square around ``centre`` ``(2,)`` with half side ``reach`` px overlaps the scene."""
        return bool(-reach < centre[0] < self.size + reach and -reach < centre[1] < self.size + reach)

    def polygon(self, points: Array, colour: Colour, grain: int = 20, bump: int = 0) -> None:
        """Fill a polygon with the corners ``points`` ``(n, 2)`` and erase the shadows on it."""
        for layer, value in zip(self.layers, (colour, grain, bump, 0), strict=True):
            cv2.fillPoly(layer, [_fixed(points * self.zoom)], value, cv2.LINE_AA, _SHIFT)

    def line(self, points: Array, colour: Colour, width: float = 1.0, grain: int = 12, closed: bool = False) -> None:
        """Draw a line of ``width`` px through ``points`` ``(n, 2)``. Lines of 1.5 px or more erase shadows."""
        thickness = max(1, round(width * self.zoom))
        layers = self.layers if round(width) > 1 else self.layers[:1]
        for layer, value in zip(layers, (colour, grain, 0, 0), strict=False):
            cv2.polylines(layer, [_fixed(points * self.zoom)], closed, value, thickness, cv2.LINE_AA, _SHIFT)

    def cast(self, footprint: Array, height: float) -> None:
        """Cast the shadow of an object with a convex ``footprint`` ``(n, 2)`` and a ``height`` in metres."""
        outline = sweep(footprint, self.climate.shadow * height)
        cv2.fillConvexPoly(self.shadow, _fixed(outline * self.zoom), 255, cv2.LINE_AA, _SHIFT)

    def cast_edge(self, outline: Array, height: float) -> None:
        """Cast the shadow of an object of any shape, approximated by two shifted copies of ``outline`` ``(n, 2)``."""
        for share in (0.5, 1.0):
            shifted = outline + self.climate.shadow * height * share
            cv2.fillPoly(self.shadow, [_fixed(shifted * self.zoom)], 255, cv2.LINE_AA, _SHIFT)

    def block(self, footprint: Array, height: float, roof: Colour) -> Array:
        """Paint a block of ``height`` metres with its shadow, and return the roof centre ``(2,)`` in the image."""
        self.cast(footprint, height)
        top = footprint + self.climate.lean * height
        self.polygon(sweep(footprint, self.climate.lean * height), shade(roof, 0.6), grain=10)
        self.polygon(top, roof, grain=10)
        return np.asarray(top.mean(axis=0))

    def window(self, centre: Array, radius: float) -> tuple[tuple[slice, slice], Array]:
        """Return slices of the image that contain a disc, and pixel positions ``(h, w, 2)`` relative to ``centre``."""
        x0, y0 = np.maximum(np.floor((centre - radius) * self.zoom).astype(int), 0)
        x1, y1 = np.minimum(np.ceil((centre + radius) * self.zoom).astype(int), self.pixels)
        y, x = np.mgrid[y0:y1, x0:x1]
        return np.s_[y0:y1, x0:x1], (np.stack([x, y], axis=-1) + 0.5) / self.zoom - centre

    def blend(self, where: tuple[slice, slice], cover: Array, colour: Array, grain: int, shadow: Array) -> None:
        """Blend ``colour`` ``(h, w, 3)`` and ``shadow`` ``(h, w)`` into the layers by the weight ``cover``."""
        values: tuple[ArrayLike, ...] = (colour, grain, 0, 255 * shadow)
        for layer, value in zip(self.layers, values, strict=True):
            share = cover[..., None] if layer.ndim == 3 else cover
            layer[where] = np.clip(layer[where] * (1 - share) + np.asarray(value) * share, 0, 255).astype(np.uint8)


def _blur(image: Field, sigma: float) -> Field:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def _illuminate(canvas: Canvas, rng: Generator) -> Field:
    """Compute the radiance ``(pixels, pixels, 3)`` of the surfaces; pixels in shadow get only bluish skylight."""
    size, zoom = canvas.pixels, canvas.zoom
    finer = max(0, round(np.log2(zoom)))  # more octaves for an image finer than the plan
    mottle = 0.7 * fractal_noise(size, 90 * zoom, 5, rng) + 0.6 * fractal_noise(size, 8 * zoom, 3 + finer, rng)
    crowns = fractal_noise(size, 5 * zoom, 2 + finer, rng)
    away = np.column_stack([np.eye(2), canvas.climate.shadow_direction * 1.5 * zoom])
    relief = crowns - cv2.warpAffine(crowns, away, (size, size), borderMode=cv2.BORDER_REFLECT)
    light = 1 + np.float32(0.085 / 100) * mottle * canvas.grain + np.float32(0.28 / 255) * relief * canvas.bump
    light = np.maximum(light, 0.1) * np.float32(1 / 255)
    image = canvas.albedo.astype(np.float32)
    shade = canvas.shadow * np.float32(1 / 255)
    sky = np.array([0.24, 0.28, 0.34], np.float32) * np.float32(rng.uniform(0.8, 1.3))
    for channel in range(3):
        image[..., channel] *= light * (1 - shade * (1 - sky[channel]))
    return image


def expose(canvas: Canvas, rng: Generator) -> NDArray[np.uint8]:
    """Convert the canvas to an image ``(pixels, pixels, 3)`` RGB.

    The function simulates blur, sharpening halos, the lower resolution of the colour bands, haze and noise. Objects
    keep their positions.
    """
    image = _illuminate(canvas, rng)
    haze, contrast = rng.uniform(0.0, 0.1), rng.uniform(1.0, 1.4)
    cast = np.exp(rng.normal((0.03, 0.0, -0.05), 0.035)).astype(np.float32)
    image = _blur(image, rng.uniform(0.75, 1.0))
    # One gain and one offset per band combine contrast, colour cast and haze.
    offset = np.float32(0.36 * (rng.uniform(0.85, 1.15) - contrast) * (1 - haze)) * cast
    image *= np.float32(contrast * (1 - haze)) * cast
    image += offset + np.float32(haze) * np.array([0.62, 0.68, 0.74], np.float32)
    np.maximum(image, 0, out=image)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    image -= luma[..., None]
    chroma = _blur(image, rng.uniform(1.2, 2.2))
    chroma *= np.float32(rng.uniform(0.6, 1.0))
    luma += np.float32(rng.uniform(0.4, 1.1)) * (luma - _blur(luma, 1.4))
    noise = rng.standard_normal(luma.shape, dtype=np.float32)
    luma += np.float32(rng.uniform(0.005, 0.018)) * _blur(noise, 0.7) * 2
    luma *= 1 + np.float32(0.02) * smooth_noise(canvas.pixels, max(200.0, canvas.pixels / 3), rng)
    chroma += luma[..., None]
    chroma *= 255
    return np.asarray(np.clip(chroma, 0, 255, out=chroma).round(), np.uint8)
