"""Plan terminals: number, diameters and positions of tanks. Similar tanks stand in rows in rectangular cells."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from oil_storage.synthetic.canvas import METRES_PER_PIXEL, Climate
from oil_storage.synthetic.geometry import Array, Rectangle, axes

_CELL = 4  # px of the scene per cell of the map
_BORDER = 64  # additional map cells on each side, because objects may extend beyond the scene


class Occupancy:
    """Map of the occupied ground of a scene of ``size`` x ``size`` px; each map cell covers 4 x 4 px."""

    def __init__(self, size: int) -> None:
        self.size = size
        side = -(-size // _CELL) + 2 * _BORDER
        self._taken = np.zeros((side, side), np.uint8)

    def _stencil(self, outline: Array) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
        """Return a view of the map around ``outline``, and a mask of the outline; None if it extends beyond the map."""
        points = np.round(outline / _CELL + _BORDER).astype(np.int32)
        low, high = points.min(axis=0), points.max(axis=0) + 1
        if (low < 0).any() or (high > len(self._taken)).any():
            return None
        view = self._taken[low[1] : high[1], low[0] : high[0]]
        return view, cv2.fillPoly(np.zeros_like(view), [points - low], 1)

    def is_free(self, outline: Array) -> bool:
        """Return whether the ground inside ``outline`` ``(n, 2)`` is free. Ground outside the map is not free."""
        area = self._stencil(outline)
        return area is not None and not (area[0] & area[1]).any()

    def take(self, outline: Array) -> None:
        """Mark the ground inside ``outline`` ``(n, 2)`` as occupied."""
        if area := self._stencil(outline):
            np.bitwise_or(*area, out=area[0])

    def take_where(self, mask: NDArray[np.bool_]) -> None:
        """Mark the ground where ``mask`` is true as occupied. The mask covers the scene at any resolution."""
        side = len(self._taken) - 2 * _BORDER
        scaled = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
        self._taken |= np.pad(scaled, _BORDER, mode="edge")


# Quantiles of the Airbus Oil Storage Detection data set, as (probabilities, values): the number of tanks per scene of
# 2560 x 2560 px, and the box side in pixels.
REFERENCE_AREA = 2560**2
TANKS_PER_SCENE = ((0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0), (17, 30, 50, 100, 176, 300, 410, 540))
BOX_SIDE = (
    (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0),
    (4.6, 5.5, 7.4, 9, 12.2, 18.6, 31.4, 49, 63, 84, 109.9),
)

# The density of scene i is the quantile at the fractional part of start + i * step. The step is the golden ratio. With
# this start, the mean density of the first n scenes is within 10 % of the mean of the data set for every n >= 6. The
# size bias follows a similar sequence with another irrational step.
_DENSITY_START, _DENSITY_STEP = 0.325, 0.6180339887498949
_LEANING_STEP, _LEANING_REACH = 0.4142135623730951, 0.85
_LEANING_DEBT = 50.0


def _quantile(table: tuple[tuple[float, ...], tuple[float, ...]], u: Array) -> Array:
    return np.asarray(np.exp(np.interp(u, table[0], np.log(table[1]))))


def _density(index: Array) -> Array:
    """Return the number of tanks per reference area for each scene index."""
    return _quantile(TANKS_PER_SCENE, (_DENSITY_START + index * _DENSITY_STEP) % 1.0)


def _leaning(seed: int, index: int) -> float:
    """Return the bias of a scene, from -1 (mostly small tanks) to 1 (mostly large tanks).

    Several scenes together have the size distribution ``BOX_SIDE`` if their biases, weighted by the number of tanks,
    sum to zero. Each bias is limited to keep this sum between ``-_LEANING_DEBT`` and ``_LEANING_DEBT``.
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


def tank_diameters(seed: int, index: int, size: int, rng: Generator) -> Array:
    """Sample the diameters ``(n,)`` of the tanks of a scene in pixels, largest first; ``n`` is at least 1.

    The index of the scene determines its density and its bias towards small or large tanks. The integer box around a
    disc is on average one pixel wider than the disc. A diameter is therefore a side sampled from ``BOX_SIDE``, minus
    one pixel.
    """
    expected = float(_density(np.array(index))) * size**2 / REFERENCE_AREA
    count = max(1, int(expected + rng.random()))
    u = (np.arange(count) + rng.random(count)) / count
    # Invert the distribution function u + a (u^2 - u). Over all scenes, u is uniform if a sums to zero over all tanks.
    a = _leaning(seed, index)
    if abs(a) > 1e-6:
        u = (a - 1.0 + np.sqrt((1.0 - a) ** 2 + 4.0 * a * u)) / (2.0 * a)
    return np.sort(_quantile(BOX_SIDE, u) - 1.0)[::-1]


