import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from oil_storage.checkpoints.checkpoint import Checkpoint, Meta, Trained
from oil_storage.checkpoints.provenance import describe, initialised
from oil_storage.checkpoints.trained_config import recipe_sha256
from oil_storage.coco import CocoFile, CocoImage
from oil_storage.engine.from_scratch import from_scratch
from oil_storage.errors import UserError
from oil_storage.imagery import Reading


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
    (tmp_path / "scenes").mkdir()
    for name, gsds in {"train": (1.2, 1.5, 1.3), "val": (1.2, None)}.items():
        images = [CocoImage(number, "a.jpg", 9, 9, "a", gsd) for number, gsd in enumerate(gsds)]
        CocoFile.of_boxes(images, [np.zeros((0, 4), np.float32)] * len(images)).save(
            tmp_path / "scenes" / f"{name}.json"
        )
    return tmp_path


def test_training_scenes_are_refused_for_testing(prepared: Path) -> None:
    trained = Checkpoint(Path("a.pth"), Meta(trained=Trained("ssd", images=["1", "3"])), {})
    trained.check_unseen(prepared, "val")
    Checkpoint(Path("a.pth"), Meta(), {}).check_unseen(prepared, "test")
    with pytest.raises(UserError, match=r"a\.pth: was trained on 1 of 1 test scenes of .*, for example c"):
        trained.check_unseen(prepared, "test")


def test_initial_weights_are_recorded_and_survive_resumption(prepared: Path) -> None:
    cfg = Config.fromfile("configs/oil/ssd_lite0.py")
    cfg.train_dataloader.dataset.data_root = str(prepared)
    assert initialised(cfg) == "ImageNet"
    cfg.load_from = "checkpoints/dino.pth"
    assert initialised(cfg) == "dino.pth"
    before = Trained("ssd_lite0", initialised="ImageNet", images=["9"])
    assert describe(cfg, before).initialised == "dino.pth"
    assert describe(cfg, before).images == ["1", "9"]
    cfg.resume = True
    assert describe(cfg, before).initialised == "ImageNet"
    assert describe(cfg, None).initialised is None  # trained before this was recorded
    from_scratch(cfg)
    assert initialised(cfg) == "from scratch"


def test_recipe_depends_on_settings_but_not_on_seeds_and_paths() -> None:
    cfg = Config.fromfile("configs/oil/ssd_lite0.py")
    first = recipe_sha256(cfg)
    cfg.merge_from_dict({"randomness.seed": 7, "work_dir": "x", "train_dataloader.dataset.data_root": "elsewhere"})
    assert recipe_sha256(cfg) == first
    cfg.merge_from_dict({"optim_wrapper.optimizer.lr": 1e-9})
    assert recipe_sha256(cfg) != first


def test_ground_resolution_is_the_median_of_the_training_scenes(prepared: Path) -> None:
    cfg = Config.fromfile("configs/oil/ssd_lite0.py")
    cfg.train_dataloader.dataset.data_root = str(prepared)
    assert describe(cfg, None).gsd == 1.3
    (prepared / "scenes" / "val.json").replace(prepared / "scenes" / "train.json")
    assert describe(cfg, None).gsd is None


def test_bands_and_stretch_of_the_prepared_data_are_recorded(prepared: Path) -> None:
    cfg = Config.fromfile("configs/oil/ssd_lite0.py")
    cfg.train_dataloader.dataset.data_root = str(prepared)
    assert describe(cfg, None).reading == Reading()
    content = json.loads((prepared / "manifest.json").read_text())
    content["source"]["choices"] = {"bands": [5, 3, 2], "stretch": [1.0, 99.0]}
    (prepared / "manifest.json").write_text(json.dumps(content))
    assert describe(cfg, None).reading == Reading((5, 3, 2), (1.0, 99.0))
