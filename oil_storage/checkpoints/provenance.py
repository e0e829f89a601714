"""Record the provenance of trained weights, and check whether a training run can resume a checkpoint.

A checkpoint contains the state of the optimiser, the schedules, the averaged weights and the position in the data.
These are valid only for one data set and config. mmengine does not check this.
"""

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size

from oil_storage.checkpoints.checkpoint import Checkpoint, Trained
from oil_storage.checkpoints.trained_config import differences, to_settings
from oil_storage.coco import CocoFile
from oil_storage.config import dataset_of
from oil_storage.errors import UserError
from oil_storage.imagery import DEFAULT_READING
from oil_storage.manifest import Manifest

SETTINGS = (
    *("model", "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr", "custom_hooks"),
    *("randomness", "val_cfg", "val_evaluator"),
)
"""Keys of a config that define a training run and its validation, which selects the best checkpoint."""


def describe(cfg: Config, before: Trained | None) -> Trained:
    """Describe a training run when it starts. ``before`` is the provenance of the loaded checkpoint, if it is known."""
    root = data_root(cfg)
    prepared = Manifest.load(root) if root else None
    own = prepared.images_of(dataset_of(cfg, "train_dataloader")["split"]).values() if prepared else ()
    resumed = before.initialised if before else None
    return Trained(
        config=Path(cfg.filename or "unnamed").stem,
        initialised=resumed if cfg.get("resume") else initialised(cfg),
        data=prepared.identity if prepared else None,
        images=sorted({*(before.images if before else ()), *own}),
        processes=get_world_size(),
        hardware=hardware(),
        commit=commit(),
        reading=prepared.source.choices.reading if prepared else DEFAULT_READING,
        gsd=ground_resolution(root) if root else None,
    )


def ground_resolution(root: Path) -> float | None:
    """Return the median ground resolution of the train scenes, in metres per pixel.

    Return None if the resolution of any train scene is unknown.
    """
    scenes = [image.gsd for image in CocoFile.load(root / "scenes" / "train.json").images]
    known = [gsd for gsd in scenes if gsd]
    return median(known) if len(known) == len(scenes) else None


def initialised(cfg: Config) -> str:
    """Return the initial weights of a training run: name of a checkpoint file, ``ImageNet``, or ``from scratch``."""
    if cfg.get("load_from"):
        return Path(cfg.load_from).name
    init_cfg = cfg.model.get("backbone", {}).get("init_cfg") or {}
    if init_cfg.get("type") == "Packaged":
        return "ImageNet"
    return Path(init_cfg["checkpoint"]).name if init_cfg.get("type") == "Pretrained" else "from scratch"


def data_root(cfg: Config) -> Path | None:
    """Return the prepared folder of a config; None if the config does not use ``OilStorageDataset``."""
    dataset = dataset_of(cfg, "train_dataloader")
    return Path(dataset["data_root"]) if dataset["type"] == "OilStorageDataset" else None


def commit() -> str:
    """Return the short hash of this code's commit; empty if this is not a git checkout."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except FileNotFoundError:  # no git
        return ""
    return head.stdout.strip()


def hardware() -> str:
    """Return the number and name of the GPUs; without CUDA, the cores, name and instruction set of the processor."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    match = re.search(r"^model name\s*: (.+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    name = match[1].strip() if match else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores of {name}, {torch.backends.cpu.get_cpu_capability()}"


def check_resumable(cfg: Config, checkpoint: Checkpoint, processes: int) -> None:
    """Check that a training run with config ``cfg`` and this number of processes can resume a checkpoint.

    Raises:
        UserError: the checkpoint contains only weights, or belongs to a training run with other data or settings.
    """
    path = checkpoint.path
    if not {"optimizer", "message_hub"} <= checkpoint.content.keys():
        raise UserError(
            f"{path}: contains only weights, like all best_*.pth files; resume from iter_*.pth, or use --load-from"
        )
    if difference := next(_differences(cfg, checkpoint, processes), None):
        raise UserError(
            f"{path}: belongs to another training run: {difference}\n"
            "resume with the data, config and flags of that run, or start a new run from its weights:\n"
            f"--load-from {path} --work-dir DIR"
        )


def _differences(cfg: Config, checkpoint: Checkpoint, processes: int) -> Iterator[str]:
    trained = checkpoint.meta.trained
    root = data_root(cfg)
    if root and trained and trained.data:  # older checkpoints do not record the data
        data = Manifest.load(root).identity
        if data.sha256 != trained.data.sha256:
            before, now = ({**asdict(identity), "name": None} for identity in (trained.data, data))
            yield from differences(before, now, f"{root}: data")
    if trained and trained.processes != processes:
        yield f"processes: {trained.processes} -> {processes}"
    stored, own = checkpoint.trained_settings(), to_settings(cfg)
    for key in SETTINGS:
        yield from differences(stored.get(key), own.get(key), key)
    for key in ("dataset", "sampler"):  # the batch size may differ
        old, new = ((settings.get("val_dataloader") or {}).get(key) for settings in (stored, own))
        yield from differences(old, new, f"val_dataloader.{key}")
