"""Compute all metrics of whole scenes, and convert scenes to COCO JSON."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from oil_storage.coco import CocoAnnotation, CocoFile, CocoImage
from oil_storage.evaluation import dense_coco
from oil_storage.evaluation.counting import count_errors, geometry_errors
from oil_storage.evaluation.curves import at_threshold, voc_ap
from oil_storage.evaluation.dense_coco import results_of
from oil_storage.evaluation.errors import Errors, Kind, classify, count_by_size, lost_ap50
from oil_storage.evaluation.false_alarms import false_alarm_rate, operating_points
from oil_storage.evaluation.matching import Matched, SceneResult
from oil_storage.evaluation.outcomes import Outcomes
from oil_storage.evaluation.uncertainty import intervals
from oil_storage.figures import Figures, SceneFigures
from oil_storage.merging import Detections


def average_precisions(scenes: Sequence[SceneResult]) -> dict[str, float]:
    """Compute COCO's metrics of whole scenes; see :func:`oil_storage.evaluation.dense_coco.score`.

    Returns:
        dict: ``ap``, ``ap50``, ``ap75``, ``ap_s`` and so on, and ``ar``.
    """
    ordered = sorted(scenes, key=lambda scene: scene.scene_id)
    figures = dense_coco.score(coco_truth(ordered).to_dict(), coco_results(ordered))
    return {_key(name): value for name, value in figures.items()}


def _key(name: str) -> str:
    """Rename ``mAP_50`` to ``ap50``, ``mAP_under_8`` to ``ap_under_8`` and so on."""
    return {"mAP_50": "ap50", "mAP_75": "ap75"}.get(name, name.lower().replace("map", "ap"))


def coco_results(scenes: Sequence[SceneResult]) -> list[dict[str, Any]]:
    """Convert detections to COCO results. The image ids are 1, 2 and so on, in the order of the scenes."""
    by_number = enumerate((Detections(scene.boxes, scene.scores) for scene in scenes), start=1)
    return [result for image_id, detections in by_number for result in results_of(image_id, detections)]


def coco_detections(scenes: Sequence[SceneResult]) -> CocoFile:
    """Convert detections to COCO JSON with a list of images. ``tools/evaluate.py`` can read it."""
    detections = [CocoAnnotation(**result) for result in coco_results(scenes)]
    return replace(coco_truth(scenes), annotations=detections)


def coco_truth(scenes: Sequence[SceneResult]) -> CocoFile:
    """Convert the ground truth to COCO JSON."""
    images = [
        CocoImage(number, scene.scene_id, scene.width, scene.height, scene.scene_id, scene.gsd)
        for number, scene in enumerate(scenes, start=1)
    ]
    return CocoFile.of_boxes(images, [scene.truth for scene in scenes])


def score_scenes(scenes: Sequence[Matched], threshold: float | None) -> Figures:
    """Compute all metrics of one or more scenes.

    Args:
        scenes: result of :func:`oil_storage.evaluation.matching.match_scenes`.
        threshold: score threshold for precision, recall, F1, counts, geometry and errors. It should be chosen on other
            scenes. None omits these metrics.
    """
    eleven, all_points = voc_ap(scenes)
    figures: dict[str, Any] = {
        **average_precisions([scene.result for scene in scenes]),
        "voc_ap_11": eleven,
        "voc_ap": all_points,
        "lost_ap50": {str(kind): gained for kind, gained in lost_ap50(scenes).items()},
        "false_alarms": operating_points(scenes),
    }
    if threshold is not None:
        errors = [classify(scene, threshold) for scene in scenes]
        figures |= {
            **asdict(at_threshold(scenes, threshold)),
            **count_errors(scenes, threshold),
            **geometry_errors(scenes, threshold),
            "false_alarm_rate": false_alarm_rate(scenes, threshold),
            "intervals": intervals([Outcomes.of(scenes, threshold)]),
            "errors_by_size": count_by_size(scenes, errors),
            "scenes": {
                scene.result.scene_id: _score_scene(scene, scene_errors, threshold)
                for scene, scene_errors in zip(scenes, errors, strict=True)
            },
        }
    return Figures(**figures)


def _score_scene(scene: Matched, errors: Errors, threshold: float) -> SceneFigures:
    at = at_threshold([scene], threshold)
    return SceneFigures(
        tanks=len(scene.result.truth),
        found=int((scene.scores >= threshold).sum()),
        precision=at.precision,
        recall=at.recall,
        f1=at.f1,
        errors={str(kind): [*errors.false, *errors.missed].count(kind) for kind in Kind},
    )
