"""Distributed training and testing with CUDA (nccl) or without (gloo)."""

import os

import torch
from mmengine.config import Config
from torch import distributed

from oil_storage.errors import UserError

SLURM = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
"""Environment variables of torchrun, and the corresponding ones of Slurm."""


def prepare(cfg: Config, launcher: str) -> None:
    """Prepare a config for a launcher and, without CUDA, initialise the process group.

    With CUDA, mmengine initialises the group. Without CUDA, it would try to select a CUDA device, unless a group
    already exists.

    Args:
        cfg: config; changed in place.
        launcher: ``none``, ``pytorch`` (torchrun) or ``slurm``.

    Raises:
        UserError: an environment variable of the launcher is missing.
    """
    cfg.launcher = "none" if launcher == "none" else "pytorch"
    if launcher == "none":
        return
    if launcher == "slurm":
        os.environ.update({ours: os.environ[slurms] for ours, slurms in SLURM.items() if slurms in os.environ})
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if absent := [name for name in names if name not in os.environ]:
        raise UserError(
            f"--launcher {launcher}: environment variable {absent[0]} is not set; start the tool with "
            "tools/dist_train.sh, tools/dist_test.sh or tools/slurm_train.sh"
        )
    cfg.model_wrapper_cfg = {
        "type": "ChannelsLastDDP",
        "broadcast_buffers": False,
        "find_unused_parameters": cfg.get("find_unused_parameters", False),
    }
    if not torch.cuda.is_available() and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def processes(cfg: Config) -> int:
    """Return the number of processes that run ``cfg``; call :func:`prepare` first."""
    return 1 if cfg.launcher == "none" else int(os.environ["WORLD_SIZE"])
