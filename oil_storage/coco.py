"""COCO json of object detection: ``images``, ``annotations`` with ``bbox`` (x, y, width, height), ``categories``.

Source: https://cocodataset.org/#format-data
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field

from oil_storage.files import json_text, read_json, validated, write_text
from oil_storage.scene import CLASS_NAME


def _whole(value: Any) -> Any:
    """Turn ``20.0``, which some tools write, into 20."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Identifier = int | str
Pixels = Annotated[int, BeforeValidator(_whole)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class CocoImage(_Entry):
    """One image.

    Attributes:
        id: unique in the file.
        file_name: may have folders.
        width: pixels.
        height: pixels.
        scene_id: our scene that the image shows.
        gsd: ground resolution, metres per pixel.
        x: left edge of a tile in its scene, pixels.
        y: top edge.
    """

    id: Identifier
    file_name: Annotated[str, Field(min_length=1)]
    width: Pixels | None = None
    height: Pixels | None = None
    scene_id: str | None = None
    gsd: float | None = None
    x: int | None = None
    y: int | None = None


class CocoAnnotation(_Entry):
    """One box; a detection has a score.

    Attributes:
        bbox: x, y, width, height in pixels of the image.
        iscrowd: 1 where the box is around a crowd, not around one object.
        segmentation: outline or mask, as written.
        attributes: further properties, as written.
    """

    id: Identifier | None = None
    image_id: Identifier
    category_id: Identifier | None = None
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)]
    area: float | None = None
    iscrowd: Annotated[int, Field(strict=False)] | None = None
    score: float | None = None
    segmentation: Any = None
    attributes: Any = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The box as xyxy."""
        x, y, width, height = self.bbox
        return x, y, x + width, y + height


class CocoCategory(_Entry):
    """One class."""

    id: Identifier
    name: str


class CocoFile(_Entry):
    """The content of a COCO json."""

    images: Annotated[list[CocoImage], FailFast()] = []
    annotations: Annotated[list[CocoAnnotation], FailFast()] = []
    categories: Annotated[list[CocoCategory], FailFast()] = []

    @classmethod
    def of_boxes(cls, images: Sequence[CocoImage], boxes: Iterable[ArrayLike], is_rounded: bool = False) -> Self:
        """Make annotations of the xyxy boxes of each image; their ids count from 1.

        Args:
            images: images of the file.
            boxes: ``(N, 4)`` boxes of each image.
            is_rounded: remove the noise of subtraction from boxes with few decimal places.
        """
        annotations: list[CocoAnnotation] = []
        for image, boxes_of_image in zip(images, boxes, strict=True):
            for x1, y1, x2, y2 in np.asarray(boxes_of_image, np.float64).tolist():
                width, height = x2 - x1, y2 - y1
                area = width * height
                if is_rounded:
                    width, height = round(width, 9), round(height, 9)
                    area = round(width * height, 6)
                annotations.append(
                    CocoAnnotation(
                        id=len(annotations) + 1,
                        image_id=image.id,
                        category_id=1,
                        bbox=[x1, y1, width, height],
                        area=area,
                        iscrowd=0,
                    )
                )
        return cls(images=list(images), annotations=annotations, categories=[CocoCategory(id=1, name=CLASS_NAME)])

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            UserError: not COCO json; the line or the entry is named.
        """
        return validated(read_json(path), cls, path)

    def save(self, path: Path) -> None:
        """Write a file in one step."""
        write_text(path, self.text())

    def text(self) -> str:
        """Return what :meth:`save` writes."""
        return json_text(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the content for :mod:`pycocotools`."""
        return self.model_dump(exclude_none=True)
