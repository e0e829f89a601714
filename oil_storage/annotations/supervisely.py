"""Supervisely projects (read only): ``ann/a.jpg.json`` for ``img/a.jpg``, in the folder of each data set.

Source: https://docs.supervisely.com/customization-and-integration/00_ann_format_navi
"""

import base64
import binascii
import re
import zlib
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from oil_storage.annotations.boxes import corners
from oil_storage.annotations.record import Annotations
from oil_storage.annotations.shapes import Point, add_shape
from oil_storage.annotations.source import Source, add_backgrounds
from oil_storage.coco import Pixels
from oil_storage.errors import UserError
from oil_storage.files import read_json, validated

OBJECTS = re.compile(r'^\{[\s\S]*"objects"\s*:\s*\[')
SIZE = re.compile(r'"size"\s*:\s*\{')
MOST_PIXELS = 1 << 28
"""Largest accepted size of a bitmap, in bytes."""


class _Size(BaseModel):
    width: Pixels
    height: Pixels


class _Points(BaseModel):
    exterior: list[Point] = []


class _Bitmap(BaseModel):
    data: str
    origin: Point


class _Object(BaseModel):
    title: Annotated[str, Field(alias="classTitle")]
    kind: Annotated[str, Field(alias="geometryType")] = "polygon"
    points: _Points = _Points()
    bitmap: _Bitmap | None = None


class _File(BaseModel):
    size: _Size
    objects: list[_Object]


def annotation_files(source: Source) -> list[Path]:
    """Return the JSON files with ``size`` and ``objects``."""
    return [file for file in source.with_suffix(".json") if source.starts_with(file, OBJECTS, SIZE)]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read JSON files; each belongs to the image with the same name. Images without a file have no boxes.

    Outlines and bitmaps are converted to bounding boxes. Points and lines are left out.
    """
    annotations = Annotations([], [], files)
    for file in files:
        content = validated(read_json(file), _File, file)
        path = source.images.find(file.stem, near=file)
        image = annotations.add_image(file.stem, path, (content.size.width, content.size.height), str(file))
        for index, item in enumerate(content.objects):
            place = f"{file}: objects[{index}]"
            add_shape(annotations, file, image, item.title, _points(item, place), place, item.kind)
    add_backgrounds(annotations, source)
    return annotations


def _points(item: _Object, place: str) -> NDArray[np.float64] | None:
    """Return points ``(N, 2)`` with the bounds of an object; None for points and lines."""
    if item.bitmap:
        return _corners(item.bitmap, place)
    points = np.array(item.points.exterior, np.float64).reshape(-1, 2)
    if item.kind == "rectangle" and len(points) == 2:
        return corners(points.ravel().tolist())
    return points if item.kind in ("rectangle", "polygon") and len(points) > 1 else None


def _corners(bitmap: _Bitmap, place: str) -> NDArray[np.float64]:
    """Return the corners ``(4, 2)`` of the box around a bitmap, which is a PNG in zlib in Base64."""
    try:
        packed = zlib.decompressobj().decompress(base64.b64decode(bitmap.data, validate=True), MOST_PIXELS)
        pixels = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_UNCHANGED)
    except (binascii.Error, ValueError, zlib.error, cv2.error) as error:
        raise UserError(f"{place}: the bitmap is damaged ({error}); export the project again") from None
    if pixels is None or not pixels.any():
        raise UserError(f"{place}: the bitmap is empty or no PNG; remove the object, or export the project again")
    mask = pixels if pixels.ndim == 2 else pixels[..., -1]  # transparent PNG
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    left, top = bitmap.origin
    return corners((left + x, top + y, left + x + width, top + y + height))
