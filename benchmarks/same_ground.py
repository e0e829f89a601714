"""How well common ground is recognised: cuts overlapping windows from every other scene and prints what is found.

    python benchmarks/same_ground.py SOURCE --half 1 > docs/same_ground_table.md

Both windows of a scene have half its side, a JPEG quality of 50 to 95 each, and the second another brightness and
contrast; then it is changed as the table says. One window pair of each scene is sought among those of all others.
Thresholds were fixed on the scenes of half 0; the table of docs/same_ground.md is that of half 1.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.imagery import SUFFIXES, read_pixels
from oil_storage.parallel import in_processes
from oil_storage.preparation.fingerprint import SceneFingerprint, fingerprint
from oil_storage.preparation.same_ground import MIN_SCORE, find_same_ground, groups

Image = NDArray[np.uint8]
Change = Callable[[Image, np.random.Generator], tuple[Image, NDArray[np.float64]]]
"""Returns the changed window and the ``(3, 3)`` matrix that takes its positions to those in the window as it was."""


def unchanged(window: Image, _: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Nothing but quality, brightness and contrast."""
    return window, np.eye(3)


def resampled(window: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Another ground resolution, by up to 10 %."""
    side = round(len(window) * rng.uniform(0.9, 1.1))
    method = cv2.INTER_AREA if side < len(window) else cv2.INTER_CUBIC
    scale = len(window) / side
    return cv2.resize(window, (side, side), interpolation=method), np.diag([scale, scale, 1])


def turned(window: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """One of the seven other ways to lay it down."""
    way, side = int(rng.integers(1, 8)), len(window)
    mirror = np.array([[-1, 0, side], [0, 1, 0], [0, 0, 1.0]])
    quarter = np.array([[0, -1, side], [1, 0, 0], [0, 0, 1.0]])
    matrix = np.linalg.matrix_power(quarter, way % 4)
    laid = np.rot90(window, way % 4)
    return (laid[:, ::-1], matrix @ mirror) if way >= 4 else (laid, matrix)


def other_day(window: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Clouds over 30 %, shade, noise, another gamma, turned by up to 2 degrees, scaled by up to 3 %."""
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


CASES: list[tuple[Change, float]] = [
    *((unchanged, share) for share in (0.05, 0.1, 0.2, 0.5)),
    *((resampled, share) for share in (0.05, 0.1, 0.2)),
    *((turned, share) for share in (0.05, 0.1, 0.2)),
    *((other_day, share) for share in (0.05, 0.1, 0.2)),
]
Job = tuple[int, Path, Change, float]


def jpeg(image: Image, quality: int) -> Image:
    """Through a JPEG file and back."""
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def cut(job: Job) -> tuple[SceneFingerprint, SceneFingerprint, NDArray[np.float64]]:
    """Two windows of a scene, ``a`` and ``b``, that share so much; and the matrix from ``b`` to ``a``."""
    number, path, change, share = job
    rng = np.random.default_rng([number, CASES.index((change, share))])
    pixels = read_pixels(path)
    side = min(pixels.shape[:2]) // 2
    # half of them strips along a whole side, half of them corners of any shape
    long = 1.0 if rng.random() < 0.5 else share ** rng.uniform(0, 1)
    away = np.round(side * (1 - rng.permutation([long, share / long]))).astype(int)  # x, y
    low = [int(rng.integers(0, size - side - move + 1)) for size, move in zip(pixels.shape[1::-1], away, strict=True)]
    ends = np.array([low, low + away]).T  # of x, of y
    for axis in ends:
        rng.shuffle(axis)
    (ax, ay), (bx, by) = ends.T
    a, b = (pixels[y : y + side, x : x + side] for x, y in ((ax, ay), (bx, by)))
    changed, matrix = change(b, rng)
    changed = (changed.astype(np.float32) - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-25, 25)
    changed = np.clip(changed, 0, 255).astype(np.uint8)
    qualities = rng.choice([50, 60, 75, 85, 95], 2).tolist()
    marks = [
        fingerprint(f"{number:03}{name}", jpeg(image, quality))
        for name, image, quality in zip("ab", (a, changed), qualities, strict=True)
    ]
    matrix[:2, 2] += (bx - ax, by - ay)
    return marks[0], marks[1], matrix


def row(paths: Sequence[Path], change: Change, share: float) -> str:
    """A line of the table."""
    jobs: list[Job] = [(number, path, change, share) for number, path in enumerate(paths)]
    cases = list(in_processes(cut, jobs, change.__name__, "scene"))
    overlaps = find_same_ground([mark for case in cases for mark in case[:2]], min_score=-1)
    right = {overlap.first[:3]: overlap for overlap in overlaps if overlap.first[:3] == overlap.second[:3]}
    wrong = [overlap.score for overlap in overlaps if overlap.first[:3] != overlap.second[:3]]
    errors = []
    for number, (_, b, matrix) in enumerate(cases):
        overlap = right.get(f"{number:03}")
        if overlap and overlap.matrix is not None and overlap.score >= MIN_SCORE:
            corners = np.array([(0, 0, 1), (b.width, 0, 1), (b.width, b.height, 1), (0, b.height, 1)])
            errors.append(np.abs(corners @ (overlap.matrix - matrix[:2]).T).max())
    scores = sorted(overlap.score for overlap in right.values() if overlap.score >= MIN_SCORE)
    false = sum(score >= MIN_SCORE for score in wrong)
    return (
        f"| {change.__name__.replace('_', ' ')} | {share:.0%} | {len(scores)} of {len(cases)} | {scores[0]:.2f} "
        f"| {np.median(scores):.2f} | {false} | {max(wrong, default=0):.2f} "
        f"| {np.median(errors):.1f} | {np.quantile(errors, 0.9):.1f} |"
    )


def whole(path: Path) -> SceneFingerprint:
    """The fingerprint of a whole scene."""
    return fingerprint(path.stem, read_pixels(path))


def main() -> int:
    """Print what the scenes share, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of images")
    parser.add_argument("--half", type=int, choices=(0, 1), default=1, help="0: thresholds were fixed on it")
    args = parser.parse_args()
    paths = {path.stem: path for path in sorted(args.source.iterdir()) if path.suffix.lower() in SUFFIXES}
    candidates = find_same_ground(list(in_processes(whole, list(paths.values()), "scenes", "scene")), min_score=-1)
    overlaps = [overlap for overlap in candidates if overlap.score >= MIN_SCORE]
    print(f"{len(paths)} scenes. Highest score below the threshold of {MIN_SCORE}: ", end="")
    print(f"{max(overlap.score for overlap in candidates if overlap not in overlaps):.3f}. Same ground:\n")
    for one in overlaps:
        print(f"- {one.first} and {one.second}: offset {one.offset}, shared {one.shared:.1%}, score {one.score:.3f}")
    apart = [paths[group[0]] for group in groups(overlaps, paths)][args.half :: 2]
    print("\n| second window | shared | found | lowest score | median | false pairs | highest score of others ", end="")
    print("| error at corners, px: median | 90 % |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for change, share in CASES:
        print(row(apart, change, share), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
