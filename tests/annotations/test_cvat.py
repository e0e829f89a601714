from pathlib import Path

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, formats
from oil_storage.errors import UserError
from tests.annotations.exports import make_scenes, written


def read(folder: Path, *shapes: str, attributes: str = 'name="set/a.jpg" width="200" height="100"') -> Annotations:
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", (200, 100)).save(folder / "images" / "a.jpg")
    image = f"<image id='0' {attributes}>{''.join(shapes)}</image>"
    (folder / "annotations.xml").write_text(f"<annotations><version>1.1</version>{image}</annotations>")
    assert formats.detect(folder) == "cvat"
    return formats.read(folder)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ('<box label="tank" xtl="10.5" ytl="20" xbr="30" ybr="40"/>', (10.5, 20, 30, 40)),
        ('<box label="tank" xtl="10" ytl="20" xbr="30" ybr="60" rotation="90"/>', (0, 30, 40, 50)),
        ('<polygon label="tank" points="10,20;30,25;20,40"/>', (10, 20, 30, 40)),
        ('<ellipse label="tank" cx="50" cy="40" rx="10" ry="5"/>', (40, 35, 60, 45)),
        ('<ellipse label="tank" cx="50" cy="40" rx="10" ry="5" rotation="90"/>', (45, 30, 55, 50)),
        ('<mask label="tank" rle="1, 2" left="10" top="20" width="5" height="7"/>', (10, 20, 15, 27)),
    ],
)
def test_shapes_become_boxes(tmp_path: Path, shape: str, box: tuple[float, ...]) -> None:
    annotations = read(tmp_path, shape, '<tag label="checked"/>')
    (record,) = annotations.records
    assert record.box == pytest.approx(box, abs=0.01)
    assert (record.class_name, record.place) == (
        "tank",
        f"{tmp_path}/annotations.xml: image 1: {shape[1:].split()[0]} 1",
    )
    assert (annotations.images[0].path, annotations.images[0].size) == (tmp_path / "images" / "a.jpg", (200, 100))


def test_points_and_lines_are_left_out(tmp_path: Path) -> None:
    annotations = read(tmp_path, '<points label="tank" points="1,2"/>', '<polyline label="tank" points="1,2;3,4"/>')
    assert [record.place[-8:] for record, _ in annotations.left_out] == ["points 1", "olyline 2"[-8:]]
    assert [finding.action for finding in annotations.findings] == ["left out"] * 2


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ('<box label="tank" xtl="x" ytl="20" xbr="30" ybr="40"/>', "image 1: box 1: .*must be numbers"),
        ('<box xtl="1" ytl="20" xbr="30" ybr="40"/>', "has no label"),
        ('<polygon label="tank" points="1,2;3"/>', "write x,y;x,y"),
    ],
)
def test_invalid_shape_is_an_error(tmp_path: Path, shape: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, shape)


def test_video_and_image_without_name_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="image 1: has no name"):
        read(tmp_path, attributes="width='9'")
    (tmp_path / "annotations.xml").write_text("<annotations><track id='0' label='tank'/></annotations>")
    with pytest.raises(UserError, match="export the task as"):
        formats.read(tmp_path)


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
