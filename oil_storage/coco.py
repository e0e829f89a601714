"""COCO JSON for object detection: ``images``, ``annotations`` with ``bbox`` (x, y, width, height), ``categories``.

Source: https://cocodataset.org/#format-data
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BeforeValidator, FailFast, Field, StrictFloat, StrictInt, StrictStr, TypeAdapter

from oil_storage.files import json_text, read_json, validated, write_text
from oil_storage.scene import CLASS_NAME


def _whole(value: Any) -> Any:
    """Convert floats such as 20.0, which some tools write, to integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plain_id(value: Any) -> Any:
    """Convert ids that some tools write as 1.0 or "1" to integers."""
    is_number = isinstance(value, str) and value.isascii() and value.isdecimal() and str(int(value)) == value
    return int(value) if is_number else _whole(value)


Identifier = Annotated[StrictInt | StrictStr, BeforeValidator(plain_id)]
Pixels = Annotated[StrictInt, BeforeValidator(_whole)]


@dataclass(frozen=True)
class CocoImage:
    """Image of a COCO file.

    The fields ``scene_id``, ``gsd`` (metres per pixel), ``x`` and ``y`` (corner of a tile in its scene, in pixels) are
    not part of the COCO format.
    """

    id: Identifier
    file_name: Annotated[str, Field(min_length=1)]
    width: Pixels | None = None
    height: Pixels | None = None
    scene_id: str | None = None
    gsd: StrictFloat | None = None
    x: int | None = None
    y: int | None = None


@dataclass(frozen=True)
class CocoAnnotation:
    """Box of a COCO file.

    Only detections have a ``score``, and those of some tools a ``file_name`` and a ``category_name``. ``iscrowd`` is 1
    for a box around a group of objects.
    """

    id: Identifier | None = field(default=None, kw_only=True)
    image_id: Identifier
    category_id: Identifier | None = field(default=None, kw_only=True)
    bbox: Annotated[list[StrictFloat], Field(min_length=4, max_length=4)]
    area: StrictFloat | None = None
    iscrowd: int | None = None
    score: StrictFloat | None = None
    segmentation: Any = None
    attributes: Any = None
    file_name: str | None = None
    category_name: str | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Box as xyxy, in pixels."""
        x, y, width, height = self.bbox
        return x, y, x + width, y + height


@dataclass(frozen=True)
class CocoCategory:
    """Class of a COCO file."""

    id: Identifier
    name: str
    supercategory: Any = None


@dataclass(frozen=True)
class CocoFile:
    """Content of a COCO JSON file."""

    images: Annotated[list[CocoImage], FailFast()]
    annotations: Annotated[list[CocoAnnotation], FailFast()]
    categories: Annotated[list[CocoCategory], FailFast()] = field(default_factory=list)

    @classmethod
    def of_boxes(cls, images: Sequence[CocoImage], boxes: Iterable[ArrayLike], is_rounded: bool = False) -> Self:
        """Create the content of a file from images and their boxes; annotation ids start at 1.

        Args:
            images: images of the file.
            boxes: boxes ``(N, 4)`` xyxy for each image, in the order of ``images``.
            is_rounded: whether to round off the floating-point error of width, height and area.
        """
        annotations: list[CocoAnnotation] = []
        for image, boxes_of_image in zip(images, boxes, strict=True):
            for x1, y1, x2, y2 in np.asarray(boxes_of_image, np.float64).tolist():
                bbox = [x1, y1, x2 - x1, y2 - y1]
                if is_rounded:
                    bbox = [round(value, 9) for value in bbox]
                area = round(bbox[2] * bbox[3], 6) if is_rounded else bbox[2] * bbox[3]
                number = len(annotations) + 1
                annotations.append(CocoAnnotation(image.id, bbox, area, 0, id=number, category_id=1))
        return cls(list(images), annotations, [CocoCategory(1, CLASS_NAME)])

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            UserError: the file is not valid COCO JSON; the message gives the line or the entry.
        """
        return validated(read_json(path), cls, path)

    def save(self, path: Path) -> None:
        """Write a file atomically."""
        write_text(path, self.text())

    def text(self) -> str:
        """Return the JSON text that :meth:`save` writes."""
        return json_text(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the content as a dict for :mod:`pycocotools`."""
        content: dict[str, Any] = TypeAdapter(type(self)).dump_python(self, exclude_none=True)
        return content
