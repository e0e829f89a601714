import contextlib
import io
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from oil_storage.evaluation.dense_coco import AREAS, BINS, MAX_DETECTIONS, score


def ground_truth(per_image: list[int], seed: int = 0) -> COCO:
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    for image_id, number in enumerate(per_image, start=1):
        for cell in rng.choice(40 * 40, number, replace=False):
            side = float(rng.uniform(4, 15)) if rng.random() < 0.9 else 15.0
            bbox = [float(cell % 40) * 16, float(cell // 40) * 16, side, side]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": bbox,
                    "area": side**2,
                    "iscrowd": 0,
                }
            )
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i + 1, "width": 640, "height": 640} for i in range(len(per_image))],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "oil-storage-tank"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def perfect(coco: COCO) -> list[dict[str, Any]]:
    return [
        {**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": 0.9} for a in coco.dataset["annotations"]
    ]


@pytest.mark.parametrize("per_image", [[1], [5, 0, 30], [300], [1000, 2]])
def test_perfect_predictions_score_one_at_any_density(per_image: list[int]) -> None:
    coco = ground_truth(per_image)
    figures = score(coco.dataset, perfect(coco))
    assert [figures[name] for name in ("mAP", "mAP_50", "mAP_75", "mAP_s", "AR")] == pytest.approx([1.0] * 5)
    assert np.isnan(figures["mAP_l"])


def test_no_detections_score_zero() -> None:
    assert score(ground_truth([3, 4]).dataset, [])["mAP"] == 0.0


def test_limit_of_detections_is_2000() -> None:
    assert MAX_DETECTIONS == 2000
    coco = ground_truth([10])
    noise = [{"image_id": 1, "category_id": 1, "bbox": [700.0, 700.0, 5.0, 5.0], "score": 0.99}] * MAX_DETECTIONS
    assert score(coco.dataset, noise[:-10] + perfect(coco))["mAP_50"] > 0
    assert score(coco.dataset, noise + perfect(coco))["mAP_50"] == 0


def noisy(coco: COCO, seed: int = 1) -> list[dict[str, Any]]:
    """Return noisy detections with duplicates and false positives; many scores are equal."""
    rng = np.random.default_rng(seed)
    detections = [
        {**box, "bbox": [value + rng.normal(0, 0.8) for value in box["bbox"]], "score": round(float(rng.random()), 2)}
        for box in perfect(coco)
        for _ in range(rng.choice([0, 1, 1, 1, 2]))
    ]
    return [*detections, *({**box, "image_id": 2, "score": round(float(rng.random()), 2)} for box in detections[:9])]


def by_pycocotools(coco: COCO, detections: list[dict[str, Any]], areas: dict[str, tuple[float, float]]) -> COCOeval:
    # its matching depends on the order of equal scores; score() orders them by position
    ordered = sorted(detections, key=lambda one: (one["image_id"], -one["score"], one["bbox"]))
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCOeval(coco, coco.loadRes(ordered), "bbox")
        theirs.params.maxDets = [1, 10, 100]
        theirs.params.areaRng = [[0, 1e10], *([lower, min(upper, 1e10)] for lower, upper in areas.values())]
        theirs.params.areaRngLbl = ["all", *areas]
        theirs.evaluate()
        theirs.accumulate()
    return theirs


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_pycocotools_below_its_limit(seed: int) -> None:
    coco = ground_truth([40, 0, 60, 3], seed)
    detections = noisy(coco, seed)
    areas = {**AREAS, **BINS}
    theirs = by_pycocotools(coco, detections, areas)
    figures = score(coco.dataset, detections)

    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else float("nan")

    precision = theirs.eval["precision"][..., -1]
    assert figures["mAP"] == pytest.approx(mean(precision[..., 0]), abs=1e-9)
    assert figures["mAP_50"] == pytest.approx(mean(precision[0, ..., 0]), abs=1e-9)
    assert figures["mAP_75"] == pytest.approx(mean(precision[5, ..., 0]), abs=1e-9)
    for index, name in enumerate(areas, start=1):
        assert figures[f"mAP_{name}"] == pytest.approx(mean(precision[..., index]), abs=1e-9, nan_ok=True)
    assert figures["AR"] == pytest.approx(mean(theirs.eval["recall"][..., 0, -1]), abs=1e-9)
    assert 0.05 < figures["mAP"] < 0.95
    assert not np.isnan(figures["mAP_8_16"])


def test_metrics_do_not_depend_on_the_order_of_detections() -> None:
    coco = ground_truth([40, 0, 60, 3])
    detections = noisy(coco)
    before = score(coco.dataset, detections)
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(len(detections))
        assert score(coco.dataset, [detections[i] for i in shuffled]) == pytest.approx(before, abs=0, nan_ok=True)


def test_score_does_not_change_its_arguments() -> None:
    coco = ground_truth([3])
    detections = perfect(coco)
    dataset, given = json.dumps(coco.dataset), json.dumps(detections)
    score(coco.dataset, detections)
    assert (json.dumps(coco.dataset), json.dumps(detections)) == (dataset, given)


def test_size_bins_are_contiguous() -> None:
    assert list(BINS) == ["under_8", "8_16", "16_32", "32_64", "from_64"]
    limits = list(BINS.values())
    assert limits[0][0] == 0
    assert limits[-1][1] == np.inf
    assert all(before[1] == after[0] for before, after in pairwise(limits))


def test_false_positive_of_any_size_counts() -> None:
    coco = ground_truth([3])
    for side in (50.0, 2e5, 1e9):
        large = {"image_id": 1, "category_id": 1, "bbox": [0.0, 0.0, side, side], "score": 0.99}
        assert score(coco.dataset, [large, *perfect(coco)])["mAP_50"] == pytest.approx(0.75, abs=0.01)
