"""That every detector trains on tiles with no object, one, and 300, and predicts."""

from pathlib import Path

import pytest
import torch

from oil_storage.engine.bf16 import compute_in_bf16
from tests.small_detectors import CONFIGS, batch, small_detector


@pytest.mark.parametrize("in_bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_losses_and_gradients_are_finite_whatever_a_tile_holds(path: Path, in_bf16: bool) -> None:
    model, side = small_detector(path)
    if in_bf16:
        compute_in_bf16(model)
    model.train()
    for objects in ((0, 0), (0, 1, 300)):
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch(objects, side), True), mode="loss"))
        model.zero_grad()
        loss.backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert gradients
        assert torch.isfinite(loss)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_predicted_lies_in_the_tile(path: Path) -> None:
    model, side = small_detector(path)
    model.eval()
    with torch.no_grad():
        (sample,) = model.test_step(batch((3,), side))
    found = sample.pred_instances
    assert found.bboxes.shape == (len(found.scores), 4)
    assert torch.isfinite(found.bboxes).all()
    assert ((found.bboxes >= 0) & (found.bboxes <= side)).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
