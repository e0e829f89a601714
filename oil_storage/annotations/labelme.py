"""LabelMe annotations: one JSON file per image, with ``shapes``. X-AnyLabeling and others write them too.

Source: https://github.com/wkentaro/labelme, labelme/label_file.py
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from oil_storage.annotations.boxes import corners, shortest
from oil_storage.annotations.record import Annotations
from oil_storage.annotations.shapes import Point, add_shape, ellipse
from oil_storage.annotations.source import Source, add_backgrounds
from oil_storage.coco import Pixels
from oil_storage.errors import UserError
from oil_storage.files import json_text, read_json, validated
from oil_storage.scene import CLASS_NAME, Scene

IMAGES = "images"
SHAPES = re.compile(r'^\{[\s\S]*"(shapes|imageData)"\s*:')
VERSION = "5.5.0"
"""Version of LabelMe whose files are written."""
RECTANGLE = "rectangle"
OUTLINES = (RECTANGLE, "polygon", "rotation", "mask")
"""Shapes whose bounds are those of their points; the points of a mask are the corners of its box."""


class _Shape(BaseModel):
    label: str
    points: Annotated[list[Point], Field(min_length=1)]
    shape_type: str | None = "polygon"


class _File(BaseModel):
    shapes: list[_Shape]
    image_path: Annotated[str | None, Field(alias="imagePath")] = None
    width: Annotated[Pixels | None, Field(alias="imageWidth")] = None
    height: Annotated[Pixels | None, Field(alias="imageHeight")] = None
    image_data: Annotated[Any, Field(alias="imageData")] = None


def annotation_files(source: Source) -> list[Path]:
    """Return the JSON files with ``shapes``."""
    return [file for file in source.with_suffix(".json") if source.starts_with(file, SHAPES)]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read JSON files; each belongs to its ``imagePath``, or else to the image with the same name.

    Images without a JSON file have no boxes. Outlines and circles are converted to bounding boxes. Points and lines are
    left out.
    """
    annotations = Annotations([], [], files)
    for file in files:
        content = validated(read_json(file), _File, file)
        path = source.images.find(content.image_path or "", file.stem, near=file)
        if path is None and content.image_data:
            raise UserError(
                f"{file}: the image {content.image_path!r} is missing, and its copy in imageData is not read; "
                "extract it with labelme_export_json, or put the image beside this file"
            )
        size = (content.width, content.height) if content.width and content.height else None
        image = annotations.add_image(content.image_path or file.stem, path, size, str(file))
        for index, shape in enumerate(content.shapes):
            place = f"{file}: shapes[{index}]"
            add_shape(annotations, file, image, shape.label, _points(shape), place, str(shape.shape_type))
    add_backgrounds(annotations, source)
    return annotations


def _points(shape: _Shape) -> NDArray[np.float64] | None:
    """Return points ``(N, 2)`` with the bounds of a shape; None for points and lines."""
    points = np.array(shape.points, np.float64)
    if shape.shape_type == "circle" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        return ellipse((points[0, 0], points[0, 1]), (radius, radius))
    if shape.shape_type == RECTANGLE and len(points) == 2:
        return corners(points.ravel().tolist())
    return points if shape.shape_type in (*OUTLINES, None) and len(points) > 1 else None


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write a JSON file beside each image; the scores of detections are in ``description``."""
    for scene in scenes:
        scores = scene.scores if scene.scores is not None else [None] * len(scene.boxes)
        shapes: list[dict[str, Any]] = [
            {
                "label": CLASS_NAME,
                "points": [[x1, y1], [x2, y2]],
                "group_id": None,
                "description": "" if score is None else f"score {score:.3f}",
                "shape_type": RECTANGLE,
                "flags": {},
            }
            for (x1, y1, x2, y2), score in zip(shortest(scene.boxes), scores, strict=True)
        ]
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": scene.image.name,
            "imageData": None,
            "imageHeight": scene.height,
            "imageWidth": scene.width,
        }
        (out / IMAGES / f"{scene.scene_id}.json").write_text(json_text(content), encoding="utf-8")
