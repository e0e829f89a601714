"""Land cut into parcels, each under one use."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from oil_storage.synthetic.geometry import Array, smooth_noise, unit


class Warp:
    """A gentle bend of the plane, so that what is laid out on straight axes has curved borders.

    Args:
        size: side of the scene in px; sets the longest wave.
        rng: of the bend.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        lengths = np.array([max(size, 700) * 0.9, 420.0, 190.0, 90.0])
        bend = rng.uniform(0.0, 0.28)
        self._waves = np.stack([unit(t) * 2 * np.pi / s for t, s in zip(rng.uniform(0, 7, 4), lengths, strict=True)])
        self._phases = rng.uniform(0, 2 * np.pi, 4)
        self._reach = (
            np.stack([unit(t) for t in rng.uniform(0, 7, 4)]) * (bend * lengths * (0.16, 0.14, 0.1, 0.06))[:, None]
        )

    def __call__(self, points: Array) -> Array:
        """Bend points ``(..., 2)``."""
        bent: Array = points + np.sin(points @ self._waves.T + self._phases) @ self._reach
        return bent


@dataclass(frozen=True)
class Parcel:
    """A bent rectangle of land.

    Attributes:
        centre: ``(2,)`` px before the bend.
        width: px along ``angle``.
        height: px across it.
        angle: radians.
        use: index into the palette's uses.
        warp: the bend of the scene.
    """

    centre: Array
    width: float
    height: float
    angle: float
    use: int
    warp: Warp

    @cached_property
    def _axes(self) -> Array:
        return np.stack([unit(self.angle), unit(self.angle + np.pi / 2)])

    def place(self, offset: Array) -> Array:
        """Points in the scene of offsets ``(..., 2)`` px from the centre along the parcel's axes."""
        return self.warp(self.centre + offset @ self._axes)

    def axis(self, offset: Array) -> float:
        """Direction of the parcel's first axis at an offset ``(2,)``, radians."""
        step = self.place(offset + np.array([2.0, 0.0])) - self.place(offset)
        return float(np.arctan2(step[1], step[0]))

    def strip(self, low: Array, high: Array) -> Array:
        """Outline ``(n, 2)`` of the part of the parcel between two corners given as offsets."""
        corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
        sides = []
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            steps = max(1, int(np.abs(end - start).max() / 12))
            sides.append(start + np.linspace(0, 1, steps, endpoint=False)[:, None] * (end - start))
        return self.place(np.concatenate(sides))

    def outline(self, inset: float = 0.0) -> Array:
        """Border ``(n, 2)``, ``inset`` px inside the parcel."""
        corner = np.array([self.width / 2 - inset, self.height / 2 - inset])
        return self.strip(-corner, corner)

    def scatter(self, spacing: float, rng: np.random.Generator) -> Array:
        """Random points ``(n, 2)``, one per ``spacing`` px squared."""
        count = int(self.width * self.height / spacing**2)
        return self.place((rng.random((count, 2)) - 0.5) * (self.width, self.height))


def plan_parcels(size: int, uses: tuple[float, ...], rng: np.random.Generator) -> list[Parcel]:
    """Cut the land into parcels by splitting a turned square again and again; neighbours tend to share their use.

    Args:
        size: side of the scene in px.
        uses: weight of each use.
        rng: of the land.

    Returns:
        list[Parcel]: those that may show in the scene.
    """
    angle, warp, typical = rng.uniform(0, np.pi / 2), Warp(size, rng), rng.uniform(90, 330)
    character = smooth_noise(64, 14, rng)
    ranks, shares = np.sort(character.ravel()), np.cumsum(uses) / sum(uses)
    pieces = [(np.array([size / 2, size / 2]), 1.6 * size, 1.6 * size)]
    parcels: list[Parcel] = []
    while pieces:
        centre, width, height = pieces.pop()
        if np.abs(centre - size / 2).max() > size / 2 + max(width, height) + 40:
            continue
        if max(width, height) < typical * np.exp(rng.normal(0.1, 0.35)):
            row, column = np.clip((centre / size * 63).astype(int)[::-1], 0, 63)
            rank = 0.75 * np.searchsorted(ranks, character[row, column]) / ranks.size + 0.25 * rng.random()
            use = min(int(np.searchsorted(shares, rank)), len(uses) - 1)
            parcels.append(Parcel(centre, width, height, angle, use, warp))
            continue
        share = rng.uniform(0.3, 0.7)
        lengthwise = width > height
        step = unit(angle) * width if lengthwise else unit(angle + np.pi / 2) * height
        for part, place in ((share, share / 2 - 0.5), (1 - share, share / 2)):
            cut = (width * part, height) if lengthwise else (width, height * part)
            pieces.append((centre + step * place, *cut))
    return parcels
