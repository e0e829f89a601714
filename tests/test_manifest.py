import copy
from typing import Any

import pytest

from oil_storage.manifest import identity, images

MANIFEST: dict[str, Any] = {
    "source": {
        "path": "/data/airbus",
        "annotations_sha256": "a" * 64,
        "seed": 0,
        "choices": {},
        "images_sha256": {"one": "1" * 64, "two": "2" * 64, "three": "3" * 64},
    },
    "split": {"train": ["one"], "val": ["two"], "test": ["three"]},
    "counts": {},
    "tiles": {},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    (manifest if key in manifest else manifest["source"])[key] = value
    return manifest


def test_data_that_was_moved_or_cut_to_other_tiles_is_the_same() -> None:
    assert identity(changed("path", "/elsewhere/airbus")) == identity(MANIFEST)
    assert identity(changed("tiles", {"640_64": {}})) == identity(MANIFEST)
    assert identity(MANIFEST)["name"] == "airbus"
    assert identity(changed("path", "/data/renamed"))["sha256"] == identity(MANIFEST)["sha256"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("annotations_sha256", "b" * 64),
        ("seed", 1),
        ("choices", {"min_side": 4.0}),
        ("images_sha256", {"one": "1" * 64, "two": "2" * 64, "three": "4" * 64}),
        ("split", {"train": ["two"], "val": ["one"], "test": ["three"]}),  # another fold of the same seed
    ],
)
def test_other_images_boxes_or_split_are_other_data(key: str, value: Any) -> None:
    assert identity(changed(key, value))["sha256"] != identity(MANIFEST)["sha256"]


def test_what_was_prepared_before_choices_is_what_has_none() -> None:
    before = copy.deepcopy(MANIFEST)
    del before["source"]["choices"]
    assert identity(before) == identity(MANIFEST)


def test_images_are_those_of_the_split() -> None:
    assert images(MANIFEST, "val") == {"two": "2" * 64}
