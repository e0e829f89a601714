import numpy as np

from oil_storage.iou import iou_matrix


def test_iou_is_correct_for_equal_halved_disjoint_and_empty_boxes() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10], [5, 5, 5, 5]], np.float32)
    assert iou_matrix(a, b).tolist() == [[1.0, 0.5, 0.0, 0.0]]
    assert iou_matrix(np.zeros((0, 4), np.float32), b).shape == (0, 4)
    assert iou_matrix(b[3:], b[3:]).tolist() == [[0.0]]
