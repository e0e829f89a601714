import numpy as np

from oil_storage.engine.pictures import PREDICTION, TRUTH, side_by_side


def test_truth_is_drawn_left_and_predictions_right() -> None:
    image = np.zeros((32, 40, 3), np.uint8)
    picture = side_by_side(image, np.array([[2, 3, 10, 12]], np.float32), np.array([[20, 5, 30, 25]], np.float32))
    assert picture.shape == (32, 84, 3)
    left, right = picture[:, :40], picture[:, 44:]
    assert (left[3, 2:11] == TRUTH).all()
    assert (right[5:26, 20] == PREDICTION).all()
    assert not (left == PREDICTION).all(axis=-1).any()
    assert not (right == TRUTH).all(axis=-1).any()
    assert not image.any()


def test_no_boxes_leave_the_image() -> None:
    image = np.full((16, 16, 3), 7, np.uint8)
    none = np.zeros((0, 4), np.float32)
    picture = side_by_side(image, none, none)
    assert (picture[:, :16] == image).all()
    assert (picture[:, 20:] == image).all()
