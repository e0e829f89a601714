"""Find scenes that show the same ground, because they must be in the same split."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

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
"""Minimum score of an overlap. Unrelated scenes score up to 0.1, or up to 0.33 if a side has only 192 px."""
MIN_SHARED = 0.02
"""Minimum shared area, as a fraction of the smaller scene. The score of a smaller area is not reliable."""
MIN_SHARED_COORDINATES = 0.001
"""Minimum shared area of two footprints, as a fraction of the smaller one. Rounding errors cause smaller overlaps."""

DIMENSIONS = 32
"""Number of principal components to which descriptors are reduced for the search among all scenes."""
TREES = 4
LEAVES = 48
"""Number of points that each search in the k-d trees visits."""
NEIGHBOURS = 4
"""Number of neighbours per point, including the point itself."""
MAX_DISTANCE = 0.75
"""Maximum distance of matching descriptors, which have unit length. Unrelated descriptors are about 1 apart."""

MIN_AGREEING = 4
"""Minimum number of matches that must agree on a similarity transform before the pictures are compared."""
MAX_SCALE = 5.0
MAX_TRIED = 200
"""Maximum number of similarity transforms per pair of scenes. Each comes from one match and is tested on all others."""
LINEAR_TOLERANCE = 0.4
"""Maximum relative difference of two complex factors (scale and rotation). SIFT measures both only coarsely."""
DRIFT = 0.15
"""Tolerance of a position that is predicted from another match, as a fraction of the distance to that match."""
MATCH_RADIUS = 3
"""Tolerance of a position in addition to :data:`DRIFT`, in pixels of the coarser of the two downsampled scenes."""
MIN_UPRIGHT = 2
"""Minimum number of agreeing matches if the scale is 1 and the rotation is a multiple of 90 degrees.

