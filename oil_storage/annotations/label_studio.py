"""Label Studio tasks: a JSON file with a list of tasks, in the formats JSON and JSON-MIN.

Coordinates are percentages of the width and the height of the image.

Source: https://labelstud.io/guide/export, https://labelstud.io/guide/predictions
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictFloat

from oil_storage.annotations.boxes import shortest
from oil_storage.annotations.images import image_size
from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.shapes import Point, add_shape, ellipse, turned_rectangle
from oil_storage.annotations.source import Source, report_unlisted
from oil_storage.coco import Identifier, Pixels
from oil_storage.errors import UserError
from oil_storage.files import json_text, read_json, validated
from oil_storage.image_file import SUFFIXES
from oil_storage.scene import CLASS_NAME, Scene

IMAGES = "images"
TASKS = re.compile(r'^\[\s*\{[\s\S]*("data"\s*:\s*\{|"original_width"\s*:)')
LABELS = "labels"
"""End of the types of regions with a class: ``rectanglelabels``."""
RECTANGLE = "rectanglelabels"
GEOMETRY = frozenset(("x", "points", "rle"))
"""Keys of the value of a region with a shape."""
FROM, TO = "label", "image"
"""Names of the label tag and of the image tag in the labelling interface."""
CONFIG = f"""<View>
  <Image name="{TO}" value="$image"/>
  <RectangleLabels name="{FROM}" toName="{TO}">
    <Label value="{CLASS_NAME}"/>
  </RectangleLabels>
