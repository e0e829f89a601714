"""Read the boxes that detections are scored against, and put detections beside them."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations import formats
from oil_storage.annotations.images import scene_name
from oil_storage.audit.records import audit, check_usable
from oil_storage.coco import CocoAnnotation, CocoFile
from oil_storage.errors import UserError
from oil_storage.evaluation.matching import SceneResult
from oil_storage.findings import gravest_last
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.merging import Detections

LISTED = 5
"""Scenes that a message names."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroundTruth:
    """Labelled scenes.

    Attributes:
        scenes: scenes without detections, by name.
        image_ids: name of the scene of each COCO image id; empty for other formats.
        images: image file of each scene, as far as known.
    """

    scenes: dict[str, SceneResult]
    image_ids: dict[int | str, str] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)


def _without_detections(
    name: str, width: int, height: int, truth: NDArray[np.float32], gsd: float | None
) -> SceneResult:
    boxes, scores = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    return SceneResult(name, width, height, truth, boxes, scores, gsd=gsd)


def read_folder(
    folder: Path,
    format_name: str | None = None,
    class_map: Mapping[str, str | None] | None = None,
    allow: bool = False,
    reading: Reading = DEFAULT_READING,
) -> GroundTruth:
    """Read and audit a folder of labelled scenes.

    Args:
        folder: images and boxes in any format of :mod:`oil_storage.annotations.formats`.
        format_name: None detects it.
        class_map: see :func:`oil_storage.annotations.classes.parse_class_map`.
        allow: go on in spite of errors.
        reading: how the bands of the images become colours.

    Raises:
        UserError: the audit found errors.
    """
    scenes, findings = audit(formats.read(folder, format_name), dict(class_map or {}), reading)
    check_usable(findings, folder, allow)
    for finding in gravest_last(findings):
        logger.info(str(finding))
    results = {}
    for scene in scenes:
        results[scene.scene_id] = _without_detections(scene.scene_id, scene.width, scene.height, scene.boxes, scene.gsd)
    return GroundTruth(results, images={scene.scene_id: scene.image for scene in scenes})


def read_coco(path: Path) -> GroundTruth:
    """Read scenes of a COCO json; their names are those of their files, without folder and suffix.

    Raises:
        UserError: not COCO of one class, two images of one name or id, or a box that is not around one object.
    """
    content = CocoFile.load(path)
    boxes: dict[int | str, list[tuple[float, ...]]] = {image.id: [] for image in content.images}
    if len(boxes) < len(content.images):
        raise UserError(f"{path}: {len(content.images)} images have {len(boxes)} ids; they must differ")
    if len(classes := {annotation.category_id for annotation in content.annotations}) > 1:
        raise UserError(f"{path}: has boxes of {len(classes)} categories; leave only those of tanks in it")
    for index, annotation in enumerate(content.annotations):
        entry = f"{path}: annotations[{index}]"
        if annotation.image_id not in boxes:
            raise UserError(f"{entry}: image_id {annotation.image_id!r} is not in its images; remove it")
        boxes[annotation.image_id].append(_object(annotation, entry))
    scenes, image_ids = {}, {}
    for index, image in enumerate(content.images):
        if image.width is None or image.height is None:
            raise UserError(f"{path}: images[{index}]: has no width and height; state them in pixels")
        truth = np.array(boxes[image.id], np.float32).reshape(-1, 4)
        name = image_ids[image.id] = scene_name(image.file_name)
        scenes[name] = _without_detections(name, image.width, image.height, truth, image.gsd)
    if len(scenes) < len(content.images):
        raise UserError(
            f"{path}: {len(content.images)} images have {len(scenes)} names; they must differ, without suffix"
        )
    return GroundTruth(scenes, image_ids)


def _object(annotation: CocoAnnotation, entry: str) -> tuple[float, ...]:
    """Return the box of an annotation, xyxy."""
    if not all(map(math.isfinite, annotation.bbox)):
        raise UserError(f"{entry}: bbox {annotation.bbox} has numbers that are not finite; correct it")
    if min(annotation.bbox[2:]) <= 0 or annotation.iscrowd:
        what = "a crowd" if annotation.iscrowd else "a box without area"
        raise UserError(f"{entry}: {what}, not one object; remove it")
    return annotation.box


def with_detections(
    truth: Mapping[str, SceneResult], detections: Mapping[str, Detections], path: Path
) -> list[SceneResult]:
    """Put detections beside the boxes of their scenes, and log what is on one side only.

    Args:
        truth: labelled scenes.
        detections: by the name of their scene.
        path: file of the detections, for messages.

    Raises:
        UserError: no scene has detections.
    """
    if detections and not truth.keys() & detections.keys():
        raise UserError(
            f"{path}: none of its scenes ({_listed(list(detections))}) is in the ground truth, which has "
            f"{_listed(list(truth))};\nscenes match by the names of their image files, without suffix"
        )
    if unknown := [name for name in detections if name not in truth]:
        logger.warning(
            "%d detections are left out, in %d scenes that the ground truth lacks: %s",
            *(sum(len(detections[name].scores) for name in unknown), len(unknown), _listed(unknown)),
        )
    if bare := [name for name in truth if name not in detections]:
        logger.warning(
            "%d of %d scenes have no detections, their boxes count as missed: %s", len(bare), len(truth), _listed(bare)
        )
    results, outside = [], {}
    for name, scene in truth.items():
        if name in detections:
            boxes, scores = detections[name]
            is_outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > (scene.width, scene.height)).any(axis=1)
            if is_outside.any():
                outside[name] = int(is_outside.sum())
            scene = replace(scene, boxes=boxes, scores=scores)
        results.append(scene)
    if outside:
        logger.warning(
            "%d boxes reach outside their images, in %s; they are scored as they are",
            *(sum(outside.values()), _listed(list(outside))),
        )
    return results


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
