"""That the fast memory format changes no detector."""

import copy
from pathlib import Path

import pytest
import torch

from oil_storage.engine.channels_last import to_channels_last
from tests.small_detectors import CONFIGS, batch, small_detector


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_losses_and_gradients_are_the_same_channels_last(path: Path) -> None:
    model, side = small_detector(path)
    model.train()
    fast = copy.deepcopy(model)
    to_channels_last(fast)
    found = []
    for one in (model, fast):
        torch.manual_seed(1)
        data = one.data_preprocessor(batch((5, 20), side), True)
        loss, _ = one.parse_losses(one(**data, mode="loss"))
        loss.backward()
        norms = [parameter.grad.norm() for parameter in one.parameters() if parameter.grad is not None]
        found.append([float(loss), float(torch.stack(norms).norm())])
    assert found[1] == pytest.approx(found[0], rel=1e-3)
