import hashlib
from pathlib import Path

import pytest

from oil_storage import config
from oil_storage.cli.test import main as score
from oil_storage.cli.train import main as train
from oil_storage.inference.scene_cost import scene_cost
from tests.tiny_training import write_config, write_data


@pytest.mark.slow
def test_each_scene_is_measured_after_a_warm_up(tmp_path: Path) -> None:
    path = write_config(tmp_path, write_data(tmp_path), train_cfg__max_iters=2, train_cfg__val_interval=2)
    work_dir = tmp_path / "work"
    assert train([str(path), "--work-dir", str(work_dir)]) == 0
    checkpoint = work_dir / "iter_2.pth"
    assert score([str(path), str(checkpoint), "--split", "val", "--work-dir", str(work_dir)]) == 0
    scenes = sorted((tmp_path / "raw" / "images").iterdir())[:2]
    cost = scene_cost(config.load(path), checkpoint, scenes, 0.0, overlap=16)
    assert (cost.size, cost.scenes) == ([128, 128], 2)
    assert cost.seconds > 0
    assert cost.memory_gb > 0.1
    assert cost.checkpoint_sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
