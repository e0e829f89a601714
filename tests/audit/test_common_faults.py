from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oil_storage.annotations import Record
from oil_storage.errors import UserError
from oil_storage.findings import Severity
from tests.audit.test_records import checks, judged, record


def written(fault: str, width: int = 100, height: int = 80) -> list[Record]:
    """Return boxes in two images, written in a wrong format."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(40):
        (x, y), (w, h) = rng.uniform(5, 60, 2), rng.uniform(3, 20, 2)
        box = {
            "right": (x, y, x + w, y + h),
            "shares": (x / width, y / height, (x + w) / width, (y + h) / height),
            "shares, xywh": (x / width, y / height, w / width, h / height),
            "xywh": (x, y, w, h),
            "centre and size": (x + w / 2, y + h / 2, w, h),
            "pixels as shares": (x * width, y * height, (x + w) * width, (y + h) * height),
            "last corner first": (x + w, y + h, x, y),
            "y upwards": (x, y + h, x + w, y),
        }[fault]
        records.append(record(box, "ab"[index % 2]))
    return records


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("shares", "look normalized"),
        ("shares, xywh", "look normalized"),
        ("pixels as shares", "look like pixels, but this format has normalized"),
    ],
)
def test_wrong_units_are_reported_once(images: Path, fault: str, words: str) -> None:
    # the additional box is right but crosses the border
    with pytest.raises(UserError, match=rf"40 of 41 boxes .*\n.*{words}"):
        judged(images, *written(fault), record((-10, 10, 30, 30)))


@pytest.mark.parametrize("fault", ["xywh", "centre and size"])
def test_positions_with_sizes_are_reported_once(images: Path, fault: str) -> None:
    _, findings = judged(images, *written(fault))
    assert [finding.check for finding in findings] == ["not-corners"]
    assert "x, y, width, height" in findings[0].problem


@pytest.mark.parametrize("fault", ["last corner first", "y upwards"])
def test_audit_repairs_swapped_corners(images: Path, fault: str) -> None:
    scenes, findings = judged(images, *written(fault))
    right, _ = judged(images, *written("right"))
    assert {finding.check for finding in findings} <= {"swapped-corners", "aspect", "near-duplicate"}
    for scene, other in zip(scenes, right, strict=True):
        assert np.array_equal(scene.boxes, other.boxes)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("corners as size", "x, y, width, height"),
        ("corners as centre and size", "x and y of the centre, width, height"),
    ],
)
def test_corners_in_place_of_sizes_are_an_error_of_the_file(images: Path, fault: str, words: str) -> None:
    records = []
    for index, right in enumerate(written("right")):
        x1, y1, x2, y2 = right.box
        box = (
            (x1, y1, x1 + x2, y1 + y2)
            if fault == "corners as size"
            else (x1 - x2 / 2, y1 - y2 / 2, x1 + x2 / 2, y1 + y2 / 2)
        )
        records.append(replace(right, box=box, place=f"f.json: annotations[{index}]"))
    _, findings = judged(images, *records, record((1, 2, 9, 9)))
    (finding,) = [finding for finding in findings if finding.severity == Severity.ERROR]
    assert (finding.check, finding.place) == ("not-corners", "f.json")
    assert f"look like corners (xmin, ymin, xmax, ymax), not {words}:" in finding.problem
    assert not [finding for finding in findings if finding.check == "over-the-border"]


def test_fault_of_most_boxes_is_an_error_of_their_file(images: Path) -> None:
    shifted = [record((x, 2, x + 9, 11)) for x in range(110, 200, 10)]
    other = [replace(one, place="g.csv:1") for one in written("right")]
    _, findings = judged(images, *shifted, *other)
    (finding,) = [finding for finding in findings if finding.severity == Severity.ERROR]
    assert (finding.check, finding.place) == ("same-fault", "f.csv")
    assert "9 of 9 boxes lie outside their image" in finding.problem
    _, findings = judged(images, *shifted[:3], *written("right"))
    assert checks(findings, Severity.ERROR) == []


def test_boxes_cut_by_the_border_of_a_tile_are_no_fault_of_the_file(images: Path) -> None:
    cut = [record((-2.0, y, 12, y + 14)) for y in range(0, 60, 6)]
    assert checks(judged(images, *cut, record(image="b"))[1], Severity.ERROR) == []


def test_units_are_not_judged_from_boxes_of_broken_images(images: Path) -> None:
    (images / "b.jpg").write_bytes(b"no image")  # the reader cannot scale normalized boxes of a broken image
    _, findings = judged(images, record(), *(record((0.1, 0.1, 0.2, 0.2), "b") for _ in range(40)))
    assert checks(findings, Severity.ERROR) == ["unreadable-image"]
