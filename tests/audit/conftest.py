from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        Image.new("RGB", (100, 80), (ord(name), 0, 0)).save(tmp_path / f"{name}.jpg")
    return tmp_path
