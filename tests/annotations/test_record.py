from pathlib import Path

import pytest

from oil_storage.annotations import Annotations, ImageRecord
from oil_storage.annotations.record import parse_class_map
from oil_storage.errors import UserError
from oil_storage.findings import Finding, Severity
from oil_storage.scene import CLASS_NAME


def test_a_name_that_is_taken_gets_its_place() -> None:
    annotations = Annotations([], [], [])
    assert [annotations.add_image("a", None, (4, 3), place) for place in ("x:1", "x:2")] == ["a", "a (x:2)"]
    assert annotations.images == [ImageRecord("a", None, (4, 3), "x:1"), ImageRecord("a (x:2)", None, (4, 3), "x:2")]


def test_first_warning_of_a_check_in_a_file_counts_the_others() -> None:
    annotations = Annotations([], [], [])
    for file, check, place in (
        ("a", "x", "a:1"),
        ("a", "x", "a:2"),
        ("b", "x", "b:1"),
        ("a", "y", "a:3"),
        ("a", "x", "a:4"),
    ):
        annotations.report_once(Path(file), check, place, "problem", "action")
    assert annotations.findings == [
        Finding(Severity.WARNING, "x", "a:1", "problem; 2 more", "action"),
        Finding(Severity.WARNING, "x", "b:1", "problem", "action"),
        Finding(Severity.WARNING, "y", "a:3", "problem", "action"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, {}),
        ("", {}),
        (f"Storage Tank={CLASS_NAME},ship=-", {"Storage Tank": CLASS_NAME, "ship": None}),
        (f" 3 = {CLASS_NAME} , Öltank={CLASS_NAME}", {"3": CLASS_NAME, "Öltank": CLASS_NAME}),
        (f'"tank, small={CLASS_NAME}",a=b=-', {"tank, small": CLASS_NAME, "a=b": None}),
        ("ship=-,ship=-", {"ship": None}),
    ],
)
def test_names_are_tanks_or_left_out(text: str | None, expected: dict[str, str | None]) -> None:
    assert parse_class_map(text) == {CLASS_NAME: CLASS_NAME, **expected}


def test_our_own_name_may_be_left_out() -> None:
    assert parse_class_map(f"{CLASS_NAME}=-") == {CLASS_NAME: None}


@pytest.mark.parametrize("text", ["ship", "=-", "ship=", "ship=boat", "ship=-,", f"ship:{CLASS_NAME}"])
def test_class_map_without_pairs_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"is not NAME=oil-storage-tank, nor NAME=-"):
        parse_class_map(text)


def test_a_name_has_one_meaning() -> None:
    with pytest.raises(UserError, match="'ship' is both"):
        parse_class_map(f"ship=-,ship={CLASS_NAME}")
