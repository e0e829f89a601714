import numpy as np

from oil_storage.engine.pictures import LINE, PREDICTION, TRUTH, draw_boxes, side_by_side


def test_truth_is_drawn_left_and_predictions_right() -> None:
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


def test_no_boxes_leave_the_image() -> None:
    image = np.full((16, 16, 3), 7, np.uint8)
    none = np.zeros((0, 4), np.float32)
    picture = side_by_side(image, none, none, 0.3)
    assert (picture[LINE:, :32] == 7).all()
    assert (picture[LINE:, 36:] == 7).all()


def test_a_box_is_drawn_on_the_outermost_pixels_that_are_its_own() -> None:
    canvas = np.zeros((12, 12, 3), np.uint8)
    draw_boxes(canvas, np.array([[2, 3, 7, 8], [10, 10, 10.2, 10.2]], np.float32), TRUTH)
    rows, columns = canvas.any(axis=-1).nonzero()
    assert (rows.min(), columns.min()) == (3, 2)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) & {
        (y, x) for y in range(8, 12) for x in range(12)
    } == {(10, 10)}
    assert not canvas[4:7, 3:6].any()


def test_what_a_detector_far_from_trained_predicts_is_drawn_where_it_can_be() -> None:
    canvas = np.zeros((12, 12, 3), np.uint8)
    boxes = np.array([[np.nan, 0, 5, 5], [0, 0, np.inf, 5], [-1e30, 2, 1e30, 9]], np.float32)
    draw_boxes(canvas, boxes, (1, 2, 3))
    assert (canvas[2] == (1, 2, 3)).all()
    assert (canvas[8] == (1, 2, 3)).all()
    assert not canvas[3:8].any()
    assert not canvas[0].any()
