"""Damaged vector files."""

from pathlib import Path

import pytest

from oil_storage.annotations import formats
from oil_storage.errors import UserError
from tests.annotations.exports import make_scenes, vector


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb"])
def test_a_truncated_file_is_refused_wherever_it_ends(suffix: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    vector(suffix)(make_scenes(tmp_path / "in"), source)
    file = source / f"tanks{suffix}"
    content = file.read_bytes()
    assert len(formats.read(source).records) == 30
    for part in range(20):
        file.write_bytes(content[: len(content) * part // 20])
        with pytest.raises(UserError, match=file.name):
            formats.read(source)


def test_a_file_without_a_layer_of_geometries_is_refused(tmp_path: Path) -> None:
    import geopandas

    source = tmp_path / "source"
    vector(".gpkg")(make_scenes(tmp_path / "in"), source)
    (source / "tanks.gpkg").unlink()
    geopandas.GeoDataFrame({"styles": ["red"]}).to_file(source / "styles.gpkg", engine="pyogrio")
    with pytest.raises(UserError, match=r"styles\.gpkg: contains no layer with geometries"):
        formats.read(source)
