"""Consistency of every config with its COCO checkpoint and the recorded results."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmdet
import numpy as np
import pytest
from mmdet.registry import MODELS
from mmengine import fileio
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from oil_storage.audit.coverage import Priors, anchor_coverage
from oil_storage.checkpoints.download import model_url
from oil_storage.checkpoints.model_weights import match_weights
from oil_storage.datasets import OilStorageDataset
from oil_storage.engine.from_scratch import LOADING, default, from_scratch
from oil_storage.reporting.results import read
from oil_storage.scene import Scene

CONFIGS = sorted(path for path in Path("configs").rglob("*.py") if "_base_" not in path.parts)
TOO_FEW = {"ssd_r101"}
"""Configs that return fewer detections than the densest tiles contain, as in the original recipe."""
INDEX = Path(mmdet.__file__).parent / ".mim"
RPN = {"rpn_head.rpn_cls", "rpn_head.rpn_reg"}
REINITIALISED = {
    "cascade_rcnn_r50": RPN | {f"roi_head.bbox_head.{stage}.fc_cls" for stage in range(3)},
    "conditional_detr_r50": {"bbox_head.fc_cls"},
    "dab_detr_r50": {"bbox_head.fc_cls"},
    "ddq_detr_r50": {"bbox_head.cls_branches", "bbox_head.aux_cls_branches", "dn_query_generator.label_embedding"},
    "deformable_detr_r50": {"bbox_head.cls_branches"},
    "detr_r50": {"bbox_head.fc_cls"},
    "dino_5scale_r50": {
        *("level_embed", "neck.convs.0", "bbox_head.cls_branches", "dn_query_generator.label_embedding"),
        *(
            f"{coder}.layers.{layer}.{attention}.{part}"  # depends on the number of levels
            for coder, attention in (("encoder", "self_attn"), ("decoder", "cross_attn"))
            for layer in range(6)
            for part in ("sampling_offsets", "attention_weights")
        ),
    },
    "dino_r50": {"bbox_head.cls_branches", "dn_query_generator.label_embedding"},
    "faster_rcnn_r101": RPN | {"roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg"},
    "faster_rcnn_r50": RPN | {"roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg"},
    "rtmdet_m": {"bbox_head.rtm_cls"},
    "ssd512_vgg16": {"bbox_head.cls_convs"},
    "ssd_r101": {"neck.fpn_convs.3", "bbox_head"},  # the input of P6 is P5 instead of C5
    "ssd_r101_p2": {"neck.lateral_convs.0", "neck.fpn_convs.0", "neck.fpn_convs.4", "bbox_head"},
    "ssd_r50_p2": {"neck.lateral_convs.0", "neck.fpn_convs.0", "neck.fpn_convs.4", "bbox_head"},
    "yolox_s": {"bbox_head.multi_level_conv_cls"},
}
"""Modules that are re-initialised; all others are loaded from the checkpoint."""
RENAMED = {
    "ssd_r50_p2": {f"neck.{kind}_convs.{level}" for kind in ("lateral", "fpn") for level in (1, 2, 3)},
    "ssd_r101_p2": {f"neck.{kind}_convs.{level}" for kind in ("lateral", "fpn") for level in (1, 2, 3)},
    "dino_5scale_r50": {f"neck.convs.{level}" for level in (1, 2, 3)},
}
TILED = {"detr_r50": ["query_embedding.weight"]}


def test_config_names_are_unique() -> None:
    assert {path.stem for path in CONFIGS} >= {"rtmdet_lite0", "ssd_lite0", "ssd_r101", "dino_r50", "faster_rcnn_r50"}
    assert {path.stem for path in CONFIGS} > REINITIALISED.keys()
    assert len({path.stem for path in CONFIGS}) == len(CONFIGS)  # work_dirs/<name>


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_builds_and_is_consistent(path: Path) -> None:
    config = load(path)
    assert "work_dir" not in config
    assert config.auto_scale_lr == {"enable": True, "base_batch_size": config.train_dataloader.batch_size}
    for scheme in ("torchvision://", "open-mmlab://"):
        assert scheme not in str(config.to_dict())
    check_docstring(path)
    check_classes_and_limits(config, path.stem)
    check_loaders(config)
    check_coverage(config)

    model = MODELS.build(copy.deepcopy(config.model))  # building changes the config
    assert any(parameter.requires_grad for parameter in model.parameters())
    check_no_sync_bn(config.model)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[] if path.stem == "ssd_r50_p2" else pytest.mark.slow) for path in CONFIGS],
)
def test_config_can_be_dumped_and_loads_its_initial_weights(path: Path, tmp_path: Path) -> None:
    config = load(path)
    config.dump(tmp_path / "dump.py")
    assert Config.fromfile(tmp_path / "dump.py").to_dict() == config.to_dict()
    assert (path.stem in REINITIALISED) == ("mmdet://" in str(config.load_from))
    if path.stem in REINITIALISED:
        check_coco_weights(config, path.stem, MODELS.build(copy.deepcopy(config.model)))
    check_from_scratch(config)


def load(path: Path) -> Config:
    """Load a config and import its modules."""
    config = Config.fromfile(path)
    import_modules_from_strings(**config.custom_imports)
    init_default_scope(config.default_scope)
    return config


def check_docstring(path: Path) -> None:
    """The commands name this config, and the metrics equal the recorded results."""
    docstring = path.read_text().split('"""')[1]
    assert f"python tools/train.py {path}" in docstring
    assert f"python tools/test.py {path} work_dirs/{path.stem}/" in docstring
    recorded = read(Path("results"))
    runs = recorded[path.stem].runs if path.stem in recorded else []
    assert bool(runs) == ("not yet run" not in docstring)
    if runs:
        figures = [figure for run in runs for figure in run.metrics.values()]
        figures += [figure for run in runs if run.scenes for figure in run.scenes.model_dump().values()]
        values = {f"{figure:.3f}" for figure in figures if isinstance(figure, float)}
        assert set(re.findall(r"\b0\.\d{3}\b", docstring)) <= values


