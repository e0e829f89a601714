"""How round places are where there is nothing in particular."""

import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.alignment.roundness import GradientField, roundness, tightened

PLACES = 300


def chance_of(
    field: GradientField, sides: NDArray[np.float32], width: int, height: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Mean and standard deviation of the roundness of boxes of these sizes put anywhere.

    Args:
        field: of the image.
        sides: ``(N, 2)`` widths and heights, pixels, ``N > 0``.
        width: of the image, pixels.
        height: of the image, pixels.
        rng: draws the places.
    """
    many = np.tile(sides, (max(1, PLACES // len(sides)), 1))
    corner = rng.uniform(0, 1, many.shape) * np.maximum([width, height] - many, 1)
    anywhere = roundness(field, tightened(np.concatenate([corner, corner + many], axis=1).astype(np.float32)))
    return float(anywhere.mean()), float(anywhere.std())
