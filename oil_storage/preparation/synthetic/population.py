"""How many tanks a scene holds and how large they are: the statistics of the real set, made steady for few scenes."""

import numpy as np

from oil_storage.preparation.synthetic.geometry import Array

# Quantiles of the Airbus Oil Storage Detection set: tanks on a scene of 2560 x 2560 px, and sides of boxes in px.
REFERENCE_AREA = 2560**2
TANKS_PER_SCENE = ((0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0), (17, 30, 50, 100, 176, 300, 410, 540))
BOX_SIDE = (
    (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0),
    (4.6, 5.5, 7.4, 9, 12.3, 19, 31.8, 49, 63, 84, 109.9),
)

# Densities follow the golden-ratio sequence over the scenes, from the start that keeps the mean over the first n scenes
# within 10 % of the set's for every n >= 6, however few are made. Leanings follow another irrational step.
_DENSITY_START, _DENSITY_STEP = 0.325, 0.6180339887498949
_LEANING_STEP = 0.4142135623730951


def _quantile(table: tuple[tuple[float, ...], tuple[float, ...]], u: Array) -> Array:
    value: Array = np.exp(np.interp(u, table[0], np.log(table[1])))
    return value


def tank_diameters(seed: int, index: int, size: int, rng: np.random.Generator) -> Array:
    """Diameters of the tanks of one scene.

    Args:
        seed: of the data set.
        index: of the scene in the data set; decides its density and its leaning to small or to large tanks.
        size: side of the scene in px; the number of tanks grows with its area.
        rng: of the scene.

    Returns:
        ndarray: ``(n,)`` diameters in px, descending, ``n >= 1``. The box that encloses a disc at a random place is
        one pixel wider than the disc on average, which these diameters allow for.
    """
    density = (_DENSITY_START + index * _DENSITY_STEP) % 1.0
    leaning = (np.random.default_rng(np.random.SeedSequence(seed)).random() + index * _LEANING_STEP) % 1.0
    expected = float(_quantile(TANKS_PER_SCENE, np.array(density))) * size**2 / REFERENCE_AREA
    count = max(1, int(expected + rng.random()))
    u = (np.arange(count) + rng.random(count)) / count
    # Inverse of the distribution u + a (u^2 - u): a > 0 leans to large tanks; uniform again over all leanings.
    a = 0.85 * (2.0 * leaning - 1.0)
    if abs(a) > 1e-6:
        u = (a - 1.0 + np.sqrt((1.0 - a) ** 2 + 4.0 * a * u)) / (2.0 * a)
    return np.sort(_quantile(BOX_SIDE, u) - 1.0)[::-1]
