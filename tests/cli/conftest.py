"""Tiny data set, and an uninterrupted training run on it."""

from pathlib import Path

import pytest

from oil_storage.cli.train import main
from tests.tiny_training import write_config, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the work dir of an uninterrupted training run."""
    folder = tmp_path_factory.mktemp("whole")
    assert main([str(write_config(folder, data)), "--work-dir", str(folder / "work")]) == 0
    return folder / "work"
