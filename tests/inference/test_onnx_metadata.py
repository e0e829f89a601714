from dataclasses import replace
from pathlib import Path

import pytest

from oil_storage.errors import UserError
from oil_storage.inference.onnx_metadata import read_metadata
from tests.inference.test_runtimes import ABOUT, write


def test_metadata_survive_the_file(tmp_path: Path) -> None:
    about = replace(ABOUT, resize=(64, 64), int8_for=["onnx/vnni"], gsd=1.35, f1_by_gsd={"1.35": 0.9})
    assert read_metadata(write(tmp_path / "a.onnx", about)) == about


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    content = write(tmp_path / "a.onnx", ABOUT).read_bytes()
    for damaged in (b"", b"no graph", content[:-9], content.replace(b"oil_storage", b"oil_storaga"), b"\xff" * 50):
        (tmp_path / "b.onnx").write_bytes(damaged)
        with pytest.raises(UserError, match=r"b\.onnx: not a detector that tools/export\.py wrote .*; export it again"):
            read_metadata(tmp_path / "b.onnx")
