"""Depthwise convolution whose gradients are fast on CPUs.

oneDNN (torch 2.11 to 2.13) has fast weight gradients only for kernels up to 3 columns wide, and fast bfloat16 input
gradients only for stride 1. Other cases take 3 to 30 times as long. Therefore the weight gradient of a 5 x 5 kernel is
computed for two kernels of 5 x 3, and the input gradient of a strided convolution is computed in float32.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

WIDEST = 3
"""Maximum number of columns of a kernel with a fast weight gradient."""

Padding = tuple[int, int, int, int]
"""Number of zeros at the left, right, top and bottom."""


def has_slow_gradients(weight: Tensor, stride: int) -> bool:
    """Return whether gradients will be computed that PyTorch computes slowly on CPUs."""
    return weight.requires_grad and torch.is_grad_enabled() and (weight.shape[-1] > WIDEST or stride > 1)


class DepthwiseConv2d(torch.autograd.Function):
    """Depthwise convolution of maps ``(B, C, H, W)`` with weights ``(C, 1, K, K)``, K at most 5.

    The weights are cast to the type of the maps, and their gradient is cast back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: Padding) -> Tensor:
        """Pad the maps and convolve them."""
        left, right, top, bottom = padding
        batch, channels, height, width = x.shape
        height, width = height + top + bottom, width + left + right
        surplus = max(weight.shape[-1] - WIDEST, 0) * channels  # for the shifted view in _weight_gradient
        memory = x.new_zeros(batch * height * width * channels + surplus)
        padded = _view(memory, (batch, channels, height, width))
        padded[:, :, top : height - bottom, left : width - right] = x
        ctx.save_for_backward(memory, weight)
        ctx.shape, ctx.stride, ctx.padding = padded.shape, stride, padding
        out = functional.conv2d(padded, weight.to(x.dtype), None, stride, groups=channels)
        # mmcv's operators read other memory formats wrongly, so the format of the input is kept
        return out if x.is_contiguous(memory_format=torch.channels_last) else out.contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Compute the gradients of maps and weights."""
        memory, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", enabled=False):
            x = _input_gradient(gradient, weight, ctx.shape, ctx.stride) if ctx.needs_input_grad[0] else None
            w = _weight_gradient(gradient, memory, weight, ctx.shape, ctx.stride) if ctx.needs_input_grad[1] else None
        if x is not None:
            left, right, top, bottom = ctx.padding
            x = x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]
        return x, w, None, None


def _view(memory: Tensor, shape: torch.Size | tuple[int, int, int, int], columns: int = 0) -> Tensor:
    """Return maps in channels-last format that start at a column of flat memory."""
    batch, channels, height, width = shape
    part = memory[columns * channels :][: batch * channels * height * width]
    return part.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _input_gradient(gradient: Tensor, weight: Tensor, shape: torch.Size, stride: int) -> Tensor:
    dtype = gradient.dtype if stride == 1 else torch.float32
    x = _view(gradient.new_empty(shape.numel(), dtype=dtype), shape)  # only its shape and memory format matter
    return _backward(gradient.to(dtype), x, weight.to(dtype), stride, (True, False, False))[0].to(gradient.dtype)


def _weight_gradient(gradient: Tensor, memory: Tensor, weight: Tensor, shape: torch.Size, stride: int) -> Tensor:
    mask, narrow = (False, True, False), weight[..., :WIDEST].to(gradient.dtype)
    shift = weight.shape[-1] - narrow.shape[-1]
    # In the view that starts `shift` columns later, each row ends with pixels of the next row. Zeros in the gradient
    # exclude the positions that use these pixels.
    positions = (shape[-1] - narrow.shape[-1]) // stride + 1
    gradient = functional.pad(gradient, (0, positions - gradient.shape[-1]))
    first = _backward(gradient, _view(memory, shape), narrow, stride, mask)[1]
    if shift == 0:
        return first.to(weight.dtype)
    second = _backward(gradient, _view(memory, shape, shift), narrow, stride, mask)[1]
    return torch.cat([first[..., :shift], second], dim=-1).to(weight.dtype)


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, mask: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, (stride, stride), (0, 0), (1, 1), False, (0, 0), len(weight), mask
    )
    return gradients
