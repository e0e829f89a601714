"""Training without a checkpoint and without frozen layers."""

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from torch import nn

import oil_storage.models  # noqa: F401 - registers the models
from oil_storage.engine.from_scratch import LOADING, from_scratch

FROZEN_UPSTREAM = [
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco",
    "deformable_detr/deformable-detr_r50_16xb2-50e_coco",
    "ssd/ssd512_coco",
    "efficientnet/retinanet_effb3_fpn_8xb4-crop896-1x_coco",
    "regnet/retinanet_regnetx-800MF_fpn_1x_coco",
]


def frozen(model):
    model.train()
    still = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    return still + [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.training
    ]


def nodes(node):
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        yield from nodes(value)


def assert_trains_whole(cfg):
    from_scratch(cfg)
    assert cfg.load_from is None
    assert not [node for node in nodes(cfg.model) if node.get("type") in LOADING]
    model = MODELS.build(cfg.model)
    assert len(list(model.parameters())) > 20
    model.init_weights()
    assert frozen(model) == []


@pytest.fixture(autouse=True)
def scope():
    init_default_scope("mmdet")


@pytest.mark.slow
@pytest.mark.parametrize("name", FROZEN_UPSTREAM)
def test_upstream_config_has_no_frozen_layers_from_scratch(name):
    assert_trains_whole(get_config(f"mmdet::{name}.py"))


@pytest.mark.parametrize("name", FROZEN_UPSTREAM[:2])
def test_upstream_config_has_frozen_layers(name):
    model = get_config(f"mmdet::{name}.py").model
    model.backbone.init_cfg = None
    assert len(frozen(MODELS.build(model))) > 10


def test_default_norm_eval_of_resnet_is_disabled():
    cfg = Config({"model": {"backbone": {"type": "ResNet", "depth": 18}}, "load_from": "mmdet://somewhere"})
    assert frozen(MODELS.build(cfg.model.backbone)) != []
    from_scratch(cfg)
    assert cfg.model.backbone.norm_eval is False
    assert frozen(MODELS.build(cfg.model.backbone)) == []


def test_other_initialisations_are_kept():
    kaiming = {"type": "Kaiming", "layer": "Conv2d"}
    cfg = Config(
        {
            "model": {
                "backbone": {"init_cfg": [kaiming, {"type": "Pretrained", "checkpoint": "x.pth"}]},
                "neck": {"init_cfg": kaiming},
                "bbox_head": {"init_cfg": {"type": "Pretrained", "checkpoint": "x.pth"}},
            }
        }
    )
    from_scratch(cfg)
    assert cfg.model.backbone.init_cfg == [kaiming]
    assert cfg.model.neck.init_cfg == kaiming
    assert cfg.model.bbox_head.init_cfg is None
