from pathlib import Path

import pytest

from oil_storage.preparation.prepare import prepare
from tests.raw_data import write_raw_data


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw_data(tmp_path_factory.mktemp("raw") / "raw", scenes=8, size=256, tanks=4)


@pytest.fixture(scope="module")
def out(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "out"
    prepare(raw, folder, tile=64, overlap=16)
    return folder
