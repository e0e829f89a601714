from typing import Any

import pytest

from oil_storage.evaluation.dense_coco import score
from oil_storage.evaluation.published_protocol import published_score


def truth(sizes: list[tuple[float, float]]) -> dict[str, Any]:
    """One tile with boxes of these widths and heights, far from each other."""
    annotations = [
        {
            "id": index + 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [50.0 * index, 0.0, *size],
            "area": size[0] * size[1],
            "iscrowd": 0,
        }
        for index, size in enumerate(sizes)
    ]
    image = {"id": 1, "width": 10_000, "height": 640, "file_name": "a.png"}
    return {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "oil-storage-tank"}]}


def found(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {key: one[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9} for one in of["annotations"]
    ]


@pytest.mark.parametrize(
    ("odd", "counts"), [((4.9, 6.0), False), ((5.0, 5.0), True), ((10.0, 25.0), True), ((26.0, 10.0), False)]
)
def test_narrow_and_long_boxes_are_left_out(odd: tuple[float, float], counts: bool) -> None:
    tile = truth([(20.0, 20.0), odd])
    first = found(tile)[:1]
    assert score(tile, first)["mAP"] == pytest.approx(0.5, abs=0.01)
    assert published_score(tile, first)["mAP"] == pytest.approx(0.5 if counts else 1.0, abs=0.01)


def test_a_hundred_detections_of_a_tile_count() -> None:
    tile = truth([(20.0, 20.0)] * 150)
    assert score(tile, found(tile))["mAP"] == 1
    assert published_score(tile, found(tile))["AR"] == pytest.approx(100 / 150)
