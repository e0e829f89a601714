"""Finds scenes that show the same ground, so that no split separates them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from shapely.affinity import affine_transform

from oil_storage.audit.fingerprint import Fingerprint
from oil_storage.scene import Scene

Indices = NDArray[np.int64]
Complex = NDArray[np.complex128]

MIN_SCORE = 0.35
"""Others score up to 0.1, among scenes of 192 px up to 0.33; see docs/same_ground.md."""
MIN_SHARED = 0.02
"""Of the smaller scene; what shares less has too little ground in common for its score to mean something."""
MIN_SHARED_COORDINATES = 0.001
"""Of the smaller scene; neighbours share as much by rounding."""

DIMENSIONS = 32
"""Principal components of the descriptors that are compared where all are compared with all."""
TREES = 4
LEAVES = 48
"""Of the k-d trees: how many are built, and how many points each search looks at."""
NEIGHBOURS = 4
"""Of each point; itself is one of them."""
MAX_DISTANCE = 0.75
"""Between descriptors of unit length; those of unlike points are about 1 apart."""

MIN_AGREEING = 4
"""Points of two scenes that must tell of one similarity before the pictures are compared."""
MAX_SCALE = 5.0
TRIED = 200
"""Matches of two scenes that are tried as the similarity of all."""
LINEAR_TOLERANCE = 0.4
"""Of a match's scale and direction, both together; SIFT measures them coarsely."""
DRIFT = 0.15
"""Of a position told by another match, relative to their distance, for the same reason."""
MATCH_RADIUS = 3
"""Reduced pixels of the coarser scene that are allowed besides."""
MIN_UPRIGHT = 2
"""As :data:`MIN_AGREEING`, of points that tell of no scale and of a turn by 0, 90, 180 or 270 degrees, no scene being
mirrored: those of most scenes that overlap do, and few of others;"""
UPRIGHT_TOLERANCE = 0.2
UPRIGHT_DRIFT = 0.06
"""to within these: as :data:`LINEAR_TOLERANCE` and :data:`DRIFT`."""
SEARCH_RADII = (6, 4, 2, 2)
"""Likewise; the similarity is fitted anew to the points that it brings so near each other."""

CELL = 20
"""Pixels of the picture; the side of the cells that are compared one by one."""
MIN_CELL_AREA = 100
MIN_CELL_CONTRAST = 4.0
"""Pixels, and grey levels of the picture; cells that have less tell nothing."""
MIN_CELLS = 3


PIECES = 16
"""Points on each side; a side that is straight in one coordinate system is bent in another."""
EARTH = "EPSG:4326"


@dataclass(frozen=True, eq=False)
class Overlap:
    """Two scenes that show the same ground.

    Attributes:
        first: scene id.
        second: scene id; sorts after the first.
        shared: area of the common ground over that of the smaller scene.
        score: 0 to 1, how alike the ground looks; 1 where it is known from coordinates.
        matrix: ``(2, 3)``, takes positions in the second scene to the first, pixels from the outer corner; None where
            the overlap is known from coordinates.
    """

    first: str
    second: str
    shared: float
    score: float = 1.0
    matrix: NDArray[np.float64] | None = None


class Similarity(NamedTuple):
    """Positions as complex numbers ``x + iy``: ``p -> linear * p + shift``."""

    linear: complex
    shift: complex


def find_overlaps(fingerprints: Sequence[Fingerprint], min_score: float = MIN_SCORE) -> list[Overlap]:
    """Find all pairs of scenes that show the same ground, whatever their shift, turn, mirroring and scale.

    Pairs are sorted by ids. Time grows with n log n, but for a share of 0.4 ms a pair.
    """
    scenes = sorted(fingerprints, key=lambda scene: scene.scene_id)
    mirrored = [scene.mirrored() for scene in scenes]
    begins = np.cumsum([0] + [len(scene.points) for scene in scenes])
    if begins[-1] < 2 * NEIGHBOURS:
        return []
    search = _Search(_unit([scene.descriptors for scene in scenes]))
    overlaps: dict[tuple[int, int], Overlap] = {}
    for seconds in (scenes, mirrored):
        matches = search.matches(_unit([scene.descriptors for scene in seconds]))
        for i, j, points in _by_pair(matches, begins):
            least = overlaps[i, j].score if (i, j) in overlaps else min_score
            if overlap := _overlap(scenes[i], seconds[j], points, seconds is mirrored, least):
                overlaps[i, j] = overlap
    return [overlaps[pair] for pair in sorted(overlaps)]


