from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from oil_storage.checkpoints.trained_config import differences
from oil_storage.engine.overfitting import CANDIDATES, PROPOSALS, SAMPLES, shrink

KEPT = ("bbox_head", "dn_cfg", "rpn_head", "roi_head")
SAMPLED = {
    **{key: [f"rcnn.sampler.num: 1024 -> {SAMPLES}"] for key in ("faster_rcnn_r50", "faster_rcnn_r101")},
    "cascade_rcnn_r50": [f"rcnn.{stage}.sampler.num: 1024 -> {SAMPLES}" for stage in range(3)],
}
"""Expected changes of the training settings of detectors that sample proposals."""
NARROWED = [
    f"in_channels.{level}: {width} -> {width // 4}" for level, width in enumerate([512, 1024, 512, 256, 256, 256, 256])
]
"""Expected changes of the head of SSD512, whose inputs have the widths of the backbone."""


@pytest.mark.parametrize("name", [*SAMPLED, "ssd512_vgg16", "rtmdet_m", "dino_r50", "ssd_lite0"])
def test_shrunk_detector_keeps_its_method_and_is_not_larger(name: str) -> None:
    path = Path(f"configs/oil/{name}.py")
    cfg = Config.fromfile(path)
    small = Config.fromfile(path)
    shrink(small, queries=90)
    import_modules_from_strings(**cfg.custom_imports)
    init_default_scope("mmdet")
    for part in KEPT:
        changed = NARROWED if (path.stem, part) == ("ssd512_vgg16", "bbox_head") else []
        assert list(differences(cfg.model.get(part), small.model.get(part))) == changed
    assert list(differences(cfg.model.get("train_cfg"), small.model.get("train_cfg"))) == (
        [
            f"rpn_proposal.nms_pre: 3000 -> {CANDIDATES}",
            f"rpn_proposal.max_per_img: 3000 -> {PROPOSALS}",
            *SAMPLED[path.stem],
        ]
        if path.stem in SAMPLED
        else []
    )
    if "num_queries" in small.model:
        assert (small.model.num_queries, small.model.test_cfg.max_per_img) == (90, 90)
        assert small.model.encoder.num_layers == small.model.decoder.num_layers == 2
    assert small.load_from is None
    model, whole = MODELS.build(small.model), MODELS.build(cfg.model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    sizes = [sum(parameter.numel() for parameter in detector.parameters()) for detector in (model, whole)]
    assert sizes[0] <= sizes[1]
