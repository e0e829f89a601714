"""Where tanks stand, how many and how large: rows of like tanks in bunded cells along the axes of a terminal."""

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.synthetic.climate import METRES_PER_PIXEL, Climate
from oil_storage.synthetic.geometry import Array, rectangle, unit

_CELL = 4  # px of the scene per cell of the map
_BORDER = 64  # cells around the scene, free: things may hang over the border


class Occupancy:
    """A map of the taken ground at a quarter of the scene's resolution.

    Attributes:
        size: side of the scene in px.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        side = -(-size // _CELL) + 2 * _BORDER
        self._taken = np.zeros((side, side), np.uint8)

    def _stencil(self, outline: Array) -> tuple[tuple[slice, slice], NDArray[np.uint8]] | None:
        points = np.round(outline / _CELL + _BORDER).astype(np.int32)
        low, high = points.min(axis=0), points.max(axis=0) + 1
        if (low < 0).any() or (high > len(self._taken)).any():
            return None
        stencil = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(stencil, [points - low], 1)
        return (slice(low[1], high[1]), slice(low[0], high[0])), stencil

    def is_free(self, outline: Array) -> bool:
        """Whether no taken ground lies within ``outline`` ``(n, 2)``; False beyond the map."""
        area = self._stencil(outline)
        return area is not None and not (self._taken[area[0]] & area[1]).any()

    def take(self, outline: Array) -> None:
        """Take the ground within ``outline`` ``(n, 2)``."""
        if area := self._stencil(outline):
            self._taken[area[0]] |= area[1]

    def take_where(self, mask: NDArray[np.bool_]) -> None:
        """Take what a mask of any resolution over the scene marks."""
        side = len(self._taken) - 2 * _BORDER
        scaled = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
        self._taken |= np.pad(scaled, _BORDER, mode="edge")


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
    return np.asarray(np.exp(np.interp(u, table[0], np.log(table[1]))))


def _density(index: Array) -> Array:
    """Return the number of tanks per reference area of scenes."""
    return _quantile(TANKS_PER_SCENE, (_DENSITY_START + index * _DENSITY_STEP) % 1.0)


def _leaning(seed: int, index: int) -> float:
    """Return the leaning of a scene to small (< 0) or large (> 0) tanks, within -1..1.

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
    """Draw the diameters of the tanks of a scene, ``(n,)`` px, descending, ``n >= 1``.

    The index of the scene decides its density, which grows with its area, and its leaning to small or to large tanks.
    The box that encloses a disc at a random place is one pixel wider than the disc on average; diameters allow for it.
    """
    expected = float(_density(np.array(index))) * size**2 / REFERENCE_AREA
    count = max(1, int(expected + rng.random()))
    u = (np.arange(count) + rng.random(count)) / count
    # Inverse of the distribution u + a (u^2 - u), which is uniform again where the a of all tanks sum to zero.
    a = _leaning(seed, index)
    if abs(a) > 1e-6:
        u = (a - 1.0 + np.sqrt((1.0 - a) ** 2 + 4.0 * a * u)) / (2.0 * a)
    return np.sort(_quantile(BOX_SIDE, u) - 1.0)[::-1]


CellKind = Literal["tanks", "process", "buildings", "yard", "empty"]
_FILLERS: tuple[CellKind, ...] = ("process", "buildings", "yard", "empty")


@dataclass(frozen=True)
class Tank:
    """A tank; its roof is the disc that the label encloses.

    Attributes:
        centre: ``(2,)`` px, of the roof as the view shows it.
        diameter: px.
        height: m.
    """

    centre: Array
    diameter: float
    height: float

    def box(self, size: int) -> tuple[int, int, int, int]:
        """The least integer box (xmin, ymin, xmax, ymax) that encloses the roof, cut at the borders of the scene."""
        low = np.floor(self.centre - self.diameter / 2).astype(int).clip(0, size)
        high = np.ceil(self.centre + self.diameter / 2).astype(int).clip(0, size)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])


@dataclass
class Cell:
    """A rectangular lot of a terminal; ``width`` runs along ``angle``."""

    kind: CellKind
    centre: Array
    width: float
    height: float
    angle: float
    tanks: list[Tank] = field(default_factory=list)

    def outline(self, margin: float = 0.0) -> Array:
        """Corners ``(4, 2)``, ``margin`` px outside the lot."""
        return rectangle(self.centre, self.width + 2 * margin, self.height + 2 * margin, self.angle)


