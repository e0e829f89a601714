from pathlib import Path

import cv2
import numpy as np

from oil_storage.reporting.contact_sheet import CELL, COLOUR, COLUMNS, GAP, contact_sheet


def write_image(path: Path, grey: int) -> Path:
    cv2.imwrite(str(path), np.full((200, 200, 3), grey, np.uint8))
    return path


def test_pictures_keep_the_order_of_the_boxes(tmp_path: Path) -> None:
    images = [write_image(tmp_path / f"{grey}.png", grey) for grey in (40, 200)]
    number = COLUMNS + 3
    sheet = contact_sheet([(images[index % 2], (90, 90, 110, 110)) for index in range(number)])
    pitch = CELL + GAP
    assert sheet.shape == (2 * pitch, COLUMNS * pitch, 3)
    for index in range(number):
        row, column = divmod(index, COLUMNS)
        middle = sheet[row * pitch + CELL // 2, column * pitch + CELL // 2]
        assert middle.tolist() == [(40, 200)[index % 2]] * 3
    assert (sheet[pitch:, 3 * pitch :] == 255).all()


def test_a_box_is_drawn_at_its_corners_and_its_edges_stay_visible(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image.png", 90)
    sheet = contact_sheet([(image, (80, 90, 120, 110))])
    red = (sheet[:CELL, :CELL] == COLOUR).all(axis=2)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    scale = CELL / (2.2 * 40)
    assert np.allclose([columns[0], columns[-1]], [CELL / 2 - 20 * scale, CELL / 2 + 20 * scale], atol=1)
    assert np.allclose([rows[0], rows[-1]], [CELL / 2 - 10 * scale, CELL / 2 + 10 * scale], atol=1)
    assert not red[:, CELL // 2].any()
    assert not red[CELL // 2].any()


def test_a_box_far_along_a_long_image_is_shown_and_one_outside_is_black(tmp_path: Path) -> None:
    long = np.full((40, 33_000, 3), 90, np.uint8)
    long[:, 32_900:] = 200
    cv2.imwrite(str(tmp_path / "long.png"), long)
    sheet = contact_sheet([(tmp_path / "long.png", (x, 5, x + 30, 35)) for x in (32_800, 32_950, 40_000)])
    middles = [sheet[CELL // 2, index * (CELL + GAP) + CELL // 2].tolist() for index in range(3)]
    assert middles == [[90] * 3, [200] * 3, [0] * 3]


def test_no_box_makes_no_picture() -> None:
    assert contact_sheet([]).size == 0
