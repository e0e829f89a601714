"""Checkpoints and their metadata, which are validated when a checkpoint is read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor

from oil_storage.checkpoints import serialization, trained_config
from oil_storage.checkpoints.accuracy import ChosenThreshold, F1ByGsd
from oil_storage.checkpoints.trained_config import Settings
from oil_storage.errors import UserError, first_problem
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.manifest import DataIdentity, Manifest


@dataclass(frozen=True)
class Trained:
    """Provenance of trained weights.

    Attributes:
        config: name of the config.
        initialised: initial weights: the file name of a checkpoint, ``ImageNet`` or ``from scratch``; None if unknown.
        data: identity of the training data; None if it is not a prepared folder.
        images: sorted SHA-256 of all training scenes, and of the scenes that the initial weights were trained on.
        processes: number of training processes.
        hardware: name of the processor or the GPUs.
        commit: short hash of the repository's commit.
        seconds: duration of all iterations; None if unknown.
        reading: bands and stretch with which the training scenes were read.
        gsd: median ground resolution of the training scenes, in metres per pixel; None if unknown.
    """

    config: str
    initialised: str | None = None
    data: DataIdentity | None = None
    images: list[str] = field(default_factory=list)
    processes: PositiveInt = 1
    hardware: str = ""
    commit: str = ""
    seconds: float | None = None
    reading: Reading = DEFAULT_READING
    gsd: PositiveFloat | None = None


@dataclass(frozen=True)
class Meta:
    """Metadata of a checkpoint; keys that this package does not use are left out.

    Attributes:
        cfg: config of the training, see :mod:`oil_storage.checkpoints.trained_config`.
        iter: number of iterations.
        seed: random seed of the training.
        trained: provenance; None if another program wrote the file.
        score_threshold: threshold without test-time augmentation; None until it is chosen.
        score_threshold_tta: threshold with test-time augmentation, which gives higher scores.
        f1_by_gsd: F1 of georeferenced scenes by their ground resolution in metres per pixel; see
            ``benchmarks/resolution.py``.
    """

    cfg: Settings | None = None
    iter: NonNegativeInt | None = None
    seed: int | None = None
    trained: Trained | None = None
    score_threshold: ChosenThreshold | None = None
    score_threshold_tta: ChosenThreshold | None = None
    f1_by_gsd: F1ByGsd = field(default_factory=dict)


_META = TypeAdapter(Meta)
OTHER_KEYS = ("model", "teacher", "model_state_dict")
"""Keys of the weights in files of other programs, in order of preference."""


@dataclass(frozen=True)
class Checkpoint:
    """A validated checkpoint.

    Attributes:
        path: path of the file.
        meta: validated metadata.
        content: content of the file in mmengine's layout, after :func:`oil_storage.checkpoints.serialization.plain`. It
            has the keys ``state_dict`` and ``meta``, and for resumption also ``optimizer``, ``message_hub`` and others.
    """

    path: Path
    meta: Meta
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint of a training run, or weights in safetensors.

        Raises:
            UserError: the file is missing, damaged or malformed, or contains code, infinity or NaN.
        """
        if not path.is_file():
            raise UserError(f"{path}: no such checkpoint file; check the path")
        is_safetensors = path.suffix.lower() == serialization.SAFETENSORS
        content = serialization.read_safetensors(path) if is_safetensors else serialization.read_pth(path)
        if isinstance(content, dict) and "state_dict" not in content:
            # torch.save(model.state_dict(), FILE) writes bare weights; torchvision, DETR and DINO use other keys
            weights = (part for part in (content, *map(content.get, OTHER_KEYS)) if _is_state_dict(part))
            content = next(({"state_dict": part} for part in weights), content)
        if not isinstance(content, dict) or "state_dict" not in content:
            raise UserError(f"{path}: not a checkpoint: it has no state_dict; use a file from tools/train.py")
        meta = read_meta(content.get("meta", {}), path)
        for key in ("state_dict", "ema_state_dict"):
            _check_weights(content.get(key, {}), key, path)
        return cls(path, meta, {"meta": {}, **content})

    @property
    def state_dict(self) -> Mapping[str, Tensor]:
        """Weights by name. If the training averages the weights (EMA), these are the averages."""
        weights: Mapping[str, Tensor] = self.content["state_dict"]
        return weights

    @property
    def reading(self) -> Reading:
        """Bands and stretch of the training scenes; the default if they are not recorded."""
        return self.meta.trained.reading if self.meta.trained else DEFAULT_READING

    def threshold(self, tta: bool = False) -> float | None:
        """Return the stored score threshold, for test-time augmentation if ``tta`` is set; None if there is none."""
        chosen = self.meta.score_threshold_tta if tta else self.meta.score_threshold
        return None if chosen is None else chosen.threshold

    def false_alarm_thresholds(self, tta: bool = False) -> dict[str, float]:
        """Return the stored score threshold for each limit on the false alarms per 100 square kilometres."""
        chosen = self.meta.score_threshold_tta if tta else self.meta.score_threshold
        return {} if chosen is None else chosen.false_alarms

    def trained_settings(self) -> Settings:
        """Return the config of the training; raise UserError if the checkpoint does not contain one."""
        if self.meta.cfg is None:
            raise UserError(f"{self.path}: does not contain the config of its training; use another checkpoint")
        return self.meta.cfg

    def check_unseen(self, data_root: Path, split: str) -> None:
        """Check that neither the weights nor their initial weights were trained on scenes of a split.

        A checkpoint that does not list its training scenes passes.

        Raises:
            UserError: a scene of the split was a training scene.
        """
        trained_on = set(self.meta.trained.images) if self.meta.trained else set()
        scenes = Manifest.load(data_root).images_of(split)
        if overlap := [scene for scene, digest in scenes.items() if digest in trained_on]:
            raise UserError(
                f"{self.path}: was trained on {len(overlap)} of {len(scenes)} {split} scenes of {data_root}, "
                f"for example {overlap[0]};\nscores on training scenes are too high: use the data of the training run"
            )


