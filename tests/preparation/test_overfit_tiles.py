from pathlib import Path

import pytest
from pycocotools.coco import COCO

from oil_storage.preparation.overfit_tiles import COUNT, TANKS, TILE, write_overfit_tiles


@pytest.mark.slow
def test_overfit_tiles_are_small_and_dense(tmp_path: Path) -> None:
    prepared = write_overfit_tiles(tmp_path)
    tiles = COCO(prepared / "tiles" / f"{TILE}_0" / "train.json")
    assert len(tiles.imgs) == COUNT
    assert {(image["width"], image["height"]) for image in tiles.imgs.values()} == {(TILE, TILE)}
    counts = [len(tiles.imgToAnns[image]) for image in tiles.imgs]
    assert all(TANKS[0] <= count <= TANKS[1] for count in counts)
    assert len(set(counts)) > 2
    again = prepared.stat().st_mtime
    assert write_overfit_tiles(tmp_path) == prepared
    assert prepared.stat().st_mtime == again
