from pathlib import Path

import cv2
import numpy as np

from oil_storage.drawing import (
    CELL,
    COLUMNS,
    GAP,
    LINE,
    PREDICTION,
    TRUTH,
    Crop,
    contact_sheet,
    draw_boxes,
    grid,
    side_by_side,
)


def test_side_by_side_draws_truth_left_and_predictions_right() -> None:
    image = np.zeros((32, 40, 3), np.uint8)
    truth, predictions = np.array([[2, 3, 10, 12]], np.float32), np.array([[20, 5, 30, 25]], np.float32)
    picture = side_by_side(image, truth, predictions, 0.3)
    assert picture.shape == (LINE + 64, 164, 3)
    left, right = picture[LINE:, :80], picture[LINE:, 84:]
    assert (left[6, 4:20] == TRUTH).all()
    assert (left[24:] == 0).all()
    assert (right[10:50, 40] == PREDICTION).all()
    assert not (left == PREDICTION).all(axis=-1).any()
    assert not (right == TRUTH).all(axis=-1).any()
    assert picture[:LINE].any()
    assert not image.any()


def test_side_by_side_keeps_the_image_without_boxes() -> None:
    image = np.full((16, 16, 3), 7, np.uint8)
    none = np.zeros((0, 4), np.float32)
    picture = side_by_side(image, none, none, 0.3)
    assert (picture[LINE:, :32] == 7).all()
    assert (picture[LINE:, 36:] == 7).all()


def test_draw_boxes_draws_on_the_outermost_pixels_of_a_box() -> None:
    canvas = np.zeros((12, 12, 3), np.uint8)
    draw_boxes(canvas, np.array([[2, 3, 7, 8], [10, 10, 10.2, 10.2]], np.float32), TRUTH)
    rows, columns = canvas.any(axis=-1).nonzero()
    assert (rows.min(), columns.min()) == (3, 2)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) & {
        (y, x) for y in range(8, 12) for x in range(12)
    } == {(10, 10)}
    assert not canvas[4:7, 3:6].any()


def test_draw_boxes_skips_boxes_that_are_not_finite() -> None:
    canvas = np.zeros((12, 12, 3), np.uint8)
    boxes = np.array([[np.nan, 0, 5, 5], [0, 0, np.inf, 5], [-1e30, 2, 1e30, 9]], np.float32)
    draw_boxes(canvas, boxes, (1, 2, 3))
    assert (canvas[2] == (1, 2, 3)).all()
    assert (canvas[8] == (1, 2, 3)).all()
    assert not canvas[3:8].any()
    assert not canvas[0].any()


def write_image(path: Path, grey: int) -> Path:
    cv2.imwrite(str(path), np.full((200, 200, 3), grey, np.uint8))
    return path


def test_contact_sheet_keeps_the_order_of_its_crops(tmp_path: Path) -> None:
    images = [write_image(tmp_path / f"{grey}.png", grey) for grey in (40, 200)]
    number = COLUMNS + 3
    sheet = contact_sheet([Crop(images[index % 2], (90, 90, 110, 110)) for index in range(number)])
    pitch = CELL + GAP
    assert sheet.shape == (2 * pitch, COLUMNS * pitch, 3)
    for index in range(number):
        row, column = divmod(index, COLUMNS)
        middle = sheet[row * pitch + CELL // 2, column * pitch + CELL // 2]
        assert middle.tolist() == [(40, 200)[index % 2]] * 3
    assert (sheet[pitch:, 3 * pitch :] == 255).all()


def test_contact_sheet_draws_corners_and_leaves_edges_visible(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image.png", 90)
    sheet = contact_sheet([Crop(image, (80, 90, 120, 110))])
    red = (sheet[:CELL, :CELL] == PREDICTION).all(axis=2)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    scale = CELL / (2.2 * 40)
    assert np.allclose([columns[0], columns[-1]], [CELL / 2 - 20 * scale, CELL / 2 + 20 * scale], atol=1)
    assert np.allclose([rows[0], rows[-1]], [CELL / 2 - 10 * scale, CELL / 2 + 10 * scale], atol=1)
    assert not red[:, CELL // 2].any()
    assert not red[CELL // 2].any()


def test_contact_sheet_shows_boxes_far_along_a_long_image_and_black_outside(tmp_path: Path) -> None:
    long = np.full((40, 33_000, 3), 90, np.uint8)
    long[:, 32_900:] = 200
    cv2.imwrite(str(tmp_path / "long.png"), long)
    sheet = contact_sheet([Crop(tmp_path / "long.png", (x, 5, x + 30, 35)) for x in (32_800, 32_950, 40_000)])
    middles = [sheet[CELL // 2, index * (CELL + GAP) + CELL // 2].tolist() for index in range(3)]
    assert middles == [[90] * 3, [200] * 3, [0] * 3]


def test_contact_sheet_is_empty_without_crops() -> None:
    assert contact_sheet([]).size == 0


def test_grid_shows_every_picture_once() -> None:
    pictures = [np.full((20 + shade % 3, 30, 3), shade, np.uint8) for shade in range(100, 107)]
    sheet = grid(pictures, 3)
    for picture in pictures:
        assert (sheet == picture[0, 0]).all(axis=2).sum() == picture.shape[0] * picture.shape[1]
