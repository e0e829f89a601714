"""The layers that a scene is painted on, and their exposure to the pixels of a pan-sharpened satellite image."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.synthetic.climate import Climate, Colour, shade
from oil_storage.synthetic.geometry import Array, Field, fractal_noise, smooth_noise, sweep

_SHIFT = 4  # OpenCV's fixed-point coordinates: 1/16 px


def _fixed(points: Array) -> NDArray[np.int32]:
    # OpenCV puts the centre of pixel i at i, we at i + 0.5.
    return np.asarray(np.round((points - 0.5) * 2**_SHIFT), np.int32)


class Window(NamedTuple):
    """Pixels ``where = (rows, columns)`` around a disc, their offsets from its centre and their distances to it."""

    where: tuple[slice, slice]
    dx: Array
    dy: Array
    distance: Array


class Canvas:
    """Layers ``(size, size)``, uint8.

    Attributes:
        albedo: ``(size, size, 3)`` RGB.
        grain: strength of the fine mottling of a surface.
        bump: strength of the relief of tree crowns.
        shadow: share of a pixel that the sun does not reach.
    """

    def __init__(self, size: int, climate: Climate) -> None:
        self.size = size
        self.climate = climate
        self.albedo = np.zeros((size, size, 3), np.uint8)
        self.grain = np.zeros((size, size), np.uint8)
        self.bump = np.zeros((size, size), np.uint8)
        self.shadow = np.zeros((size, size), np.uint8)

    def sees(self, centre: Array, reach: float) -> bool:
        """Whether anything within ``reach`` px of ``centre`` ``(2,)`` may show."""
        return bool(-reach < centre[0] < self.size + reach and -reach < centre[1] < self.size + reach)

    def polygon(self, points: Array, colour: Colour, grain: int = 20, bump: int = 0) -> None:
        """Fill the outline ``points`` ``(n, 2)`` with a surface; it lies in the sun until a shadow is cast on it."""
        fixed = [_fixed(points)]
        cv2.fillPoly(self.albedo, fixed, colour, cv2.LINE_AA, _SHIFT)
        for layer, value in ((self.grain, grain), (self.bump, bump), (self.shadow, 0)):
            cv2.fillPoly(layer, fixed, value, cv2.LINE_AA, _SHIFT)

    def line(self, points: Array, colour: Colour, width: float = 1.0, grain: int = 12, closed: bool = False) -> None:
        """Draw a line of ``width`` px through ``points`` ``(n, 2)``; if wider than one, it lies above older shadows."""
        fixed, thickness = [_fixed(points)], max(1, round(width))
        cv2.polylines(self.albedo, fixed, closed, colour, thickness, cv2.LINE_AA, _SHIFT)
        if thickness > 1:
            for layer, value in ((self.grain, grain), (self.bump, 0), (self.shadow, 0)):
                cv2.polylines(layer, fixed, closed, value, thickness, cv2.LINE_AA, _SHIFT)

    def cast(self, footprint: Array, height: float) -> None:
        """Cast the shadow of a convex ``footprint`` ``(n, 2)`` that stands ``height`` m high."""
        outline = sweep(footprint, self.climate.shadow * height)
        cv2.fillConvexPoly(self.shadow, _fixed(outline), 255, cv2.LINE_AA, _SHIFT)

    def cast_edge(self, outline: Array, height: float) -> None:
        """Cast the shadow of an outline of any shape that stands ``height`` m high, as that of its shifted self."""
        for share in (0.5, 1.0):
            shifted = outline + self.climate.shadow * height * share
            cv2.fillPoly(self.shadow, [_fixed(shifted)], 255, cv2.LINE_AA, _SHIFT)

    def block(self, footprint: Array, height: float, roof: Colour, grain: int = 10) -> Array:
        """Stand a convex block on the ground; return the outline ``(n, 2)`` of its roof as the view displaces it."""
        self.cast(footprint, height)
        top = footprint + self.climate.lean * height
        self.polygon(sweep(footprint, self.climate.lean * height), shade(roof, 0.6), grain=grain)
        self.polygon(top, roof, grain=grain)
        return top

    def window(self, centre: Array, radius: float) -> Window | None:
        """Return the pixels around a disc; None where nothing of it lies in the scene."""
        x0, y0 = np.maximum(np.floor(np.asarray(centre) - radius).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(np.asarray(centre) + radius).astype(int), self.size)
        if x1 <= x0 or y1 <= y0:
            return None
        dx = np.arange(x0, x1)[None, :] + 0.5 - centre[0]
        dy = np.arange(y0, y1)[:, None] + 0.5 - centre[1]
        return Window((slice(y0, y1), slice(x0, x1)), dx, dy, np.hypot(dx, dy))

    def blend(self, window: Window, cover: Array, colour: Array, grain: int, shadow: Array) -> None:
        """Lay ``colour`` ``(h, w, 3)`` with its ``shadow`` ``(h, w)`` in 0..1 over the window by ``cover`` in 0..1."""
        where, soft = window.where, cover[..., None]
        self.albedo[where] = np.clip(self.albedo[where] * (1 - soft) + colour * soft, 0, 255).astype(np.uint8)
        self.grain[where] = (self.grain[where] * (1 - cover) + grain * cover).astype(np.uint8)
        self.bump[where] = (self.bump[where] * (1 - cover)).astype(np.uint8)
        self.shadow[where] = (self.shadow[where] * (1 - cover) + 255 * shadow * cover).astype(np.uint8)


def _blur(image: Field, sigma: float) -> Field:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def _illuminate(canvas: Canvas, rng: np.random.Generator) -> Field:
    """Radiance ``(size, size, 3)`` in 0..1 and above: mottled surfaces in sun or in the sky's bluish light."""
    size = canvas.size
    mottle = 0.7 * fractal_noise(size, 90, 5, rng) + 0.6 * fractal_noise(size, 8, 3, rng)
    crowns = fractal_noise(size, 5, 2, rng)
    away = canvas.climate.shadow_direction * 1.5
    shifted = cv2.warpAffine(
        crowns, np.array([[1, 0, away[0]], [0, 1, away[1]]]), (size, size), borderMode=cv2.BORDER_REFLECT
    )
    relief = crowns - shifted
    light = 1 + np.float32(0.085 / 100) * mottle * canvas.grain + np.float32(0.28 / 255) * relief * canvas.bump
    np.maximum(light, 0.1, out=light)
    image = canvas.albedo.astype(np.float32)
    light *= np.float32(1 / 255)
    shade = canvas.shadow.astype(np.float32) * np.float32(1 / 255)
    sky = np.array([0.24, 0.28, 0.34], np.float32) * np.float32(rng.uniform(0.8, 1.3))
    for channel in range(3):
        image[..., channel] *= light * (1 - shade * (1 - sky[channel]))
    return image


