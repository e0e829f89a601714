import base64
import gzip
import io
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from PIL import Image

from oil_storage.annotations import Annotations, Record, formats
from oil_storage.annotations.source import Source
from oil_storage.annotations.tfrecord import annotation_files, parse_example, parse_label_map, read_records
from oil_storage.errors import UserError
from oil_storage.findings import Severity
from tests.tf_records import example, framed, image_features, write_records

BY_TENSORFLOW = (
    "c-p(c$N&b*nal0Dt}=5abMa>8CZ?zAr{*Q+r=+F`1#ty%`E>^Px$|;KaRC+bdV0770ckcMX5nB0l1gbeMSzs3r;B3<$IRrEgp?#VRvjlNrxZ>`2I"
    "F;%>GNH>j)3g&boFyt=akUICC|kNu_P@sCp9lIH&uw2i<^t{@U$ESL%o8$bS`l&9;kx+qTIw1A$BfSE@qH~C`=+FH8VY<M2J<2nTwHyON~nmBAlO;"
    "m6}|lpOlnep<j`kSRuqC#Kpw{wA-G6p}`)Py39PdI)>G&R@q@!SBYev10M4#k<4qb1KG``#3g~EE;%Q$xL7|YF)1}ih)s%xi;0nmOOs0+i<*+uiV`"
    "6{E*>tHlEl1hE|%hq%mOY6E`Es8;{4L0<ka}g6d_>va50*5iEwd4WXdyBN-`k9!*<U0)r~etG&2-1%EoXtGtwuXWiZ{z$pwtd)ZBuS%H=P5+5z_Up^N"
)
"""File written by TensorFlow 2.21: a 6 x 4 PNG with two boxes, and the same PNG without name, size and boxes."""


def read(source: Path) -> Annotations:
    return formats.read(source, "tfrecord")


def encoded(kind: str = "PNG", size: tuple[int, int] = (20, 10)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, kind)
    return buffer.getvalue()


def features(**changes: Any) -> dict[str, Any]:
    """Return the features of an image with two boxes; ``__`` in a keyword means ``/``, and None removes a key."""
    boxes = [(2, 2.5, 9, 8), (10, 1, 20, 10)]
    values = image_features(encoded(), "a.png", (20, 10), boxes, "tank")
    values |= {key.replace("__", "/"): value for key, value in changes.items()}
    return {key: value for key, value in values.items() if value is not None}


def write(folder: Path, *records: dict[str, Any], name: str = "train.record") -> Path:
    return write_records(folder / name, [example(record) for record in records])


def test_read_accepts_files_of_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord").write_bytes(zlib.decompress(base64.b85decode(BY_TENSORFLOW)))
    annotations = read(tmp_path)
    place = f"{tmp_path}/a.tfrecord: record"
    assert [(image.name, image.size, image.place) for image in annotations.images] == [
        ("Öl 1.png", (6, 4), f"{place} 1"),
        ("empty", None, f"{place} 2"),
    ]
    assert annotations.records == [
        Record("Öl 1.png", "tank", (0, 1, 3, 3), f"{place} 1: object 1"),
        Record("Öl 1.png", "ship", (2, 2, 6, 4), f"{place} 1: object 2"),
    ]
    first, second = (image.path for image in annotations.images)
    assert first
    assert second
    assert (first.name, second.name) == ("Öl 1.png", "empty.png")
    assert list(Image.open(first).tobytes()) == list(range(72))


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("a.record", True),
        ("a.tfrecord", True),
        ("a.tfrecords", True),
        ("a.record.gz", True),
        ("train.record-00000-of-00001", True),
        ("train.tfrecord-00000-of-00001.gz", True),
        ("train/oil.tfrecord", True),
        ("a.records.txt", False),
        ("record", False),
    ],
)
def test_files_are_detected_by_name(tmp_path: Path, name: str, fits: bool) -> None:
    write(tmp_path, features(), name=name)
    assert bool(annotation_files(Source(tmp_path))) == fits
    if fits:
        assert len(read(tmp_path).records) == 2
    else:
        with pytest.raises(UserError, match="no tfrecord annotations"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("stated", "data", "name"),
    [
        ("a.png", encoded(), "a.png"),
        ("a.jpg", encoded(), "a.png"),
        ("a.v2", encoded("JPEG"), "a.v2.jpg"),
        ("images/train/a.jpg", encoded("JPEG"), "a.jpg"),
        ("C:\\images\\a.jpg", encoded("JPEG"), "a.jpg"),
        ("../../a.jpg", encoded("JPEG"), "a.jpg"),
        ("..", encoded("JPEG"), "image.jpg"),
        ("a.tif", encoded("TIFF"), "a.tif"),
        ("a.png", b"no image", "a.jpg"),
    ],
)
def test_images_are_extracted_unchanged(tmp_path: Path, stated: str, data: bytes, name: str) -> None:
    write(tmp_path, features(image__filename=[stated.encode()], image__encoded=[data]))
    (image,) = read(tmp_path).images
    assert image.path
    assert image.path.name == name
    assert image.path.read_bytes() == data
    assert tmp_path not in image.path.parents


