from pathlib import Path

from oil_storage.annotations import formats
from tests.annotations.exports import make_scenes, written


def test_elements_without_a_box_are_reported_and_tags_are_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    written("cvat")(make_scenes(tmp_path / "in")[:1], source)
    file = source / "annotations.xml"
    shapes = '<tag label="harbour"/><polyline label="tank" points="1,2;3,4"/><bbox label="tank"/></image>'
    file.write_text(file.read_text().replace("</image>", shapes))
    annotations = formats.read(source)
    assert len(annotations.records) == 10
    problems = [str(finding) for finding in annotations.findings]
    assert [kind in problem for kind, problem in zip(("polyline", "bbox"), problems, strict=True)] == [True, True]
