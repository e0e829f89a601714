"""Measure how well the audit finds scenes that show the same ground, and print a table.

    python benchmarks/same_ground.py SOURCE --half 1 > docs/same_ground_table.md

The scenes form pairs. In half of the pairs, a strip along one side of the first scene is pasted over the opposite side
of the second. In the others, a rectangle from a corner is pasted over the opposite corner. Both scenes then share one
part. The second scene is changed as the table states. Its brightness and contrast are changed too, and it is compressed
as JPEG of quality 50 to 95. The audit then searches all scenes together. Bare ground is counted separately, because
open water has no features to compare. The thresholds were chosen on the scenes of half 0. The table in
docs/same_ground.md is for half 1.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.fingerprint import Fingerprint, fingerprint
from oil_storage.audit.overlaps import MIN_SCORE, Overlap, connected_groups, find_overlaps
from oil_storage.image_file import SUFFIXES
from oil_storage.imagery import read_pixels
from oil_storage.parallel import in_processes

Image = NDArray[np.uint8]
Change = Callable[[Image, np.random.Generator], tuple[Image, NDArray[np.float64]]]
"""Function that changes a window. It also returns the ``(3, 3)`` matrix from new positions to original positions."""


def unchanged(window: Image, _: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Return the window unchanged."""
    return window, np.eye(3)


def resampled(window: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Change the ground resolution by up to 10 %."""
    side = round(len(window) * rng.uniform(0.9, 1.1))
    method = cv2.INTER_AREA if side < len(window) else cv2.INTER_CUBIC
    scale = len(window) / side
    return cv2.resize(window, (side, side), interpolation=method), np.diag([scale, scale, 1])


def turned(window: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Rotate the window by a multiple of 90 degrees, mirror it, or both, in one of seven ways."""
    way, side = int(rng.integers(1, 8)), len(window)
    mirror = np.array([[-1, 0, side], [0, 1, 0], [0, 0, 1.0]])
    quarter = np.array([[0, -1, side], [1, 0, 0], [0, 0, 1.0]])
    matrix = np.linalg.matrix_power(quarter, way % 4)
    laid = np.rot90(window, way % 4)
    return (laid[:, ::-1], matrix @ mirror) if way >= 4 else (laid, matrix)


def other_day(window: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Add clouds over 30 %, shade and noise; change gamma; rotate by up to 2 degrees; scale by up to 3 %."""
    side = len(window)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-2, 2), rng.uniform(0.97, 1.03))
    shift = turn[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from the centre of the first pixel
    warp = np.column_stack([turn[:, :2], turn[:, 2] + shift])
    seen = cv2.warpAffine(window, warp, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)

    def blotches(number: int) -> NDArray[np.float64]:
        return cv2.resize(rng.normal(size=(number, number)), (side, side), interpolation=cv2.INTER_CUBIC)[..., None]

    height = blotches(8)
    cloud = np.clip((height - np.quantile(height, 0.7)) * 4, 0, 0.9)
    light = (seen * (1 - cloud) + 230 * cloud) * np.clip(1 + 0.25 * blotches(6), 0.4, 1.6)
    light = 255 * np.clip(light / 255, 0, 1) ** rng.uniform(0.6, 1.6) + rng.normal(0, 4, (side, side, 1))
    return np.clip(light, 0, 255).astype(np.uint8), np.linalg.inv(np.vstack([turn, (0, 0, 1)]))


def bent(window: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Change gamma by a factor of 0.5 to 2."""
    levels = 255 * (np.arange(256) / 255) ** 2 ** rng.uniform(-1, 1)
    return levels.astype(np.uint8)[window], np.eye(3)


CASES: list[tuple[Change, float]] = [
    *((unchanged, share) for share in (0.05, 0.08, 0.12, 0.2, 0.5)),
    *((change, share) for change in (bent, resampled, turned, other_day) for share in (0.05, 0.12)),
]
Job = tuple[int, Path, Path, Change, float]

BARE_CONTRAST = 4.0
"""A cell of the common part is bare, such as water, if its standard deviation is below this many grey levels."""
BARE_CELL = 80
"""Side of a cell in pixels."""


@dataclass(frozen=True)
class Pair:
    """Two scenes with a common part.

    Attributes:
        first: fingerprint of the first scene.
        second: fingerprint of the second scene.
        matrix: ``(3, 3)``, maps positions in the second scene to the first.
        is_bare: whether at least nine tenths of the common part are bare.
    """

    first: Fingerprint
    second: Fingerprint
    matrix: NDArray[np.float64]
    is_bare: bool


def jpeg(image: Image, quality: int) -> Image:
    """Compress an image as JPEG and decode it again."""
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def make_pair(job: Job) -> Pair:
    """Paste a part of one scene into another."""
    number, path, other_path, change, share = job
    rng = np.random.default_rng([number, CASES.index((change, share))])
    first, second = read_pixels(path), read_pixels(other_path).copy()
    side = min(first.shape[:2] + second.shape[:2])
    first, second = first[:side, :side], second[:side, :side]
    # half of the parts are strips along a whole side, the others are corners of any shape
    long = 1.0 if rng.random() < 0.5 else share ** rng.uniform(0, 1)
    size = np.round(side * rng.permutation([long, share / long])).astype(int)  # x, y
    is_far = rng.random(2) < 0.5  # right, bottom
    (ax, ay), (bx, by) = np.where(is_far, side - size, 0), np.where(is_far, 0, side - size)
    common = first[ay : ay + size[1], ax : ax + size[0]]
    second[by : by + size[1], bx : bx + size[0]] = common
    changed, matrix = change(second, rng)
    changed = (changed.astype(np.float32) - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-25, 25)
    changed = jpeg(np.clip(changed, 0, 255).astype(np.uint8), int(rng.choice([50, 60, 75, 85, 95])))
    matrix[:2, 2] += (ax - bx, ay - by)
    marks = fingerprint(f"{number:03}a", first), fingerprint(f"{number:03}b", changed)
    return Pair(*marks, matrix, is_bare(common))


def is_bare(ground: Image) -> bool:
    """Return whether at least nine tenths of the ground have no detail."""
    grey = ground.mean(axis=2)
    cells = [
        grey[y : y + BARE_CELL, x : x + BARE_CELL].std()
        for y in range(0, len(grey), BARE_CELL)
        for x in range(0, grey.shape[1], BARE_CELL)
    ]
    return bool(np.mean(np.array(cells) < BARE_CONTRAST) >= 0.9)


def row(paths: Sequence[Path], change: Change, share: float) -> str:
    """Return a row of the table. Each scene is the first of one pair and the second of another."""
    half = len(paths) // 2
    pairs: list[Pair] = []
    overlaps: list[Overlap] = []
    for firsts, seconds in ((range(half), range(half, 2 * half)), (range(half, 2 * half), range(half))):
        jobs: list[Job] = [(i, paths[i], paths[j], change, share) for i, j in zip(firsts, seconds, strict=True)]
        made = list(in_processes(make_pair, jobs, change.__name__, "scene"))
        overlaps += find_overlaps([mark for pair in made for mark in (pair.first, pair.second)], min_score=-1)
        pairs += made
    right = {overlap.first[:3]: overlap for overlap in overlaps if overlap.first[:3] == overlap.second[:3]}
    wrong = [overlap.score for overlap in overlaps if overlap.first[:3] != overlap.second[:3]]
    found = {name: overlap for name, overlap in right.items() if overlap.score >= MIN_SCORE}
    bare = {pair.first.scene_id[:3] for pair in pairs if pair.is_bare}
    errors = []
    for pair in pairs:
        overlap = found.get(pair.first.scene_id[:3])
        if overlap and overlap.matrix is not None:
            width, height = pair.second.width, pair.second.height
            corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)])
            errors.append(np.abs(corners @ (overlap.matrix - pair.matrix[:2]).T).max())
    scores = [overlap.score for overlap in found.values()]
    return (
        f"| {change.__name__.replace('_', ' ')} | {share:.0%} | {len(found.keys() - bare)} of {len(pairs) - len(bare)} "
        f"| {len(found.keys() & bare)} of {len(bare)} | {min(scores):.2f} | {np.median(scores):.2f} "
        f"| {sum(score >= MIN_SCORE for score in wrong)} | {max(wrong, default=0):.2f} | {np.median(errors):.1f} |"
    )


