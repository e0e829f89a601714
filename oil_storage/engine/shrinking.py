"""Small versions of detectors that train in minutes on two CPU cores: fewer and narrower layers, the same method.

Head, losses, assigner, box coder, anchors and denoising stay as they are; width and depth of what is before them, and
the number of queries, proposals and sampled proposals, shrink. No neck hides SSD512's width from its head.
"""

from typing import Any

from mmengine.config import Config

from oil_storage.engine.from_scratch import from_scratch

RESNET_WIDTH = 32
"""Most channels of a small ResNet's first stage, where there are 64."""
QUERIES = 100
LAYERS = 2
"""Of encoder and decoder; DDQ's distinct queries need two."""
CANDIDATES, PROPOSALS = 600, 300
"""Of a level before NMS, and of an image after it; NMS of thousands takes a CPU longer than all layers."""
SAMPLES = 96
"""Of the proposals, for the loss."""
VGG_DEPTH = 11
VGG_FEATURES = (14, 24)
"""Layers of VGG-11 of the stride and width of those that SSD reads in VGG-16."""
VGG_NARROWING = 4


def shrink(cfg: Config, queries: int = QUERIES) -> None:
    """Make a config's detector small, and train all of it from scratch.

    Args:
        cfg: of any config in ``configs/oil/``; its model is changed in place.
        queries: how many a detector of the DETR family is to have; more than a tile has objects.
    """
    from_scratch(cfg)
    model = cfg.model
    match model.backbone.type:
        case "ResNet":
            _shrink_resnet(model)
        case "CSPNeXt" | "CSPDarknet":
            _shrink_csp(model)
        case "SSDVGG":
            _shrink_vgg(model)
    for coder in ("encoder", "decoder"):
        if coder in model:
            model[coder].num_layers = LAYERS
    if "num_queries" in model:
        model.num_queries = model.test_cfg.max_per_img = queries
    if "rpn_head" in model:
        _shrink_proposals(model)


def _shrink_proposals(model: Any) -> None:
    for stage in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
        stage.update(nms_pre=CANDIDATES, max_per_img=PROPOSALS)
    cascade = isinstance(model.train_cfg.rcnn, list)
    for stage in model.train_cfg.rcnn if cascade else [model.train_cfg.rcnn]:
        stage.sampler.num = SAMPLES


def _shrink_resnet(model: Any) -> None:
    """ResNet-18 in half its width: a sixteenth of the channels of ResNet-50's stages."""
    bottleneck = model.backbone.depth >= 50
    before = model.backbone.get("base_channels", 64)
    width = min(before, RESNET_WIDTH)
    model.backbone.update(depth=18, base_channels=width)
    ratio = before // width * (4 if bottleneck else 1)
    model.neck.in_channels = [channels // ratio for channels in model.neck.in_channels]


def _shrink_csp(model: Any) -> None:
    """A quarter of the width, a sixth of the depth; the neck reads what the backbone gives."""
    ratio = model.backbone.widen_factor / 0.25
    model.backbone.update(widen_factor=0.25, deepen_factor=0.167)
    model.neck.in_channels = [int(channels / ratio) for channels in model.neck.in_channels]


def _shrink_vgg(model: Any) -> None:
    """VGG-11 and SSD's levels after it in a quarter of their width."""
    model.backbone.update(
        type="NarrowSSDVGG", narrowing=VGG_NARROWING, depth=VGG_DEPTH, out_feature_indices=VGG_FEATURES
    )
    for part, key in ((model.neck, "in_channels"), (model.neck, "out_channels"), (model.bbox_head, "in_channels")):
        part[key] = [channels // VGG_NARROWING for channels in part[key]]
