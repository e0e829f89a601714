"""A model with the weights of a checkpoint."""

from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from oil_storage.engine import provenance
from oil_storage.engine.checkpoints import check_whole
from oil_storage.errors import UserError


def load(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint's entries.

    Raises:
        UserError: a damaged one, or something else.
    """
    check_whole(checkpoint)
    return provenance.read(checkpoint)


def build(cfg: Config, content: dict[str, Any], checkpoint: Path) -> torch.nn.Module:
    """A config's model for prediction, with the weights of :func:`load`.

    Args:
        cfg: of the detector; its model may be inside of what merges flips.
        content: of the checkpoint.
        checkpoint: to be named.

    Raises:
        UserError: weights of another model.
    """
    model: torch.nn.Module = MODELS.build(cfg.model)
    detector = getattr(model, "module", model)
    weights = {name.removeprefix("module."): value for name, value in content["state_dict"].items()}
    own = detector.state_dict()
    if faulty := [name for name in own if name not in weights or weights[name].shape != own[name].shape]:
        raise UserError(
            f"{checkpoint}: not of this config: {len(faulty)} of {len(own)} weights are absent or of another shape, "
            f"{faulty[0]} first"
        )
    detector.load_state_dict(weights, strict=False)
    return model.eval()
