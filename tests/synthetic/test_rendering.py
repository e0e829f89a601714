import csv
import os
from ast import literal_eval
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from oil_storage.synthetic.rendering import make_synthetic, plan_scene, render_scene


@pytest.fixture(scope="module", params=[256, 640, 2560])
def plans(request):
    return [plan_scene(5, index, request.param) for index in range(8)]


def test_boxes_are_tight_and_clipped_to_the_scene(plans):
    cut = 0
    for plan in plans:
        assert plan.tanks
        for tank in plan.tanks:
            box = tank.box(plan.size)
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
    """Check that the tanks of a cell lie on few lines along the axes of their terminal."""
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


def test_at_least_a_fifth_of_the_round_objects_are_distractors(plans):
    tanks = sum(len(plan.tanks) for plan in plans)
    others = [thing.kind for plan in plans for thing in plan.distractors]
    assert len(others) >= 0.2 * (len(others) + tanks)
    if plans[0].size == 2560:
        assert {"roundabout", "pond", "irrigation", "silo", "tree"} <= set(others)


def test_distractors_do_not_touch_tanks(plans):
    for plan in plans:
        for thing in plan.distractors:
            for tank in plan.tanks:
                assert np.linalg.norm(thing.centre - tank.centre) > thing.radius + tank.diameter / 2


@pytest.mark.parametrize("other", [(3, 3), (2, 4)])
def test_another_seed_or_index_gives_another_scene(other):
    assert (render_scene(2, 3, 256)[0] != render_scene(*other, 256)[0]).mean() > 0.5


def test_every_tank_is_visible():
    """Check that the image varies inside and just around each box."""
    seen = []
    for index in range(4):
        image, boxes = render_scene(1, index, 640)
        grey = image.astype(float).mean(axis=2)
        for xmin, ymin, xmax, ymax in boxes:
            around = grey[max(ymin - 3, 0) : ymax + 3, max(xmin - 3, 0) : xmax + 3]
            seen.append(np.ptp(np.percentile(around, [2, 98])))
    assert min(seen) > 20


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "raw"
    make_synthetic(out, scenes=3, size=256, seed=4)
    return out


def test_files_have_the_layout_of_the_airbus_data_set(made):
    assert sorted(path.name for path in made.iterdir()) == ["annotations.csv", "images"]
    with (made / "annotations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image_id", "class", "bounds"]
    assert {row["class"] for row in rows} == {"oil-storage-tank"}
    assert {f"{row['image_id']}.jpg" for row in rows} == {path.name for path in (made / "images").iterdir()}
    for index, image_id in enumerate(sorted({row["image_id"] for row in rows})):
        assert [literal_eval(row["bounds"]) for row in rows if row["image_id"] == image_id] == (
            render_scene(4, index, 256)[1]
        )


def test_images_are_jpeg_of_quality_95_with_full_chroma(made, tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "reference.jpg", quality=95)
    with Image.open(tmp_path / "reference.jpg") as reference:
        tables = reference.quantization
    for index, path in enumerate(sorted((made / "images").iterdir())):
        with Image.open(path) as image:
            assert image.size == (256, 256)
            assert JpegImagePlugin.get_sampling(image) == 0
            assert image.quantization == tables
            pixels = np.asarray(image, float)
        assert np.abs(pixels - render_scene(4, index, 256)[0]).mean() < 3


def test_bytes_do_not_depend_on_the_number_of_processes(made, tmp_path, monkeypatch):
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(2 if cores == 1 else 1)))
    make_synthetic(tmp_path / "raw", scenes=3, size=256, seed=4)
    assert files(tmp_path / "raw") == files(made)


def test_a_scene_does_not_depend_on_the_number_of_scenes(made, tmp_path):
    make_synthetic(tmp_path / "raw", scenes=2, size=256, seed=4)
    fewer, more = files(tmp_path / "raw"), files(made)
    assert more.pop("annotations.csv").startswith(fewer.pop("annotations.csv"))
    assert len(fewer) == 2
    assert fewer.items() <= more.items()


@pytest.mark.parametrize(("gsd", "size"), [(0.6, 640), (2.4, 160)])
def test_finer_and_coarser_scenes_show_the_same_ground(gsd: float, size: int) -> None:
    image, boxes = render_scene(1, 2, 320)
    other, scaled = render_scene(1, 2, size, gsd)
    assert other.shape == (size, size, 3)
    assert len(boxes) == len(scaled) > 0
    assert np.abs(np.array(scaled) * 320 / size - boxes).max() <= max(1.5, 320 / size)
    side = min(size, 320)
    small, reference = (
        cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA).astype(float).mean(axis=2)
        for pixels in (other, image)
    )
    assert np.corrcoef(small.ravel(), reference.ravel())[0, 1] > 0.8