def test_extracted_images_are_removed_at_exit(tmp_path: Path) -> None:
    write(tmp_path, features())
    code = "import sys, pathlib; from oil_storage.annotations.formats import read; "
    code += "path = read(pathlib.Path(sys.argv[1])).images[0].path; print(path.is_file(), path)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    exists, path = done.stdout.strip().split(" ", 1)
    assert exists == "True"
    assert not Path(path).exists()
    assert not Path(path).parents[2].exists()


def test_records_with_missing_or_equal_names_keep_their_boxes_apart(tmp_path: Path) -> None:
    nameless = {"image__filename": None, "image__source_id": None}
    for shard in ("00000", "00001"):
        write(tmp_path, features(**nameless), features(), name=f"train.record-{shard}-of-00002")
    annotations = read(tmp_path)
    assert len({image.name for image in annotations.images}) == 4
    assert (
        len({image.path and image.path.stem for image in annotations.images}) == 3
    )  # the audit finds the fourth by this
    assert [record.image for record in annotations.records] == [
        image.name for image in annotations.images for _ in range(2)
    ]


@pytest.mark.parametrize("where", ["label_map.pbtxt", "train/oil_label_map.pbtxt", "other.pbtxt", None])
def test_label_map_names_classes_without_text(tmp_path: Path, where: str | None) -> None:
    labels = {"image__object__class__text": None, "image__object__class__label": [1, 2]}
    write(tmp_path, features(**labels), name="train/oil.record")
    if where:
        (tmp_path / where).write_text("item { id: 1 name: 'tank' }")
    annotations = read(tmp_path)
    assert [record.class_name for record in annotations.records] == ["tank" if where else "1", "2"]
    assert len(annotations.files) == (2 if where else 1)


def test_class_text_takes_precedence_and_differences_are_reported(tmp_path: Path) -> None:
    write(tmp_path, features(image__object__class__text=[b"ship", b""]))
    (tmp_path / "label_map.pbtxt").write_text("item { id: 1 name: 'tank' }")
    annotations = read(tmp_path)
    assert [record.class_name for record in annotations.records] == ["ship", "tank"]
    assert [finding.check for finding in annotations.findings] == ["class-differs"]


def test_crowds_groups_masks_and_difficult_objects_are_reported(tmp_path: Path) -> None:
    write(tmp_path, features(image__object__is_crowd=[1, 0]))
    write(tmp_path, features(image__object__group_of=[0, 1], image__object__difficult=[1, 1]), name="b.record")
    write(tmp_path, features(image__object__mask=[b"x", b"y"]), name="c.record")
    annotations = read(tmp_path)
    assert len(annotations.records) == 4
    reported = {(finding.check, finding.place.removeprefix(f"{tmp_path}/")) for finding in annotations.findings}
    assert reported == {
        ("crowd", "train.record: record 1: object 1"),
        ("crowd", "b.record: record 1: object 2"),
        ("difficult", "b.record: record 1: object 1"),
        ("outline", "c.record: record 1"),
    }
    assert len(annotations.findings) == len(reported)


def test_missing_size_is_read_from_the_image(tmp_path: Path) -> None:
    write(tmp_path, features(image__width=None, image__height=None))
    annotations = read(tmp_path)
    assert annotations.images[0].size is None
    assert annotations.records[0].box == (2, 2.5, 9, 8)