def store_threshold(path: Path, chosen: ChosenThreshold, tta: bool = False) -> None:
    """Store a score threshold in a checkpoint file, unless the file already contains it.

    If ``tta`` is set, store it as the threshold for test-time augmentation.

    Raises:
        UserError: the checkpoint cannot be read or written.
    """
    key = "score_threshold_tta" if tta else "score_threshold"
    checkpoint = Checkpoint.read(path)
    if getattr(checkpoint.meta, key) == chosen:
        return
    try:
        _write_with(checkpoint, key, asdict(chosen))
    except (OSError, RuntimeError) as error:
        message = f"{path}: cannot store the score threshold {chosen.threshold:.3f} ({error}); pass it as --score-thr"
        raise UserError(message) from error


def store_accuracy(path: Path, f1_by_gsd: Mapping[str, float]) -> None:
    """Store F1 by ground resolution, see :class:`Meta`; raise UserError if the checkpoint cannot be read."""
    _write_with(Checkpoint.read(path), "f1_by_gsd", dict(f1_by_gsd))


def _write_with(checkpoint: Checkpoint, key: str, value: Any) -> None:
    content = {**checkpoint.content, "meta": {**checkpoint.content["meta"], key: value}}
    serialization.write_pth(checkpoint.path, content)


def read_meta(stored: Any, path: Path) -> Meta:
    """Validate the ``meta`` of a checkpoint; raise UserError if a value is not valid."""
    if not isinstance(stored, dict):
        raise UserError(f"{path}: meta is not a dict; use another checkpoint")
    values = {part.name: stored[part.name] for part in fields(Meta) if stored.get(part.name) is not None}
    try:
        if "cfg" in values:
            values["cfg"] = trained_config.parse(values["cfg"])
        return _META.validate_json(json.dumps(values), strict=True)
    except (TypeError, ValueError, RecursionError) as error:
        problem = f".{first_problem(error)}" if isinstance(error, ValidationError) else f": {error}"
        raise UserError(f"{path}: meta{problem}; use another checkpoint") from error


def _is_state_dict(content: Any) -> bool:
    return isinstance(content, dict) and bool(content) and all(isinstance(value, Tensor) for value in content.values())


def _check_weights(weights: Any, key: str, path: Path) -> None:
    """Raise UserError unless ``weights`` are named tensors of finite numbers."""
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise UserError(f"{path}: {key} is not a dict of tensors; use another checkpoint")
    for name, value in weights.items():
        try:
            is_plain = not value.is_complex()
            is_finite = is_plain and torch.isfinite(value.float()).all()
        except (AttributeError, RuntimeError):  # not a tensor, sparse, or larger than its storage
            is_plain = False
        if not is_plain:
            raise UserError(f"{path}: {key}[{name!r}] is not a dense tensor of real numbers; save it as float32")
        if not is_finite:
            raise UserError(
                f"{path}: {key}[{name!r}] contains values that are not finite, because the training "
                "diverged; use an earlier checkpoint"
            )
