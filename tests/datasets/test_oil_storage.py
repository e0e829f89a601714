import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from oil_storage.datasets import OilStorageDataset
from oil_storage.datasets.oil_storage import some_scenes
from oil_storage.errors import UserError
from oil_storage.preparation.prepare import prepare
from tests.raw_data import write_raw_data


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(write_raw_data(folder / "raw", scenes=4, size=128, tanks=6), folder / "out", tile=64, overlap=16)
    return folder / "out"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_contains_all_its_tiles_and_boxes(prepared: Path, split: str) -> None:
    dataset = OilStorageDataset(str(prepared), split, 64, 16, test_mode=split != "train")
    counts = json.loads((prepared / "manifest.json").read_text())["tiles"]["64_16"][split]
    assert len(dataset) == counts["tiles"]
    assert sum(len(dataset.get_data_info(i)["instances"]) for i in range(len(dataset))) == counts["boxes"]
    assert all(Path(dataset.get_data_info(i)["img_path"]).is_file() for i in range(len(dataset)))


def test_fraction_of_the_scenes_has_all_tiles_of_these_scenes(prepared: Path) -> None:
    whole, half = (OilStorageDataset(str(prepared), "train", 64, 16, scenes_fraction=f) for f in (1.0, 0.5))

    def tiles(dataset: OilStorageDataset) -> dict[str, set[str]]:
        names = [Path(dataset.get_data_info(index)["img_path"]).stem for index in range(len(dataset))]
        return {scene: {name for name in names if name.startswith(f"{scene}_")} for scene in map(scene_of, names)}

    assert len(tiles(half)) == round(len(tiles(whole)) / 2)
    assert tiles(half).items() < tiles(whole).items()
    for fraction in (0.0, 1.5):
        with pytest.raises(UserError, match=r"scenes_fraction=.*: must be above 0 and at most 1"):
            OilStorageDataset(str(prepared), "train", 64, 16, scenes_fraction=fraction)


def scene_of(tile: str) -> str:
    return tile.rsplit("_", 2)[0]


def test_chosen_scenes_cover_the_whole_range_of_densities() -> None:
    boxes = {f"scene_{number}": number**2 for number in range(55)}
    assert some_scenes(boxes, 1.0) == boxes.keys()
    quarter = sorted(boxes[scene] for scene in some_scenes(boxes, 0.25))
    assert len(quarter) == 14
    assert quarter[0] < 10
    assert quarter[-1] > 52**2
    assert sum(quarter) / sum(boxes.values()) == pytest.approx(0.25, abs=0.02)
    assert some_scenes(dict(reversed(boxes.items())), 0.25) == some_scenes(boxes, 0.25)
    assert len(some_scenes(boxes, 0.001)) == 1


def test_missing_data_is_refused_with_the_prepare_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prepare_dataset\.py SOURCE .* --tile 640 --overlap 64"):
        OilStorageDataset(str(tmp_path), "train", 640, 64)


def test_a_missing_tile_set_is_refused(prepared: Path) -> None:
    with pytest.raises(UserError, match=r"no tiles of 1280 px with 0 px .*: 64_16(.|\n)*--tile 1280 --overlap 0"):
        OilStorageDataset(str(prepared), "train", 1280, 0)


def test_splits_that_share_ground_are_refused(prepared: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(prepared, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    first, second = manifest["split"]["train"][0], manifest["split"]["val"][0]
    manifest["same_ground"] = [{"scenes": [first, second], "shared": 0.2}]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=rf"{first}' \(train\) and '{second}' \(val\) show the same ground"):
        OilStorageDataset(str(copy), "train", 64, 16)


Change = Callable[[Path], object]


def damaged(prepared: Path, folder: Path, change: Change) -> str:
    """Change the tile set of a copy; return the error of loading its val split, without the path of the copy."""
    copy = shutil.copytree(prepared, folder / "copy")
    OilStorageDataset(str(copy), "val", 64, 16)
    change(copy / "tiles" / "64_16")
    with pytest.raises(UserError) as caught:
        OilStorageDataset(str(copy), "val", 64, 16)
    return str(caught.value).replace(f"{copy}/", "")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def last_image(tiles: Path) -> Path:
    return max((tiles / "val").iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tiles: last_image(tiles).unlink(), "missing"),
        (lambda tiles: last_image(tiles).write_bytes(b""), "damaged"),
        (lambda tiles: half(last_image(tiles)), "damaged"),
        (lambda tiles: last_image(tiles).write_bytes(last_image(tiles).read_bytes()[:-1]), "damaged"),
        (lambda tiles: last_image(tiles).write_text("no image at all"), "damaged"),
    ],
    ids=["missing", "empty", "half", "a byte short", "text"],
)
def test_a_damaged_or_missing_image_is_named(prepared: Path, tmp_path: Path, change: Change, words: str) -> None:
    name = last_image(prepared / "tiles" / "64_16").name
    assert f"val/{name}: {words} (1 of " in damaged(prepared, tmp_path, change)


def test_a_truncated_train_tile_is_refused(prepared: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(prepared, tmp_path / "copy")
    victim = next((copy / "tiles" / "64_16" / "train").iterdir())
    half(victim)
    with pytest.raises(UserError, match=rf"{victim.name}: damaged"):
        OilStorageDataset(str(copy), "train", 64, 16)


def edit(tiles: Path, **changes: object) -> None:
    path = tiles / "val.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tiles: (tiles / "val.json").unlink(), "missing or damaged"),
        (lambda tiles: half(tiles / "val.json"), "missing or damaged"),
        (lambda tiles: (tiles / "val.json").write_bytes(b"\xff\xfe"), "missing or damaged"),
        (lambda tiles: (tiles / "val.json").write_text("[]"), "missing or damaged"),
        (
            lambda tiles: (tiles / "val.json").write_text('{"type": "FeatureCollection"}'),
            "missing or damaged",
        ),
        (lambda tiles: edit(tiles, images=[{"id": 1}]), "missing or damaged"),
        (lambda tiles: edit(tiles, annotations=[]), "no boxes of class oil-storage-tank in 9 tiles"),
        (lambda tiles: edit(tiles, annotations=[], images=[]), "no boxes of class oil-storage-tank in 0 tiles"),
        (lambda tiles: edit(tiles, categories=[{"id": 1, "name": "cat"}]), "no boxes of class oil-storage-tank"),
    ],
    ids=["missing", "half", "binary", "list", "foreign", "short", "no boxes", "no tiles", "other class"],
)
def test_unusable_annotations_are_refused(prepared: Path, tmp_path: Path, change: Change, words: str) -> None:
    text = damaged(prepared, tmp_path, change)
    assert text.startswith(f"tiles/64_16/val.json: {words}")
    assert "prepare" in text


@pytest.mark.parametrize("content", ["{}", "[]", '{"tiles": 3}', '{"tiles"', "\x00"])
def test_an_invalid_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        OilStorageDataset(str(tmp_path), "val", 64, 16)
