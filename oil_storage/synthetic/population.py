"""How many tanks a scene holds and how large they are: the statistics of the real set, made steady for few scenes."""

import numpy as np

from oil_storage.synthetic.geometry import Array

# Quantiles of the Airbus Oil Storage Detection set: tanks on a scene of 2560 x 2560 px, and sides of boxes in px.
REFERENCE_AREA = 2560**2
TANKS_PER_SCENE = ((0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0), (17, 30, 50, 100, 176, 300, 410, 540))
BOX_SIDE = (
    (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0),
    (4.6, 5.5, 7.4, 9, 12.2, 18.6, 31.4, 49, 63, 84, 109.9),
)

# Densities follow the golden-ratio sequence over the scenes, from the start that keeps the mean over the first n scenes
# within 10 % of the set's for every n >= 6, however few are made. Leanings follow another irrational step.
_DENSITY_START, _DENSITY_STEP = 0.325, 0.6180339887498949
_LEANING_STEP, _LEANING_REACH = 0.4142135623730951, 0.85
_LEANING_DEBT = 50.0


def _quantile(table: tuple[tuple[float, ...], tuple[float, ...]], u: Array) -> Array:
    value: Array = np.exp(np.interp(u, table[0], np.log(table[1])))
    return value


def _density(index: Array) -> Array:
    """Tanks per reference area of scenes."""
    return _quantile(TANKS_PER_SCENE, (_DENSITY_START + index * _DENSITY_STEP) % 1.0)


def _leaning(seed: int, index: int) -> float:
    """Leaning of a scene to small (< 0) or large (> 0) tanks, within -1..1.

    Over the first n scenes together sizes are distributed as in the table exactly where the leanings, weighted by the
    scenes' tanks, sum to zero. A scene leans only as far as keeps that sum within +-``_LEANING_DEBT``, for every n.
    """
    start = np.random.default_rng(np.random.SeedSequence(seed)).random()
    scenes = np.arange(index + 1, dtype=np.float64)
    tanks = _density(scenes)
    wished = _LEANING_REACH * (2.0 * ((start + scenes * _LEANING_STEP) % 1.0) - 1.0) * tanks
    debt = pull = 0.0
    for wish in wished.tolist():
        pull = min(max(wish, -_LEANING_DEBT - debt), _LEANING_DEBT - debt)
        debt += pull
    return pull / float(tanks[-1])


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
    expected = float(_density(np.array(index))) * size**2 / REFERENCE_AREA
    count = max(1, int(expected + rng.random()))
    u = (np.arange(count) + rng.random(count)) / count
    # Inverse of the distribution u + a (u^2 - u), which is uniform again where the a of all tanks sum to zero.
    a = _leaning(seed, index)
    if abs(a) > 1e-6:
        u = (a - 1.0 + np.sqrt((1.0 - a) ** 2 + 4.0 * a * u)) / (2.0 * a)
    return np.sort(_quantile(BOX_SIDE, u) - 1.0)[::-1]
