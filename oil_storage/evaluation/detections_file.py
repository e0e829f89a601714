"""Read the detections of any tool: COCO JSON, COCO results, CSV, GeoJSON for each scene, or YOLO's text files."""

import csv
import io
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from oil_storage.annotations import geojson
from oil_storage.annotations.boxes import bounds
from oil_storage.annotations.record import NO_CLASS
from oil_storage.annotations.source import base_name
from oil_storage.annotations.table import column_names, delimiter
from oil_storage.coco import CocoAnnotation, CocoFile, Identifier, plain_id
from oil_storage.csv_cells import from_cell
from oil_storage.errors import UserError
from oil_storage.evaluation.ground_truth import GroundTruth, scene_names
from oil_storage.evaluation.tank_categories import Category, ClassMap, category_names, label_of, tanks_among
from oil_storage.files import read_json, read_text, validated, visible
from oil_storage.merging import Detections

CSV_COLUMNS = ("scene", "xmin", "ymin", "xmax", "ymax", "score")
"""Required columns of a CSV file, with boxes in pixels of the scene. Other columns are ignored."""
OTHER_NAMES = {
    "scene": ("image", "image_id", "filename", "file_name", "image_path", "path", "file"),
    "score": ("confidence", "conf"),
}
"""Names of columns in the files of other tools."""
CLASS_COLUMNS = ("class_name", "name", "label", "category", "class")
"""Columns with the class, in order of precedence."""
LABELS = "labels"
"""Subfolder in which Ultralytics writes text files."""
BOX, OUTLINE = 6, 10
"""Numbers of values in a line of YOLO: class, box and score, or class, four corners and score."""

LARGEST = 1e6
"""Largest accepted coordinate, in pixels."""
logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """Detection: its place in the file (for messages), scene as written, box (xyxy), score, and category if any."""

    place: str
    scene: str
    box: list[float]
    score: float
    category: Category | None = None


def read_detections(path: Path, truth: GroundTruth, class_map: ClassMap | None = None) -> dict[str, Detections]:
    """Read detections by scene.

    Args:
        path: one of:

            * a ``.csv`` file with the columns :data:`CSV_COLUMNS`;
            * a ``.json`` file: COCO JSON whose annotations have a ``score``, or a list of COCO results with the image
              ids or the names of the images of the ground truth;
            * a ``.geojson`` file that is named after its scene and has a ``score`` in each feature, or a folder of such
              files;
            * a folder of text files of YOLO with a confidence in each line, named after their scenes.
        truth: ground truth. Its image ids, categories, sizes and images are needed for some of these files.
        class_map: meaning of class names. It is required if a file has categories other than those of the ground truth.

    Returns:
        dict: detections of tanks by scene name. A scene has the name of its image file, without folder and suffix.

    Raises:
        UserError: the file has another format, a category of unknown meaning, or an invalid box or score.
    """
    if path.is_dir() or path.suffix.lower() == ".geojson":
        rows = (
            _from_geojson(path, truth) if not path.is_dir() or visible(path, "*.geojson") else _from_yolo(path, truth)
        )
    elif path.suffix.lower() == ".csv":
        rows = _from_csv(path)
    elif path.suffix.lower() == ".json":
        rows = _from_json(path, truth)
    else:
        raise UserError(
            f"{path}: unknown format; give .json (COCO), .csv ({', '.join(CSV_COLUMNS)}), .geojson, or a folder of "
            "GeoJSON files or of YOLO's text files"
        )
    by_scene: dict[str, list[list[float]]] = defaultdict(list)
    for row in _of_tanks(list(rows), truth, class_map or {}, path):
        if not all(abs(value) <= LARGEST for value in row.box):
            problem = f"box {row.box} has values that are too large or not finite"
            raise UserError(f"{row.place}: {problem}; give pixels of the scene")
        if row.box[2] <= row.box[0] or row.box[3] <= row.box[1]:
            problem = f"box {row.box} has no area"
            raise UserError(f"{row.place}: {problem}; the corners must be in the order xmin, ymin, xmax, ymax")
        if not 0 <= row.score <= 1:
            raise UserError(f"{row.place}: score {row.score:g} is not between 0 and 1; rescale the scores")
        by_scene[_scene(row.scene, truth)].append([*row.box, row.score])
    arrays = {scene: np.array(values, np.float32) for scene, values in by_scene.items()}
    return {scene: Detections(values[:, :4], values[:, 4]) for scene, values in arrays.items()}


def _scene(written: str, truth: GroundTruth) -> str:
    """Return the name of a scene: that in the ground truth, also in other cases, or else without folders and suffix."""
    last = written.strip().replace("\\", "/").rpartition("/")[2]
    for name in (last, base_name(last)):
        if name in truth.scenes:
            return name
    folded = {name.casefold(): name for name in truth.scenes}
    return folded.get(base_name(last).casefold(), base_name(last))


