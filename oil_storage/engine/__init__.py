"""Hooks, metrics, sampler and optimiser wrapper for training; importing this package registers them with mmengine."""

from oil_storage.checkpoints import download, model_weights, work_dir  # noqa: F401
from oil_storage.engine import (  # noqa: F401
    bf16,
    channels_last,
    early_stopping,
    interruption,
    pictures,
    reproducibility,
    scene_metric,
    tile_metric,
)
