"""Read the detections of any tool from a file: COCO JSON, COCO results, CSV, or one GeoJSON per scene."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from oil_storage.annotations import geojson
from oil_storage.annotations.images import scene_name
from oil_storage.coco import CocoAnnotation, CocoFile
from oil_storage.csv_cells import from_cell
from oil_storage.errors import UserError
from oil_storage.evaluation.ground_truth import check_category, scene_names
from oil_storage.files import read_json, read_text, validated, visible
from oil_storage.merging import Detections

CSV_COLUMNS = ("scene", "xmin", "ymin", "xmax", "ymax", "score")
"""Required columns of a CSV file, with boxes in pixels of the scene. Other columns are ignored."""

LARGEST = 1e6
"""Largest accepted coordinate, in pixels."""

Row = tuple[str, str, list[float], float]
"""A detection: its place in the file (for messages), scene name, box (xyxy) and score."""


def read_detections(path: Path, names: Mapping[int | str, str], images: Mapping[str, Path]) -> dict[str, Detections]:
    """Read detections by scene.

    Args:
        path: one of:

            * a ``.csv`` file with the columns :data:`CSV_COLUMNS`;
            * a ``.json`` file: COCO JSON whose annotations have a ``score``, or a list of COCO results with the image
              ids of the ground truth;
            * a ``.geojson`` file that is named after its scene and has a ``score`` in each feature, or a folder of such
              files.
        names: scene name of each image id in the ground truth; empty if the ground truth has no image ids.
        images: image files by scene name. They are needed to read GeoJSON in geographic coordinates.

    Returns:
        dict: detections by scene name. A scene has the name of its image file, without folder and suffix.

    Raises:
        UserError: the file has another format, or a box or a score is not valid.
    """
    if path.is_dir() or path.suffix.lower() == ".geojson":
        rows = _from_geojson(path, images)
    elif path.suffix.lower() == ".csv":
        rows = _from_csv(path)
    elif path.suffix.lower() == ".json":
        rows = _from_json(path, names)
    else:
        raise UserError(
            f"{path}: unknown format; give .json (COCO), .csv ({', '.join(CSV_COLUMNS)}), .geojson, or a folder of "
            "GeoJSON files"
        )
    by_scene: dict[str, list[list[float]]] = defaultdict(list)
    for place, scene, box, score in rows:
        if not all(abs(value) <= LARGEST for value in box):
            raise UserError(f"{place}: box {box} has values that are too large or not finite; give pixels of the scene")
        if box[2] <= box[0] or box[3] <= box[1]:
            raise UserError(f"{place}: box {box} has no area; the corners must be in the order xmin, ymin, xmax, ymax")
        if not 0 <= score <= 1:
            raise UserError(f"{place}: score {score:g} is not between 0 and 1; rescale the scores")
        by_scene[scene].append([*box, score])
    arrays = {scene: np.array(values, np.float32) for scene, values in by_scene.items()}
    return {scene: Detections(values[:, :4], values[:, 4]) for scene, values in arrays.items()}


def _from_csv(path: Path) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(read_text(path)), restval="")
    if absent := [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]:
        raise UserError(
            f"{path}: has no column {', '.join(absent)}; give {', '.join(CSV_COLUMNS)}, separated by commas"
        )
    try:
        for row in reader:
            *box, score = (float(row[name]) for name in CSV_COLUMNS[1:])
            yield f"{path}:{reader.line_num}", scene_name(from_cell(row["scene"])), box, score
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}:{reader.line_num}: {error}; correct the line") from error


def _from_geojson(path: Path, images: Mapping[str, Path]) -> Iterator[Row]:
    files = visible(path, "*.geojson") if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: contains no *.geojson files; use another folder")
    for file in files:
        for place, box, score in geojson.read_scored(file, images.get(file.stem)):
            yield place, file.stem, box, score


def _from_json(path: Path, names: Mapping[int | str, str]) -> Iterator[Row]:
    content, entry, owner = read_json(path), "", "the ground truth"
    if isinstance(content, list):
        results = validated(content, list[CocoAnnotation], path)
        if results and not names:
            raise UserError(f"{path}: these results name images by id only; give a COCO JSON file as the ground truth")
    else:
        coco_file = validated(content, CocoFile, path)
        results, names = coco_file.annotations, scene_names(coco_file, path)
        entry, owner = "annotations", "images"
    check_category(results, path)
    for index, result in enumerate(results):
        place = f"{path}: {entry}[{index}]"
        if result.score is None:
            raise UserError(f"{place}: has no score; add one between 0 and 1")
        if result.image_id not in names:
            raise UserError(f"{place}: image_id {result.image_id!r} is not in {owner}; correct it")
        yield place, names[result.image_id], list(result.box), result.score
