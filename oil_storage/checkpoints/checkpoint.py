"""A checkpoint and its metadata, validated when it is read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor

from oil_storage.checkpoints import serialization, trained_config
from oil_storage.checkpoints.trained_config import Settings
from oil_storage.errors import UserError, first_problem
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.manifest import DataIdentity, Manifest

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class ChosenThreshold:
    """The score threshold that maximises F1 on the val split.

    Attributes:
        threshold: detections with lower scores do not count.
        f1: F1 at the threshold.
        data: SHA-256 of the data that it was chosen on.
    """

    threshold: Share
    f1: Share
    data: str


@dataclass(frozen=True)
class Trained:
    """Provenance of trained weights.

    Attributes:
        config: name of the config.
        initialised: first weights: a checkpoint's file name, ``ImageNet`` or ``from scratch``; None if not known.
        data: None where the data is not a prepared folder.
        images: SHA-256 of all scenes trained on, also those of the weights that the training started from, sorted.
        processes: number of processes.
        hardware: name of the processor or the GPUs.
        commit: short hash of the repository's commit.
        seconds: time of all iterations; None if not known.
        reading: how the bands of the scenes became colours.
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


@dataclass(frozen=True)
class Meta:
    """Metadata of a checkpoint, as far as they are used here.

    Attributes:
        cfg: the config of the training, see :mod:`oil_storage.checkpoints.trained_config`.
        iter: iterations trained.
        seed: of the training.
        trained: None where another program wrote the file.
        score_threshold: for tiles as they are; None until it was chosen.
        score_threshold_tta: for merged views of tiles, whose scores are higher.
    """

    cfg: Settings | None = None
    iter: NonNegativeInt | None = None
    seed: int | None = None
    trained: Trained | None = None
    score_threshold: ChosenThreshold | None = None
    score_threshold_tta: ChosenThreshold | None = None


_META = TypeAdapter(Meta)
LARGEST_VIEW = 2**30
"""Bytes that a tensor may claim beyond those of its storage, as an expanded view does."""


@dataclass(frozen=True)
class Checkpoint:
    """A validated checkpoint.

    Attributes:
        path: path of the file.
        meta: validated metadata.
        content: all of it in mmengine's layout, with logged histories as plain data: ``state_dict`` and ``meta``; if
            the training can be resumed also ``optimizer``, ``message_hub`` and others.
    """

    path: Path
    meta: Meta
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint that a training wrote, or weights in safetensors.

        Raises:
            UserError: the file is missing or damaged, or holds code, values that are not finite, or a malformed part.
        """
        if not path.is_file():
            raise UserError(f"{path}: no such checkpoint file")
        is_safetensors = path.suffix.lower() == serialization.SAFETENSORS
        content = serialization.read_safetensors(path) if is_safetensors else serialization.read_pth(path)
        if isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values()):
            content = {"state_dict": content}  # as torch.save(model.state_dict(), FILE) writes it
        if not isinstance(content, dict) or "state_dict" not in content:
            raise UserError(f"{path}: not a checkpoint, it has no 'state_dict'; name one that tools/train.py wrote")
        meta = read_meta(content.get("meta", {}), path)
        for key in ("state_dict", "ema_state_dict"):
            _check_weights(content.get(key, {}), key, path)
        return cls(path, meta, {"meta": {}, **content})

    @property
    def state_dict(self) -> Mapping[str, Tensor]:
        """The weights, by their names in the model; averaged where the training averaged them."""
        weights: Mapping[str, Tensor] = self.content["state_dict"]
        return weights

    @property
    def reading(self) -> Reading:
        """Bands and stretch of the training's scenes; the default where the checkpoint does not tell."""
        return self.meta.trained.reading if self.meta.trained else DEFAULT_READING

    def threshold(self, tta: bool = False) -> float | None:
        """Return the chosen score threshold, for tiles as they are or for merged views; None if none was chosen."""
        chosen = self.meta.score_threshold_tta if tta else self.meta.score_threshold
        return None if chosen is None else chosen.threshold

    def trained_settings(self) -> Settings:
        """Return the config of the training; raise UserError if the checkpoint does not have one."""
        if self.meta.cfg is None:
            raise UserError(f"{self.path}: does not hold the config that it was trained with")
        return self.meta.cfg

    def check_unseen(self, data_root: Path, split: str) -> None:
        """Refuse to score weights on scenes that they, or the weights they started from, were trained on.

        A checkpoint that does not tell what it was trained on passes.

        Raises:
            UserError: names the first such scene.
        """
        seen = set(self.meta.trained.images) if self.meta.trained else set()
        scenes = Manifest.load(data_root).images_of(split)
        if known := [scene for scene, digest in scenes.items() if digest in seen]:
            raise UserError(
                f"{self.path}: was trained on {len(known)} of the {len(scenes)} scenes in the {split} split of "
                f"{data_root} ({known[0]} is one);\n"
                "a score on them would be too good: give data with the split that it was trained on"
            )


def store_threshold(path: Path, chosen: ChosenThreshold, tta: bool = False) -> None:
    """Write a score threshold, of merged views if ``tta``, into a checkpoint; do not touch one that has it already.

    Raises:
        UserError: the checkpoint cannot be read or written.
    """
    key = "score_threshold_tta" if tta else "score_threshold"
    checkpoint = Checkpoint.read(path)
    if getattr(checkpoint.meta, key) == chosen:
        return
    content = {**checkpoint.content, "meta": {**checkpoint.content["meta"], key: asdict(chosen)}}
    try:
        serialization.write_pth(path, content)
    except (OSError, RuntimeError) as error:
        message = f"{path}: the score threshold {chosen.threshold:.3f} could not be written into it ({error})"
        raise UserError(message) from error


def read_meta(stored: Any, path: Path) -> Meta:
    """Validate the ``meta`` of a checkpoint; raise UserError for a part of another type or value."""
    if not isinstance(stored, dict):
        raise UserError(f"{path}: meta is not a dict; the file is damaged, or of another program")
    known = {part.name: stored[part.name] for part in fields(Meta) if stored.get(part.name) is not None}
    try:
        if "cfg" in known:
            known["cfg"] = trained_config.parse(known["cfg"])
        return _META.validate_json(json.dumps(known), strict=True)
    except ValidationError as error:
        problem = first_problem(error)
        raise UserError(f"{path}: meta.{problem}; the file is damaged, or of another program") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; take another checkpoint") from error
    except (TypeError, RecursionError) as error:
        raise UserError(f"{path}: meta is not plain data ({error}); take another checkpoint") from error


def _check_weights(weights: Any, key: str, path: Path) -> None:
    """Refuse weights that are not named tensors of finite numbers."""
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise UserError(f"{path}: {key} is not a dict of tensors; the file is damaged, or of another program")
    for name, value in weights.items():
        is_plain = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_complex()
        is_plain = is_plain and not (value.is_meta or value.is_quantized or value.is_nested)
        if not is_plain or value.nbytes > max(value.untyped_storage().nbytes(), LARGEST_VIEW):
            raise UserError(f"{path}: {key}: {name!r} is not a plain tensor of numbers; save it as float32")
    broken = [name for name, value in weights.items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise UserError(
            f"{path}: {key}: {len(broken)} of {len(weights)} tensors hold values that are not finite ({broken[0]!r}); "
            "the training diverged: take an earlier checkpoint"
        )
