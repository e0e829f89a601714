import numpy as np
import pytest

from oil_storage.synthetic.rendering import plan_scene, render_scene


@pytest.fixture(scope="module", params=[256, 640, 2560])
def plans(request):
    return [plan_scene(5, index, request.param) for index in range(8)]


def test_boxes_enclose_the_discs_tightly_and_end_at_the_border(plans):
    cut = 0
    for plan in plans:
        assert plan.tanks
        for tank, box in zip(plan.tanks, plan.boxes(), strict=True):
            low, high = tank.centre - tank.diameter / 2, tank.centre + tank.diameter / 2
            expected = np.concatenate([np.floor(low), np.ceil(high)]).clip(0, plan.size)
            assert box == tuple(expected)
            assert min(box[2] - box[0], box[3] - box[1]) >= 4
            cut += bool((low < 0).any() or (high > plan.size).any())
    if plans[0].size == 2560:
        assert cut > 0, "no tank of these scenes is cut by the border"


def test_tanks_do_not_overlap(plans):
    for plan in plans:
        centres = np.array([tank.centre for tank in plan.tanks])
        radii = np.array([tank.diameter / 2 for tank in plan.tanks])
        gaps = np.linalg.norm(centres[:, None] - centres, axis=-1) - radii[:, None] - radii
        assert gaps[~np.eye(len(gaps), dtype=bool)].min(initial=np.inf) > 0


def test_tanks_stand_in_rows(plans):
    """Tanks of a cell lie on few lines along the axes of their terminal."""
    rowed = total = 0
    for plan in plans:
        for terminal in plan.terminals:
            for cell in terminal.cells:
                if len(cell.tanks) >= 4:
                    across = np.array([-np.sin(cell.angle), np.cos(cell.angle)])
                    lines = np.sort([tank.centre @ across for tank in cell.tanks])
                    widest = max(tank.diameter for tank in cell.tanks)
                    total += 1
                    rowed += 1 + (np.diff(lines) > 0.5 * widest).sum() < len(cell.tanks)
    if plans[0].size >= 640:
        assert total > 0
    assert rowed >= 0.8 * total


def test_at_least_a_fifth_of_the_round_things_are_no_tanks(plans):
    tanks = sum(len(plan.tanks) for plan in plans)
    others = sum(len(plan.distractors) for plan in plans)
    assert others >= 0.2 * (others + tanks)
    if plans[0].size == 2560:
        kinds = {thing.kind for plan in plans for thing in plan.distractors}
        assert {"roundabout", "pond", "irrigation", "silo", "tree"} <= kinds
        for plan in plans:
            assert len(plan.distractors) >= 0.2 * (len(plan.distractors) + len(plan.tanks))


def test_round_things_keep_clear_of_tanks(plans):
    for plan in plans:
        for thing in plan.distractors:
            for tank in plan.tanks:
                assert np.linalg.norm(thing.centre - tank.centre) > thing.radius + tank.diameter / 2


def test_same_seed_same_pixels_and_boxes():
    first, boxes = render_scene(2, 3, 256)
    again, boxes_again = render_scene(2, 3, 256)
    assert first.shape == (256, 256, 3)
    assert np.array_equal(first, again)
    assert boxes == boxes_again


@pytest.mark.parametrize("other", [(3, 3), (2, 4)])
def test_other_seed_or_index_other_scene(other):
    assert (render_scene(2, 3, 256)[0] != render_scene(*other, 256)[0]).mean() > 0.5


def test_every_tank_stands_out_from_its_surroundings():
    """A person can find each: within its box and just around it, the image is no plain ground."""
    seen = []
    for index in range(4):
        image, boxes = render_scene(1, index, 640)
        grey = image.astype(float).mean(axis=2)
        for xmin, ymin, xmax, ymax in boxes:
            around = grey[max(ymin - 3, 0) : ymax + 3, max(xmin - 3, 0) : xmax + 3]
            seen.append(np.ptp(np.percentile(around, [2, 98])))
    assert min(seen) > 20
