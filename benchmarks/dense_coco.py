"""Compare our scoring of dense tiles with pycocotools, in time and in all figures.

    python benchmarks/dense_coco.py --tiles 325 --detections 1000

The detections are synthetic. Most of them match an object with a small error, and the others are noise with low scores.
Many scores are equal.
"""

import argparse
import contextlib
import io
import sys
import time
from typing import Any

import numpy as np

SIDE = 640


def made_up(tiles: int, detections: int, seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Make ground truth with up to 60 objects per tile, and the given number of detections per tile."""
    from oil_storage.coco import CocoFile, CocoImage

    rng = np.random.default_rng(seed)

    def boxes(number: int) -> np.ndarray:
        corners = rng.uniform(0, SIDE - 60, (number, 2))
        return np.hstack([corners, corners + np.exp(rng.normal(2.8, 0.5, (number, 1)))])

    truth = [boxes(rng.integers(0, 60)) for _ in range(tiles)]
    found = []
    for image_id, objects in enumerate(truth, start=1):
        right = objects + rng.normal(0, 0.08, objects.shape) * (objects[:, 2:3] - objects[:, :1])
        noise = boxes(detections - len(right))
        scores = np.concatenate([rng.beta(4, 2, len(right)), rng.beta(1, 4, len(noise))]).round(3)
        for (x1, y1, x2, y2), score in zip(np.concatenate([right, noise]).tolist(), scores.tolist(), strict=True):
            found.append({"image_id": image_id, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score})
    images = [CocoImage(number, f"{number}.png", SIDE, SIDE) for number in range(1, tiles + 1)]
    return CocoFile.of_boxes(images, [objects.astype(np.float32) for objects in truth]).to_dict(), found


def by_pycocotools(truth: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, float]:
    """Compute the figures of :func:`oil_storage.evaluation.dense_coco.score` with pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from oil_storage.evaluation.dense_coco import AREAS, BINS, MAX_DETECTIONS

    areas = {"all": (0.0, 1e10), **AREAS, **BINS}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        # matching depends on the order of equal scores, so sort them by position as our scoring does
        ordered = sorted(found, key=lambda one: (one["image_id"], -one["score"], one["bbox"]))
        evaluation = COCOeval(coco, coco.loadRes([dict(one) for one in ordered]), "bbox")
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng = [[lower, min(upper, 1e10)] for lower, upper in areas.values()]
        evaluation.params.areaRngLbl = list(areas)
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"][..., 0], evaluation.eval["recall"][..., 0]

    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else float("nan")

    named = {f"mAP_{name}": mean(precision[..., place]) for place, name in enumerate(areas) if name != "all"}
    return {
        "mAP": mean(precision[..., 0]),
        "mAP_50": mean(precision[0, ..., 0]),
        "mAP_75": mean(precision[5, ..., 0]),
        **named,
        "AR": mean(recall[..., 0]),
    }


def main() -> int:
    """Run the comparison. Return exit status 1 if a figure differs by more than 1e-6."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=325, help="number of tiles (default: %(default)s)")
    parser.add_argument("--detections", type=int, default=1000, help="detections per tile (default: %(default)s)")
    args = parser.parse_args()
    from oil_storage.evaluation.dense_coco import score

    truth, found = made_up(args.tiles, args.detections)
    start = time.perf_counter()
    ours = score(truth, found)
    middle = time.perf_counter()
    theirs = by_pycocotools(truth, found)
    end = time.perf_counter()
    worst = max(abs(ours[name] - value) for name, value in theirs.items() if not np.isnan(value))
    ours_s, theirs_s = middle - start, end - middle
    print(f"{args.tiles} tiles of {args.detections} detections: ours {ours_s:.1f} s, pycocotools {theirs_s:.1f} s")
    print(f"{theirs_s / ours_s:.1f} times as fast; figures differ by {worst:.1e} at most")
    return int(worst > 1e-6 or theirs.keys() != ours.keys())


if __name__ == "__main__":
    sys.exit(main())