def check_classes_and_limits(config: Config, name: str) -> None:
    """The detector has one class, and returns more tanks than the densest tile contains."""
    assert set(values_of(config.model.to_dict(), "num_classes")) == {len(OilStorageDataset.METAINFO["classes"])}
    limits = [*values_of(config.model.test_cfg.to_dict(), "max_per_img")]
    if name in TOO_FEW:
        return
    tile = config.test_dataloader.dataset.tile
    densest = next(most for side, most in OilStorageDataset.METAINFO["densest"].items() if side >= tile)
    assert limits or config.model.type == "YOLOX"  # YOLOX has no limit
    assert all(limit > densest for limit in limits)
    if "num_queries" in config.model:
        assert limits == [config.model.num_queries]
    if "rcnn" in config.model.train_cfg:
        stages = config.model.train_cfg.rcnn
        crops = [size for size in values_of(config.train_dataloader.to_dict(), "size") if isinstance(size, tuple)]
        shown = max((max(size) for size in crops), default=tile) / tile  # training on magnified crops
        for stage in stages if isinstance(stages, list) else [stages]:
            assert stage.sampler.num * stage.sampler.pos_fraction > densest * min(1, shown) ** 2


def values_of(node: Any, key: str) -> Iterator[Any]:
    """Yield all values of a key at any depth."""
    for name, value in node.items() if isinstance(node, dict) else enumerate(node):
        if name == key:
            yield value
        if isinstance(value, dict | list | tuple):
            yield from values_of(value, key)


def check_loaders(config: Config) -> None:
    """The loaders of all splits have the same tile size and overlap."""
    trained = config.train_dataloader.dataset
    trained = trained.get("dataset", trained)  # mosaics use a wrapper
    for split in ("val", "test"):
        dataset = config[f"{split}_dataloader"].dataset
        assert dataset.split == split
        assert (dataset.tile, dataset.overlap) == (trained.tile, trained.overlap)


def check_coverage(config: Config) -> None:
    """Anchors or points match every large tank."""
    boxes = np.array([[x, x, x + 100, x + 90] for x in range(40, 2400, 150)], np.float32)
    coverage = anchor_coverage(config, [Scene("scene", Path("scene.jpg"), 2560, 2560, boxes)])
    if "num_queries" in config.model:
        assert coverage.priors == Priors.QUERIES
    else:
        assert sum(coverage.boxes) == sum(coverage.covered) == len(boxes)


def check_no_sync_bn(model: Any) -> None:
    """The model trains in several processes without CUDA, which SyncBN requires."""
    assert "SyncBN" not in str(model)
    assert not model.get("use_syncbn", default(model, "use_syncbn"))


def check_coco_weights(config: Config, name: str, model: nn.Module) -> None:
    """The loaded, renamed, repeated and re-initialised weights are as expected for MMDetection's model."""
    assert model_url(config.load_from.removeprefix("mmdet://")).endswith(".pth")
    coco = upstream(config.load_from.removeprefix("mmdet://"))
    from_scratch(coco)  # MMDetection's config loads weights of torchvision
    renames = config.default_hooks.pretrained.get("renames", [])
    _, report = match_weights(MODELS.build(coco.model).state_dict(), model, renames)
    expected = REINITIALISED[name]
    assert all(
        any(key.startswith(f"{module}.") or key == module for module in expected) for key in report.reinitialised
    )
    assert all(any(key.startswith(module) for key in report.reinitialised) for module in expected)
    assert not any(any(key.startswith(f"{module}.") for module in expected) for key in report.loaded)
    assert {key.split(".conv.")[0].split(".gn.")[0] for key in report.renamed} == RENAMED.get(name, set())
    assert report.tiled == TILED.get(name, [])


def upstream(name: str) -> Config:
    """Return MMDetection's config of a model in its index."""
    for metafile in (INDEX / "configs").glob("*/metafile.yml"):
        content = fileio.load(str(metafile))
        for model in content["Models"] if isinstance(content, dict) else content:
            if model["Name"] == name:
                return Config.fromfile(INDEX / model["Config"])
    raise AssertionError(name)


def check_from_scratch(config: Config) -> None:
    """Training from scratch loads no weights and freezes no layers. ``config`` is changed."""
    from_scratch(config)
    assert config.load_from is None
    assert not set(values_of(config.model.to_dict(), "type")) & set(LOADING)
    model = MODELS.build(config.model).train()
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == []
    assert all(module.training for module in model.modules() if isinstance(module, _BatchNorm))
