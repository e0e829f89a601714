"""TFRecord files of the TensorFlow Object Detection API (read only): one ``tf.train.Example`` per encoded image.

Boxes are normalized, in the keys ``image/object/bbox/{ymin,xmin,ymax,xmax}``. A TFRecord file is a sequence of records:
length (uint64), checksum of the length, data, checksum of the data, all little-endian. A checksum is a CRC-32C, rotated
right by 15 bits, plus a constant. The whole file may be compressed with gzip. The reader does not need TensorFlow.

Sources: https://github.com/tensorflow/models/blob/master/research/object_detection/g3doc/using_your_own_dataset.md,
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details,
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto,
https://github.com/tensorflow/models/blob/master/research/object_detection/protos/string_int_label_map.proto
"""

import atexit
import gzip
import itertools
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError
from tqdm import tqdm

from oil_storage.annotations.boxes import rounded
from oil_storage.annotations.images import image_size, scene_name
from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.source import Source
from oil_storage.errors import UserError
from oil_storage.files import read_text, visible

FILE_NAME = re.compile(r".+\.(tf)?rec(ords?)?([-_]\d+[-_]of[-_]\d+)?(\.gz)?", re.IGNORECASE)
LABEL_MAPS = ("*label_map*.pbtxt", "*.pbtxt")
OBJECT = "image/object/"
GROUPS = {f"{OBJECT}is_crowd": "a crowd (is_crowd)", f"{OBJECT}group_of": "a group (group_of)"}
DIFFICULT = f"{OBJECT}difficult"
SUFFIXES = {b"\x89PNG": ".png", b"II*\0": ".tif", b"MM\0*": ".tif"}
"""File suffixes by the first bytes of an image; other images are treated as JPEG."""

LENGTH, CHECKSUM = 8, 4
"""Sizes of the length field and of a checksum, in bytes."""
CHUNK = 1 << 24
"""Maximum number of bytes to read at once, because a damaged length would reserve more memory than there is."""
MASK_DELTA = 0xA282EAD8
LONGEST = 2**31 - 1
"""Maximum size of a record in bytes, which is that of a protobuf message."""
GZIP_MAGIC = b"\x1f\x8b\x08"

MESSAGES: dict[str, list[tuple[str, ...]]] = {
    "BytesList": [("bytes", "value", "repeated")],
    "FloatList": [("float", "value", "repeated")],
    "Int64List": [("int64", "value", "repeated")],
    "Feature": [("BytesList", "bytes_list"), ("FloatList", "float_list"), ("Int64List", "int64_list")],
    "FeatureEntry": [("string", "key"), ("Feature", "value")],
    "Features": [("FeatureEntry", "feature", "repeated")],
    "Example": [("Features", "features")],
    "Item": [("string", "name"), ("int32", "id"), ("string", "display_name")],
    "LabelMap": [("Item", "item", "repeated")],
}
"""Protobuf messages of TensorFlow, with their fields in numerical order. A map is encoded as a list of entries."""


