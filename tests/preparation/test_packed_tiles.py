import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from oil_storage.coco import CocoFile
from oil_storage.errors import UserError
from oil_storage.manifest import Manifest
from oil_storage.preparation.packed_tiles import QUALITIES, pack, unpack
from oil_storage.preparation.prepare import prepare
from tests.raw_data import write_raw_data

TILES = "64_16"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(write_raw_data(folder / "raw", scenes=4, size=128, tanks=6), folder / "prepared", tile=64, overlap=16)
    return folder / "prepared"


def test_unpacked_tiles_have_the_same_boxes_and_nearly_the_same_pixels(data: Path, tmp_path: Path) -> None:
    packed = pack(data, TILES, tmp_path / "new" / "tiles.zip")
    assert packed.quality == QUALITIES[0]
    assert packed.size == os.path.getsize(tmp_path / "new" / "tiles.zip")
    unpack(tmp_path / "new" / "tiles.zip", tmp_path / "unpacked")
    assert Manifest.load(tmp_path / "unpacked") == Manifest.load(data)
    for split, number in (("train", packed.train), ("val", packed.val)):
        before, after = (
            CocoFile.load(root / "tiles" / TILES / f"{split}.json") for root in (data, tmp_path / "unpacked")
        )
        assert number == len(before.images) == len(after.images) > 0
        assert after.annotations == before.annotations
        assert before.annotations
        for old, new in zip(before.images, after.images, strict=True):
            assert Path(old.file_name).stem == Path(new.file_name).stem
            first = cv2.imread(str(data / "tiles" / TILES / split / old.file_name)).astype(float)
            second = cv2.imread(str(tmp_path / "unpacked" / "tiles" / TILES / split / new.file_name)).astype(float)
            assert first.shape == second.shape
            assert np.abs(first - second).mean() < 8


def test_test_tiles_are_not_packed(data: Path, tmp_path: Path) -> None:
    pack(data, TILES, tmp_path / "tiles.zip")
    with zipfile.ZipFile(tmp_path / "tiles.zip") as archive:
        assert not [name for name in archive.namelist() if "test" in name]


def test_quality_falls_until_the_tiles_fit(data: Path, tmp_path: Path) -> None:
    best = pack(data, TILES, tmp_path / "best.zip")
    smaller = pack(data, TILES, tmp_path / "smaller.zip", most=best.size)  # the estimate leaves a reserve
    assert smaller.quality < best.quality
    assert smaller.size < best.size


def test_tiles_that_do_not_fit_leave_no_file(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="do not fit"):
        pack(data, TILES, tmp_path / "tiles.zip", most=5000)
    assert not list(tmp_path.iterdir())


def test_damaged_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "tiles.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"tiles\.zip: cannot be unpacked"):
        unpack(tmp_path / "tiles.zip", tmp_path / "unpacked")
    with pytest.raises(UserError, match=r"gone\.zip: cannot be unpacked"):
        unpack(tmp_path / "gone.zip", tmp_path / "unpacked")


def test_missing_tile_set_is_reported(data: Path, tmp_path: Path) -> None:
    for folder, tiles in ((data, "640_64"), (tmp_path, TILES)):
        with pytest.raises(UserError, match=f"no prepared tiles {tiles}"):
            pack(folder, tiles, tmp_path / "tiles.zip")