@dataclass
class Terminal:
    """Cells that share their axes.

    Attributes:
        road: px between neighbouring cells.
        looseness: pitch of the tanks of a cell over their diameter.
        slender: square root of depth over length, as far as the land allows.
    """

    anchor: Array
    angle: float
    road: float
    looseness: float
    slender: float
    cells: list[Cell] = field(default_factory=list)


def _tank_height(diameter: float, rng: np.random.Generator) -> float:
    metres = diameter * METRES_PER_PIXEL
    return float(np.clip(4.5 + 0.9 * np.sqrt(metres) * rng.uniform(0.9, 2.1), 4.0, min(22.0, 1.7 * metres + 2)))


def _batches(diameters: Array, rng: np.random.Generator) -> list[Array]:
    """Cut the tanks into batches of like size; small tanks stand in larger batches."""
    loose = np.argsort(-np.log(diameters) + rng.normal(0, 0.1, len(diameters)))
    queue, batches = diameters[loose], []
    while len(queue):
        typical = 3.0 if queue[0] > 40 else 6.0 if queue[0] > 22 else 13.0
        length = 1 + min(int(rng.exponential(typical)), 48)
        # Like size even where a scene has few tanks, or making them of one size would distort the scene's sizes.
        length = int((queue[:length] > 0.7 * queue[0]).sum())
        batch, queue = queue[:length], queue[length:]
        if rng.random() < 0.6:  # one order, one size
            batch = np.full(len(batch), np.exp(np.log(batch).mean()))
        batches.append(batch)
    # The large batches mostly first: they need the room.
    ground = [len(batch) * batch.max() ** 2 * np.exp(rng.normal(0, 0.8)) for batch in batches]
    return [batches[k] for k in np.argsort(ground)[::-1]]