# Share of each kind among the cells without tanks.
_FILLERS = {"process": 0.35, "buildings": 0.3, "yard": 0.2, "empty": 0.15}

# Positions of a new cell next to an existing cell: the side of the existing cell, and the shift along this side.
_SIDES = np.array([side for sign in (-1, 1) for _ in range(3) for side in ((sign, 0), (0, sign))])
_SLIDES = np.array([slide for _ in range(2) for sign in (-1, 0, 1) for slide in ((0, sign), (sign, 0))])


@dataclass(frozen=True)
class Tank:
    """Storage tank; its label is the bounding box of its round roof."""

    centre: Array  # centre of the roof in the image, (2,) px
    diameter: float  # px
    height: float  # m

    def box(self, size: int, zoom: float = 1.0) -> tuple[int, int, int, int]:
        """Return the smallest integer box (xmin, ymin, xmax, ymax) around the roof, clipped to the image.

        Args:
            size: side of the image in pixels.
            zoom: image pixels per plan pixel.
        """
        centre, radius = self.centre * zoom, self.diameter / 2 * zoom
        corners = np.concatenate([np.floor(centre - radius), np.ceil(centre + radius)])
        xmin, ymin, xmax, ymax = corners.astype(int).clip(0, size).tolist()
        return xmin, ymin, xmax, ymax

    def shows(self, size: int) -> bool:
        """Return whether the tank is labelled: its centre and at least 4 x 4 px of its box must be inside the scene."""
        xmin, ymin, xmax, ymax = self.box(size)
        return bool(((self.centre > 0) & (self.centre < size)).all() and min(xmax - xmin, ymax - ymin) >= 4)


@dataclass
class Cell(Rectangle):
    """Rectangular part of a terminal; ``kind`` is "tanks" or a key of ``_FILLERS``."""

    kind: str
    tanks: list[Tank] = field(default_factory=list)


@dataclass
class Terminal:
    """Group of cells with the same orientation."""

    anchor: Array  # centre of the first cell, (2,) px
    angle: float  # radians
    road: float  # width between adjacent cells, px
    looseness: float  # distance between tank centres in a cell, in tank diameters
    slender: float  # square root of depth / length of the terminal on free ground
    cells: list[Cell] = field(default_factory=list)


def _batches(diameters: Array, rng: Generator) -> list[Array]:
    """Divide the tanks into batches of similar diameter. Batches of small tanks contain more tanks."""
    loose = np.argsort(-np.log(diameters) + rng.normal(0, 0.1, len(diameters)))
    queue, batches = diameters[loose], []
    while len(queue):
        typical = 3.0 if queue[0] > 40 else 6.0 if queue[0] > 22 else 13.0
        length = 1 + min(int(rng.exponential(typical)), 48)
        # Limit the range of sizes: a common diameter (below) must not distort the size distribution.
        length = int((queue[:length] > 0.7 * queue[0]).sum())
        batch, queue = queue[:length], queue[length:]
        if rng.random() < 0.6:  # all tanks of the batch have the same diameter
            batch = np.full(len(batch), np.exp(np.log(batch).mean()))
        batches.append(batch)
    # Large batches come first in most cases, because they need more ground.
    ground = [len(batch) * batch.max() ** 2 * np.exp(rng.normal(0, 0.8)) for batch in batches]
    return [batches[k] for k in np.argsort(ground)[::-1]]


def _plan_cell(batch: Array, terminal: Terminal, rng: Generator) -> tuple[Array, Array]:
    """Draw the size ``(2,)`` of a cell, and the offsets ``(n, 2)`` of its tanks from its centre along its sides."""
    widest = batch.max()
    pitch = max(widest * terminal.looseness * rng.uniform(0.9, 1.15), widest + rng.uniform(1.2, 3.0))
    columns = min(max(1, round(np.sqrt(len(batch) * rng.uniform(0.6, 3.5)))), len(batch))
    row, column = np.divmod(np.arange(len(batch)), columns)
    stagger = 0.5 * (row % 2) if columns > 2 and rng.random() < 0.15 else np.zeros(len(batch))
    grid = np.array([columns - 1, row[-1]])
    places = (np.stack([column + stagger, row], axis=1) - grid / 2) * pitch
    room = min(pitch - widest, 0.25 * widest) * 0.3
    places = places + rng.uniform(-room, room, places.shape) * (rng.random() < 0.35)
    berm = rng.uniform(3, 7) + 0.15 * widest
    overhang = np.array([stagger.max(), 0.0])
    return (grid + overhang) * pitch + widest + 2 * berm, places - overhang * pitch / 2


