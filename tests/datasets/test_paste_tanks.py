from typing import Any

import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes

from oil_storage.datasets.paste_tanks import PasteTanks, cut_alone
from oil_storage.engine.reproducibility import seed_everything


def sample(ground: int, boxes: list[list[float]], side: int = 160, tank: int = 250) -> dict[str, Any]:
    """An even ground on which each box is evenly bright."""
    image = np.full((side, side, 3), ground, np.uint8)
    for x1, y1, x2, y2 in np.array(boxes, int).reshape(-1, 4).tolist():
        image[y1:y2, x1:x2] = tank
    return {
        "img": image,
        "gt_bboxes": HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        "gt_bboxes_labels": np.zeros(len(boxes), np.int64),
        "gt_ignore_flags": np.zeros(len(boxes), np.bool_),
    }


def pasted(own: list[list[float]], *others: dict[str, Any], most: int = 10, seed: int = 0) -> dict[str, Any]:
    seed_everything(seed)
    return PasteTanks(most).transform({**sample(0, own), "mix_results": list(others)})


@pytest.mark.parametrize("seed", range(20))
def test_every_new_box_holds_a_tank_and_covers_no_other(seed: int) -> None:
    own = [[10.0, 10.0, 40.0, 30.0], [100.0, 90.0, 130.0, 130.0]]
    found = pasted(own, sample(60, [[50, 40, 70, 56]]), sample(90, [[80, 80, 92, 104]]), seed=seed)
    boxes = found["gt_bboxes"].numpy()
    np.testing.assert_array_equal(boxes[:2], own)
    assert found["gt_bboxes_labels"].tolist() == [0] * len(boxes)
    assert found["gt_ignore_flags"].tolist() == [False] * len(boxes)
    seen = np.zeros((160, 160), int)
    for x1, y1, x2, y2 in boxes.astype(int).tolist():
        assert (found["img"][y1:y2, x1:x2] == 250).all()  # all of the tank
        assert (found["img"][y1 - 1, x1:x2] < 250).all()  # and no more
        assert (found["img"][y1:y2, x2] < 250).all()
        seen[y1:y2, x1:x2] += 1
    assert seen.max() == 1
    assert (found["img"] == 250).all(axis=2).sum() == seen.sum()


def test_how_many_are_pasted_is_drawn_from_none_to_most() -> None:
    other = sample(60, [[50, 40, 60, 50]])
    numbers = {len(pasted([], other, most=3, seed=seed)["gt_bboxes"]) for seed in range(40)}
    assert numbers == {0, 1, 2, 3}


def test_the_same_seed_pastes_the_same() -> None:
    other = sample(60, [[50, 40, 70, 56], [20, 20, 30, 30]])
    one, same, another = (pasted([], other, seed=seed)["img"] for seed in (4, 4, 5))
    np.testing.assert_array_equal(one, same)
    assert (one != another).any()


@pytest.mark.parametrize(
    "box",
    [
        [0.0, 40.0, 20.0, 60.0],  # at the border, which may cut it
        [50.0, 50.0, 54.0, 60.0],  # too small
        [60.0, 60.0, 220.0, 220.0],  # no room for it
    ],
)
def test_what_cannot_be_pasted_leaves_the_image_as_it_is(box: list[float]) -> None:
    other = sample(60, [box], side=300)
    for seed in range(5):
        found = pasted([], other, seed=seed)
        assert not len(found["gt_bboxes"])
        assert not found["img"].any()
        assert not len(pasted([], sample(60, []), seed=seed)["gt_bboxes"])


def test_there_is_no_place_in_a_full_image() -> None:
    own = [[float(x), float(y), x + 16.0, y + 16.0] for x in range(0, 160, 16) for y in range(0, 160, 16)]
    assert len(pasted(own, sample(60, [[50, 40, 60, 50]]))["gt_bboxes"]) == len(own)


def test_the_other_images_stay_as_they_are() -> None:
    other = sample(60, [[50, 40, 60, 50]])
    before = other["img"].copy()
    pasted([], other)
    np.testing.assert_array_equal(other["img"], before)


def test_a_tank_beside_another_is_not_pasted() -> None:
    image = sample(60, [[50, 40, 70, 60], [71, 50, 78, 57], [120, 120, 130, 130]])
    (patch,) = cut_alone(image["img"], image["gt_bboxes"].numpy())
    assert patch.box.tolist() == [3, 3, 13, 13]


@pytest.mark.parametrize("side", [5, 8, 10, 12, 17, 24, 40])
def test_a_patch_fades_to_nothing_at_its_rim(side: int) -> None:
    box = np.array([[50, 50, 50 + side, 50 + side]], np.float32)
    (patch,) = cut_alone(np.full((160, 160, 3), 200, np.uint8), box)
    ground = np.zeros((160, 160, 3), np.uint8)
    patch.blend_into(ground, 20, 30)
    height, width = patch.pixels.shape[:2]
    laid = ground[30 : 30 + height, 20 : 20 + width, 0]
    assert not np.concatenate([laid[0], laid[-1], laid[:, 0], laid[:, -1]]).any()
    x1, y1, x2, y2 = patch.box.astype(int).tolist()
    assert (laid[y1:y2, x1:x2] == 200).all()
    assert 0 < laid[height // 2, x1 - 1] < 200
    np.testing.assert_array_equal(laid, laid[:, ::-1])
    assert ground.sum() == 3 * laid.sum()


def test_a_box_turns_as_its_pixels_do() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    image[24:30, 20:40] = 9
    (patch,) = cut_alone(image, np.array([[20.25, 24, 39.5, 30]], np.float32))
    for _ in range(4):
        x1, y1, x2, y2 = patch.box.tolist()
        rows, columns = np.nonzero(patch.pixels[..., 0])
        assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (
            np.floor(y1),
            np.ceil(y2),
            np.floor(x1),
            np.ceil(x2),
        )
        patch = patch.turned()
    assert patch.box.tolist() == [6.25, 6, 25.5, 12]
