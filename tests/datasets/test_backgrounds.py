from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes

from oil_storage.datasets import RandomBackground
from oil_storage.errors import UserError


def folder_of(tmp_path: Path, *grey: int) -> Path:
    for value in grey:
        cv2.imwrite(str(tmp_path / f"{value}.png"), np.full((20, 30, 3), value, np.uint8))
    return tmp_path


def sample() -> dict[str, object]:
    return {
        "img": np.full((64, 48, 3), 255, np.uint8),
        "gt_bboxes": HorizontalBoxes(np.array([[1, 2, 9, 8]], np.float32)),
        "gt_bboxes_labels": np.zeros(1, int),
        "gt_ignore_flags": np.zeros(1, bool),
    }


def test_background_fills_the_sample_and_removes_its_boxes(tmp_path: Path) -> None:
    background = RandomBackground(str(folder_of(tmp_path, 50, 100)), ("*.png",), prob=1.0, scale=(0.3, 1.5))
    np.random.seed(0)
    for _ in range(20):
        after = background.transform(sample())
        assert after["img"].shape == (64, 48, 3)
        assert set(np.unique(after["img"])) <= {50, 100}
        assert [len(after[key]) for key in ("gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags")] == [0, 0, 0]


def test_background_replaces_the_given_share_of_samples(tmp_path: Path) -> None:
    background = RandomBackground(str(folder_of(tmp_path, 50)), ("*.png",), prob=0.25, scale=(0.5, 1.0))
    np.random.seed(0)
    replaced = [len(background.transform(sample())["gt_bboxes"]) == 0 for _ in range(400)]
    assert 70 < sum(replaced) < 130


def test_background_reads_only_images_that_match(tmp_path: Path) -> None:
    folder_of(tmp_path, 50, 100)
    background = RandomBackground(str(tmp_path), ("5*.png",), prob=1.0, scale=(1.0, 1.0))
    assert set(np.unique(background.transform(sample())["img"])) == {50}


def test_folder_without_a_matching_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image matches"):
        RandomBackground(str(tmp_path), ("*.png",), prob=0.1, scale=(0.5, 1.0))


def test_damaged_background_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    background = RandomBackground(str(tmp_path), ("*.png",), prob=1.0, scale=(0.5, 1.0))
    with pytest.raises(UserError, match=r"a\.png"):
        background.transform(sample())