def _candidates(terminal: Terminal, lot: Array, size: int, rng: Generator) -> Array:
    """Return possible centres ``(n, 2)`` of a new cell, roughly from the nearest to the farthest from the anchor.

    The first cell of a terminal can be anywhere. All other cells are next to an existing cell. ``lot`` ``(2,)`` is the
    size of the new cell, and ``size`` is the side of the scene.
    """
    if not terminal.cells:
        return np.concatenate([terminal.anchor[None], rng.uniform(0.02, 0.98, (60, 2)) * size])
    beside = [_SIDES * ((c.size + lot) / 2 + terminal.road) + _SLIDES * (c.size - lot) / 2 for c in terminal.cells]
    centres = np.concatenate([cell.at(offset) for cell, offset in zip(terminal.cells, beside, strict=True)])
    away = np.abs((centres - terminal.anchor) @ axes(terminal.angle).T)
    distance = (away * (terminal.slender, 1 / terminal.slender)).max(axis=1)
    return centres[np.argsort(distance * rng.uniform(0.9, 1.1, len(centres)))]


def _place(cell: Cell, terminal: Terminal, taken: Occupancy, rng: Generator) -> bool:
    """Add the cell to the terminal at the first free position. Return False if no position is free."""
    # A cell may extend beyond the scene. Its centre may be outside by up to 0.3 times its longer side.
    over = 0.3 * max(cell.size)
    for centre in _candidates(terminal, cell.size, taken.size, rng):
        cell.centre = centre
        # With half the road as margin, adjacent cells would overlap on the coarse map.
        outline = cell.outline(margin=terminal.road / 2 - 2)
        if (np.abs(centre - taken.size / 2) <= taken.size / 2 + over).all() and taken.is_free(outline):
            taken.take(outline)
            if not terminal.cells:
                terminal.anchor = centre
            terminal.cells.append(cell)
            return True
    return False


def _found_terminal(size: int, rng: Generator) -> Terminal:
    inset = 0.15 if rng.random() < 0.5 else 0.0  # half of the terminals start well inside the scene
    anchor = rng.uniform(inset, 1 - inset, 2) * size
    looseness, slender = min(2.1, 1.12 + rng.gamma(1.6, 0.26)), rng.uniform(0.55, 1.2)
    return Terminal(anchor, rng.uniform(0, np.pi), rng.uniform(6, 13), looseness, slender)


def _fill(terminal: Terminal, taken: Occupancy, rng: Generator) -> None:
    """Add a cell without tanks, if there is room."""
    kind = rng.choice(list(_FILLERS), p=list(_FILLERS.values()))
    lot = np.exp(rng.uniform(np.log(28), np.log(110), 2))
    _place(Cell(terminal.anchor, lot, terminal.angle, kind), terminal, taken, rng)


def plan_terminals(diameters: Array, taken: Occupancy, climate: Climate, rng: Generator) -> list[Terminal]:
    """Plan terminals on free ground for tanks with the given diameters ``(n,)`` in pixels.

    Tanks do not overlap, and their centres are in the scene. Some tanks are dropped if the scene is too full.
    """
    spread = 1 + int(rng.poisson(0.3 + len(diameters) / 110))
    terminals = [_found_terminal(taken.size, rng) for _ in range(spread)]
    weights = rng.dirichlet(np.full(spread, 1.5))
    queue = _batches(diameters, rng)
    for attempt in range(40):
        left = []
        for batch in queue:
            if attempt > 3:  # free ground is scarce: try new terminals, then single tanks
                terminal = _found_terminal(taken.size, rng)
                terminals.append(terminal)
                batch, rest = np.split(batch, [1 if attempt > 8 else len(batch)])
                left.append(rest)
            else:
                terminal = terminals[rng.choice(spread, p=weights)]
            lot, places = _plan_cell(batch, terminal, rng)
            cell = Cell(terminal.anchor, lot, terminal.angle, "tanks")
            if not _place(cell, terminal, taken, rng):
                left.append(batch)
                continue
            metres = batch.mean() * METRES_PER_PIXEL
            height = 4.5 + 0.9 * np.sqrt(metres) * rng.uniform(0.9, 2.1)
            height = float(np.clip(height, 4.0, min(22.0, 1.7 * metres + 2)))
            centres = cell.at(places) + climate.lean * height
            tanks = [Tank(c, float(d), height) for c, d in zip(centres, batch, strict=True)]
            cell.tanks = [tank for tank in tanks if tank.shows(taken.size)]
            left.append(np.array([tank.diameter for tank in tanks if not tank.shows(taken.size)]))
            if rng.random() < 0.3:
                _fill(terminal, taken, rng)
        queue = [batch for batch in left if len(batch)]
    for terminal in terminals[:spread]:
        for _ in range(1 + int(rng.poisson(2 + 0.2 * len(terminal.cells)))):
            _fill(terminal, taken, rng)
    return terminals
