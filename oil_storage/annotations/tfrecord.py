"""TFRecord files of TensorFlow's Object Detection API: a ``tf.train.Example`` an image, which is inside, encoded.

Boxes are shares of the image's sides, in the keys ``image/object/bbox/{ymin,xmin,ymax,xmax}``. Read only.

Source: https://github.com/tensorflow/models/blob/master/research/object_detection/g3doc/using_your_own_dataset.md
"""

import atexit
import re
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from oil_storage.annotations.decimals import rounded
from oil_storage.annotations.folders import visible
from oil_storage.annotations.images import image_size, scene_name
from oil_storage.annotations.reading import Reading
from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.record_file import read_records
from oil_storage.annotations.tally import Tally
from oil_storage.annotations.tf_messages import parse_example, parse_label_map
from oil_storage.errors import UserError
from oil_storage.findings import Finding, Severity

FILE_NAME = re.compile(r".+\.(tf)?records?(-\d{5}-of-\d{5})?(\.gz)?", re.IGNORECASE)
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.gz)?")
LABEL_MAPS = ("*label_map*.pbtxt", "*.pbtxt")
BBOX = "image/object/bbox/"
GROUPS = {"image/object/is_crowd": "a crowd (is_crowd)", "image/object/group_of": "a group (group_of)"}
MAGIC = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"II*\0": ".tif", b"MM\0*": ".tif"}
STATED = {"png": ".png", "tif": ".tif", "tiff": ".tif"}


def is_format_of(source: Path) -> bool:
    """Whether ``source`` looks like this format."""
    return bool(_record_files(source))


def read(source: Path) -> Annotations:
    """Read every TFRecord of ``source`` and of the folders in it.

    The images go to a temporary folder (under ``TMPDIR``), which is removed when the process ends. Boxes of crowds and
    groups are left out. Where an image states no size and is broken, its boxes stay shares.

    Args:
        source: folder with ``*.record`` or ``*.tfrecord`` files, in shards (``train.record-00000-of-00010``) or not,
            gzip or not; classes that have no ``image/object/class/text`` are named by a ``label_map.pbtxt`` beside the
            file or in ``source``, else called by their number.

    Returns:
        Annotations: in the order of file names and records.

    Raises:
        UserError: no such file, a damaged one, or a record that is no Example of an image; it is named.
    """
    files = _record_files(source)
    if not files:
        raise UserError(f"{source}: no TFRecord in it; looked for *.record and *.tfrecord, shards and .gz among them")
    reading = Reading(list(files))
    reading.found.findings.extend(_missing_shards(files))
    images = Path(tempfile.mkdtemp(dir=_temporary_folder()))
    for file in files:
        map_files, classes = _label_map(file.parent, source)
        reading.found.files.extend(map_file for map_file in map_files if map_file not in reading.found.files)
        records = tqdm(read_records(file), desc=f"reading {file.name}", unit="record", delay=2)
        for number, data in enumerate(records, start=1):
            folder = images / file.relative_to(source) / str(number)
            _read_record(data, file, number, folder, classes, reading)
    return reading.finish()


@cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="oil-storage-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _record_files(source: Path) -> list[Path]:
    return [file for file in visible(source, "*", "*/*") if FILE_NAME.fullmatch(file.name) and file.is_file()]


def _missing_shards(files: list[Path]) -> list[Finding]:
    shards: dict[tuple[Path, str, int], set[int]] = {}
    for file in files:
        if match := SHARD.fullmatch(file.name):
            shards.setdefault((file.parent, match[1], int(match[3])), set()).add(int(match[2]))
    findings = []
    for (folder, name, total), there in shards.items():
        if absent := sorted(set(range(total)) - there):
            problem = f"{len(there)} of {total} shards are there; the first that is missing is {absent[0]:05d}"
            findings.append(Finding(Severity.ERROR, "missing-shard", str(folder / name), problem, "others are read"))
    return findings


