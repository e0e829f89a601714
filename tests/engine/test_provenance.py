import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from oil_storage.engine.from_scratch import from_scratch
from oil_storage.engine.provenance import check_unseen, describe, differences, initialised, read, recipe_sha256
from oil_storage.errors import UserError


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b was 1, would be 2"]),
        ({"a": [1, {"b": 2}]}, {"a": (1, {"b": 3})}, ["a.1.b was 2, would be 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a was [1], would be [1, 2]"]),
        ({"a": 1}, {"b": 2}, ["a was 1, would be None", "b was None, would be 2"]),
        ({"a": {"data_root": "x", "num_workers": 2}}, {"a": {"data_root": "y"}}, []),
        ({"a": "x" * 99}, {"a": 1}, [f"a was '{'x' * 55} ..., would be 1"]),
    ],
)
def test_differences_are_named_by_their_place(old: Any, new: Any, expected: list[str]) -> None:
    assert list(differences(old, new)) == expected


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    content = {
        "source": {
            "path": "raw",
            "annotations_sha256": "0",
            "seed": 0,
            "images_sha256": {"a": "1", "b": "2", "c": "3"},
        },
        "split": {"train": ["a"], "val": ["b"], "test": ["c"]},
        "counts": {split: {"scenes": 1, "boxes": 1} for split in ("train", "val", "test")},
        "tiles": {},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    return tmp_path


def test_only_scenes_that_were_not_trained_on_are_to_be_scored(prepared: Path) -> None:
    checkpoint = {"meta": {"trained": {"images": ["1", "3"]}}}
    check_unseen(checkpoint, Path("a.pth"), prepared, "val")
    check_unseen({"meta": {}}, Path("a.pth"), prepared, "test")
    with pytest.raises(
        UserError, match=r"a\.pth: was trained on 1 of the 1 scenes in the test split of .* \(c is one\)"
    ):
        check_unseen(checkpoint, Path("a.pth"), prepared, "test")


@pytest.mark.parametrize("new_format", [True, False])
def test_checkpoints_of_both_formats_are_read(tmp_path: Path, new_format: bool) -> None:
    path = tmp_path / "a.pth"
    weights = {"state_dict": {"w": torch.arange(3)}}
    torch.save(weights, path, _use_new_zipfile_serialization=new_format)
    assert read(path)["meta"] == {}
    assert read(path)["state_dict"]["w"].tolist() == [0, 1, 2]


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"\x80\x02}q\x00.")  # a pickle of something else
    with pytest.raises(UserError, match=r"a\.pth: not a checkpoint \(.+\)$"):
        read(path)
    torch.save([1], path)
    with pytest.raises(UserError, match=r"a\.pth: no checkpoint of MMDetection's"):
        read(path)


def test_where_the_first_weights_came_from_is_told_and_stays_told(prepared: Path) -> None:
    cfg = Config.fromfile("configs/oil/ssd_lite0.py")
    cfg.train_dataloader.dataset.data_root = str(prepared)
    assert initialised(cfg) == "ImageNet"
    cfg.load_from = "checkpoints/dino.pth"
    assert initialised(cfg) == "dino.pth"
    before = {"initialised": "ImageNet", "images": ["9"]}
    assert describe(cfg, before)["initialised"] == "dino.pth"
    assert describe(cfg, before)["images"] == ["1", "9"]
    cfg.resume = True
    assert describe(cfg, before)["initialised"] == "ImageNet"
    assert describe(cfg, {})["initialised"] is None  # of a training before this was noted
    from_scratch(cfg)
    assert initialised(cfg) == "from scratch"


def test_seeds_and_places_make_no_other_recipe_and_settings_do() -> None:
    cfg = Config.fromfile("configs/oil/ssd_lite0.py")
    first = recipe_sha256(cfg)
    cfg.merge_from_dict({"randomness.seed": 7, "work_dir": "x", "train_dataloader.dataset.data_root": "elsewhere"})
    assert recipe_sha256(cfg) == first
    cfg.merge_from_dict({"optim_wrapper.optimizer.lr": 1e-9})
    assert recipe_sha256(cfg) != first
