"""Write TFRecords according to the published format, without code of the reader."""

import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_records(path: Path, records: Sequence[bytes]) -> Path:
    """Write byte strings as a TFRecord, compressed if the name ends in .gz."""
    content = b"".join(framed(record) for record in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def framed(record: bytes) -> bytes:
    """Return one record with its length and checksums."""
    length = struct.pack("<Q", len(record))
    return length + _masked_checksum(length) + record + _masked_checksum(record)


def example(features: Mapping[str, Sequence[bytes] | Sequence[float] | Sequence[int]]) -> bytes:
    """A serialized ``tf.train.Example``: 1 features, 1 map of 1 key and 2 value, 1 bytes, 2 float or 3 int64 list."""
    entries = b""
    for key, values in features.items():
        if all(isinstance(value, bytes) for value in values):
            feature = _field(1, b"".join(_field(1, value) for value in values))  # type: ignore[arg-type]
        elif all(isinstance(value, int) for value in values):
            feature = _field(3, _field(1, b"".join(_varint(value) for value in values)))  # type: ignore[arg-type]
        else:
            feature = _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
        entries += _field(1, _field(1, key.encode()) + _field(2, feature))
    return _field(1, entries)


def image_features(
    encoded: bytes, name: str, size: tuple[int, int], boxes: Sequence[Sequence[float]], class_name: str | None
) -> dict[str, Sequence[bytes] | Sequence[float] | Sequence[int]]:
    """The keys that the Object Detection API's own scripts write; boxes are xyxy in pixels."""
    width, height = size
    edges = list(zip(*boxes, strict=True)) or [()] * 4
    return {
        "image/height": [height],
        "image/width": [width],
        "image/filename": [name.encode()],
        "image/source_id": [name.encode()],
        "image/encoded": [encoded],
        "image/format": [b"png" if encoded.startswith(b"\x89PNG") else b"jpeg"],
        "image/object/bbox/xmin": [float(x) / width for x in edges[0]],
        "image/object/bbox/ymin": [float(y) / height for y in edges[1]],
        "image/object/bbox/xmax": [float(x) / width for x in edges[2]],
        "image/object/bbox/ymax": [float(y) / height for y in edges[3]],
        "image/object/class/text": [class_name.encode()] * len(boxes) if class_name else [],
        "image/object/class/label": [1] * len(boxes),
    }


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _masked_checksum(data: bytes) -> bytes:
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = TABLE[(remainder ^ byte) & 0xFF] ^ remainder >> 8
    checksum = remainder ^ 0xFFFFFFFF
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = _crc_table()
