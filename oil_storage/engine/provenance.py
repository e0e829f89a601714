"""What a checkpoint was trained on and how, kept in its ``meta``: for resuming, testing and reporting it."""

import hashlib
import json
import os
import platform
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size

from oil_storage.engine import weights_file
from oil_storage.errors import UserError
from oil_storage.preparation import manifest

TRAINED = "trained"
"""Key of :func:`describe` in a checkpoint's ``meta``."""

RECIPE = ("model", "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "custom_hooks")
"""Keys of a config that make a training the experiment that it is."""

ELSEWHERE = ("data_root", "ann_file", "num_workers", "persistent_workers", "prefetch_factor", "pin_memory")
"""Where data stands and how it is fetched: what may differ, as the data is known by its content."""


def describe(cfg: Config, before: Mapping[str, Any]) -> dict[str, Any]:
    """What mmengine does not note of a training.

    Args:
        cfg: what is about to be trained.
        before: what this says of the weights it starts from; empty where there are none, or it is not known.

    Returns:
        dict: ``config`` (its name), ``initialised`` (:func:`initialised`), ``data``
            (:func:`oil_storage.preparation.manifest.identity`, None where it is not ours), ``images`` (SHA-256 of all
            scenes trained on, those of the weights before included, sorted), ``processes``, ``hardware``, ``commit``.
    """
    root = data_root(cfg)
    prepared = manifest.read(root) if root else None
    own = manifest.images(prepared, _dataset(cfg)["split"]).values() if prepared else ()
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "config": Path(cfg.filename or "unnamed").stem,
        "initialised": before.get("initialised") if cfg.get("resume") else initialised(cfg),
        "data": manifest.identity(prepared) if prepared else None,
        "images": sorted({*before.get("images", ()), *own}),
        "processes": get_world_size(),
        "hardware": hardware(),
        "commit": head.stdout.strip(),
    }


def initialised(cfg: Config) -> str:
    """Where a training's first weights come from: a checkpoint's file name, ``ImageNet``, or ``from scratch``."""
    if cfg.get("load_from"):
        return Path(cfg.load_from).name
    init_cfg = cfg.model.get("backbone", {}).get("init_cfg") or {}
    if init_cfg.get("type") == "Packaged":
        return "ImageNet"
    return Path(init_cfg["checkpoint"]).name if init_cfg.get("type") == "Pretrained" else "from scratch"


def recipe_sha256(cfg: Config) -> str:
    """SHA-256 of what makes two trainings one experiment, seeds, folds and places apart."""
    kept = json.dumps([_without_places(cfg.get(key)) for key in RECIPE], sort_keys=True, default=str)
    return hashlib.sha256(kept.encode()).hexdigest()


def _without_places(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _without_places(value) for key, value in node.items() if key not in ELSEWHERE}
    return [_without_places(value) for value in node] if isinstance(node, list | tuple) else node


def data_root(cfg: Config) -> Path | None:
    """The prepared folder that a config trains on; None where it takes other data."""
    dataset = _dataset(cfg)
    return Path(dataset["data_root"]) if dataset["type"] == "OilStorageDataset" else None


def _dataset(cfg: Config) -> Mapping[str, Any]:
    dataset: Mapping[str, Any] = cfg.train_dataloader.dataset
    while "dataset" in dataset:  # mmdet's wrappers
        dataset = dataset["dataset"]
    return dataset


def hardware() -> str:
    """Name of the GPU, or of the processor with the number of cores in use and the instructions that torch uses."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores of {name}, {torch.backends.cpu.get_cpu_capability()}"


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's entries; of a zip archive, as torch writes since 1.6, tensors are not read until they are used.

    Args:
        path: of a checkpoint, or of weights in safetensors (:mod:`oil_storage.engine.weights_file`).

    Raises:
        UserError: it cannot be loaded, or holds something else.
    """
    if path.suffix.lower() == weights_file.SUFFIX:
        return weights_file.read(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=False, mmap=zipfile.is_zipfile(path))
    except OSError:
        raise
    except Exception as error:
        raise UserError(
            f"{path}: not a checkpoint ({str(error).splitlines()[0] if str(error) else error!r})"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise UserError(f"{path}: no checkpoint of MMDetection's (it has no 'state_dict')")
    return {"meta": {}, **content}


def trained_config(checkpoint: Mapping[str, Any], path: Path) -> Config:
    """The config that a checkpoint was trained with, as it was resolved then.

    Raises:
        UserError: it has none that can be read.
    """
    try:
        told = checkpoint["meta"]["cfg"]
        return Config(told) if isinstance(told, dict) else Config.fromstring(told, ".py")
    except Exception as error:
        raise UserError(f"{path}: no config in it that can be read ({type(error).__name__}: {error})") from error


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Places at which two configs differ, ``train_cfg.max_iters was 4, would be 8``, but for :data:`ELSEWHERE`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in ELSEWHERE:
                yield from differences(old.get(key), new.get(key), f"{place}.{key}" if place else key)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for index, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, now, f"{place}.{index}")
    elif old != new:
        yield f"{place} was {_short(old)}, would be {_short(new)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."


def check_unseen(checkpoint: Mapping[str, Any], path: Path, data_root: Path, split: str) -> None:
    """Refuse to score weights on scenes that they were trained on, by this training or by one that it started from.

    A checkpoint that does not tell what it was trained on - one of another project's, say - passes.

    Raises:
        UserError: the first such scene.
    """
    seen = set(checkpoint["meta"].get(TRAINED, {}).get("images", ()))
    scenes = manifest.images(manifest.read(data_root), split)
    if known := [scene for scene, digest in scenes.items() if digest in seen]:
        raise UserError(
            f"{path}: was trained on {len(known)} of the {len(scenes)} scenes in the {split} split of {data_root} "
            f"({known[0]} is one);\nits score there would tell nothing: give the data with the split it was trained on"
        )