</View>
"""


class _Region(BaseModel):
    id: Identifier | None = None
    type: str = ""
    value: dict[str, Any] = {}
    original_width: Pixels | None = None
    original_height: Pixels | None = None
    image_rotation: StrictFloat = 0


class _Annotation(BaseModel):
    result: list[_Region]
    was_cancelled: bool | None = False
    ground_truth: bool | None = False


class _Task(BaseModel):
    model_config = ConfigDict(extra="allow")
    data: dict[str, Any] | None = None
    annotations: Annotated[
        list[_Annotation] | None, Field(validation_alias=AliasChoices("annotations", "completions"))
    ] = None


def annotation_files(source: Source) -> list[Path]:
    """Return the JSON files with a list of tasks."""
    return [file for file in source.with_suffix(".json") if source.starts_with(file, TASKS)]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read JSON files of tasks.

    A task that was skipped or not labelled yet is left out, because its tanks are not labelled; predictions are not
    read. Of several annotations of a task, the one marked as ground truth or else the last one is read. Images that no
    task names are left out. Outlines and ellipses are converted to bounding boxes. Brush strokes and points are left
    out.
    """
    annotations = Annotations([], [], files)
    for file in files:
        for index, task in enumerate(validated(read_json(file), list[_Task], file)):
            _read_task(task, file, f"{file}: [{index}]", source, annotations)
    report_unlisted(annotations, source)
    return annotations


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/tasks.json`` and the labelling interface; scenes with scores become predictions.

    The tasks name the images in the local storage of Label Studio, whose document root is ``out``.
    """
    tasks = []
    for scene in scenes:
        result = list(_regions(scene))
        entry: dict[str, Any] = {"result": result}
        if scene.scores is not None:
            entry["score"] = float(np.mean(scene.scores)) if len(scene.scores) else 0.0
        key = "annotations" if scene.scores is None else "predictions"
        url = f"/data/local-files/?d={IMAGES}/{quote(scene.image.name)}"
        tasks.append({"data": {"image": url}, key: [entry]})
    (out / "tasks.json").write_text(json_text(tasks), encoding="utf-8")
    (out / "interface.xml").write_text(CONFIG, encoding="utf-8")


def _regions(scene: Scene) -> Iterator[dict[str, Any]]:
    scores = scene.scores.tolist() if scene.scores is not None else [None] * len(scene.boxes)
    for number, (x1, y1, x2, y2), score in zip(count(1), shortest(scene.boxes), scores):
        x, width = (100 * value / scene.width for value in (x1, x2 - x1))
        y, height = (100 * value / scene.height for value in (y1, y2 - y1))
        region = {
            "id": str(number),
            "type": RECTANGLE,
            "from_name": FROM,
            "to_name": TO,
            "original_width": scene.width,
            "original_height": scene.height,
            "image_rotation": 0,
            "value": {"x": x, "y": y, "width": width, "height": height, "rotation": 0, RECTANGLE: [CLASS_NAME]},
        }
        yield region if score is None else {**region, "score": score}


def _read_task(task: _Task, file: Path, place: str, source: Source, annotations: Annotations) -> None:
    name = _image_name(task.data if task.data is not None else task.model_extra or {})
    if name is None:
        raise UserError(f"{place}: names no image; export tasks with images")
    if task.data is None:
        regions, at = _regions_of_min(task.model_extra or {}), place
    else:
        given = [(i, one) for i, one in enumerate(task.annotations or []) if not one.was_cancelled]
        if not given:
            annotations.report("unlabelled-task", place, f"{name} was skipped or is not labelled yet", "left out")
            return
        if len(given) > 1:
            annotations.report_once(file, "several-annotations", place, f"has {len(given)} annotations", "one is used")
        number, chosen = next((pair for pair in given if pair[1].ground_truth), given[-1])
        regions, at = chosen.result, f"{place}.annotations[{number}].result"
    sizes = [(one.original_width, one.original_height) for one in regions]
    size = next(((width, height) for width, height in sizes if width and height), None)
    path = source.images.find(name, near=file)
    image = annotations.add_image(path.name if path else name, path, size, place)
    scale = size or (path and image_size(path)) or (1, 1)
    labelled = {one.id for one in regions if one.type.endswith(LABELS)} - {None}
    for index, region in enumerate(regions):
        # skip texts, choices and relations, and the shape of a region whose labels are another entry
        if region.type.endswith(LABELS) or (region.id not in labelled and not GEOMETRY.isdisjoint(region.value)):
            _add_region(region, file, f"{at}[{index}]", image, scale, annotations)


def _add_region(
    region: _Region, file: Path, place: str, image: str, size: tuple[int, int], annotations: Annotations
) -> None:
    if region.image_rotation % 360:
        raise UserError(
            f"{place}: the image was turned by {region.image_rotation:g} degrees in Label Studio; turn the image file, "
            "and label it again"
        )
    names = region.value.get(region.type) or region.value.get(LABELS) or []
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    points = _points(region, size, place)
    if points is not None and not name:
        annotations.leave_out(Record(image, name, (0, 0, 0, 0), place), "no-box", "has no label")
    else:
        add_shape(annotations, file, image, name, points, place, f"region of type {region.type}")


def _points(region: _Region, size: tuple[int, int], place: str) -> NDArray[np.float64] | None:
    """Return points ``(N, 2)`` with the bounds of a region, in pixels; None for points and brush strokes."""
    value, scale = region.value, np.array(size) / 100
    if "points" in value:
        points = np.array(validated(value["points"], list[Point], f"{place}.value.points"), np.float64)
        return points * scale if len(points) > 1 else None
    keys = ("radiusX", "radiusY") if "radiusX" in value else ("width", "height")
    if region.type.startswith("keypoint") or "x" not in value:
        return None
    x, y, width, height = _numbers(value, ("x", "y", *keys), place) * np.tile(scale, 2)
    degrees = _numbers(value, ("rotation",), place)[0] if value.get("rotation") else 0.0
    if "radiusX" in value:
        return ellipse((x, y), (width, height), degrees)
    return turned_rectangle((x, y, x + width, y + height), degrees, (x, y))


def _regions_of_min(task: Mapping[str, Any]) -> list[_Region]:
    """Return the regions of a task in JSON-MIN, which has one list for each label tag."""
    regions = []
    for values in task.values():
        for value in values if isinstance(values, list) else ():
            if isinstance(value, dict) and not (GEOMETRY | {"original_width"}).isdisjoint(value):
                kind = next((key for key in value if key.endswith(LABELS)), "")
                size = {key: value.get(key) for key in ("original_width", "original_height")}
                regions.append(validated({"type": kind, "value": value, **size}, _Region, "JSON-MIN"))
    return regions


def _image_name(data: Mapping[str, Any]) -> str | None:
    """Return the address of the image: the value ``image``, or else the first that ends like an image."""
    values = [data.get("image"), *data.values()]
    texts = [value for value in values if isinstance(value, str)]
    if isinstance(data.get("image"), str):
        return texts[0]
    return next((text for text in texts if text.lower().endswith(SUFFIXES)), None)


def _numbers(value: Mapping[str, Any], names: Sequence[str], place: str) -> NDArray[np.float64]:
    return np.array([validated(value.get(name), StrictFloat, f"{place}.value.{name}") for name in names], np.float64)
