from pathlib import Path

import pytest

from oil_storage.annotations import Annotations, ImageRecord
from oil_storage.annotations.record import parse_class_map, with_usual_spellings
from oil_storage.errors import UserError
from oil_storage.findings import Finding, Severity
from oil_storage.scene import CLASS_NAME


def test_add_image_adds_the_location_to_a_duplicate_name() -> None:
    annotations = Annotations([], [], [])
    assert [annotations.add_image("a", None, (4, 3), place) for place in ("x:1", "x:2")] == ["a", "a (x:2)"]
    assert annotations.images == [ImageRecord("a", None, (4, 3), "x:1"), ImageRecord("a (x:2)", None, (4, 3), "x:2")]


def test_report_once_counts_repeated_warnings() -> None:
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
def test_class_map_maps_names_to_tanks_or_none(text: str | None, expected: dict[str, str | None]) -> None:
    assert parse_class_map(text) == {CLASS_NAME: CLASS_NAME, **expected}


def test_class_map_may_drop_the_tank_class() -> None:
    assert parse_class_map(f"{CLASS_NAME}=-") == {CLASS_NAME: None}


@pytest.mark.parametrize("text", ["ship", "=-", "ship=", "ship=boat", "ship=-,", f"ship:{CLASS_NAME}"])
def test_class_map_rejects_invalid_pairs(text: str) -> None:
    with pytest.raises(UserError, match=r"invalid pair .*; give NAME=oil-storage-tank, or NAME=-"):
        parse_class_map(text)


def test_class_map_rejects_a_name_with_two_meanings() -> None:
    with pytest.raises(UserError, match="'ship' has two meanings"):
        parse_class_map(f"ship=-,ship={CLASS_NAME}")


def test_usual_spellings_of_the_class_are_tanks_unless_the_class_map_says_otherwise() -> None:
    usual = ["oiltank", "oil_tank", "storage tank", "Oil Storage Tank", "Oil-Tanks", "storagetank"]
    others = ["tank", "tanker", "oil", "storage", "tankstorage", "3", ""]
    given = {CLASS_NAME: CLASS_NAME, "storage tank": None}
    class_map = with_usual_spellings(given, [*usual, *others])
    assert class_map == {**dict.fromkeys(usual, CLASS_NAME), **given}
