"""Scenes with detections: true positives, inexact boxes and false positives."""

from collections.abc import Sequence

import numpy as np

from oil_storage.evaluation.matching import SceneResult

SIDE = 2560


def scored_scenes(numbers: Sequence[int] = (40, 0, 7, 120), seed: int = 0, noise: int = 60) -> list[SceneResult]:
    """Return scenes with the given numbers of tanks; scores have two digits, so many are equal."""
    rng = np.random.default_rng(seed)
    return [
        SceneResult(f"scene_{index:02d}", SIDE, SIDE, truth, *_found(rng, truth, noise))
        for index, truth in enumerate(_boxes(rng, number) for number in numbers)
    ]


def perfect(scenes: Sequence[SceneResult]) -> list[SceneResult]:
    """Return the scenes with their own boxes as detections."""
    return [with_detections(one, one.truth, np.full(len(one.truth), 0.9)) for one in scenes]


def empty(scenes: Sequence[SceneResult]) -> list[SceneResult]:
    """Return the scenes without detections."""
    return [with_detections(one, np.zeros((0, 4)), np.zeros(0)) for one in scenes]


def with_detections(scene: SceneResult, boxes: np.ndarray, scores: np.ndarray) -> SceneResult:
    """Return the scene with other detections."""
    found = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    return SceneResult(scene.scene_id, scene.width, scene.height, scene.truth, *found, scene.windows, scene.gsd)


def _boxes(rng: np.random.Generator, number: int) -> np.ndarray:
    corners = rng.uniform(5, SIDE - 100, (number, 2))
    return np.hstack([corners, corners + np.exp(rng.normal(2.8, 0.5, (number, 1)))]).astype(np.float32)


def _found(rng: np.random.Generator, truth: np.ndarray, noise: int) -> tuple[np.ndarray, np.ndarray]:
    sides = truth[:, 2:3] - truth[:, :1]
    seen = truth + rng.normal(0, 0.1, truth.shape) * sides
    seen = np.concatenate([seen[rng.random(len(seen)) < 0.85], seen[rng.random(len(seen)) < 0.1]])
    boxes = np.concatenate([seen, _boxes(rng, noise)]).astype(np.float32)
    scores = np.concatenate([rng.beta(4, 2, len(seen)), rng.beta(1, 4, noise)]).round(2).astype(np.float32)
    return boxes, scores