def footprints(scenes: Iterable[Scene]) -> dict[str, shapely.Geometry]:
    """Return the areas that scenes cover, by scene id, as longitude and latitude.

    Scenes whose files name no coordinate system of the earth's are left out: several may start at the same origin of
    their own.
    """
    from rasterio.warp import transform

    areas = {}
    for scene in scenes:
        georeference, side = scene.georeference, max(scene.width, scene.height)
        if georeference and georeference.crs:
            frame = shapely.segmentize(shapely.box(0, 0, scene.width, scene.height), side / PIECES)
            outline = shapely.get_coordinates(shapely.transform(frame, georeference.to_world))
            area = shapely.Polygon(np.column_stack(transform(georeference.crs, EARTH, *outline.T)))
            if np.isfinite(area.bounds).all():
                areas[scene.scene_id] = area
    return areas


def overlaps_from_coordinates(footprints: Mapping[str, shapely.Geometry]) -> list[Overlap]:
    """Find all pairs of scenes whose footprints, all in one coordinate system, overlap; sorted by ids."""
    scene_ids = sorted(footprints)
    areas = np.array([footprints[scene_id] for scene_id in scene_ids], dtype=object)
    pairs = shapely.STRtree(areas).query(areas, predicate="intersects").T.tolist()
    overlaps = [Overlap(scene_ids[i], scene_ids[j], _shared(areas[i], areas[j])) for i, j in sorted(pairs) if i < j]
    return [overlap for overlap in overlaps if overlap.shared >= MIN_SHARED_COORDINATES]


def connected_groups(overlaps: Iterable[Overlap], scene_ids: Iterable[str]) -> list[list[str]]:
    """Group scenes that overlap, directly or through others; groups and their scenes are sorted.

    Every scene of ``scene_ids`` is in one group, alone where it overlaps none.
    """
    names = sorted(scene_ids)
    index = {name: number for number, name in enumerate(names)}
    edges = np.array([(index[overlap.first], index[overlap.second]) for overlap in overlaps], int).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(len(names), len(names)))
    together: dict[int, list[str]] = {}
    for name, label in zip(names, connected_components(graph, directed=False)[1], strict=True):
        together.setdefault(label, []).append(name)
    return list(together.values())


class _Search:
    """Nearest neighbours among the points of all scenes."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        sample = vectors[:: len(vectors) // 20_000 + 1]
        self._mean = sample.mean(0)
        _, axes = np.linalg.eigh(np.cov((sample - self._mean).T))
        self._axes = axes[:, -DIMENSIONS:].astype(np.float32)
        self._vectors = self._project(vectors)
        cv2.setRNGSeed(0)  # the trees draw from it; equal scenes give equal answers
        self._index = cv2.flann.Index(self._vectors, {"algorithm": 1, "trees": TREES})

    def _project(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.ascontiguousarray((vectors - self._mean) @ self._axes))

    def matches(self, queries: NDArray[np.float32]) -> Indices:
        """``(M, 2)`` indices: of a query, of a neighbour; nearest first."""
        nearest = partial(self._index.knnSearch, knn=NEIGHBOURS, params={"checks": LEAVES})
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:  # OpenCV searches with one
            results = pool.map(nearest, np.array_split(self._project(queries), threads))
            neighbours, distances = map(np.concatenate, zip(*results, strict=True))
        asked = np.arange(len(queries)).repeat(NEIGHBOURS)
        order = np.argsort(distances, axis=None, kind="stable")
        order = order[distances.ravel()[order] < MAX_DISTANCE**2]
        return np.asarray(np.stack([asked, neighbours.ravel()], axis=1)[order])


def _unit(descriptors: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Square roots of the shares (Arandjelović and Zisserman, 2012): their distance is Hellinger's."""
    values = np.concatenate(descriptors).astype(np.float32)
    return np.asarray(np.sqrt(values / np.maximum(values.sum(1, keepdims=True), 1)))


