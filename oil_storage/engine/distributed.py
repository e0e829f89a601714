"""Several processes, with CUDA (nccl) or without (gloo)."""

import os

import torch
from mmengine.config import Config
from torch import distributed

from oil_storage.engine.from_scratch import default
from oil_storage.errors import UserError

SLURM = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
"""torchrun's environment variables and where Slurm has the same."""


def prepare(cfg: Config, launcher: str) -> None:
    """Set a config up for a launcher and, without CUDA, start the process group.

    With CUDA, mmengine starts the group. Without, its launcher would select a CUDA device whatever the backend; it
    leaves a group that exists alone.

    Args:
        cfg: changed in place.
        launcher: ``none``, ``pytorch`` (torchrun's environment variables) or ``slurm``.

    Raises:
        UserError: the launcher's environment variables are absent, or SyncBN on CPU.
    """
    cfg.launcher = "none" if launcher == "none" else "pytorch"
    if launcher == "none":
        return
    if launcher == "slurm":
        os.environ.update({ours: os.environ[slurms] for ours, slurms in SLURM.items() if slurms in os.environ})
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if absent := [name for name in names if name not in os.environ]:
        raise UserError(f"--launcher {launcher}: {absent[0]} is not set; start with tools/dist_train.sh CONFIG GPUS")
    cfg.model_wrapper_cfg = {
        "type": "ChannelsLastDDP",
        "broadcast_buffers": False,
        "find_unused_parameters": cfg.get("find_unused_parameters", False),
    }
    if torch.cuda.is_available():
        return
    if cfg.model.get("use_syncbn", default(cfg.model, "use_syncbn")):  # of RTMDet, True unless it says otherwise
        raise UserError("SyncBN needs CUDA: set use_syncbn=False in the model")
    if cfg.get("sync_bn") or "SyncBN" in str(cfg.model):
        raise UserError("SyncBN needs CUDA: set norm_cfg=dict(type='BN') in the model")
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")


def processes(cfg: Config) -> int:
    """How many a config that :func:`prepare` has set up runs in."""
    return 1 if cfg.launcher == "none" else int(os.environ["WORLD_SIZE"])
