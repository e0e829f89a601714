import numpy as np
import pytest
from numpy.typing import NDArray

from oil_storage.imagery import open_scene
from oil_storage.inference.second_look import VIEWS, look_again
from oil_storage.merging import Detections

SIDE = 640
BOX = (300.0, 200.0, 320.0, 212.0)


def scene(box: tuple[float, ...] = BOX) -> NDArray[np.uint8]:
    """Return a dark scene with a bright rectangle."""
    pixels = np.full((400, 600, 3), 20, np.uint8)
    x1, y1, x2, y2 = map(int, box)
    pixels[y1:y2, x1:x2] = 220
    return pixels


def rectangles(score: float) -> tuple[list[NDArray[np.uint8]], object]:
    """Return a list of the searched arrays, and a detector of bright rectangles."""
    from scipy.ndimage import find_objects, label

    arrays: list[NDArray[np.uint8]] = []

    def search(canvas: NDArray[np.uint8]) -> Detections:
        arrays.append(canvas)
        found = [(c.start, r.start, c.stop, r.stop) for r, c in find_objects(label(canvas[..., 0] > 120)[0])]
        return Detections(np.array(found, np.float32).reshape(-1, 4), np.full(len(found), score, np.float32))

    return arrays, search


def one(box: tuple[float, ...], score: float) -> Detections:
    return Detections(np.array([box], np.float32), np.array([score], np.float32))


@pytest.mark.parametrize("zoom", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("box", [BOX, (0.0, 0.0, 30.0, 30.0), (560.0, 370.0, 600.0, 400.0)])
def test_scores_and_boxes_are_averaged(box: tuple[float, ...], zoom: float) -> None:
    _, search = rectangles(0.8)
    image = open_scene(scene(box))
    found = one(tuple(np.array(box) * zoom), 0.5)
    boxes, scores = look_again(image, np.full(4, zoom), found, search, SIDE)
    assert scores.tolist() == pytest.approx([(0.5 + 0.8 * len(VIEWS)) / (1 + len(VIEWS))])
    np.testing.assert_allclose(boxes[0], np.array(box) * zoom, atol=1.5 * max(zoom, 1))


def test_a_detection_that_no_view_confirms_loses_its_score() -> None:
    _, search = rectangles(0.8)
    boxes, scores = look_again(open_scene(scene()), np.ones(4), one((50, 50, 70, 70), 0.6), search, SIDE)
    assert scores.tolist() == pytest.approx([0.6 / (1 + len(VIEWS))])
    assert boxes.tolist() == [[50, 50, 70, 70]]


@pytest.mark.parametrize("score", [0.1, 0.95])
def test_clear_detections_are_not_searched_again(score: float) -> None:
    arrays, search = rectangles(0.8)
    found = one(BOX, score)
    boxes, scores = look_again(open_scene(scene()), np.ones(4), found, search, SIDE)
    assert not arrays
    np.testing.assert_allclose(boxes, found.boxes)
    np.testing.assert_allclose(scores, found.scores)


def test_a_detection_too_large_for_a_crop_keeps_its_score() -> None:
    arrays, search = rectangles(0.8)
    box = (10.0, 10.0, 590.0, 390.0)
    _, scores = look_again(open_scene(scene(box)), np.ones(4), one(box, 0.5), search, SIDE)
    assert not arrays
    assert scores.tolist() == [0.5]


def test_invalid_boxes_and_scores_are_left_as_they_are() -> None:
    arrays, search = rectangles(0.8)
    boxes = np.array([[np.nan, 1, 2, 3], [-np.inf, 0, np.inf, 5], BOX], np.float32)
    found = Detections(boxes, np.array([0.5, 0.4, np.nan], np.float32))
    again = look_again(open_scene(scene()), np.ones(4), found, search, SIDE)
    assert not arrays
    np.testing.assert_array_equal(again.boxes, boxes)
    np.testing.assert_array_equal(again.scores, found.scores)


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 2)])
def test_a_scene_smaller_than_a_crop(shape: tuple[int, int]) -> None:
    _, search = rectangles(0.8)
    pixels = np.full((*shape, 3), 220, np.uint8)
    box = (0.0, 0.0, float(shape[1]), float(shape[0]))
    again = look_again(open_scene(pixels), np.array([1.0, 0.5, 1.0, 0.5]), one(box, 0.5), search, SIDE)
    assert np.isfinite(again.boxes).all()
    assert 0 <= again.scores[0] <= 1


def test_a_scene_without_detections() -> None:
    _, search = rectangles(0.8)
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    boxes, scores = look_again(open_scene(scene()), np.ones(4), none, search, SIDE)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_many_detections_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Detections(np.array([BOX] * 7, np.float32), np.linspace(0.32, 0.58, 7, dtype=np.float32))
    _, search = rectangles(0.8)
    together = look_again(open_scene(scene()), np.ones(4), found, search, SIDE)
    monkeypatch.setattr("oil_storage.inference.second_look.AT_ONCE", 3)
    arrays, search = rectangles(0.8)
    in_parts = look_again(open_scene(scene()), np.ones(4), found, search, SIDE)
    assert len(arrays) == 3 * len(VIEWS)
    np.testing.assert_array_equal(in_parts.scores, together.scores)
    np.testing.assert_array_equal(in_parts.boxes, together.boxes)