def _by_pair(matches: Indices, begins: Indices) -> Iterator[tuple[int, int, Indices]]:
    """Yield each pair of scenes ``i < j`` and its matches ``(M, 2)``: point of ``i``, point of ``j``, each once."""
    matches = np.sort(matches, axis=1)  # that a point of the first is like one of the second says either of both
    scene_of = np.searchsorted(begins, matches, side="right") - 1
    number = len(begins)
    pair = scene_of[:, 0] * number + scene_of[:, 1]
    order = np.argsort(pair, kind="stable")
    pairs, starts = np.unique(pair[order], return_index=True)
    for key, chosen in zip(pairs, np.split(order, starts[1:]), strict=True):
        i, j = divmod(int(key), number)
        if i == j or len(chosen) < MIN_UPRIGHT:
            continue
        points = matches[chosen] - (begins[i], begins[j])
        for side in (0, 1):
            points = points[np.sort(np.unique(points[:, side], return_index=True)[1])]
        yield i, j, points


def _overlap(
    first: Fingerprint, second: Fingerprint, matches: Indices, is_mirrored: bool, min_score: float
) -> Overlap | None:
    """Return the overlap that like points tell and the pictures confirm, if any."""
    best = None
    for similarity in _candidates(first, second, matches, is_mirrored):
        a, b, shift = similarity.linear.real, similarity.linear.imag, similarity.shift
        matrix = np.array([[a, -b, shift.real], [b, a, shift.imag]])
        area = affine_transform(shapely.box(0, 0, second.width, second.height), [*matrix[:, :2].ravel(), *matrix[:, 2]])
        shared = _shared(shapely.box(0, 0, first.width, first.height), area)
        score = _score(first, second, matrix)
        if shared >= MIN_SHARED and score >= (best.score if best else min_score):
            if is_mirrored:
                matrix = matrix @ np.array([[-1, 0, second.width], [0, 1, 0], [0, 0, 1]])
            best = Overlap(first.scene_id, second.scene_id, shared, score, matrix)
    return best


def _candidates(first: Fingerprint, second: Fingerprint, matches: Indices, is_mirrored: bool) -> Iterator[Similarity]:
    """Yield similarities that enough matches agree on."""
    linear = _linear(first.points[matches[:, 0]], second.points[matches[:, 1]])
    agreeing = _consensus(first, second, matches, linear, DRIFT)
    if len(agreeing) >= MIN_AGREEING:
        yield from _fits(first, second, agreeing)
    if is_mirrored:
        return
    upright = 1j ** np.round(np.angle(linear) / (np.pi / 2))
    near = abs(linear / upright - 1) < UPRIGHT_TOLERANCE
    agreeing = _consensus(first, second, matches[near], upright[near], UPRIGHT_DRIFT)
    if len(agreeing) >= MIN_UPRIGHT:
        yield from _fits(first, second, agreeing)


