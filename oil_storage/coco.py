"""COCO json of scenes and of tiles."""

from typing import Any

from numpy import float32
from numpy.typing import NDArray

from oil_storage.scene import CLASS_NAME


def image_entry(scene_id: str, file_name: str, width: int, height: int, gsd: float | None = None) -> dict[str, Any]:
    """An image of the json; its id is given by :func:`coco`. ``gsd``, metres per pixel, is there where it is known."""
    entry = {"file_name": file_name, "width": width, "height": height, "scene_id": scene_id}
    return entry if gsd is None else {**entry, "gsd": gsd}


def coco(images: list[dict[str, Any]], boxes: list[NDArray[float32]]) -> dict[str, Any]:
    """COCO json: ids count from 1, bbox is xywh in pixels of its image."""
    annotations: list[dict[str, Any]] = []
    for image_id, of_image in enumerate(boxes, start=1):
        for x1, y1, x2, y2 in of_image.tolist():
            bbox = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": bbox,
                    "area": bbox[2] * bbox[3],
                    "iscrowd": 0,
                }
            )
    return {
        "images": [{"id": image_id, **image} for image_id, image in enumerate(images, start=1)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": CLASS_NAME}],
    }