def _plan_cell(batch: Array, terminal: Terminal, rng: np.random.Generator) -> tuple[float, float, Array]:
    """Size of the cell and places ``(n, 2)`` of the batch's tanks in it, relative to its centre and axes."""
    widest = batch.max()
    pitch = max(widest * terminal.looseness * rng.uniform(0.9, 1.15), widest + rng.uniform(1.2, 3.0))
    columns = min(max(1, round(np.sqrt(len(batch) * rng.uniform(0.6, 3.5)))), len(batch))
    rows = -(-len(batch) // columns)
    row, column = np.divmod(np.arange(len(batch)), columns)
    stagger = 0.5 * (row % 2) if columns > 2 and rng.random() < 0.15 else np.zeros(len(batch))
    places = np.stack([column - (columns - 1) / 2 + stagger, row - (rows - 1) / 2], axis=1) * pitch
    room = min(pitch - widest, 0.25 * widest) * 0.3
    places = places + rng.uniform(-room, room, places.shape) * (rng.random() < 0.35)
    berm = rng.uniform(3, 7) + 0.15 * widest
    width = (columns - 1 + stagger.max()) * pitch + widest + 2 * berm
    places[:, 0] -= stagger.max() * pitch / 2
    return width, (rows - 1) * pitch + widest + 2 * berm, places


def _candidates(terminal: Terminal, width: float, height: float, size: int, rng: np.random.Generator) -> Array:
    """Centres ``(n, 2)`` beside the terminal's cells, nearest to its anchor first; anywhere for its first cell."""
    if not terminal.cells:
        return np.concatenate([terminal.anchor[None], rng.uniform(0.02, 0.98, (60, 2)) * size])
    x_axis, y_axis = unit(terminal.angle), unit(terminal.angle + np.pi / 2)
    offsets = []
    for cell in terminal.cells:
        wide, high = (cell.width + width) / 2 + terminal.road, (cell.height + height) / 2 + terminal.road
        slide_x, slide_y = (cell.width - width) / 2, (cell.height - height) / 2
        for side in (-1, 1):
            for slide in (-1, 0, 1):
                offsets.append(cell.centre + side * wide * x_axis + slide * slide_y * y_axis)
                offsets.append(cell.centre + side * high * y_axis + slide * slide_x * x_axis)
    centres = np.array(offsets)
    away = centres - terminal.anchor
    distance = np.maximum(np.abs(away @ x_axis) * terminal.slender, np.abs(away @ y_axis) / terminal.slender)
    return centres[np.argsort(distance * rng.uniform(0.9, 1.1, len(centres)))]


def _place(cell: Cell, terminal: Terminal, taken: Occupancy, rng: np.random.Generator) -> bool:
    # Most of a large cell may hang over the border of the scene, but not all of it.
    over = 0.3 * max(cell.width, cell.height)
    for centre in _candidates(terminal, cell.width, cell.height, taken.size, rng):
        if (centre < -over).any() or (centre > taken.size + over).any():
            continue
        cell.centre = centre
        # A little less than half the road, so that neighbours that keep their distance fit on the coarse map.
        if taken.is_free(cell.outline(margin=terminal.road / 2 - 2)):
            taken.take(cell.outline(margin=terminal.road / 2 - 2))
            if not terminal.cells:
                terminal.anchor = centre
            terminal.cells.append(cell)
            return True
    return False


def _found_terminal(size: int, rng: np.random.Generator) -> Terminal:
    inset = 0.15 if rng.random() < 0.5 else 0.0  # half of them lie well inside the scene
    anchor = rng.uniform(inset, 1 - inset, 2) * size
    looseness, slender = min(2.1, 1.12 + rng.gamma(1.6, 0.26)), rng.uniform(0.55, 1.2)
    return Terminal(anchor, rng.uniform(0, np.pi), rng.uniform(6, 13), looseness, slender)


def _standing(cell: Cell, places: Array, batch: Array, heights: Array, climate: Climate) -> list[Tank]:
    axes = np.stack([unit(cell.angle), unit(cell.angle + np.pi / 2)])
    bases = cell.centre + places @ axes
    return [Tank(b + climate.lean * h, float(d), float(h)) for b, d, h in zip(bases, batch, heights, strict=True)]


def _shows(tank: Tank, size: int) -> bool:
    """Whether the scene shows enough of a tank to label it: its centre, and 4 px either way."""
    xmin, ymin, xmax, ymax = tank.box(size)
    return bool((tank.centre > 0).all() and (tank.centre < size).all() and min(xmax - xmin, ymax - ymin) >= 4)


def plan_terminals(diameters: Array, taken: Occupancy, climate: Climate, rng: np.random.Generator) -> list[Terminal]:
    """Lay out terminals on free ground for tanks of the given diameters ``(n,)`` px, unless the scene is too full.

    The discs of tanks do not overlap, and each is at least half in the scene.
    """
    spread = 1 + int(rng.poisson(0.3 + len(diameters) / 110))
    terminals = [_found_terminal(taken.size, rng) for _ in range(spread)]
    weights = rng.dirichlet(np.full(spread, 1.5))
    queue = _batches(diameters, rng)
    for attempt in range(40):
        left = []
        for batch in queue:
            if attempt > 3:  # the ground is getting scarce: new terminals, single tanks
                terminals.append(_found_terminal(taken.size, rng))
                terminal = terminals[-1]
                batch, rest = (batch[:1], batch[1:]) if attempt > 8 else (batch, batch[:0])
                left.extend([rest] if len(rest) else [])
            else:
                terminal = terminals[rng.choice(spread, p=weights)]
            width, height, places = _plan_cell(batch, terminal, rng)
            cell = Cell("tanks", terminal.anchor, width, height, terminal.angle)
            if not _place(cell, terminal, taken, rng):
                left.append(batch)
                continue
            heights = np.full(len(batch), _tank_height(float(batch.mean()), rng))
            standing = _standing(cell, places, batch, heights, climate)
            cell.tanks = [tank for tank in standing if _shows(tank, taken.size)]
            hidden = [tank.diameter for tank in standing if not _shows(tank, taken.size)]
            left.extend([np.array(hidden)] if hidden else [])
            if rng.random() < 0.3:
                _fill(terminal, taken, rng)
        queue = left
        if not queue:
            break
    for terminal in terminals[:spread]:
        for _ in range(1 + int(rng.poisson(2 + 0.2 * len(terminal.cells)))):
            _fill(terminal, taken, rng)
    return terminals


def _fill(terminal: Terminal, taken: Occupancy, rng: np.random.Generator) -> None:
    """Add a lot without tanks."""
    kind = _FILLERS[rng.choice(len(_FILLERS), p=(0.35, 0.3, 0.2, 0.15))]
    width, height = np.exp(rng.uniform(np.log(28), np.log(110), 2))
    _place(Cell(kind, terminal.anchor, float(width), float(height), terminal.angle), terminal, taken, rng)
