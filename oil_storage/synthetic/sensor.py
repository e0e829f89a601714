"""From painted layers to the pixels of a pan-sharpened satellite image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.geometry import Field, fractal_noise, smooth_noise


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
