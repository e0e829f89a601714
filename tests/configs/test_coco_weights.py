"""What each config takes from its COCO checkpoint, by the names and shapes of MMDetection's own model."""

from pathlib import Path

import mmdet
import pytest
from mmdet.registry import MODELS
from mmengine import fileio
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from oil_storage.checkpoints.download import model_url
from oil_storage.checkpoints.model_weights import match_weights
from oil_storage.engine.from_scratch import from_scratch

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
            f"{coder}.layers.{layer}.{attention}.{part}"  # what looks at each level
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
    "ssd_r101": {"neck.fpn_convs.3", "bbox_head"},  # P6 reads P5, not C5
    "ssd_r101_p2": {"neck.lateral_convs.0", "neck.fpn_convs.0", "neck.fpn_convs.4", "bbox_head"},
    "ssd_r50_p2": {"neck.lateral_convs.0", "neck.fpn_convs.0", "neck.fpn_convs.4", "bbox_head"},
    "yolox_s": {"bbox_head.multi_level_conv_cls"},
}
"""Modules that start anew: all else comes from the checkpoint."""
RENAMED = {
    "ssd_r50_p2": {f"neck.{kind}_convs.{level}" for kind in ("lateral", "fpn") for level in (1, 2, 3)},
    "ssd_r101_p2": {f"neck.{kind}_convs.{level}" for kind in ("lateral", "fpn") for level in (1, 2, 3)},
    "dino_5scale_r50": {f"neck.convs.{level}" for level in (1, 2, 3)},
}
TILED = {"detr_r50": ["query_embedding.weight"]}


def upstream(name: str) -> Config:
    """MMDetection's own config of a model in its index."""
    for metafile in (INDEX / "configs").glob("*/metafile.yml"):
        content = fileio.load(str(metafile))
        for model in content["Models"] if isinstance(content, dict) else content:
            if model["Name"] == name:
                return Config.fromfile(INDEX / model["Config"])
    raise AssertionError(name)


def test_all_configs_that_start_from_coco_are_looked_at() -> None:
    starting = {
        path.stem
        for path in Path("configs/oil").glob("*.py")
        if "mmdet://" in str(Config.fromfile(path).get("load_from"))
    }
    assert starting == REINITIALISED.keys()


@pytest.mark.parametrize("name", REINITIALISED)
def test_what_is_loaded_renamed_repeated_and_initialised_anew(name: str) -> None:
    cfg = Config.fromfile(f"configs/oil/{name}.py")
    import_modules_from_strings(**cfg.custom_imports)
    init_default_scope("mmdet")
    assert model_url(cfg.load_from.removeprefix("mmdet://")).endswith(".pth")
    coco = upstream(cfg.load_from.removeprefix("mmdet://"))
    from_scratch(coco)  # its weights are of torchvision
    renames = cfg.default_hooks.pretrained.get("renames", [])
    _, report = match_weights(MODELS.build(coco.model).state_dict(), MODELS.build(cfg.model), renames)
    anew = REINITIALISED[name]
    assert all(any(key.startswith(f"{module}.") or key == module for module in anew) for key in report.reinitialised)
    assert all(any(key.startswith(module) for key in report.reinitialised) for module in anew)
    assert not any(any(key.startswith(f"{module}.") for module in anew) for key in report.loaded)
    assert {key.split(".conv.")[0].split(".gn.")[0] for key in report.renamed} == RENAMED.get(name, set())
    assert report.tiled == TILED.get(name, [])
