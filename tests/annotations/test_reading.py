from pathlib import Path

from oil_storage.annotations import ImageRecord
from oil_storage.annotations.reading import Reading


def test_a_name_that_is_taken_gets_its_place() -> None:
    reading = Reading([])
    assert [reading.add_image("a", None, (4, 3), place) for place in ("x:1", "x:2")] == ["a", "a (x:2)"]
    assert reading.found.images == [ImageRecord("a", None, (4, 3), "x:1"), ImageRecord("a (x:2)", None, (4, 3), "x:2")]


def test_the_tally_is_among_the_findings_at_the_end() -> None:
    reading = Reading([Path("a")])
    for place in ("a:1", "a:2"):
        reading.tally.add(Path("a"), "x", place, "problem", "action")
    found = reading.finish()
    assert found.files == [Path("a")]
    assert [finding.problem for finding in found.findings] == ["problem; 1 more"]
