import pytest
import torch
from torch.nn import functional

from oil_storage.models import EfficientNetLite
from oil_storage.models.efficientnet_lite import SamePadConv2d, conv_bn, packaged_state_dict


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 2, 8), (3, 2, 9), (5, 2, 8), (5, 1, 7), (1, 1, 5)])
def test_padding_matches_tensorflow(kernel: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    conv = SamePadConv2d(2, 3, kernel, stride)
    x = torch.randn(1, 2, side, side)
    out = conv(x)
    assert out.shape[-1] == -(-side // stride)
    # TF: total padding so that ceil(side / stride) outputs fit, the odd pixel after
    total = max((out.shape[-1] - 1) * stride + kernel - side, 0)
    padded = functional.pad(x, (total // 2, total - total // 2) * 2)
    torch.testing.assert_close(out, functional.conv2d(padded, conv.weight, conv.bias, stride))


def test_features_have_the_expected_strides_and_channels() -> None:
    features = EfficientNetLite()(torch.zeros(1, 3, 64, 96))
    assert [tuple(feature.shape) for feature in features] == [
        (1, 24, 16, 24),
        (1, 40, 8, 12),
        (1, 112, 4, 6),
        (1, 320, 2, 3),
    ]


def test_all_packaged_tensors_are_loaded_into_the_right_layers() -> None:
    model = EfficientNetLite(init_cfg={"type": "Packaged"})
    model.init_weights()
    packaged = packaged_state_dict("lite0")
    ours = model.state_dict()
    assert len(packaged) == len(ours) == 288
    torch.testing.assert_close(ours["stem.0.weight"], packaged["_conv_stem.weight"])
    torch.testing.assert_close(ours["stages.2.1.depthwise.0.weight"], packaged["_blocks.4._depthwise_conv.weight"])
    torch.testing.assert_close(ours["stages.6.0.project.1.running_var"], packaged["_blocks.15._bn2.running_var"])


def test_packaged_weights_match_their_running_statistics() -> None:
    """Check that normalised maps have a standard deviation of about 1, unlike maps of random weights."""
    model = EfficientNetLite(init_cfg={"type": "Packaged"}).eval()
    model.init_weights()
    spreads = []
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.register_forward_hook(
            lambda m, i, o: spreads.append(((o - m.bias[:, None, None]) / m.weight[:, None, None]).std())
        )
    rows = torch.linspace(-1, 1, 224)
    scene = torch.stack(
        [
            torch.sin(9 * rows)[:, None] * torch.cos(7 * rows)[None],
            rows[None].expand(224, 224),
            -rows[:, None].expand(224, 224),
        ]
    )
    model(scene[None])
    assert 0.3 < torch.stack(spreads).median() < 3


@pytest.mark.parametrize("frozen_stages", [-1, 0, 2])
def test_frozen_stages_keep_parameters_and_statistics(frozen_stages: int) -> None:
    model = EfficientNetLite(frozen_stages=frozen_stages).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    sum(feature.square().mean() for feature in model(torch.randn(2, 3, 64, 64))).backward()
    optimizer.step()
    frozen = ("stem.", "stages.0.", "stages.1.")[: frozen_stages + 1]
    for name, value in model.state_dict().items():
        changed = not torch.equal(value, before[name])
        assert changed == (not frozen or not name.startswith(frozen)), name


def test_a_frozen_batch_norm_is_folded_without_a_change() -> None:
    torch.manual_seed(0)
    layer = conv_bn(3, 8, 3, stride=2).eval()
    layer[1].running_mean.normal_()
    layer[1].running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 9, 9)
    expected = layer(x)
    calls = []
    layer[1].register_forward_hook(lambda *_: calls.append(1))
    layer.requires_grad_(False)
    torch.testing.assert_close(layer(x), expected.detach(), rtol=1e-4, atol=1e-5)
    assert not calls
    layer.train()
    layer(x)
    assert calls