def _consensus(first: Fingerprint, second: Fingerprint, matches: Indices, linear: Complex, drift: float) -> Indices:
    """Return the matches that agree with the one with which most agree; each tells a similarity by itself."""
    if not len(matches):
        return matches
    p, q = _positions(first)[matches[:, 0]], _positions(second)[matches[:, 1]]
    tried = np.arange(0, len(matches), len(matches) // TRIED + 1)[:, None]
    away = linear[tried] * (q - q[tried])
    unit = np.maximum(first.reduction, abs(linear[tried]) * second.reduction)
    agrees = abs(p - p[tried] - away) < MATCH_RADIUS * unit + drift * abs(away)
    agrees &= abs(linear / linear[tried] - 1) < LINEAR_TOLERANCE
    return np.asarray(matches[agrees[agrees.sum(1).argmax()]])


def _fits(first: Fingerprint, second: Fingerprint, agreeing: Indices) -> Iterator[Similarity]:
    """Yield the similarity that fits best, and the best of those that only shift and turn by multiples of 90 degrees.

    Most scenes lie so, and a shift is measured far better by few points than a similarity.
    """
    p, q = _positions(first)[agreeing[:, 0]], _positions(second)[agreeing[:, 1]]
    fitted = _fit(p, q)
    if fitted is None:
        return
    upright = 1j ** round(np.angle(fitted.linear) / (np.pi / 2))
    shifts = p - upright * q
    for start in (fitted, Similarity(upright, complex(np.median(shifts.real), np.median(shifts.imag)))):
        if refined := _refined(first, second, start, is_upright=start is not fitted):
            yield refined


def _refined(first: Fingerprint, second: Fingerprint, similarity: Similarity, is_upright: bool) -> Similarity | None:
    """Fit the similarity to all like points that it brings near each other; with ``is_upright`` its shift alone.

    None where they tell of no likely scale.
    """
    p, q = _positions(first), _positions(second)
    vectors = _unit([first.descriptors]), _unit([second.descriptors])
    tree = cKDTree(first.points[:, :2])
    for radius in SEARCH_RADII:
        moved = similarity.linear * q + similarity.shift
        reach = radius * max(first.reduction, abs(similarity.linear) * second.reduction)
        _, near = tree.query(np.stack([moved.real, moved.imag], axis=1), NEIGHBOURS, distance_upper_bound=reach)
        j, rank = np.nonzero(near < len(p))  # where there are fewer neighbours the rest is len(p)
        i = near[j, rank]
        alike = abs(_linear(first.points[i], second.points[j]) / similarity.linear - 1) < LINEAR_TOLERANCE
        alike &= ((vectors[0][i] - vectors[1][j]) ** 2).sum(1) < MAX_DISTANCE**2
        i, j = i[alike], j[alike]
        if min(len(np.unique(i)), len(np.unique(j))) < MIN_AGREEING:
            break
        if is_upright:
            similarity = Similarity(similarity.linear, complex(np.mean(p[i] - similarity.linear * q[j])))
        elif fitted := _fit(p[i], q[j]):
            similarity = fitted
        else:
            return None
    return similarity


def _fit(p: Complex, q: Complex) -> Similarity | None:
    """Least squares of ``p = linear * q + shift``; None where no likely scale fits."""
    p_mean, q_mean = p.mean(), q.mean()
    product, square = np.vdot(q - q_mean, p - p_mean), np.vdot(q - q_mean, q - q_mean).real
    if not square / MAX_SCALE < abs(product) < square * MAX_SCALE:
        return None
    linear = product / square
    return Similarity(complex(linear), complex(p_mean - linear * q_mean))


def _positions(scene: Fingerprint) -> Complex:
    return scene.points[:, 0].astype(np.float64) + 1j * scene.points[:, 1]


def _linear(first: NDArray[np.float32], second: NDArray[np.float32]) -> Complex:
    """Return the scale and turn that take the second points to the first ``(N, 4)``."""
    turn = (first[:, 3] - second[:, 3]).astype(np.float64)
    return np.asarray(first[:, 2] / second[:, 2] * np.exp(1j * turn))


def _score(first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64]) -> float:
    """Return the median correlation of the two pictures over the cells of the ground that both show.

    With the median, marks drawn into both images or a cloud in one do not decide.
    """
    scales = [2 * scene.reduction for scene in (first, second)]
    linear = matrix[:, :2] * scales[1] / scales[0]
    # OpenCV counts from the centre of the first pixel
    shift = matrix[:, 2] / scales[0] + linear @ (0.5, 0.5) - 0.5
    size = first.picture.shape[::-1]
    warp = np.column_stack([linear, shift])
    values = cv2.warpAffine(second.picture.astype(np.float32), warp, size)
    is_ground = cv2.warpAffine((second.picture > 0).astype(np.float32), warp, size) > 0.999
    row, column = np.nonzero(is_ground & (first.picture > 0))
    if not len(row):
        return 0.0
    _, cell = np.unique(row // CELL * size[0] + column // CELL, return_inverse=True)
    count = np.bincount(cell)

    def centred(values: NDArray[Any]) -> NDArray[np.float64]:
        chosen = values[row, column].astype(np.float64)
        return chosen - (np.bincount(cell, chosen) / count)[cell]

    x, y = centred(first.picture), centred(values)
    xx, yy, xy = (np.bincount(cell, product) / count for product in (x * x, y * y, x * y))
    tells = (count >= MIN_CELL_AREA) & (np.minimum(xx, yy) >= MIN_CELL_CONTRAST**2)
    if tells.sum() < MIN_CELLS:
        return 0.0
    return float(np.median(xy[tells] / np.sqrt(xx[tells] * yy[tells])))


def _shared(first: shapely.Geometry, second: shapely.Geometry) -> float:
    """Return the area of the intersection over that of the smaller."""
    return float(first.intersection(second).area / min(first.area, second.area))
