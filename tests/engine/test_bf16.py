import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mmdet.models.task_modules import HungarianAssigner
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import nn

from oil_storage.engine import bf16
from oil_storage.engine.bf16 import LOSSES, Bf16OptimWrapper, compute_as_configured, compute_in_bf16, has_bf16

SMALL_RESNET = {"depth": 18, "init_cfg": None, "frozen_stages": -1, "norm_eval": False}


@pytest.fixture(autouse=True)
def computed_whatever_the_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable bfloat16 on all CPUs, which is slow on some."""
    monkeypatch.setattr(bf16, "has_bf16", lambda device: True)


def detector(name: str) -> nn.Module:
    """Build a small mmdet model with reproducible random weights."""
    init_default_scope("mmdet")
    if name == "rtmdet":
        cfg = get_config("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py").model
        cfg.backbone.update(init_cfg=None, deepen_factor=0.1, widen_factor=0.125)
        cfg.backbone.norm_cfg = cfg.neck.norm_cfg = cfg.bbox_head.norm_cfg = {"type": "BN"}
        cfg.neck.update(in_channels=[32, 64, 128], out_channels=32)
        cfg.bbox_head.update(in_channels=32, feat_channels=32)
        del cfg.data_preprocessor["batch_augments"]
    elif name == "retinanet":
        cfg = get_config("mmdet::retinanet/retinanet_r18_fpn_1x_coco.py").model
    elif name == "faster-rcnn":
        cfg = get_config("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py").model
        cfg.neck.in_channels = [64, 128, 256, 512]
        cfg.roi_head.bbox_head.fc_out_channels = 64
        cfg.train_cfg.rcnn.sampler.num = cfg.train_cfg.rpn_proposal.max_per_img = cfg.test_cfg.rpn.max_per_img = 50
    else:
        file = {"detr": "detr_r50_8xb2-150e_coco", "dino": "dino-4scale_r50_8xb2-12e_coco"}[name]
        cfg = get_config(f"mmdet::{name}/{file}.py").model
        cfg.num_queries = cfg.test_cfg.max_per_img = 20
        cfg.encoder.num_layers, cfg.decoder.num_layers = 1, 2
        cfg.neck.in_channels = [512] if name == "detr" else [128, 256, 512]
        for layer in (cfg.encoder.layer_cfg, cfg.decoder.layer_cfg):
            layer.ffn_cfg.update(feedforward_channels=64, ffn_drop=0.0)
            for attention in [value for key, value in layer.items() if "attn" in key]:
                attention.dropout = 0.0
    if name != "rtmdet":
        cfg.backbone.update(SMALL_RESNET)
    torch.manual_seed(0)
    model: nn.Module = MODELS.build(cfg)
    model.init_weights()
    return model


def batch() -> dict[str, Any]:
    torch.manual_seed(1)
    data: dict[str, Any] = demo_mm_inputs(2, [(3, 96, 96)] * 2, num_items=[3, 2], num_classes=80)
    return data


def tensors(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, list | tuple | dict):
        yield from itertools.chain.from_iterable(map(tensors, values.values() if isinstance(values, dict) else values))


def float_types(values: Any) -> set[torch.dtype]:
    return {tensor.dtype for tensor in tensors(values) if tensor.is_floating_point()}


def step(model: nn.Module, wrapper: type = Bf16OptimWrapper) -> dict[str, float]:
    optimizer = wrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    torch.manual_seed(2)
    return {name: float(value) for name, value in model.train_step(batch(), optimizer).items()}


@pytest.mark.parametrize(
    "name",
    ["detr", *(pytest.param(n, marks=pytest.mark.slow) for n in ("retinanet", "rtmdet", "faster-rcnn", "dino"))],
)
def test_training_and_prediction_run_in_bfloat16(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = step(detector(name).train(), OptimWrapper)
    model = detector(name).train()
    seen: dict[str, set[torch.dtype]] = {"conv": set(), "loss": set(), "assigner": set()}
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, args, out: seen["conv"].add(out.dtype))
        if isinstance(module, LOSSES):
            module.register_forward_pre_hook(
                lambda _, args, kwargs: seen["loss"].update(
                    t.dtype for t in tensors([args, kwargs]) if t.is_floating_point()
                ),
                with_kwargs=True,
            )
    assign = HungarianAssigner.assign

    def watched(self: Any, pred_instances: Any, *args: Any, **kwargs: Any) -> Any:
        seen["assigner"] |= float_types(dict(pred_instances.items()))
        return assign(self, pred_instances, *args, **kwargs)

    monkeypatch.setattr(HungarianAssigner, "assign", watched)
    losses = step(model)
    assert seen["conv"] == {torch.bfloat16}
    assert seen["loss"] <= {torch.float32}
    assert seen["assigner"] == ({torch.float32} if name in ("detr", "dino") else set())
    assert losses["loss"] == pytest.approx(expected["loss"], rel=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    start = dict(detector(name).named_parameters())
    assert any(not torch.equal(parameter, start[key]) for key, parameter in model.named_parameters())

    seen["conv"].clear()
    with torch.no_grad():
        results = model.eval().test_step(batch())
    assert seen["conv"] == {torch.bfloat16}
    assert {r.pred_instances.bboxes.dtype for r in results} == {torch.float32}
    assert {r.pred_instances.scores.dtype for r in results} == {torch.float32}


@pytest.mark.slow
def test_deformable_attention_and_last_layers_of_detr_run_in_float32() -> None:
    from mmcv.ops import MultiScaleDeformableAttention

    model = detector("dino").train()
    seen = set()
    for module in model.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            module.value_proj.register_forward_hook(lambda _, args, out: seen.add(out.dtype))
    for layer in model.bbox_head.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda _, args, out: seen.add(out.dtype))
    step(model)
    assert seen == {torch.float32}


@pytest.mark.slow
def test_copied_model_uses_its_own_weights() -> None:
    model = detector("retinanet").eval()
    compute_in_bf16(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        before = model.test_step(batch())[0].pred_instances.scores
        for parameter in model.parameters():
            parameter.zero_()
        after = twin.test_step(batch())[0].pred_instances.scores
    assert torch.equal(before, after)
    assert twin.bbox_head.predict_by_feat.__self__ is twin.bbox_head


def test_runner_uses_bfloat16_before_the_first_iteration() -> None:
    model = detector("retinanet")
    Bf16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)).initialize_count_status(model, 0, 10)
    assert "forward" in vars(model)


@pytest.mark.slow
def test_device_without_bfloat16_uses_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = Config({"optim_wrapper": {"type": "Bf16OptimWrapper"}})
    assert compute_as_configured(detector("retinanet"), cfg) == "bfloat16"
    monkeypatch.setattr(bf16, "has_bf16", lambda device: False)
    model = detector("retinanet").train()
    assert compute_as_configured(model, cfg) == "float32"
    assert step(model) == step(detector("retinanet").train(), OptimWrapper)
    assert "forward" not in vars(model)


def test_config_without_bfloat16_uses_float32() -> None:
    model = detector("retinanet")
    assert compute_as_configured(model, Config({"optim_wrapper": {"type": "OptimWrapper"}})) == "float32"
    assert "forward" not in vars(model)


def test_bfloat16_support_of_the_cpu_agrees_with_onednn() -> None:
    with torch.profiler.profile() as watched, torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        nn.Conv2d(64, 64, 3)(torch.rand(2, 64, 64, 64))
    slow = any("slow_conv2d" in event.key for event in watched.key_averages())
    assert has_bf16(torch.device("cpu")) == (not slow)


def test_repeated_compute_in_bf16_has_no_effect() -> None:
    model = detector("retinanet")
    compute_in_bf16(model)
    forward = model.forward
    compute_in_bf16(model)
    assert model.forward == forward