def _label_map(folder: Path, source: Path) -> tuple[list[Path], dict[int, str]]:
    files = next((maps for at in (folder, source) for layout in LABEL_MAPS if (maps := visible(at, layout))), [])
    classes: dict[int, str] = {}
    for file in files:
        try:
            items = parse_label_map(file.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise UserError(f"{file}: not a label map ({error}); it is item {{ id: 1 name: '...' }}") from error
        for number, name in items.items():
            if classes.setdefault(number, name) != name:
                raise UserError(f"{file}: id {number} is {name!r}, in {files[0].name} {classes[number]!r}; keep one")
    return files, classes


def _read_record(
    data: bytes,
    file: Path,
    number: int,
    folder: Path,
    classes: Mapping[int, str],
    reading: Reading,
) -> None:
    place = f"{file}: record {number}"
    try:
        lists = parse_example(data)
    except ValueError as error:
        raise UserError(f"{place}: not a tf.train.Example ({error})") from error
    encoded = lists.get("image/encoded")
    if not encoded or not isinstance(encoded[0], bytes):
        raise UserError(f"{place}: has no image/encoded; the image must be inside")
    stated_name = _text(lists, "image/filename") or _text(lists, "image/source_id") or f"{file.name}_{number}"
    path = _extract(encoded[0], stated_name, _text(lists, "image/format"), folder)
    size = _size(lists, place)
    name = reading.add_image(stated_name, path, size, place)

    edges = [_numbers(lists, f"{BBOX}{edge}", place) for edge in ("xmin", "ymin", "xmax", "ymax")]
    if len(lengths := {len(edge) for edge in edges}) != 1:
        raise UserError(f"{place}: {BBOX}* have different lengths, {sorted(lengths)}; a box needs all four")
    boxes = list(zip(*edges, strict=True))
    width, height = size or image_size(path) or (1, 1)
    class_names = _class_names(lists, len(boxes), classes, file, place, reading.tally)
    flags = {key: _flags(lists, key, len(boxes), place) for key in (*GROUPS, "image/object/difficult")}
    if lists.get("image/object/mask"):
        reading.tally.add(file, "outline", place, "has masks", "the boxes are read, the masks are not")
    for index, (xmin, ymin, xmax, ymax) in enumerate(boxes):
        box = (xmin * width, ymin * height, xmax * width, ymax * height)
        at = f"{place}: object {index + 1}"
        if kinds := [kind for key, kind in GROUPS.items() if flags[key][index]]:
            problem = f"box {box} is that of {kinds[0]}, not of one object"
            reading.found.findings.append(Finding(Severity.WARNING, "crowd", at, problem, "left out"))
            continue
        if flags["image/object/difficult"][index]:
            reading.tally.add(file, "difficult", at, "object is marked difficult", "kept, the mark is not")
        reading.found.records.append(Record(name, class_names[index], rounded(box), at))


def _extract(encoded: bytes, stated_name: str, stated_format: str, folder: Path) -> Path:
    """Write the bytes as they are; the name keeps no folders, and its suffix is that of what the bytes are."""
    suffix = MAGIC.get(encoded[:4]) or MAGIC.get(encoded[:3]) or STATED.get(stated_format.lower(), ".jpg")
    stem = scene_name(re.split(r"[/\\]", stated_name)[-1]).replace("\0", "").lstrip(".") or "image"
    folder.mkdir(parents=True)
    path = folder / f"{stem}{suffix}"
    path.write_bytes(encoded)
    return path


def _class_names(
    lists: Mapping[str, list[Any]], count: int, classes: Mapping[int, str], file: Path, place: str, tally: Tally
) -> list[str]:
    """The name of each box's class: its text, or that of its number."""
    texts = [_decoded(text) for text in lists.get("image/object/class/text", [])]
    numbers = lists.get("image/object/class/label", [])
    if count and len(texts) != count and len(numbers) != count:
        raise UserError(
            f"{place}: {count} boxes, but {len(texts)} image/object/class/text and {len(numbers)} .../label; "
            "each box needs its class"
        )
    if len(numbers) != count:
        return texts
    by_number = [classes.get(number) or str(number) for number in numbers]
    if len(texts) != count:
        return by_number
    for text, number in zip(texts, numbers, strict=True):
        if text and classes.get(number, text) != text:
            problem = f"class is {text!r}, its number {number} is {classes[number]!r} in the label map"
            tally.add(file, "class-differs", place, problem, f"{text!r} is taken")
    return [text or name for text, name in zip(texts, by_number, strict=True)]


def _flags(lists: Mapping[str, list[Any]], key: str, count: int, place: str) -> list[Any]:
    values = lists.get(key) or [0] * count
    if len(values) != count:
        raise UserError(f"{place}: {key} has {len(values)} values for {count} boxes")
    return values


def _size(lists: Mapping[str, list[Any]], place: str) -> tuple[int, int] | None:
    width, height = (_numbers(lists, f"image/{side}", place) for side in ("width", "height"))
    return (int(width[0]), int(height[0])) if width and height else None


def _numbers(lists: Mapping[str, list[Any]], key: str, place: str) -> list[float]:
    values = lists.get(key, [])
    if any(isinstance(value, bytes) for value in values):
        raise UserError(f"{place}: {key} holds bytes; it must hold numbers")
    return values


def _text(lists: Mapping[str, list[Any]], key: str) -> str:
    values = lists.get(key)
    return _decoded(values[0]) if values else ""


def _decoded(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