def _of_tanks(rows: list[Row], truth: GroundTruth, class_map: ClassMap, path: Path) -> list[Row]:
    """Return the detections of tanks; log the number of the others, and a category without a name."""
    used = [row.category for row in rows]
    tanks = tanks_among(used, class_map, path, truth.tanks)
    if truth.tanks and (number := next((one for one in tanks - truth.tanks if isinstance(one, int)), None)) is not None:
        logger.info("%s: category %s is not in the ground truth; its detections are taken as tanks", path, number)
    kept = [row for row in rows if row.category in tanks]
    if len(kept) < len(rows):
        logger.info("%s: %d detections of other classes left out", path, len(rows) - len(kept))
    return kept


def _from_csv(path: Path) -> Iterator[Row]:
    text = read_text(path)
    header = text.partition("\n")[0]
    names = column_names(header)
    for name, others in OTHER_NAMES.items():
        if name not in names and (other := next((one for one in others if one in names), None)):
            names[names.index(other)] = name
    if absent := [name for name in CSV_COLUMNS if name not in names]:
        raise UserError(
            f"{path}: has no column {', '.join(absent)}; give {', '.join(CSV_COLUMNS)}, separated by commas"
        )
    reader = csv.DictReader(io.StringIO(text), names, restval="", delimiter=delimiter(header))
    class_column = next((name for name in CLASS_COLUMNS if name in names), None)
    try:
        next(reader)  # the header
        for row in reader:
            *box, score = (float(row[name]) for name in CSV_COLUMNS[1:])
            category = plain_id(row[class_column].strip()) if class_column else None
            yield Row(f"{path}:{reader.line_num}", from_cell(row["scene"]), box, score, category)
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}:{reader.line_num}: {error}; correct the line") from error


def _from_geojson(path: Path, truth: GroundTruth) -> Iterator[Row]:
    for file in visible(path, "*.geojson") if path.is_dir() else [path]:
        for place, box, score, name in geojson.read_scored(file, truth.images.get(file.stem)):
            yield Row(place, file.stem, box, score, None if name == NO_CLASS else name)


def _from_yolo(path: Path, truth: GroundTruth) -> Iterator[Row]:
    files = visible(path, "*.txt", f"{LABELS}/*.txt")
    if not files:
        raise UserError(f"{path}: contains no *.geojson files, and no *.txt files of YOLO; use another folder")
    for file in files:
        scene = truth.scenes.get(file.stem)
        width, height = (scene.width, scene.height) if scene else (1, 1)  # detections in other scenes are not scored
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            place, words = f"{file}:{number}", line.split()
            if words and len(words) not in (BOX, OUTLINE):
                raise UserError(
                    f"{place}: {len(words)} values; write class x y width height confidence, with Ultralytics by "
                    "save_txt=True save_conf=True"
                )
            if words:
                try:
                    *values, score = map(float, words[1:])
                    category = int(words[0])
                except ValueError as error:
                    raise UserError(f"{place}: {error}; all values must be numbers") from None
                box = _box(values, width, height)
                yield Row(place, file.stem, box, score, category)


def _box(values: list[float], width: int, height: int) -> list[float]:
    """Return the box xyxy in pixels of a normalized centre and size, or of four normalized corners."""
    if len(values) == OUTLINE - 2:
        return list(bounds(np.array(values).reshape(-1, 2) * (width, height)))
    x, y, w, h = values
    return [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]


def _from_json(path: Path, truth: GroundTruth) -> Iterator[Row]:
    content, entry, owner = read_json(path), "", "the ground truth"
    scenes: Mapping[Identifier, str] = truth.image_ids
    categories: Mapping[Category, str] = truth.categories
    if isinstance(content, list):
        results = validated(content, list[CocoAnnotation], path)
    else:
        coco_file = validated(content, CocoFile, path)
        results, scenes = coco_file.annotations, scene_names(coco_file, path)
        categories = category_names(coco_file.categories) or truth.categories
        entry, owner = "annotations", "images"
    for index, result in enumerate(results):
        place = f"{path}: {entry}[{index}]"
        if result.score is None:
            raise UserError(f"{place}: has no score; add one between 0 and 1")
        named = result.file_name or str(result.image_id)
        if result.image_id in scenes:
            scene = scenes[result.image_id]
        elif result.file_name or _scene(named, truth) in truth.scenes:
            scene = named
        elif not scenes and isinstance(result.image_id, int):
            raise UserError(f"{path}: these results name images by id only; give a COCO JSON file as the ground truth")
        else:
            raise UserError(f"{place}: image_id {result.image_id!r} is neither an id nor a name in {owner}; correct it")
        category = result.category_name or label_of(result.category_id, categories)
        yield Row(place, scene, list(result.box), result.score, category)
