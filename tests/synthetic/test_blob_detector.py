"""Check that a blob detector, tuned on the scenes that it is evaluated on, cannot solve the synthetic scenes."""

import cv2
import numpy as np
import pytest
from scipy.fft import dctn, idctn
from scipy.ndimage import maximum_filter

from oil_storage.evaluation.curves import average_precision
from oil_storage.evaluation.matching import match
from oil_storage.iou import iou_matrix
from oil_storage.synthetic.rendering import render_scene

SIGMAS = np.geomspace(1.4, 34.0, 16)  # a disc of radius r answers most at sigma = r / sqrt(2)
KEPT = 300  # strongest blobs of a scene, of 60 tanks at most

Scene = tuple[np.ndarray, np.ndarray]  # grey image, boxes (n, 4) xyxy

# What is tuned; the first of each is where tuning starts.
CHOICES = {
    "signs": [(-1,), (1,), (-1, 1)],  # light discs, dark discs, both
    "radius": [1.6, 1.2, 1.4, 1.8, 2.0],  # of the box, in sigmas
    "smallest": [2.0, 1.0, 2.7, 3.6, 5.0],  # sigma
    "largest": [40.0, 20.0, 12.0],  # sigma
    "threshold": [0.01, 0.03, 0.1],
    "power": [0.0, -0.5, 0.5, 1.0],  # of sigma in the score
    "overlap": [0.1, 0.4],  # of NMS
}


def laplacians(grey: np.ndarray) -> np.ndarray:
    """Return the scale-normalised Laplacian of Gaussian (sigma, y, x) of a grey image with mirrored borders."""
    spectrum = dctn(grey, norm="ortho")
    ky, kx = (np.pi * np.arange(n) / n for n in grey.shape)
    squared = ky[:, None] ** 2 + kx**2
    filters = (-(sigma**2) * squared * np.exp(-(sigma**2) * squared / 2) for sigma in SIGMAS)
    return np.stack([idctn(f * spectrum, norm="ortho").astype(np.float32) for f in filters])


def find_blobs(response: np.ndarray) -> np.ndarray:
    """Return the extrema over position and scale as rows (x, y, sigma, strength, sign)."""
    blobs = []
    for sign in (-1, 1):
        signed = sign * response
        level, y, x = np.nonzero((signed == maximum_filter(signed, size=3)) & (signed > min(CHOICES["threshold"])))
        strength = signed[level, y, x]
        blobs.append(np.stack([x + 0.5, y + 0.5, SIGMAS[level], strength, np.full(len(x), sign)], axis=1))
    return np.concatenate(blobs)


def ap50(truth: list[np.ndarray], detections: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Compute the AP at IoU 0.5 from boxes (xyxy) and decreasing scores of each scene."""
    right = [
        match(iou_matrix(boxes, known), scores) >= 0 for known, (boxes, scores) in zip(truth, detections, strict=True)
    ]
    scores = np.concatenate([scores for _, scores in detections])
    return average_precision(scores, np.concatenate(right), sum(map(len, truth)))


def boxes_and_scores(blobs: np.ndarray, chosen: dict) -> tuple[np.ndarray, np.ndarray]:
    sigma, strength = blobs[:, 2], blobs[:, 3]
    fitting = (sigma >= chosen["smallest"]) & (sigma <= chosen["largest"]) & (strength > chosen["threshold"])
    blobs = blobs[fitting & np.isin(blobs[:, 4], chosen["signs"])]
    scores = blobs[:, 3] * blobs[:, 2] ** chosen["power"]
    strongest = np.argsort(-scores)[:KEPT]
    blobs, scores = blobs[strongest], scores[strongest]
    half = chosen["radius"] * blobs[:, 2:3]
    corners = blobs[:, :2] - half
    kept = cv2.dnn.NMSBoxes(np.hstack([corners, 2 * half, 2 * half]), scores, 0.0, chosen["overlap"])
    boxes = np.hstack([corners, corners + 2 * half]).astype(np.float32)
    return boxes[kept], scores[kept].astype(np.float32)


def tuned_blob_ap50(scenes: list[Scene]) -> float:
    """Return the best AP50 on the scenes after two rounds of tuning one parameter at a time."""
    truth, blobs = [boxes for _, boxes in scenes], [find_blobs(laplacians(grey)) for grey, _ in scenes]
    chosen, best = {name: values[0] for name, values in CHOICES.items()}, 0.0
    for _ in range(2):
        for name, values in CHOICES.items():
            scores = {v: ap50(truth, [boxes_and_scores(b, {**chosen, name: v}) for b in blobs]) for v in values}
            chosen[name] = max(scores, key=scores.__getitem__)
            best = scores[chosen[name]]
    return best


def test_the_blob_detector_finds_discs_on_plain_ground():
    """Check that the detector is nearly perfect on trivial images."""
    rng = np.random.default_rng(0)
    y, x = np.indices((320, 320)) + 0.5
    grey, boxes = 0.4 + rng.normal(0, 0.01, (320, 320)), []
    for row in range(4):
        for column in range(4):
            cx, cy, radius = 40 + 80 * column + rng.random(), 40 + 80 * row + rng.random(), rng.uniform(4, 24)
            grey = np.where(np.hypot(x - cx, y - cy) < radius, 0.8, grey)
            boxes.append([cx - radius, cy - radius, cx + radius, cy + radius])
    assert tuned_blob_ap50([(grey, np.array(boxes))]) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(4), range(4, 16)], ids=str)
def test_the_blob_detector_fails_on_synthetic_scenes(seeds):
    scenes = []
    for seed in seeds:
        for index in range(6):  # from sparse to dense
            image, boxes = render_scene(seed, index, 640)
            scenes.append((image.astype(np.float32).mean(axis=2) / 255, np.array(boxes, float)))
    assert 0.05 < tuned_blob_ap50(scenes) < 0.5
