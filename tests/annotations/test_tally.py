from pathlib import Path

from oil_storage.annotations.tally import Tally
from oil_storage.findings import Finding, Severity


def test_the_first_of_a_kind_in_a_file_is_said_with_the_number_of_others() -> None:
    tally = Tally()
    for file, check, place in (
        ("a", "x", "a:1"),
        ("a", "x", "a:2"),
        ("b", "x", "b:1"),
        ("a", "y", "a:3"),
        ("a", "x", "a:4"),
    ):
        tally.add(Path(file), check, place, "problem", "action")
    assert tally.findings() == [
        Finding(Severity.WARNING, "x", "a:1", "problem; 2 more", "action"),
        Finding(Severity.WARNING, "x", "b:1", "problem", "action"),
        Finding(Severity.WARNING, "y", "a:3", "problem", "action"),
    ]
