import gzip
from pathlib import Path

import pytest

from oil_storage.annotations.record_file import read_records
from oil_storage.errors import UserError
from tests.tf_records import framed, write_records

RECORDS = [b"first", b"", b"third" * 5000]


@pytest.mark.parametrize("name", ["a.record", "a.record.gz"])
def test_records_come_back_gzip_or_not(tmp_path: Path, name: str) -> None:
    assert list(read_records(write_records(tmp_path / name, RECORDS))) == RECORDS


def test_gzip_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.record"
    path.write_bytes(gzip.compress(b"".join(map(framed, RECORDS))))
    assert list(read_records(path)) == RECORDS


def test_a_length_that_looks_like_gzip_is_none(tmp_path: Path) -> None:
    record = bytes(0x8B1F)
    path = write_records(tmp_path / "a.record", [record])
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert list(read_records(path)) == [record]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert list(read_records(write_records(tmp_path / "a.record", []))) == []


def test_what_tensorboard_writes_is_read(tmp_path: Path) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    path = tmp_path / "a.record"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for record in RECORDS:
            writer.write(record)
        writer.flush()
    assert list(read_records(path)) == RECORDS


@pytest.mark.parametrize("cut", range(1, len(framed(b"second")), 3))
@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_file_names_the_record(tmp_path: Path, cut: int, packed: bool) -> None:
    content = framed(b"first") + framed(b"second")
    path = tmp_path / "a.record"
    path.write_bytes(gzip.compress(content[:-cut]) if packed else content[:-cut])
    with pytest.raises(UserError, match=r"a\.record: record 2: the file ends inside it"):
        list(read_records(path))


def test_a_cut_gzip_file_names_the_record(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.record.gz", RECORDS)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"record \d: the gzip file is cut short"):
        list(read_records(path))


@pytest.mark.parametrize("at", range(len(framed(b"second"))))
def test_every_damaged_byte_is_found(tmp_path: Path, at: int) -> None:
    second = bytearray(framed(b"second"))
    second[at] ^= 0x10
    path = tmp_path / "a.record"
    path.write_bytes(framed(b"first") + second)
    with pytest.raises(UserError, match=r"record 2: .*wrong checksum"):
        list(read_records(path))


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.record"
    path.write_text("image_id,class,bounds\n")
    with pytest.raises(UserError, match=r"record 1: .*no TFRecord"):
        list(read_records(path))
