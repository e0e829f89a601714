import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from oil_storage.evaluation.dense_coco import MAX_DETECTIONS, score


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
    figures = score(coco, perfect(coco))
    assert [figures[name] for name in ("mAP", "mAP_50", "mAP_75", "mAP_s", "AR")] == pytest.approx([1.0] * 5)
    assert np.isnan(figures["mAP_l"])


def test_nothing_found_scores_zero() -> None:
    assert score(ground_truth([3, 4]), [])["mAP"] == 0.0


def test_limits_hold() -> None:
    assert MAX_DETECTIONS == 2000
    coco = ground_truth([10])
    noise = [{"image_id": 1, "category_id": 1, "bbox": [700.0, 700.0, 5.0, 5.0], "score": 0.99}] * MAX_DETECTIONS
    assert score(coco, noise[:-10] + perfect(coco))["mAP_50"] > 0
    assert score(coco, noise + perfect(coco))["mAP_50"] == 0


def test_figures_are_those_of_pycocotools_where_its_limit_does_not_bite() -> None:
    rng = np.random.default_rng(1)
    coco = ground_truth([40, 0, 60, 3])
    detections = [
        {**one, "bbox": [value + rng.normal(0, 0.8) for value in one["bbox"]], "score": float(rng.random())}
        for one in perfect(coco)
        if rng.random() < 0.8
    ]
    detections += [{**one, "image_id": 2, "score": float(rng.random())} for one in detections[:9]]
    figures = score(coco, detections)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCOeval(coco, coco.loadRes(detections), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    assert [figures[name] for name in ("mAP", "mAP_50", "mAP_75", "mAP_s")] == pytest.approx(
        theirs.stats[:4].tolist(), abs=1e-9
    )
    assert figures["AR"] == pytest.approx(theirs.stats[8], abs=1e-9)
    assert 0.05 < figures["mAP"] < 0.95
