"""A detector of blobs, tuned on the very scenes it is scored on, must not suffice: the scenes are no toy."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.ndimage import gaussian_laplace, maximum_filter

from oil_storage.preparation.synthetic.rendering import render_scene

SIGMAS = np.geomspace(1.4, 34.0, 12)  # a disc of radius r answers most at sigma = r / sqrt(2)
KEPT = 1000  # strongest blobs of a scene


def laplacians(grey: np.ndarray) -> np.ndarray:
    """Scale-normalised Laplacian of Gaussian (sigma, y, x) of a grey image."""
    return np.stack([sigma**2 * gaussian_laplace(grey, sigma, truncate=3.0) for sigma in SIGMAS])


def find_blobs(response: np.ndarray, signs: tuple[int, ...]) -> np.ndarray:
    """Extrema over place and scale: rows (x, y, sigma, strength), strongest first."""
    blobs = []
    for sign in signs:
        signed = sign * response
        level, y, x = np.nonzero((signed == maximum_filter(signed, size=3)) & (signed > 0.01))
        blobs.append(np.stack([x + 0.5, y + 0.5, SIGMAS[level], signed[level, y, x]], axis=1))
    found = np.concatenate(blobs)
    return found[np.argsort(-found[:, 3])][:KEPT]


def suppress(boxes: np.ndarray, limit: float) -> list[int]:
    """Greedy NMS of boxes (n, 4) xyxy, strongest first; returns the indices kept."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    alive, kept = np.ones(len(boxes), bool), []
    for k, box in enumerate(boxes):
        if alive[k]:
            kept.append(k)
            size = (np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])).clip(0)
            overlap = size.prod(axis=1)
            alive &= overlap <= limit * (area + area[k] - overlap)
    return kept


def xywh(box: np.ndarray) -> list[float]:
    return [float(v) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])]


def ap50(truth: list[np.ndarray], found: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """AP at IoU 0.5 of boxes xyxy and scores per scene, by pycocotools with room for KEPT detections."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": k} for k in range(len(truth))],
            "categories": [{"id": 1}],
            "annotations": [
                {"image_id": k, "category_id": 1, "bbox": xywh(box), "area": xywh(box)[2] * xywh(box)[3], "iscrowd": 0}
                for k, boxes in enumerate(truth)
                for box in boxes
            ],
        }
        for number, annotation in enumerate(coco.dataset["annotations"], 1):
            annotation["id"] = number
        coco.createIndex()
        results = [
            {"image_id": k, "category_id": 1, "bbox": xywh(box), "score": float(score)}
            for k, (boxes, scores) in enumerate(found)
            for box, score in zip(boxes, scores, strict=True)
        ]
        scoring = COCOeval(coco, coco.loadRes(results), "bbox")
        scoring.params.iouThrs = np.array([0.5])
        scoring.params.areaRng, scoring.params.areaRngLbl = [[0, 1e10]], ["all"]
        scoring.params.maxDets = [KEPT]
        scoring.evaluate()
        scoring.accumulate()
    return float(scoring.eval["precision"].mean())


def tuned_blob_ap50(scenes: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The best AP50 over polarities, box sizes per sigma and NMS limits."""
    scores = []
    responses = [laplacians(grey.astype(np.float32)) for grey, _ in scenes]
    for signs in ((-1,), (1,), (-1, 1)):  # light discs, dark discs, both
        blobs = [find_blobs(response, signs) for response in responses]
        for radius in (1.2, 1.4, 1.6, 1.8):
            for limit in (0.1, 0.4):
                found = []
                for b in blobs:
                    half = radius * b[:, 2:3]
                    boxes = np.concatenate([b[:, :2] - half, b[:, :2] + half], axis=1)
                    kept = suppress(boxes, limit)
                    found.append((boxes[kept], b[kept, 3]))
                scores.append(ap50([boxes for _, boxes in scenes], found))
    return max(scores)


def test_the_detector_finds_discs_on_plain_ground():
    """The yardstick works: on a toy it is nearly perfect."""
    rng = np.random.default_rng(0)
    y, x = np.indices((320, 320)) + 0.5
    grey, boxes = 0.4 + rng.normal(0, 0.01, (320, 320)), []
    for row in range(4):
        for column in range(4):
            cx, cy, radius = 40 + 80 * column + rng.random(), 40 + 80 * row + rng.random(), rng.uniform(4, 24)
            grey = np.where(np.hypot(x - cx, y - cy) < radius, 0.8, grey)
            boxes.append([cx - radius, cy - radius, cx + radius, cy + radius])
    assert tuned_blob_ap50([(grey, np.array(boxes))]) > 0.9


def test_blobs_do_not_suffice_on_synthetic_scenes():
    scenes = []
    for index in range(6):
        image, boxes = render_scene(0, index, 640)
        scenes.append((image.astype(float).mean(axis=2) / 255, np.array(boxes, float)))
    assert 0.05 < tuned_blob_ap50(scenes) < 0.5