Most overlapping scenes are related in this way, and few unrelated scenes have such matches.
"""
UPRIGHT_TOLERANCE = 0.2
"""Like :data:`LINEAR_TOLERANCE`, for the matches of :data:`MIN_UPRIGHT`."""
UPRIGHT_DRIFT = 0.06
"""Like :data:`DRIFT`, for the matches of :data:`MIN_UPRIGHT`."""
MIN_FOUND_AGAIN = 0.03
"""Minimum number of matches of the first round of the refinement, as a fraction of the points in the common area of the
scene that has fewer there. About a third of the points of shared ground are found again."""
SEARCH_RADII = (6, 4, 2, 2)
"""Search radius in each round of the refinement, in pixels of the coarser of the two downsampled scenes."""

CELL = 20
"""Side of the grid cells in which two pictures are compared, in pixels of the picture."""
MIN_CELL_AREA = 100
"""Minimum number of pixels in a cell that show ground in both pictures."""
MIN_CELL_CONTRAST = 4.0
"""Minimum standard deviation of the pixels in a cell, in grey levels."""
MIN_CELLS = 3

OUTLINE_POINTS = 16
"""Number of points per side of a footprint, because a straight side may be curved in another coordinate system."""
EARTH = "EPSG:4326"


@dataclass(frozen=True, eq=False)
class Overlap:
    """Two scenes that show the same ground.

    Attributes:
        first: id of the first scene.
        second: id of the second scene, which sorts after the first.
        shared: shared area, as a fraction of the smaller scene.
        score: similarity of the two pictures, from 0 to 1. It is 1 if the overlap was found from coordinates.
        matrix: ``(2, 3)`` affine map from pixel positions in the second scene to pixel positions in the first. It is
            None if the overlap was found from coordinates.
    """

    first: str
    second: str
    shared: float
    score: float = 1.0
    matrix: NDArray[np.float64] | None = None


Similarity = tuple[complex, complex]
"""``(linear, shift)`` of a similarity transform ``p -> linear * p + shift`` of complex positions ``p = x + iy``."""


def find_overlaps(fingerprints: Sequence[Fingerprint], min_score: float = MIN_SCORE) -> list[Overlap]:
    """Find the pairs of scenes whose pixels show the same ground; pairs are sorted by scene id.

    The two scenes may differ by a shift, rotation, reflection and scale. The run time is O(n log n) for n scenes, plus
    0.4 ms for each pair of scenes.
    """
    scenes = sorted(fingerprints, key=lambda scene: scene.scene_id)
    mirrored = [scene.mirrored() for scene in scenes]
    offsets = np.cumsum([0] + [len(scene.points) for scene in scenes])
    if offsets[-1] < 2 * NEIGHBOURS:
        return []
    search = _Search(_unit([scene.descriptors for scene in scenes]))
    overlaps: dict[tuple[int, int], Overlap] = {}
    for seconds in (scenes, mirrored):
        matches = search.matches(_unit([scene.descriptors for scene in seconds]))
        for i, j, points in _by_pair(matches, offsets):
            best_score = overlaps[i, j].score if (i, j) in overlaps else min_score
            if overlap := _overlap(scenes[i], seconds[j], points, seconds is mirrored, best_score):
                overlaps[i, j] = overlap
    return [overlaps[pair] for pair in sorted(overlaps)]


def footprints(scenes: Iterable[Scene]) -> dict[str, shapely.Geometry]:
    """Return the outline of each scene as a polygon in longitude and latitude, by scene id.

    Scenes without a coordinate reference system are left out, because their coordinates cannot be compared.
    """
    from rasterio.warp import transform

    areas = {}
    for scene in scenes:
        georeference, side = scene.georeference, max(scene.width, scene.height)
        if georeference and georeference.crs:
            frame = shapely.segmentize(shapely.box(0, 0, scene.width, scene.height), side / OUTLINE_POINTS)
            outline = shapely.get_coordinates(shapely.transform(frame, georeference.to_world))
            area = shapely.Polygon(np.column_stack(transform(georeference.crs, EARTH, *outline.T)))
            if np.isfinite(area.bounds).all():
                areas[scene.scene_id] = area
    return areas


def overlaps_from_coordinates(footprints: Mapping[str, shapely.Geometry]) -> list[Overlap]:
    """Find all pairs of scenes whose footprints overlap; pairs are sorted by scene id."""
    scene_ids = sorted(footprints)
    areas = np.array([footprints[scene_id] for scene_id in scene_ids], dtype=object)
    pairs = shapely.STRtree(areas).query(areas, predicate="intersects").T.tolist()
    overlaps = [Overlap(scene_ids[i], scene_ids[j], _shared(areas[i], areas[j])) for i, j in sorted(pairs) if i < j]
    return [overlap for overlap in overlaps if overlap.shared >= MIN_SHARED_COORDINATES]


def connected_groups(overlaps: Iterable[Overlap], scene_ids: Iterable[str]) -> list[list[str]]:
    """Group scenes that overlap directly or through other scenes.

    Each scene belongs to exactly one group. Groups and the scenes in them are sorted.
    """
    names = sorted(scene_ids)
    index = {name: number for number, name in enumerate(names)}
    edges = np.array([(index[overlap.first], index[overlap.second]) for overlap in overlaps], int).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(len(names), len(names)))
    groups: dict[int, list[str]] = {}
    for name, label in zip(names, connected_components(graph, directed=False)[1], strict=True):
        groups.setdefault(label, []).append(name)
    return list(groups.values())


class _Search:
    """Nearest-neighbour search among the points of all scenes."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        sample = vectors[:: len(vectors) // 20_000 + 1]
        self._axes = cv2.PCACompute(sample, None, maxComponents=DIMENSIONS)
        self._vectors = cv2.PCAProject(vectors, *self._axes)  # the index refers to this array
        cv2.setRNGSeed(0)  # makes the trees reproducible
        self._index = cv2.flann.Index(self._vectors, {"algorithm": 1, "trees": TREES})

    def matches(self, queries: NDArray[np.float32]) -> Indices:
        """Return ``(M, 2)`` pairs of a query index and a neighbour index, nearest first."""
        nearest = partial(self._index.knnSearch, knn=NEIGHBOURS, params={"checks": LEAVES})
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:  # OpenCV itself uses one thread
            results = pool.map(nearest, np.array_split(cv2.PCAProject(queries, *self._axes), threads))
            neighbours, distances = map(np.concatenate, zip(*results, strict=True))
        query = np.arange(len(queries)).repeat(NEIGHBOURS)
        order = np.argsort(distances, axis=None, kind="stable")
        order = order[distances.ravel()[order] < MAX_DISTANCE**2]
        return np.asarray(np.stack([query, neighbours.ravel()], axis=1)[order])


