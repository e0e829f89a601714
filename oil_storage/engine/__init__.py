"""What mmengine lacks for training here; importing this registers hooks, sampler and optimiser wrapper."""

from oil_storage.checkpoints.download import load_from_file_or_url
from oil_storage.checkpoints.model_weights import PretrainedReportHook
from oil_storage.checkpoints.work_dir import CheckpointAtValidationHook
from oil_storage.engine.bf16 import Bf16OptimWrapper
from oil_storage.engine.channels_last import ChannelsLastDDP, ChannelsLastHook
from oil_storage.engine.early_stopping import FiniteLossHook, StopWhenLearntHook
from oil_storage.engine.interruption import InterruptionHook
from oil_storage.engine.pictures import ValidationPictureHook
from oil_storage.engine.reproducibility import IterationSeedHook, SeededSampler

__all__ = [
    "Bf16OptimWrapper",
    "ChannelsLastDDP",
    "ChannelsLastHook",
    "CheckpointAtValidationHook",
    "FiniteLossHook",
    "InterruptionHook",
    "IterationSeedHook",
    "PretrainedReportHook",
    "SeededSampler",
    "StopWhenLearntHook",
    "ValidationPictureHook",
    "load_from_file_or_url",
]