def annotation_files(source: Source) -> list[Path]:
    """Return the TFRecord files."""
    return [file for file in source.files if FILE_NAME.fullmatch(file.name)]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read TFRecord files, including shards (``train.record-00000-of-00010``) and gzip files.

    The class of an object is its ``image/object/class/text``. If this is missing, a ``label_map.pbtxt`` in the folder
    of the file or in ``source`` gives the name of its class number. Without a name, the number is the class. Boxes of
    crowds and groups are left out. Boxes stay normalized if the record states no image size and the image is broken.
    The images are extracted to a temporary folder (under ``TMPDIR``), which is removed when the process exits.
    """
    annotations = Annotations([], [], list(files))
    images = Path(tempfile.mkdtemp(prefix="oil-storage-"))
    atexit.register(shutil.rmtree, images, ignore_errors=True)
    for file in files:
        map_files, classes = _label_map(file.parent, source.path)
        annotations.files.extend(map_file for map_file in map_files if map_file not in annotations.files)
        records = tqdm(read_records(file), desc=f"reading {file.name}", unit="record", delay=2)
        for number, data in enumerate(records, start=1):
            folder = images / file.relative_to(source.path) / str(number)
            _read_record(data, file, f"{file}: record {number}", folder, classes, annotations)
    return annotations


def _label_map(folder: Path, source: Path) -> tuple[list[Path], dict[int, str]]:
    files = next((maps for at in (folder, source) for layout in LABEL_MAPS if (maps := visible(at, layout))), [])
    classes: dict[int, str] = {}
    named_in: dict[int, Path] = {}
    for file in files:
        try:
            items = parse_label_map(read_text(file))
        except text_format.ParseError as error:
            raise UserError(f"{file}: not a label map ({error}); expected: item {{ id: 1 name: '...' }}") from error
        for number, name in items.items():
            first = named_in.setdefault(number, file)
            if classes.setdefault(number, name) != name:
                raise UserError(
                    f"{file}: id {number} is {name!r}, but {classes[number]!r} in {first.name}; correct one"
                )
    return files, classes


def read_records(file: Path) -> Iterator[bytes]:
    """Yield the records of a TFRecord file, with or without gzip compression.

    Raises:
        UserError: the file is truncated, damaged or not a TFRecord; the message contains the record number, from 1.
    """
    with file.open("rb") as plain:
        is_gzip = plain.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        most = LONGEST if is_gzip else min(LONGEST, file.stat().st_size)
        plain.seek(0)
        with gzip.open(plain) if is_gzip else nullcontext(plain) as content:
            for number in itertools.count(1):
                try:
                    if not content.peek(1):
                        return
                    size = int.from_bytes(_read_checked(content, LENGTH), "little")
                    if size > most:  # before memory is allocated for it
                        raise ValueError("the file ends in this record; copy it again")
                    data = _read_checked(content, size)
                except ValueError as error:
                    raise UserError(f"{file}: record {number}: {error}") from error
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    problem = f"the gzip file is truncated or damaged ({error})"
                    raise UserError(f"{file}: record {number}: {problem}; copy it again") from error
                yield data


def _read_checked(content: gzip.GzipFile | BufferedReader, size: int) -> bytes:
    """Read ``size`` bytes of data and their checksum; raise ValueError if they are truncated or damaged."""
    data = bytearray()
    while chunk := content.read(min(size - len(data), CHUNK)):
        data += chunk
    checksum = content.read(CHECKSUM)
    if len(data) < size or len(checksum) < CHECKSUM:
        raise ValueError("the file ends in this record; copy it again")
    whole = bytes(data)
    crc: int = google_crc32c.value(whole)
    if int.from_bytes(checksum, "little") != ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF:
        raise ValueError("wrong checksum; the file is damaged or not a TFRecord")
    return whole


def parse_example(data: bytes) -> dict[str, list[Any]]:
    """Decode a ``tf.train.Example``; return its features by key, as lists of bytes, floats or ints.

    Raises:
        DecodeError: ``data`` is not a ``tf.train.Example``.
    """
    example = _message_class("Example")()
    example.ParseFromString(data)
    lists = {entry.key: entry.value.ListFields() for entry in example.features.feature}
    return {key: list(fields[0][1].value) if fields else [] for key, fields in lists.items()}


def parse_label_map(text: str) -> dict[int, str]:
    """Parse the text of a ``label_map.pbtxt``; return the class names by number.

    Raises:
        ParseError: the text is invalid; the message contains line and column.
    """
    label_map = text_format.Parse(text, _message_class("LabelMap")(), allow_unknown_field=True)
    return {item.id: item.name or item.display_name for item in label_map.item}


@cache
def _message_class(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="oil_storage_tfrecord.proto")
    for message, fields in MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for number, (kind, field, *label) in enumerate(fields, start=1):
            proto = descriptor.field.add(name=field, number=number, label=f"LABEL_{(label or ['optional'])[0].upper()}")
            if kind in MESSAGES:
                proto.type_name = kind
            else:
                proto.type = proto.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def _read_record(
    data: bytes, file: Path, place: str, folder: Path, classes: Mapping[int, str], annotations: Annotations
) -> None:
    try:
        lists = parse_example(data)
    except DecodeError as error:
        raise UserError(f"{place}: not a tf.train.Example ({error}); give files of the Object Detection API") from error
    encoded = lists.get("image/encoded")
    if not encoded or not isinstance(encoded[0], bytes):
        raise UserError(f"{place}: no image/encoded; the record must contain the image")
    names = [*lists.get("image/filename", []), *lists.get("image/source_id", [])]
    file_name = next(filter(None, map(_decoded, names)), f"{file.name}_{folder.name}")
    # ignore the folder, and the suffix, which may be wrong
    stem = scene_name(re.split(r"[/\\]", file_name)[-1]).replace("\0", "").lstrip(".") or "image"
    path = folder / f"{stem}{SUFFIXES.get(encoded[0][:4], '.jpg')}"
    folder.mkdir(parents=True)
    path.write_bytes(encoded[0])
    (width,), (height,) = (_numbers(lists, f"image/{side}", place, 1, default=0) for side in ("width", "height"))
    size = (int(width), int(height)) if width and height else None
    image = annotations.add_image(file_name, path, size, place)

    count = len(lists.get(f"{OBJECT}bbox/xmin", []))
    edges = [_numbers(lists, f"{OBJECT}bbox/{edge}", place, count) for edge in ("xmin", "ymin", "xmax", "ymax")]
    flags = {key: _numbers(lists, key, place, count, default=0) for key in (*GROUPS, DIFFICULT)}
    texts, numbers = lists.get(f"{OBJECT}class/text", []), lists.get(f"{OBJECT}class/label", [])
    if count and count not in (len(texts), len(numbers)):
        problem = f"{count} boxes, but {len(texts)} {OBJECT}class/text and {len(numbers)} {OBJECT}class/label"
        raise UserError(f"{place}: {problem}; give each box a class")
    texts = texts if len(texts) == count else [b""] * count
    numbers = numbers if len(numbers) == count else [""] * count
    if lists.get(f"{OBJECT}mask"):
        annotations.report_once(file, "outline", place, "has masks", "only the boxes are used")
    scale = np.array((size or image_size(path) or (1, 1)) * 2)
    for index, shares in enumerate(zip(*edges, strict=True)):
        x1, y1, x2, y2 = (scale * shares).tolist()
        object_place = f"{place}: object {index + 1}"
        if flags[DIFFICULT][index]:
            annotations.report_once(file, "difficult", object_place, "object is marked difficult", "mark ignored")
        text, number = _decoded(texts[index]), numbers[index]
        mapped = classes.get(number)
        if text and mapped not in (None, text):
            problem = f"class is {text!r}, but its number {number} is {mapped!r} in the label map"
            annotations.report_once(file, "class-differs", place, problem, f"{text!r} is used")
        class_name = text or mapped or str(number)
        record = Record(image, class_name, rounded((x1, y1, x2, y2)), object_place)
        if group := next((group for key, group in GROUPS.items() if flags[key][index]), None):
            problem = f"box {(x1, y1, x2, y2)} contains {group}, not a single object"
            annotations.leave_out(record, "crowd", problem)
        else:
            annotations.records.append(record)


def _numbers(
    lists: Mapping[str, list[Any]], key: str, place: str, count: int, default: float | None = None
) -> list[float]:
    """Return the ``count`` numbers of a key; if the key is missing, repeat the default ``count`` times."""
    values = lists.get(key) or ([] if default is None else [default] * count)
    if len(values) != count or bytes in map(type, values):
        raise UserError(f"{place}: {key} has {len(values)} values ({values!r:.80}); it must have {count} numbers")
    return values


def _decoded(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