def whole(path: Path) -> Fingerprint:
    """Return the fingerprint of a whole scene."""
    return fingerprint(path.stem, read_pixels(path))


def main() -> int:
    """Print the scenes that show the same ground, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of images")
    parser.add_argument("--half", type=int, choices=(0, 1), default=1, help="half of the scenes to use (default: 1)")
    args = parser.parse_args()
    paths = {path.stem: path for path in sorted(args.source.iterdir()) if path.suffix.lower() in SUFFIXES}
    candidates = find_overlaps(list(in_processes(whole, list(paths.values()), "scenes", "scene")), min_score=-1)
    overlaps = [overlap for overlap in candidates if overlap.score >= MIN_SCORE]
    print(f"{len(paths)} scenes. Highest score below the threshold of {MIN_SCORE}: ", end="")
    print(f"{max(overlap.score for overlap in candidates if overlap not in overlaps):.3f}. Same ground:\n")
    for one in overlaps:
        print(f"- {one.first} and {one.second}: shared {one.shared:.1%}, score {one.score:.3f}")
    # keep one scene of each group that shows the same ground
    apart = [paths[group[0]] for group in connected_groups(overlaps, paths)][args.half :: 2]
    print("\n| second scene | shared | found | found of bare | lowest score | median | false pairs ", end="")
    print("| highest score of others | error at corners, px |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for change, share in CASES:
        print(row(apart, change, share), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
