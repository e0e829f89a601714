from pathlib import Path

import cv2
import numpy as np
import pytest

from oil_storage.coco import CocoFile, CocoImage
from oil_storage.drawing import LINE, PREDICTION
from oil_storage.engine.pictures import MIN_SCORE, write_pictures
from oil_storage.imagery import read_pixels


@pytest.mark.parametrize(("threshold", "shown"), [(0.5, [True, False]), (0.6, [False, False]), (None, [True, True])])
def test_pictures_show_the_detections_at_the_score_threshold(
    threshold: float | None, shown: list[bool], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a_0_0.png"), np.zeros((64, 64, 3), np.uint8))
    tiles = CocoFile.of_boxes([CocoImage(7, "a_0_0.png", 64, 64)], [[(1, 1, 9, 9)]])
    detections = [
        {"image_id": 7, "bbox": [10, 10, 10, 10], "score": 0.5},
        {"image_id": 7, "bbox": [40, 40, 10, 10], "score": (0.5 + MIN_SCORE) / 2},
        {"image_id": 7, "bbox": [30, 10, 10, 10], "score": MIN_SCORE / 2},
    ]
    write_pictures(tmp_path, tiles, tmp_path, detections, threshold)
    right = read_pixels(tmp_path / "a_0_0.jpg")[LINE:, 132:].astype(int)
    drawn = [abs(right[y, x] - PREDICTION).max() < 100 for x, y in ((20, 30), (80, 90), (60, 30))]
    assert drawn == [*shown, False]
