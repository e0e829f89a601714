"""A scene with a box around each tank that was found."""

import numpy as np

from oil_storage.drawing import PREDICTION, draw_boxes, jpeg
from oil_storage.imagery import SceneImage
from oil_storage.inference.scene_detector import SceneDetections

LONGEST = 4096
"""Pixels of a picture's longer side, at most."""


def picture(image: SceneImage, found: SceneDetections) -> bytes:
    """A JPEG of a scene, reduced where it is very large, with what was found in it."""
    pixels = np.array(image.reduced(LONGEST))  # Pillow's may not be drawn into, and the scene's should not
    zoom = np.tile(np.array(pixels.shape[1::-1]) / (found.width, found.height), 2)
    draw_boxes(pixels, (found.boxes * zoom).astype(np.float32), PREDICTION)
    return jpeg(pixels)
