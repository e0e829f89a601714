import copy
import json
from pathlib import Path
from typing import Any

import pytest

from oil_storage.errors import UserError
from oil_storage.manifest import SPLITS, Manifest

COUNTS = {"tiles": 3, "boxes": 2, "densest": 1}
CONTENT: dict[str, Any] = {
    "oil_storage": "1.0.0",
    "source": {
        "path": "/data/airbus",
        "annotations_sha256": "a" * 64,
        "seed": 0,
        "choices": {"class_map": {"tank": "oil-storage-tank", "ship": None}, "min_side": 3.5, "bands": [3, 2, 1]},
        "images_sha256": {"one": "1" * 64, "two": "2" * 64, "three": "3" * 64},
    },
    "class": "oil-storage-tank",
    "alignment": {"answer": "yes", "fault": "none"},
    "same_ground": [{"scenes": ["one", "two"], "shared": 0.2}],
    "split": {"train": ["one"], "val": ["two"], "test": ["three"]},
    "counts": {split: {"scenes": 1, "boxes": 1} for split in SPLITS},
    "resampled_from": {"one": [1.2, 1.3]},
    "tiles": {
        "64_16": {"tile": 64, "overlap": 16, "min_visible": 0.3, "keep_empty": 0.15}
        | {split: dict(COUNTS) for split in SPLITS}
        | {"sha256": "f"}
    },
}


def changed(value: Any, *keys: str) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    return content


def loaded(folder: Path, content: dict[str, Any]) -> Manifest:
    (folder / "manifest.json").write_text(json.dumps(content))
    return Manifest.load(folder)


def test_a_saved_manifest_equals_the_loaded_one(tmp_path: Path) -> None:
    loaded(tmp_path, CONTENT).save(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text()) == CONTENT


def test_a_manifest_without_optional_parts_loads(tmp_path: Path) -> None:
    content = copy.deepcopy(CONTENT)
    for key in ("oil_storage", "class", "alignment", "same_ground", "resampled_from"):
        del content[key]
    del content["source"]["choices"]
    manifest = loaded(tmp_path, content)
    assert manifest.identity == loaded(tmp_path, changed({}, "source", "choices")).identity
    assert manifest.same_ground == []


@pytest.mark.parametrize(
    "keys",
    [
        ("source", "images_sha256"),
        ("source", "seed"),
        ("split", "val"),
        ("counts", "val", "boxes"),
        ("tiles", "64_16", "train"),
        ("tiles", "64_16", "val", "densest"),
    ],
)
def test_an_invalid_part_of_a_manifest_is_named(tmp_path: Path, keys: tuple[str, ...]) -> None:
    with pytest.raises(
        UserError, match=rf"manifest\.json: not a valid manifest \({'.'.join(keys)}: .*prepare it again"
    ):
        loaded(tmp_path, changed(None, *keys))


def test_identity_ignores_the_location_and_the_tile_sets(tmp_path: Path) -> None:
    identity = loaded(tmp_path, CONTENT).identity
    assert loaded(tmp_path, changed("/elsewhere/airbus", "source", "path")).identity == identity
    assert loaded(tmp_path, changed({}, "tiles")).identity == identity
    assert loaded(tmp_path, changed("/data/renamed", "source", "path")).identity.sha256 == identity.sha256
    assert (identity.name, identity.scenes) == ("airbus", 3)
    assert identity.sha256 == "67f30e5162a6fc337303f161693a9125876e9ea852063a43e9c39286f6457f23"  # as in checkpoints


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("annotations_sha256", "b" * 64),
        ("seed", 1),
        ("choices", {"min_side": 4.0}),
        ("images_sha256", {"one": "1" * 64, "two": "2" * 64, "three": "4" * 64}),
    ],
)
def test_data_identity_depends_on_images_boxes_and_choices(tmp_path: Path, key: str, value: Any) -> None:
    before = loaded(tmp_path, CONTENT).identity.sha256
    assert loaded(tmp_path, changed(value, "source", key)).identity.sha256 != before


def test_data_identity_depends_on_the_split(tmp_path: Path) -> None:
    split = {"train": ["two"], "val": ["one"], "test": ["three"]}
    assert loaded(tmp_path, changed(split, "split")).identity.sha256 != loaded(tmp_path, CONTENT).identity.sha256


def test_images_of_returns_the_images_of_one_split(tmp_path: Path) -> None:
    assert loaded(tmp_path, CONTENT).images_of("val") == {"two": "2" * 64}
