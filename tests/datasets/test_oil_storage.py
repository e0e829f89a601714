import json
import shutil
from pathlib import Path

import pytest

from oil_storage.datasets import OilStorageDataset
from oil_storage.errors import UserError
from oil_storage.preparation.prepare import prepare
from tests.raw_data import write_raw_data


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(write_raw_data(folder / "raw", scenes=4, size=128, tanks=6), folder / "out", tile=64, overlap=16)
    return folder / "out"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_tile_and_box_of_the_split_is_there(prepared: Path, split: str) -> None:
    dataset = OilStorageDataset(str(prepared), split, 64, 16, test_mode=split != "train")
    counts = json.loads((prepared / "manifest.json").read_text())["tiles"]["64_16"][split]
    assert len(dataset) == counts["tiles"]
    assert sum(len(dataset.get_data_info(i)["instances"]) for i in range(len(dataset))) == counts["boxes"]
    assert all(Path(dataset.get_data_info(i)["img_path"]).is_file() for i in range(len(dataset)))


def test_without_data_the_prepare_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prepare_dataset\.py SOURCE .* --tile 640 --overlap 64"):
        OilStorageDataset(str(tmp_path), "train", 640, 64)


def test_a_geometry_that_was_not_prepared_is_refused(prepared: Path) -> None:
    with pytest.raises(UserError, match=r"tiles of 64_16 .* wants 1280_0(.|\n)*--tile 1280 --overlap 0"):
        OilStorageDataset(str(prepared), "train", 1280, 0)


def test_a_lost_image_is_named(prepared: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(prepared, tmp_path / "copy")
    victim = next((copy / "tiles" / "64_16" / "val").iterdir())
    victim.unlink()
    with pytest.raises(UserError, match=victim.name):
        OilStorageDataset(str(copy), "val", 64, 16)


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"manifest\.json"):
        OilStorageDataset(str(tmp_path), "val", 64, 16)