def _unit(descriptors: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Convert SIFT to RootSIFT descriptors (Arandjelović and Zisserman, 2012), which are matched more reliably."""
    values = np.concatenate(descriptors).astype(np.float32)
    return np.asarray(np.sqrt(values / np.maximum(values.sum(1, keepdims=True), 1)))


def _by_pair(matches: Indices, offsets: Indices) -> Iterator[tuple[int, int, Indices]]:
    """Yield ``i, j, points`` for each pair of scenes ``i < j`` with at least :data:`MIN_UPRIGHT` matches.

    ``points`` ``(M, 2)`` contains the index of a point of scene ``i`` and the index of the matching point of scene
    ``j``. Each point occurs at most once.
    """
    matches = np.sort(matches, axis=1)  # a match holds in both directions
    scene_of = np.searchsorted(offsets, matches, side="right") - 1
    number = len(offsets)
    pair = scene_of[:, 0] * number + scene_of[:, 1]
    order = np.argsort(pair, kind="stable")
    pairs, starts = np.unique(pair[order], return_index=True)
    for key, in_pair in zip(pairs, np.split(order, starts[1:]), strict=True):
        i, j = divmod(int(key), number)
        if i == j or len(in_pair) < MIN_UPRIGHT:
            continue
        points = matches[in_pair] - (offsets[i], offsets[j])
        for side in (0, 1):
            points = points[np.sort(np.unique(points[:, side], return_index=True)[1])]
        yield i, j, points


def _overlap(
    first: Fingerprint, second: Fingerprint, matches: Indices, is_mirrored: bool, min_score: float
) -> Overlap | None:
    """Return the overlap with the highest score among the candidate transforms; None if no score is high enough."""
    best = None
    for linear, shift in _candidates(first, second, matches, is_mirrored):
        matrix = np.array([[linear.real, -linear.imag, shift.real], [linear.imag, linear.real, shift.imag]])
        area = affine_transform(shapely.box(0, 0, second.width, second.height), [*matrix[:, :2].ravel(), *matrix[:, 2]])
        shared = _shared(shapely.box(0, 0, first.width, first.height), area)
        if shared < MIN_SHARED:
            continue
        if (score := _score(first, second, matrix)) >= (best.score if best else min_score):
            if is_mirrored:
                matrix = matrix @ np.array([[-1, 0, second.width], [0, 1, 0], [0, 0, 1]])
            best = Overlap(first.scene_id, second.scene_id, shared, score, matrix)
    return best


def _candidates(first: Fingerprint, second: Fingerprint, matches: Indices, is_mirrored: bool) -> Iterator[Similarity]:
    """Yield the similarity transforms on which enough matches agree."""
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
    """Return the largest set of matches that agree with the similarity transform of one of them.

    A single match defines a transform, because each of its points has a position, a scale and a direction.
    """
    if not len(matches):
        return matches
    p, q = _positions(first)[matches[:, 0]], _positions(second)[matches[:, 1]]
    tried = np.arange(0, len(matches), len(matches) // MAX_TRIED + 1)[:, None]
    away = linear[tried] * (q - q[tried])
    unit = np.maximum(first.reduction, abs(linear[tried]) * second.reduction)
    agrees = abs(p - p[tried] - away) < MATCH_RADIUS * unit + drift * abs(away)
    agrees &= abs(linear / linear[tried] - 1) < LINEAR_TOLERANCE
    return np.asarray(matches[agrees[agrees.sum(1).argmax()]])


def _fits(first: Fingerprint, second: Fingerprint, agreeing: Indices) -> Iterator[Similarity]:
    """Yield a similarity transform, and a transform that only shifts and rotates by a multiple of 90 degrees.

    The second transform fits most overlapping scenes. It is also more accurate if only a few points match.
    """
    p, q = _positions(first)[agreeing[:, 0]], _positions(second)[agreeing[:, 1]]
    fitted = _fit(p, q)
    if fitted is None:
        return
    upright = 1j ** round(np.angle(fitted[0]) / (np.pi / 2))
    shifts = p - upright * q
    for start in (fitted, (upright, complex(np.median(shifts.real), np.median(shifts.imag)))):
        if refined := _refined(first, second, start, is_upright=start is not fitted):
            yield refined


def _refined(first: Fingerprint, second: Fingerprint, similarity: Similarity, is_upright: bool) -> Similarity | None:
    """Fit the transform again to all matching points that it maps close to each other.

    If ``is_upright``, fit only the shift. Return None if the fitted scale is implausible, or if few points are found
    again.
    """
    p, q = _positions(first), _positions(second)
    tree = _tree(first)
    for radius in SEARCH_RADII:
        linear, shift = similarity
        moved = linear * q + shift
        reach = radius * max(first.reduction, abs(linear) * second.reduction)
        inside = _inside(first, moved, reach)
        places = np.stack([moved[inside].real, moved[inside].imag], axis=1)
        _, near = tree.query(places, NEIGHBOURS, distance_upper_bound=reach)
        j, rank = np.nonzero(near < len(p))  # len(p) marks a missing neighbour
        i, j = near[j, rank], inside[j]
        matching = abs(_linear(first.points[i], second.points[j]) / linear - 1) < LINEAR_TOLERANCE
        i, j = i[matching], j[matching]
        distance = _unit([first.descriptors[i]]) - _unit([second.descriptors[j]])
        matching = (distance**2).sum(1) < MAX_DISTANCE**2
        i, j = i[matching], j[matching]
        number = min(len(np.unique(i)), len(np.unique(j)))
        if radius == SEARCH_RADII[0]:
            back = _inside(second, (p - shift) / linear, reach / abs(linear))
            if number < MIN_FOUND_AGAIN * min(len(inside), len(back)):
                return None
        if number < MIN_AGREEING:
            break
        fitted = (linear, complex(np.mean(p[i] - linear * q[j]))) if is_upright else _fit(p[i], q[j])
        if fitted is None:
            return None
        similarity = fitted
    return similarity


def _inside(scene: Fingerprint, positions: Complex, margin: float) -> Indices:
    """Return the indices of the positions that are in a scene or up to ``margin`` outside."""
    is_inside = abs(positions.real - scene.width / 2) < scene.width / 2 + margin
    is_inside &= abs(positions.imag - scene.height / 2) < scene.height / 2 + margin
    return np.flatnonzero(is_inside)


@lru_cache(maxsize=1)  # the pairs of a scene follow each other
def _tree(scene: Fingerprint) -> cKDTree:
    return cKDTree(scene.points[:, :2])


def _fit(p: Complex, q: Complex) -> Similarity | None:
    """Fit ``p = linear * q + shift`` by least squares; return None if the scale is implausible."""
    p_mean, q_mean = p.mean(), q.mean()
    product, square = np.vdot(q - q_mean, p - p_mean), np.vdot(q - q_mean, q - q_mean).real
    if not square / MAX_SCALE < abs(product) < square * MAX_SCALE:
        return None
    linear = product / square
    return complex(linear), complex(p_mean - linear * q_mean)


def _positions(scene: Fingerprint) -> Complex:
    return scene.points[:, 0].astype(np.float64) + 1j * scene.points[:, 1]


def _linear(first: NDArray[np.float32], second: NDArray[np.float32]) -> Complex:
    """Return a complex factor ``(N,)`` for each pair of points ``(N, 4)``: the scale and rotation from second to first.

    The columns of the points are those of :attr:`Fingerprint.points`.
    """
    angle = (first[:, 3] - second[:, 3]).astype(np.float64)
    return np.asarray(first[:, 2] / second[:, 2] * np.exp(1j * angle))


def _score(first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64]) -> float:
    """Return the median of the correlation of the two pictures over textured grid cells; 0 if these are too few.

    ``matrix`` maps the second scene to the first. Only pixels that show ground in both pictures are compared. Captions,
    or a cloud in one of the images, hardly affect the median.
    """
    scales = [2 * scene.reduction for scene in (first, second)]
    linear = matrix[:, :2] * scales[1] / scales[0]
    # the origin of OpenCV is the centre of the first pixel
    shift = matrix[:, 2] / scales[0] + linear @ (0.5, 0.5) - 0.5
    warp = np.column_stack([linear, shift])
    rows, columns = (-(-side // CELL) for side in first.picture.shape)
    size = columns * CELL, rows * CELL

    def in_cells(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)

    x = np.zeros(size[::-1], np.uint8)
    x[: first.picture.shape[0], : first.picture.shape[1]] = first.picture
    y = cv2.warpAffine(second.picture, warp, size)
    is_second = cv2.warpAffine((second.picture > 0) * np.uint8(255), warp, size) == 255
    ground = (is_second & (x > 0)).astype(np.float32)
    x, y = (x - np.float32(128)) * ground, (y - np.float32(128)) * ground
    share = in_cells(ground)
    enough = share * CELL**2 >= MIN_CELL_AREA - 0.5
    share = share[enough]
    x_mean, y_mean, xx, yy, xy = (in_cells(values)[enough] / share for values in (x, y, x * x, y * y, x * y))
    xx, yy, xy = xx - x_mean**2, yy - y_mean**2, xy - x_mean * y_mean
    is_textured = np.minimum(xx, yy) >= MIN_CELL_CONTRAST**2
    if is_textured.sum() < MIN_CELLS:
        return 0.0
    return float(np.median(xy[is_textured] / np.sqrt(xx[is_textured] * yy[is_textured])))


def _shared(first: shapely.Geometry, second: shapely.Geometry) -> float:
    """Return the area of the intersection of two areas, as a fraction of the smaller area."""
    return float(first.intersection(second).area / min(first.area, second.area))
