from typing import Any

import numpy as np
from mmdet.structures.bbox import HorizontalBoxes

from oil_storage.datasets.transforms import RandomCoarsening, RandomTileCrop, RandomTranspose


def sample(rng: np.random.Generator, height: int = 60, width: int = 90, number: int = 12) -> dict[str, Any]:
    """Return an image that is 255 inside its boxes and 0 elsewhere."""
    image = np.zeros((height, width, 3), np.uint8)
    boxes = []
    for _ in range(number):
        x, y = rng.integers(0, width - 8), rng.integers(0, height - 8)
        w, h = rng.integers(3, 8, 2)
        image[y : y + h, x : x + w] = 255
        boxes.append([x, y, x + w, y + h])
    return {
        "img": image,
        "img_shape": image.shape[:2],
        "gt_bboxes": HorizontalBoxes(np.array(boxes, np.float32)),
        "gt_bboxes_labels": np.arange(number),
        "gt_ignore_flags": np.zeros(number, bool),
    }


def drawn(results: dict[str, Any]) -> np.ndarray:
    canvas = np.zeros(results["img"].shape[:2], bool)
    for x1, y1, x2, y2 in results["gt_bboxes"].numpy().astype(int):
        canvas[y1:y2, x1:x2] = True
    return canvas


def test_boxes_are_transposed_with_the_image() -> None:
    before = sample(np.random.default_rng(0))
    image = before["img"].copy()
    after = RandomTranspose(prob=1.0).transform(before)
    assert after["img_shape"] == after["img"].shape[:2] == (90, 60)
    assert (after["img"] == image.transpose(1, 0, 2)).all()
    assert ((after["img"][..., 0] == 255) == drawn(after)).all()


def test_the_probability_of_a_transposition_is_respected() -> None:
    rng = np.random.default_rng(0)
    assert RandomTranspose(prob=0.0).transform(sample(rng))["img_shape"] == (60, 90)
    np.random.seed(0)
    transposed = [RandomTranspose().transform(sample(rng, number=1))["img_shape"] == (90, 60) for _ in range(200)]
    assert 70 < sum(transposed) < 130


def test_transposition_and_flips_give_all_symmetries_of_a_square() -> None:
    from mmdet.datasets.transforms import RandomFlip

    np.random.seed(0)
    flip = RandomFlip(prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"])
    transpose = RandomTranspose()
    image = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    seen = {transpose.transform(flip.transform({"img": image.copy()}))["img"].tobytes() for _ in range(200)}
    assert len(seen) == 8


def test_a_crop_keeps_the_same_boxes_as_a_tile() -> None:
    np.random.seed(0)
    rng = np.random.default_rng(0)
    lost = 0
    for _ in range(50):
        before = sample(rng)
        areas = (before["gt_bboxes"].numpy()[:, 2:] - before["gt_bboxes"].numpy()[:, :2]).prod(axis=1)
        after = RandomTileCrop(size=32).transform(before)
        assert after["img"].shape == (32, 32, 3)
        boxes, labels = after["gt_bboxes"].numpy(), after["gt_bboxes_labels"]
        assert len(boxes) == len(labels) == len(after["gt_ignore_flags"])
        shown = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        assert (shown >= 0.3 * areas[labels] - 1e-3).all()
        assert (after["img"][..., 0][drawn(after)] == 255).all()
        lost += 12 - len(labels)
    assert lost > 0


def test_a_crop_larger_than_the_image_changes_nothing() -> None:
    before = sample(np.random.default_rng(0))
    after = RandomTileCrop(size=512).transform(before)
    assert after["img"].shape == (60, 90, 3)
    assert len(after["gt_bboxes"]) == 12


def test_a_crop_without_objects_has_empty_boxes() -> None:
    before = sample(np.random.default_rng(0), number=1)
    before["gt_bboxes"] = HorizontalBoxes(np.array([[80, 50, 88, 58]], np.float32))
    crop = RandomTileCrop(size=16)
    crop._corner = lambda *_: (0, 0)  # type: ignore[method-assign]
    assert crop.transform(before)["gt_bboxes"].shape == (0, 4)


def test_a_crop_on_a_box_contains_its_centre() -> None:
    np.random.seed(0)
    crop = RandomTileCrop(size=16, on_box=1.0)
    seen = set()
    for _ in range(200):
        before = sample(np.random.default_rng(0), number=1)
        before["gt_bboxes"] = HorizontalBoxes(np.array([[0, 50, 5, 60]], np.float32))
        before["img"] = np.stack(np.mgrid[:60, :90][[1, 0, 0]], axis=2).astype(np.uint8)  # x, y, y
        x, y, _ = crop.transform(before)["img"][0, 0]
        assert x <= 2 < x + 16
        assert y <= 55 < y + 16
        seen.add((int(x), int(y)))
    assert {x for x, _ in seen} == {0, 1, 2}
    assert {y for _, y in seen} == set(range(40, 45))  # down to the image's end


def test_crops_of_several_sizes_are_square() -> None:
    np.random.seed(0)
    crop = RandomTileCrop(size=(16, 20))
    shapes = [crop.transform(sample(np.random.default_rng(0)))["img"].shape[:2] for _ in range(100)]
    assert set(shapes) == {(side, side) for side in range(16, 21)}


def test_coarsening_keeps_the_size_and_removes_fine_detail() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (80, 60, 3), dtype=np.uint8)
    np.random.seed(0)
    spreads = []
    for _ in range(20):
        after = RandomCoarsening(prob=1.0, factor=4.0).transform({"img": image})["img"]
        assert after.shape == image.shape
        assert abs(after.mean() - image.mean()) < 3
        spreads.append(after.std())
    assert max(spreads) <= image.std()
    assert min(spreads) < image.std() / 3


def test_coarsening_with_probability_zero_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert (RandomCoarsening(prob=0.0, factor=4.0).transform({"img": image.copy()})["img"] == image).all()
