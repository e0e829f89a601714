"""Read the ground truth of scenes and combine it with detections."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from oil_storage.annotations import formats
from oil_storage.annotations.images import image_size
from oil_storage.annotations.source import Source, base_name
from oil_storage.audit.records import audit, check_usable
from oil_storage.coco import CocoFile, CocoImage
from oil_storage.errors import UserError
from oil_storage.evaluation.matching import SceneResult
from oil_storage.evaluation.tank_categories import category_names, label_of, tanks_among
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
        categories: names of the COCO categories by id; empty for other formats.
        tanks: categories of the boxes of the scenes.
    """

    scenes: dict[str, SceneResult]
    image_ids: dict[int | str, str] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)
    categories: dict[int | str, str] = field(default_factory=dict)
    tanks: frozenset[int | str] = frozenset()


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


def read_coco(
    path: Path, class_map: Mapping[str, str | None] | None = None, images: Mapping[str, Path] | None = None
) -> GroundTruth:
    """Read the scenes of a COCO JSON file. A scene has the name of its image file, without folder and suffix.

    Args:
        path: COCO JSON file.
        class_map: meaning of class names, required if there are boxes of several categories.
        images: image files by scene name. An image without width and height is searched here, or else by its
            ``file_name`` in the folder of the file.

    Raises:
        UserError: the file is not COCO JSON, has categories of unknown meaning, repeats an image name or id, lacks the
            size of an image whose file is not found, or contains an invalid box or a box around several objects.
    """
    content = CocoFile.load(path)
    names = scene_names(content, path)
    categories = category_names(content.categories)
    used = [label_of(annotation.category_id, categories) for annotation in content.annotations]
    class_map = class_map or {}
    single = {label for label in used if label is not None and str(label) not in class_map}
    tanks = tanks_among(used, class_map, path, single if len(set(used)) == 1 else ())
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
        if used[index] in tanks:
            boxes[annotation.image_id].append(annotation.box)
    scenes = {}
    for index, image in enumerate(content.images):
        name = names[image.id]
        width, height = image.width, image.height
        if width is None or height is None:
            width, height = _size(image, (images or {}).get(name), path, f"{path}: images[{index}]")
        truth = np.array(boxes[image.id], np.float32).reshape(-1, 4)
        scenes[name] = SceneResult(name, width, height, truth, gsd=image.gsd)
    return GroundTruth(
        scenes, names, dict(images or {}), categories, frozenset(label for label in tanks if label is not None)
    )


def _size(image: CocoImage, file: Path | None, path: Path, place: str) -> tuple[int, int]:
    """Return the width and height of the file of an image."""
    file = file or Source(path.parent).images.find(image.file_name, near=path)
    size = image_size(file) if file else None
    if size is None:
        raise UserError(
            f"{place}: has no width or height, and {image.file_name} was not found; give the folder of the images with "
            "--images DIR"
        )
    return size


def scene_names(content: CocoFile, path: Path) -> dict[int | str, str]:
    """Return scene names by image id; raise UserError if an id or a name is repeated."""
    names = {image.id: base_name(image.file_name) for image in content.images}
    if len(set(names.values())) < len(content.images):
        raise UserError(
            f"{path}: two images have the same id or the same file name (without folder and suffix); make them unique"
        )
    return names


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