def expose(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Image ``(size, size, 3)`` RGB of the canvas.

    The optics blur; ground processing sharpens, which leaves light and dark fringes around bright things, and takes
    colour from bands of a quarter of the resolution. Geometry stays as painted.
    """
    size = canvas.size
    image = _illuminate(canvas, rng)
    haze, contrast = rng.uniform(0.0, 0.1), rng.uniform(1.0, 1.4)
    cast = np.exp(rng.normal((0.03, 0.0, -0.05), 0.035)).astype(np.float32)
    image = _blur(image, rng.uniform(0.75, 1.0))
    # Contrast about a middle grey, colour cast and haze, all in one gain and offset per band.
    gain = np.float32(contrast * (1 - haze)) * cast
    offset = np.float32(0.36 * (rng.uniform(0.85, 1.15) - contrast) * (1 - haze)) * cast
    image *= gain
    image += offset + np.float32(haze) * np.array([0.62, 0.68, 0.74], np.float32)
    np.maximum(image, 0, out=image)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    image -= luma[..., None]
    chroma = _blur(image, rng.uniform(1.2, 2.2))
    chroma *= np.float32(rng.uniform(0.6, 1.0))
    luma += np.float32(rng.uniform(0.4, 1.1)) * (luma - _blur(luma, 1.4))
    noise = rng.standard_normal((size, size), dtype=np.float32)
    luma += np.float32(rng.uniform(0.005, 0.018)) * _blur(noise, 0.7) * 2
    luma *= 1 + np.float32(0.02) * smooth_noise(size, max(200.0, size / 3), rng)
    chroma += luma[..., None]
    chroma *= 255
    return np.asarray(np.clip(chroma, 0, 255, out=chroma).round(), np.uint8)
