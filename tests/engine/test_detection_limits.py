import re
from pathlib import Path

import pytest
from mmengine.config import Config

from oil_storage.engine.detection_limits import check, too_few
from oil_storage.errors import UserError
from oil_storage.manifest import Manifest
from tests.tiny_training import write_config, write_data


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"vote_iou": -1}, "model.test_cfg.vote_iou=-1: must be from 0 to 1"),
        ({"vote_iou": float("nan")}, "vote_iou=nan: must be from 0 to 1"),
        ({"score_thr": 2}, "model.test_cfg.score_thr=2: must be from 0 to 1"),
        ({"rcnn": {"nms": {"iou_threshold": 7}}}, "model.test_cfg.rcnn.nms.iou_threshold=7: must be from 0 to 1"),
        ({"max_per_img": 0}, "model.test_cfg.max_per_img=0: must be at least 1"),
        ({"max_per_img": 301}, "max_per_img=301: more than the queries, model.num_queries=300"),
    ],
)
def test_what_would_empty_the_answer_is_refused(option: dict[str, object], words: str) -> None:
    good = {"score_thr": 0.0, "nms": {"type": "nms", "iou_threshold": 1}, "vote_iou": None, "max_per_img": 300}
    check({"num_queries": 300, "test_cfg": good})
    check({"num_queries": 300, "test_cfg": good | {"max_per_img": None}})  # all of them
    with pytest.raises(UserError, match=re.escape(words)):
        check({"num_queries": 300, "test_cfg": good | option})


def test_a_denser_tile_than_the_detector_can_answer_is_told(tmp_path: Path) -> None:
    data = write_data(tmp_path)
    cfg = Config.fromfile(write_config(tmp_path, data))
    dataset = cfg.val_dataloader.dataset
    densest = Manifest.load(data).tiles[f"{dataset.tile}_{dataset.overlap}"].val.densest
    assert densest > 1
    cfg.model.test_cfg.max_per_img = densest
    assert too_few(cfg, "val_dataloader") is None
    cfg.model.test_cfg.max_per_img = densest - 1
    told = f"a tile of val holds {densest} tanks, found are {densest - 1} at most: model.test_cfg.max_per_img"
    assert too_few(cfg, "val_dataloader") == f"warning: {told}"
    cfg.model.test_cfg.max_per_img = None
    assert too_few(cfg, "val_dataloader") is None
    cfg.model.test_cfg = {"rpn": {"max_per_img": 1}, "rcnn": {"max_per_img": densest}}
    assert too_few(cfg, "val_dataloader") is None
    cfg.val_dataloader.dataset.type = "CocoDataset"
    assert too_few(cfg, "val_dataloader") is None
