"""Read the ground truth of scenes and combine it with detections."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

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
"""Maximum number of scenes that a message names."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroundTruth:
    """Labelled scenes.

    Attributes:
        scenes: scenes by name, without detections.
        image_ids: scene names by COCO image id; empty for other formats.
        images: image files by scene name, as far as they are known.
    """

    scenes: dict[str, SceneResult]
    image_ids: dict[int | str, str] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)


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
        format_name: name of the format; None detects it.
        class_map: see :func:`oil_storage.annotations.record.parse_class_map`.
        allow: ignore errors that the audit found.
        reading: how the bands of the images are converted to RGB.

    Raises:
        UserError: the audit found errors, and ``allow`` is False.
    """
    scenes, findings = audit(formats.read(folder, format_name), dict(class_map or {}), reading)
    check_usable(findings, folder, allow)
    for finding in gravest_last(findings):
        logger.info(str(finding))
    results = {
        scene.scene_id: SceneResult(scene.scene_id, scene.width, scene.height, scene.boxes, gsd=scene.gsd)
        for scene in scenes
    }
    return GroundTruth(results, images={scene.scene_id: scene.image for scene in scenes})


def read_coco(path: Path) -> GroundTruth:
    """Read the scenes of a COCO JSON file. A scene has the name of its image file, without folder and suffix.

    Raises:
        UserError: the file is not COCO JSON, has several categories, repeats an image name or id, lacks the size of an
            image, or contains an invalid box or a box around several objects.
    """
    content = CocoFile.load(path)
    names = scene_names(content, path)
    check_category(content.annotations, path)
    boxes: dict[int | str, list[tuple[float, ...]]] = {image_id: [] for image_id in names}
    for index, annotation in enumerate(content.annotations):
        problem = None
        if annotation.image_id not in boxes:
            problem = f"image_id {annotation.image_id!r} is not in images"
        elif not all(map(math.isfinite, annotation.bbox)):
            problem = f"bbox {annotation.bbox} is not finite"
        elif min(annotation.bbox[2:]) <= 0:
            problem = f"bbox {annotation.bbox} has no area"
        elif annotation.iscrowd:
            problem = "iscrowd is set, so the box is not around a single object"
        if problem:
            raise UserError(f"{path}: annotations[{index}]: {problem}; correct or remove it")
        boxes[annotation.image_id].append(annotation.box)
    scenes = {}
    for index, image in enumerate(content.images):
        if image.width is None or image.height is None:
            raise UserError(f"{path}: images[{index}]: has no width or height; add both in pixels")
        truth = np.array(boxes[image.id], np.float32).reshape(-1, 4)
        scenes[names[image.id]] = SceneResult(names[image.id], image.width, image.height, truth, gsd=image.gsd)
    return GroundTruth(scenes, names)


def scene_names(content: CocoFile, path: Path) -> dict[int | str, str]:
    """Return scene names by image id; raise UserError if an id or a name is repeated."""
    names = {image.id: scene_name(image.file_name) for image in content.images}
    if len(set(names.values())) < len(content.images):
        raise UserError(
            f"{path}: two images have the same id or the same file name (without folder and suffix); make them unique"
        )
    return names


def check_category(annotations: Sequence[CocoAnnotation], path: Path) -> None:
    """Raise UserError if boxes belong to several categories."""
    if len(categories := {annotation.category_id for annotation in annotations}) > 1:
        raise UserError(f"{path}: contains boxes of {len(categories)} categories; keep only the category of tanks")


def with_detections(
    truth: Mapping[str, SceneResult], detections: Mapping[str, Detections], path: Path
) -> list[SceneResult]:
    """Add detections to their scenes.

    Log the scenes that are only in the ground truth or only in the detections.

    Args:
        truth: labelled scenes by name.
        detections: detections by scene name.
        path: file of the detections, for messages.

    Raises:
        UserError: all detections belong to scenes that are not in the ground truth.
    """
    if detections and not truth.keys() & detections.keys():
        raise UserError(
            f"{path}: none of its scenes ({_listed(list(detections))}) is in the ground truth, which contains "
            f"{_listed(list(truth))};\nname each scene like its image file, without suffix"
        )
    if unknown := [name for name in detections if name not in truth]:
        number = sum(len(detections[name].scores) for name in unknown)
        logger.warning("%s: ignored %d detections in scenes without ground truth: %s", path, number, _listed(unknown))
    if bare := [name for name in truth if name not in detections]:
        logger.warning("%s: no detections in %d of %d scenes: %s", path, len(bare), len(truth), _listed(bare))
    return [
        replace(scene, **detections[name]._asdict()) if name in detections else scene for name, scene in truth.items()
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
