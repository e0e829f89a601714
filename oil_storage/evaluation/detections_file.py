"""Detections of any tool, read from a file: COCO json, COCO results, CSV, or GeoJSON of each scene."""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from oil_storage.annotations import geojson
from oil_storage.annotations.images import scene_name
from oil_storage.coco import CocoAnnotation, CocoFile
from oil_storage.errors import UserError
from oil_storage.files import read_json, read_text, validated, visible
from oil_storage.merging import Detections

CSV_COLUMNS = ("scene", "xmin", "ymin", "xmax", "ymax", "score")
"""Boxes in pixels of the scene; other columns may be there too."""

FARTHEST = 1e6
"""Pixels: no scene is as large."""

Row = tuple[str, str, list[float], float]
"""A detection: where it is written, scene, xyxy, score."""


def read_detections(path: Path, names: Mapping[int | str, str], images: Mapping[str, Path]) -> dict[str, Detections]:
    """Read detections by scene.

    Args:
        path: ``.csv`` with :data:`CSV_COLUMNS`; or ``.json``: COCO with ``images`` and, in its ``annotations``, a
            ``score`` each; or a list of COCO results, whose ``image_id`` are those of the ground truth; or ``.geojson``
            called like its scene, each feature with a ``score``; or a folder of such.
        names: scene of each image id of the ground truth; empty where it has no ids.
        images: image file of each scene of the ground truth, as far as known; places GeoJSON that is not in pixels.

    Returns:
        dict: by the scene's name, which is its image file's without folder and suffix.

    Raises:
        UserError: what is no such file, or a box or score that is no number or not in order.
    """
    if path.is_dir() or path.suffix.lower() == ".geojson":
        rows = _from_geojson(path, images)
    elif path.suffix.lower() == ".csv":
        rows = _from_csv(path)
    elif path.suffix.lower() == ".json":
        rows = _from_json(path, names)
    else:
        raise UserError(
            f"{path}: detections are read from .json (COCO), .csv ({', '.join(CSV_COLUMNS)}), .geojson, or a folder of "
            "GeoJSON"
        )
    by_scene: dict[str, list[list[float]]] = defaultdict(list)
    for place, scene, box, score in rows:
        if not all(map(math.isfinite, (*box, score))):
            raise UserError(f"{path}, {place}: a box or score that is no finite number: {box}, {score}")
        if not 0 <= score <= 1:
            raise UserError(f"{path}, {place}: a score of {score:g}; scores must be from 0 to 1")
        if max(map(abs, box)) > FARTHEST:
            raise UserError(f"{path}, {place}: a box that lies in no scene: {box}; boxes must be in pixels")
        if box[2] <= box[0] or box[3] <= box[1]:
            raise UserError(f"{path}, {place}: a box without area, or its corners in another order: {box}")
        by_scene[scene].append([*box, score])
    arrays = {scene: np.array(values, np.float32) for scene, values in by_scene.items()}
    return {scene: Detections(values[:, :4], values[:, 4]) for scene, values in arrays.items()}


def _from_csv(path: Path) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(read_text(path)))
    if absent := [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]:
        raise UserError(
            f"{path}: has no column {', '.join(absent)}; needs {', '.join(CSV_COLUMNS)}, with commas between them"
        )
    try:
        for row in reader:
            place = f"line {reader.line_num}"
            if empty := [name for name in CSV_COLUMNS if not row[name]]:
                raise UserError(f"{path}, {place}: no {', '.join(empty)}")
            *box, score = (float(row[name]) for name in CSV_COLUMNS[1:])
            yield place, scene_name(row["scene"]), box, score
    except csv.Error as error:
        raise UserError(f"{path}: not CSV ({error})") from error
    except ValueError as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; correct it") from error


def _from_geojson(path: Path, images: Mapping[str, Path]) -> Iterator[Row]:
    files = visible(path, "*.geojson") if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: no *.geojson in it")
    for file in files:
        for place, box, score in geojson.read_scored(file, images.get(file.stem)):
            yield place.removeprefix(f"{path}: ").removeprefix(f"{path}/"), file.stem, box, score


def _from_json(path: Path, names: Mapping[int | str, str]) -> Iterator[Row]:
    content, owner = read_json(path), "the ground truth"
    if isinstance(content, list):
        results = validated(content, list[CocoAnnotation], path)
        if results and not names:
            raise UserError(
                f"{path}: a list of results, whose image_id are those of a COCO json; name that as ground truth"
            )
    else:
        coco_file, owner = validated(content, CocoFile, path), "its own images"
        names, results = {image.id: scene_name(image.file_name) for image in coco_file.images}, coco_file.annotations
        if len(set(names.values())) < len(coco_file.images):
            raise UserError(f"{path}: images of one name or id; they must differ, without folder and suffix")
    if len(classes := {result.category_id for result in results}) > 1:
        raise UserError(f"{path}: has detections of {len(classes)} categories; leave those of tanks alone")
    for number, result in enumerate(results):
        place = f"result {number}"
        if result.score is None:
            raise UserError(f"{path}, {place}: has no score")
        if result.image_id not in names:
            raise UserError(f"{path}, {place}: image_id {result.image_id!r} is none of {owner}")
        yield place, names[result.image_id], list(result.box), result.score