def test_missing_shard_is_an_error_and_the_others_are_read(tmp_path: Path) -> None:
    for shard in ("00000", "00002"):
        write(tmp_path, features(), name=f"train.record-{shard}-of-00003")
    annotations = read(tmp_path)
    assert len(annotations.records) == 4
    assert [(f.severity, f.check) for f in annotations.findings] == [(Severity.ERROR, "missing-shard")]
    assert "2 of 3" in annotations.findings[0].problem
    assert "00001" in annotations.findings[0].problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image__encoded": None}, "no image/encoded"),
        ({"image__encoded": [3]}, "no image/encoded"),
        ({"image__object__bbox__ymax": [0.5]}, r"ymax has 1 values \(\[0\.5\]\); it must have 2"),
        ({"image__object__bbox__ymax": [b"x", b"y"]}, r"ymax has 2 values \(\[b'x', b'y'\]\); it must have 2 numbers"),
        ({"image__object__class__text": [b"tank"], "image__object__class__label": None}, "2 boxes, but 1"),
        ({"image__object__difficult": [1]}, r"difficult has 1 values \(\[1\]\); it must have 2"),
    ],
)
def test_unreadable_example_is_reported_with_its_record(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    write(tmp_path, features(image__filename=[b"0.png"]), features(**changes))
    with pytest.raises(UserError, match=rf"train\.record: record 2: .*{words}"):
        read(tmp_path)


def test_invalid_examples_and_label_maps_are_reported(tmp_path: Path) -> None:
    write_records(tmp_path / "a.record", [b"\xff no message"])
    with pytest.raises(UserError, match=r"a\.record: record 1: not a tf\.train\.Example"):
        read(tmp_path)
    (tmp_path / "label_map.pbtxt").write_text("item { id: x }")
    with pytest.raises(UserError, match=r"label_map\.pbtxt: not a label map \(1:\d+"):
        read(tmp_path)
    (tmp_path / "label_map.pbtxt").write_text("item { id: 1 name: 'a' }")
    (tmp_path / "z_label_map.pbtxt").write_text("item { id: 1 name: 'b' }")
    with pytest.raises(UserError, match=r"z_label_map\.pbtxt: id 1 is 'b', but 'a' in label_map\.pbtxt"):
        read(tmp_path)


RECORDS = [b"first", b"", b"third" * 5000]


@pytest.mark.parametrize("name", ["a.record", "a.record.gz"])
def test_read_records_returns_records_with_and_without_gzip(tmp_path: Path, name: str) -> None:
    assert list(read_records(write_records(tmp_path / name, RECORDS))) == RECORDS


def test_gzip_is_detected_by_content(tmp_path: Path) -> None:
    path = tmp_path / "a.record"
    path.write_bytes(gzip.compress(b"".join(map(framed, RECORDS))))
    assert list(read_records(path)) == RECORDS


def test_length_that_resembles_gzip_is_not_gzip(tmp_path: Path) -> None:
    record = bytes(0x8B1F)
    path = write_records(tmp_path / "a.record", [record])
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert list(read_records(path)) == [record]


def test_empty_file_has_no_records(tmp_path: Path) -> None:
    assert list(read_records(write_records(tmp_path / "a.record", []))) == []


def test_read_records_accepts_files_of_tensorboard(tmp_path: Path) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    path = tmp_path / "a.record"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for record in RECORDS:
            writer.write(record)
        writer.flush()
    assert list(read_records(path)) == RECORDS


@pytest.mark.parametrize("packed", [False, True])
def test_truncated_record_is_reported_by_number(tmp_path: Path, packed: bool) -> None:
    content = framed(b"first") + framed(b"second")
    path = tmp_path / "a.record"
    for cut in range(1, len(framed(b"second"))):
        path.write_bytes(gzip.compress(content[:-cut]) if packed else content[:-cut])
        with pytest.raises(UserError, match=r"a\.record: record 2: the file ends in this record"):
            list(read_records(path))


def test_truncated_gzip_file_is_reported_by_record(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.record.gz", RECORDS)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"record \d: the gzip file is truncated"):
        list(read_records(path))


def test_each_damaged_byte_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "a.record"
    for at in range(len(framed(b"second"))):
        second = bytearray(framed(b"second"))
        second[at] ^= 0x10
        path.write_bytes(framed(b"first") + second)
        with pytest.raises(UserError, match=r"record 2: .*wrong checksum"):
            list(read_records(path))


def test_other_files_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.record"
    path.write_text("image_id,class,bounds\n")
    with pytest.raises(UserError, match=r"record 1: .*not a TFRecord"):
        list(read_records(path))


def test_parse_example_returns_lists_of_each_kind() -> None:
    lists = {"a": [b"x", b"", "ö".encode()], "b": [0.5, -1.0], "c": [1, -1, 2**40], "d": []}
    assert parse_example(example(lists)) == lists


def test_parse_example_rejects_other_data() -> None:
    with pytest.raises(DecodeError):
        parse_example(b"\xff no message")


@pytest.mark.parametrize(
    "text",
    [
        "item {\n  id: 1\n  name: 'tank'\n}\nitem {\n  id: 2\n  name: 'ship'\n}\n",
        'item: { name: "tank", id: 1, display_name: "Tank" } item { id: 2; display_name: "ship" }  # Roboflow',
        "item { id: 1 name: 'tank' keypoints { id: 3 label: 'x' } } item { id: 2 name: 'ship' frequency: RARE }",
    ],
)
def test_parse_label_map_accepts_common_variants(text: str) -> None:
    assert parse_label_map(text) == {1: "tank", 2: "ship"}


@pytest.mark.parametrize("text", ["item { id: x }", "item { id: 1", "tank"])
def test_malformed_label_map_is_reported_with_its_line(text: str) -> None:
    with pytest.raises(text_format.ParseError, match=r"2:\d+"):
        parse_label_map(f"\n{text}")
