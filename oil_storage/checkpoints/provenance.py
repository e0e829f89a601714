"""Describe a training for its checkpoints, and check that a checkpoint is resumed by the training that wrote it.

A checkpoint holds the state of the optimiser, the schedules, averaged weights and the position in the data. They belong
to one data set and config. With others mmengine would train a mixture, or fail with an error of torch.
"""

import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size

from oil_storage.checkpoints.checkpoint import Checkpoint, Trained
from oil_storage.checkpoints.trained_config import differences, to_settings
from oil_storage.errors import UserError
from oil_storage.imagery import DEFAULT_READING
from oil_storage.manifest import Manifest

SETTINGS = (
    *("model", "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr", "custom_hooks"),
    *("randomness", "val_cfg", "val_evaluator"),
)
"""Keys of a config that define a training, and its validation, which chooses the best checkpoint."""


def describe(cfg: Config, before: Trained | None) -> Trained:
    """Describe a training that is about to begin from weights that ``before`` describes, if they are described."""
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
    match = re.search(r"^model name\s*: (.+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    name = match[1].strip() if match else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores of {name}, {torch.backends.cpu.get_cpu_capability()}"


def check_resumable(cfg: Config, checkpoint: Checkpoint, processes: int) -> None:
    """Refuse to resume a checkpoint of weights alone, or of another training than that of ``cfg`` in ``processes``.

    Raises:
        UserError: names the first difference.
    """
    path = checkpoint.path
    if not {"optimizer", "message_hub"} <= checkpoint.content.keys():
        raise UserError(f"{path}: holds weights alone, as best_*.pth does; resume from iter_*.pth, or --load-from it")
    if difference := next(_differences(cfg, checkpoint, processes), None):
        raise UserError(
            f"{path}: of another training: {difference}\n"
            "resume with the data, config and flags that it was started with, or start a new training\n"
            "from its weights, under the new settings: --load-from, with a --work-dir of its own"
        )


def _differences(cfg: Config, checkpoint: Checkpoint, processes: int) -> Iterator[str]:
    trained = checkpoint.meta.trained
    root = data_root(cfg)
    if root and trained and trained.data:  # older checkpoints did not note it
        data = Manifest.load(root).identity
        if data.sha256 != trained.data.sha256:
            before, now = ({**asdict(identity), "name": None} for identity in (trained.data, data))
            yield from differences(before, now, f"{root}: data")
    if trained and trained.processes != processes:
        yield f"it ran in {trained.processes} processes, would in {processes}"
    stored, own = checkpoint.trained_settings(), to_settings(cfg)
    for key in SETTINGS:
        yield from differences(stored.get(key), own.get(key), key)
    for key in ("dataset", "sampler"):  # in batches of any size
        old, new = ((settings.get("val_dataloader") or {}).get(key) for settings in (stored, own))
        yield from differences(old, new, f"val_dataloader.{key}")
