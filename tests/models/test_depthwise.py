import pytest
import torch
from torch.nn import functional

from oil_storage.models import EfficientNetLite
from oil_storage.models.depthwise import DepthwiseConv2d, has_slow_gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "stride", "height", "width"), [(5, 1, 12, 15), (5, 2, 13, 14), (3, 2, 9, 11)])
def test_results_and_gradients_equal_those_of_conv2d(
    kernel: int, stride: int, height: int, width: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 16, height, width).to(dtype).requires_grad_()
    weight = torch.randn(16, 1, kernel, kernel, requires_grad=True)
    padding = (1, 2, 2, 0)
    out = DepthwiseConv2d.apply(x, weight, stride, padding)
    expected = functional.conv2d(functional.pad(x, padding), weight.to(dtype), None, stride, groups=16)
    assert out.dtype == dtype
    torch.testing.assert_close(out, expected)
    gradient = torch.randn_like(expected)
    found = torch.autograd.grad(out, (x, weight), gradient)
    wanted = torch.autograd.grad(expected, (x, weight), gradient)
    tolerance = 1e-4 if dtype == torch.float32 else 0.03
    for value, other in zip(found, wanted, strict=True):
        assert value.dtype == other.dtype
        assert (value - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_of_the_input_is_kept(memory_format: torch.memory_format) -> None:
    x = torch.randn(2, 16, 9, 8).contiguous(memory_format=memory_format)
    out = DepthwiseConv2d.apply(x, torch.randn(16, 1, 5, 5, requires_grad=True), 1, (2, 2, 2, 2))
    assert out.is_contiguous(memory_format=memory_format)


def test_only_slow_gradients_use_it() -> None:
    weight = torch.randn(16, 1, 5, 5, requires_grad=True)
    assert has_slow_gradients(weight, 1)
    assert has_slow_gradients(weight[..., :3, :3], 2)
    assert not has_slow_gradients(weight[..., :3, :3], 1)
    assert not has_slow_gradients(weight.detach(), 1)
    with torch.no_grad():
        assert not has_slow_gradients(weight, 1)


def test_gradients_of_the_backbone_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = EfficientNetLite(frozen_stages=2).train().to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 96)

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        sum(feature.square().mean() for feature in model(images)).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    found = gradients()
    monkeypatch.setattr("oil_storage.models.efficientnet_lite.has_slow_gradients", lambda *_: False)
    wanted = gradients()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name] - value).abs().max() <= 1e-3 * value.abs().max(), name
