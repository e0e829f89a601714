from pathlib import Path

import pytest
from mmengine.config import Config

from oil_storage.engine.cost import cost_of, input_size
from tests.tiny_training import write_config, write_data


def test_cost_of_a_tiny_detector_is_plausible(tmp_path: Path) -> None:
    cfg = Config.fromfile(write_config(tmp_path, write_data(tmp_path)))
    cost = cost_of(cfg, seconds=0.0)
    assert cost.input == [64, 64]
    assert cost.precision == "float32"
    assert cost.training.batch == 2
    for times in (cost.training, cost.inference):
        assert 0 < times.p50 <= times.p95 < 10
        assert times.throughput > 0
    # lower bound: the first convolution, 7 x 7, 3 to 64 channels, stride 2
    assert cost.gflops >= 2 * 49 * 3 * 64 * 32 * 32 / 1e9
    assert 10_000 < cost.parameters < 10_000_000


@pytest.mark.parametrize(("name", "side"), [("ssd_r101", 1024), ("ssd512_vgg16", 512), ("dino_r50", 640)])
def test_input_size_follows_from_the_test_pipeline(name: str, side: int) -> None:
    assert input_size(Config.fromfile(f"configs/oil/{name}.py")) == (side, side)
