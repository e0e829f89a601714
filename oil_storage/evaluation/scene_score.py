"""All figures of detections in whole scenes: the one place where they are put together."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from oil_storage.coco import CocoAnnotation, CocoFile, CocoImage
from oil_storage.evaluation import dense_coco
from oil_storage.evaluation.counting import count_errors, geometry_errors
from oil_storage.evaluation.curves import at_threshold, voc_ap
from oil_storage.evaluation.errors import Errors, Kind, classify, count_by_size, lost_ap50
from oil_storage.evaluation.matching import Matched, SceneResult
from oil_storage.evaluation.uncertainty import intervals
from oil_storage.figures import Figures, SceneFigures
from oil_storage.merging import Detections


def average_precisions(scenes: Sequence[SceneResult]) -> dict[str, float]:
    """COCO's figures at scene level, of all scores; see :func:`oil_storage.evaluation.dense_coco.score`.

    Returns:
        dict: ``ap``, ``ap50``, ``ap75``, ``ap_s`` and so on, ``ar``.
    """
    ordered = sorted(scenes, key=lambda one: one.scene_id)
    figures = dense_coco.score(coco_truth(ordered).to_dict(), coco_results(ordered))
    return {_key(name): value for name, value in figures.items()}


def _key(name: str) -> str:
    """``mAP_50`` becomes ``ap50``, ``mAP_under_8`` ``ap_under_8``."""
    return {"mAP_50": "ap50", "mAP_75": "ap75"}.get(name, name.lower().replace("map", "ap"))


def coco_results(scenes: Sequence[SceneResult]) -> list[dict[str, Any]]:
    """Detections as COCO results; images count from 1 in the order given."""
    by_number = enumerate((Detections(one.boxes, one.scores) for one in scenes), start=1)
    return [result for image_id, found in by_number for result in results_of(image_id, found)]


def results_of(image_id: int, found: Detections) -> list[dict[str, Any]]:
    """Detections of one image as COCO results."""
    return [
        {"image_id": image_id, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for (x1, y1, x2, y2), score in zip(found.boxes.tolist(), found.scores.tolist(), strict=True)
    ]


def coco_detections(scenes: Sequence[SceneResult]) -> CocoFile:
    """Detections as COCO json that names its images, as ``tools/evaluate.py`` reads it."""
    detections = [CocoAnnotation(**result) for result in coco_results(scenes)]
    return replace(coco_truth(scenes), annotations=detections)


def coco_truth(scenes: Sequence[SceneResult]) -> CocoFile:
    """Labelled boxes as COCO json."""
    images = [
        CocoImage(number, scene.scene_id, scene.width, scene.height, scene.scene_id, scene.gsd)
        for number, scene in enumerate(scenes, start=1)
    ]
    return CocoFile.of_boxes(images, [scene.truth for scene in scenes])


def score_scenes(scenes: Sequence[Matched], threshold: float | None) -> Figures:
    """Compute every figure of some scenes.

    Args:
        scenes: at least one, from :func:`oil_storage.evaluation.matching.match_scenes`.
        threshold: of the score, for the figures that need detections to be taken or left. Chosen elsewhere, for a
            fair figure; None leaves those out.
    """
    eleven, all_points = voc_ap(scenes)
    figures: dict[str, Any] = {
        **average_precisions([one.result for one in scenes]),
        "voc_ap_11": eleven,
        "voc_ap": all_points,
        "lost_ap50": {str(kind): gained for kind, gained in lost_ap50(scenes).items()},
    }
    if threshold is not None:
        errors = [classify(one, threshold) for one in scenes]
        figures |= {
            **asdict(at_threshold(scenes, threshold)),
            **{f"count_{name}": value for name, value in asdict(count_errors(scenes, threshold)).items()},
            **asdict(geometry_errors(scenes, threshold)),
            "intervals": intervals([(scenes, threshold)]),
            "errors_by_size": count_by_size(scenes, errors),
            "scenes": {
                one.result.scene_id: _of_scene(one, its, threshold) for one, its in zip(scenes, errors, strict=True)
            },
        }
    return Figures(**figures)


def _of_scene(scene: Matched, errors: Errors, threshold: float) -> SceneFigures:
    at = at_threshold([scene], threshold)
    return SceneFigures(
        tanks=len(scene.result.truth),
        found=int((scene.scores >= threshold).sum()),
        precision=at.precision,
        recall=at.recall,
        f1=at.f1,
        errors={str(kind): [*errors.false, *errors.missed].count(kind) for kind in Kind},
    )
