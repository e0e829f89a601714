"""The file format TFRecord: byte strings with their lengths and checksums.

A record is its length (uint64), the length's checksum, the bytes, their checksum, all little endian. A checksum is
CRC-32C, rotated right by 15 bits, plus a constant. The whole file may be gzip.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from oil_storage.errors import UserError

HEADER = struct.Struct("<QI")
CHECKSUM = struct.Struct("<I")
MASK_DELTA = 0xA282EAD8
GZIP_MAGIC = b"\x1f\x8b"


def read_records(file: Path) -> Iterator[bytes]:
    """Yield the records of a file, gzip or not.

    Raises:
        UserError: the file is no TFRecord, cut short or damaged; the record, counted from 1, is named.
    """
    with file.open("rb") as plain:
        head = plain.read(HEADER.size)
        plain.seek(0)
        # two bytes are a weak sign of gzip: they may be a length, too
        if head[:2] == GZIP_MAGIC and not _is_header(head):
            with gzip.open(plain) as unpacked:
                yield from _records(file, unpacked)
        else:
            yield from _records(file, plain)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _records(file: Path, content: _Readable) -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        place = f"{file}: record {number}"
        try:
            header = content.read(HEADER.size)
            if not header:
                return
            if len(header) == HEADER.size and not _is_header(header):
                raise UserError(f"{place}: its length has a wrong checksum; the file is damaged or no TFRecord")
            length = HEADER.unpack(header)[0] if len(header) == HEADER.size else 0
            data, checksum = content.read(length), content.read(CHECKSUM.size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{place}: the gzip file is cut short or damaged ({error}); copy it again") from error
        if len(header) < HEADER.size or len(data) < length or len(checksum) < CHECKSUM.size:
            raise UserError(f"{place}: the file ends inside it; copy it again")
        if CHECKSUM.unpack(checksum)[0] != _masked(data):
            raise UserError(f"{place}: has a wrong checksum; the file is damaged, copy it again")
        yield data


def _is_header(header: bytes) -> bool:
    return len(header) == HEADER.size and HEADER.unpack(header)[1] == _masked(header[:8])


def _masked(data: bytes) -> int:
    import google_crc32c

    checksum: int = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + MASK_DELTA) & 0xFFFFFFFF
