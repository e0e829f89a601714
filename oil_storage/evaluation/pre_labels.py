"""Detections as labels to correct: the scenes that a labelling tool shows with the boxes of a detector."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from oil_storage.annotations.images import distinct
from oil_storage.annotations.source import Source
from oil_storage.errors import UserError
from oil_storage.evaluation.detections_file import read_detections
from oil_storage.evaluation.ground_truth import GroundTruth, with_detections
from oil_storage.evaluation.matching import SceneResult
from oil_storage.evaluation.tank_categories import ClassMap
from oil_storage.image_file import read_header
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.scene import Scene


def detected_scenes(
    images: Path, detections: Path, threshold: float, class_map: ClassMap, reading: Reading = DEFAULT_READING
) -> list[Scene]:
    """Return the scenes of a folder of images with the detections of any tool as boxes, and their scores.

    Args:
        images: folder of images; its labels are not read.
        detections: file or folder, see :func:`.read_detections`.
        threshold: lowest score of a box.
        class_map: meaning of the classes of the detections.
        reading: how the bands of the images are converted to RGB.

    Returns:
        list: one scene for each image, sorted by name. Boxes are clipped to the image.

    Raises:
        UserError: there is no image, two have the same name, one cannot be read, or no detection belongs to them.
    """
    paths = {path.stem: path for path in distinct(Source(images).images.paths)}
    if not paths:
        raise UserError(f"{images}: no image in this folder; give the folder of the images as SOURCE")
    scenes = {}
    for name, path in sorted(paths.items()):
        header = read_header(path)
        no_boxes = np.zeros((0, 4), np.float32)
        scenes[name] = Scene(name, path, header.width, header.height, no_boxes, header.georeference, reading)
    empty = {name: SceneResult(name, scene.width, scene.height, scene.boxes) for name, scene in scenes.items()}
    found = read_detections(detections, GroundTruth(empty, images=paths), class_map)
    detected = []
    for result in with_detections(empty, found, detections):
        scene = scenes[result.scene_id]
        boxes = result.boxes.clip(0, (scene.width, scene.height) * 2)
        kept = (result.scores >= threshold) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        detected.append(replace(scene, boxes=boxes[kept], scores=result.scores[kept]))
    return detected
