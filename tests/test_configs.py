from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from oil_storage.engine.distributed import prepare

CONFIGS = sorted(path for path in Path("configs").rglob("*.py") if "_base_" not in path.parts)


def test_all_configs_are_found_and_named_apart() -> None:
    assert {path.stem for path in CONFIGS} >= {"rtmdet_lite0", "ssd_lite0", "ssd_r101"}
    assert len({path.stem for path in CONFIGS}) == len(CONFIGS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads_survives_a_dump_and_builds(path: Path, tmp_path: Path) -> None:
    config = Config.fromfile(path)
    config.dump(tmp_path / "dump.py")
    assert Config.fromfile(tmp_path / "dump.py").to_dict() == config.to_dict()
    import_modules_from_strings(**config.custom_imports)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    assert any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_leaf_opens_with_its_command(path: Path) -> None:
    assert f"python tools/train.py {path}" in path.read_text().split('"""')[1]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_loaders_and_evaluators_agree_on_the_tiles(path: Path) -> None:
    config = Config.fromfile(path)
    for split in ("val", "test"):
        dataset, evaluator = config[f"{split}_dataloader"].dataset, config[f"{split}_evaluator"]
        assert dataset.split == split
        assert evaluator.ann_file.endswith(f"tiles/{dataset.tile}_{dataset.overlap}/{split}.json")
        assert (dataset.tile, dataset.overlap) == (
            config.train_dataloader.dataset.tile,
            config.train_dataloader.dataset.overlap,
        )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_trains_in_several_processes_without_cuda(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    prepare(Config.fromfile(path), "pytorch")  # refuses SyncBN
