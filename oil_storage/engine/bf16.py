"""bfloat16 training on CPU and CUDA, with float32 where bfloat16 is not precise enough or not supported.

bfloat16 has the range of float32, so no gradient scaler is needed. It has 8 bits of precision, so coordinates near
500 px are rounded to multiples of 2 px. The convolutions and linear layers of a detector run in bfloat16. These parts
run in float32:

* losses, assignment, decoding and NMS (mmcv has no bfloat16 kernels for focal loss on CUDA and NMS on CPU),
* RoI feature extraction (mmcv has no bfloat16 kernel on CUDA),
* multi-scale deformable attention (for bfloat16, mmcv uses a slow fallback instead of its CUDA kernel),
* the linear layers of DETR-type heads (mmdet adds box coordinates to their output in place, so the sum has the
  precision of the output).

On devices without fast bfloat16, such as many CPUs, everything runs in float32. bfloat16 would take ten times as long
there.
"""

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models import losses as mmdet_losses
from mmdet.models.dense_heads import DETRHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors.base import BaseDetector
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

LOSSES = tuple(loss for loss in vars(mmdet_losses).values() if isinstance(loss, type) and issubclass(loss, nn.Module))

FLOAT32_METHODS: tuple[tuple[tuple[type[nn.Module], ...], tuple[str, ...]], ...] = (
    ((BaseDenseHead,), ("loss_by_feat", "predict_by_feat")),
    ((BBoxHead,), ("loss_and_target", "predict_by_feat", "refine_bboxes")),
    (LOSSES, ("forward",)),
    ((BaseRoIExtractor,), ("forward",)),
    ((MultiScaleDeformableAttention,), ("forward",)),
)
"""Classes, with the names of their methods that run in float32."""


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Optimiser wrapper for a model that computes in bfloat16. Parameters and gradients stay float32.

    The model is switched to bfloat16 when training starts. Validation then uses bfloat16, too. On a device without fast
    bfloat16, the model stays in float32.
    """

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Switch ``model`` to bfloat16 before the first iteration or validation."""
        if not self._put_into_bf16(model):
            print_log("this device does not support bfloat16; training in float32", logger="current")
        super().initialize_count_status(model, init_counts, max_counts)

    def optim_context(self, model: nn.Module) -> AbstractContextManager[None]:
        """Switch ``model`` to bfloat16, and return the context of a training step."""
        self._put_into_bf16(model)
        context: AbstractContextManager[None] = super().optim_context(model)
        return context

    def _put_into_bf16(self, model: nn.Module) -> bool:
        if able := has_bf16(next(model.parameters()).device):
            compute_in_bf16(model)
        return able


def has_bf16(device: torch.device) -> bool:
    """Return whether a device has fast bfloat16. On a CPU, this requires oneDNN with AVX-512 instructions."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    built_in = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch does not type it
    return bool(built_in and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def compute_as_configured(model: nn.Module, cfg: Config) -> str:
    """Switch a detector to bfloat16 if its config requests it and its device supports it.

    Args:
        model: see :func:`compute_in_bf16`.
        cfg: config of the detector.

    Returns:
        str: precision of the detector, ``bfloat16`` or ``float32``.
    """
    if cfg.optim_wrapper.type == Bf16OptimWrapper.__name__ and has_bf16(next(model.parameters()).device):
        compute_in_bf16(model)
        return "bfloat16"
    return "float32"


def compute_in_bf16(model: nn.Module) -> None:
    """Make every detector in ``model`` run its forward method under bfloat16 autocast. Further calls have no effect.

    Args:
        model: detector, or module that contains one (distributed wrapper, test-time augmentation).
    """
    for detector in model.modules():
        if not isinstance(detector, BaseDetector) or "forward" in vars(detector):
            continue
        for module, name in _float32_methods(detector):
            _shadow(module, name, _in_float32)
        _shadow(detector, "forward", _in_bf16)


def precision_of(detector: nn.Module) -> AbstractContextManager[None]:
    """Return the context in which the forward method of a detector computes, to call parts of the detector in it."""
    device = next(detector.parameters()).device.type
    return torch.autocast(device, dtype=torch.bfloat16, enabled="forward" in vars(detector))


def _float32_methods(detector: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for module in detector.modules():
        for classes, names in FLOAT32_METHODS:
            if isinstance(module, classes):
                yield from ((module, name) for name in names if hasattr(module, name))
        if isinstance(module, DETRHead):
            yield from ((layer, "forward") for layer in module.modules() if isinstance(layer, nn.Linear))


def _shadow(module: nn.Module, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    # a method that is stored in the instance; a copy of the model (EMA) gets a method that is bound to the copy
    setattr(module, name, types.MethodType(wrap(getattr(type(module), name)), module))


def _in_bf16(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        device = next(self.parameters()).device.type
        with torch.autocast(device, dtype=torch.bfloat16):
            return method(self, *args, **kwargs)

    return forward


def _in_float32(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            return method(self, *_to_float32(args), **_to_float32(kwargs))

    return call


def _to_float32(value: Any) -> Any:
    """Cast the bfloat16 tensors in nested lists, tuples and dicts; return other values unchanged."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if type(value) is dict:  # a ConfigDict is returned unchanged
        return {key: _to_float32(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_to_float32(item) for item in value)
    return value
