"""Describe a training for its checkpoints: first weights, data, hardware and commit."""

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size

from oil_storage.checkpoints.checkpoint import Trained
from oil_storage.imagery import DEFAULT_READING
from oil_storage.manifest import Manifest


def describe(cfg: Config, before: Trained | None) -> Trained:
    """Describe a training that is about to begin.

    Args:
        cfg: config of the training.
        before: description of the weights that it starts from; None where there are none, or it is not known.
    """
    root = data_root(cfg)
    prepared = Manifest.load(root) if root else None
    own = prepared.images_of(_dataset(cfg)["split"]).values() if prepared else ()
    before_resuming = before.initialised if before else None
    return Trained(
        config=Path(cfg.filename or "unnamed").stem,
        initialised=before_resuming if cfg.get("resume") else initialised(cfg),
        data=prepared.identity if prepared else None,
        images=sorted({*(before.images if before else ()), *own}),
        processes=get_world_size(),
        hardware=hardware(),
        commit=commit(),
        reading=prepared.source.choices.reading if prepared else DEFAULT_READING,
    )


def initialised(cfg: Config) -> str:
    """Return the first weights of a training: a checkpoint's file name, ``ImageNet``, or ``from scratch``."""
    if cfg.get("load_from"):
        return Path(cfg.load_from).name
    init_cfg = cfg.model.get("backbone", {}).get("init_cfg") or {}
    if init_cfg.get("type") == "Packaged":
        return "ImageNet"
    return Path(init_cfg["checkpoint"]).name if init_cfg.get("type") == "Pretrained" else "from scratch"


def data_root(cfg: Config) -> Path | None:
    """Return the prepared folder that a config trains on; None where it takes other data."""
    dataset = _dataset(cfg)
    return Path(dataset["data_root"]) if dataset["type"] == "OilStorageDataset" else None


def _dataset(cfg: Config) -> Mapping[str, Any]:
    dataset: Mapping[str, Any] = cfg.train_dataloader.dataset
    while "dataset" in dataset:  # mmdet's wrappers
        dataset = dataset["dataset"]
    return dataset


def commit() -> str:
    """Return the short hash of the commit of this code; empty where it is not a git checkout."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except FileNotFoundError:  # no git
        return ""
    return head.stdout.strip()


def hardware() -> str:
    """Name the GPU, or the processor with the number of cores in use and the instructions that torch uses."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores of {name}, {torch.backends.cpu.get_cpu_capability()}"
