"""Manifest of a prepared folder: its source, its split and its complete tile sets."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError, field_serializer, model_validator

from oil_storage.errors import UserError, first_problem
from oil_storage.files import sha256, write_json
from oil_storage.imagery import Reading
from oil_storage.scene import CLASS_NAME

NAME = "manifest.json"
SPLITS = ("train", "val", "test")

Split = dict[str, list[str]]
"""Sorted scene ids for each of ``train``, ``val``, ``test``; disjoint."""


class Choices(BaseModel, frozen=True):
    """Options of a preparation.

    Attributes:
        format: format of the source; None detects it.
        class_map: see :func:`oil_storage.audit.records.audit`.
        allow: continue despite errors: skip unusable images, keep boxes that seem misplaced.
        strict: treat repairs and warnings as errors; the manifest does not record this option.
        folds: number of cross-validation folds; None splits the scenes 70 : 15 : 15 into train, val and test.
        fold: index of the test fold.
        split_file: file with a predefined split; the manifest records its SHA-256.
        min_side: minimum side of a box, in pixels; smaller boxes are dropped.
        max_aspect: maximum aspect ratio of a box; more elongated boxes are dropped. 0 keeps all boxes.
        gsd: ground resolution to resample scenes to, in metres per pixel; None keeps their resolution. Lengths in
            pixels, such as ``min_side`` and the tile size, refer to the resampled scenes.
        source_gsd: ground resolution of scenes without a georeference, in metres per pixel; None if unknown.
        bands: see :class:`oil_storage.imagery.Reading`.
        stretch: see :class:`oil_storage.imagery.Reading`.
    """

    format: str | None = None
    class_map: Mapping[str, str | None] = {CLASS_NAME: CLASS_NAME}
    allow: bool = False
    strict: bool = False
    folds: int | None = None
    fold: int = 0
    split_file: Path | None = None
    min_side: float = 0.0
    max_aspect: float = 0.0
    gsd: float | None = None
    source_gsd: float | None = None
    bands: tuple[int, int, int] | None = None
    stretch: tuple[float, float] | None = None

    @property
    def reading(self) -> Reading:
        """Bands and stretch for reading the scenes."""
        return Reading(self.bands, self.stretch)

    def recorded(self) -> "Choices":
        """Return a copy for the manifest, without ``strict`` and with the hash of the split file as its path."""
        digest = self.split_file and Path(sha256(self.split_file))
        return self.model_copy(update={"strict": False, "split_file": digest})


class Source(BaseModel, frozen=True):
    """Source and options of a prepared folder. All hashes are SHA-256."""

    path: Path
    annotations_sha256: str
    seed: int
    choices: Choices = Choices()
    images_sha256: dict[str, str]

    @field_serializer("choices")
    def _chosen(self, choices: Choices) -> dict[str, Any]:
        return choices.model_dump(mode="json", exclude_defaults=True)


class SharedGround(BaseModel, frozen=True):
    """Two scenes that show the same ground; ``shared`` is the overlap as a fraction of the smaller scene."""

    scenes: tuple[str, str]
    shared: float


class SceneCounts(BaseModel, frozen=True):
    """Number of scenes and boxes in a split."""

    scenes: int
    boxes: int


class TileCounts(BaseModel, frozen=True):
    """Number of tiles and boxes in a split; ``densest`` is the maximum number of boxes in one tile."""

    tiles: int
    boxes: int
    densest: int


class TileSet(BaseModel, frozen=True):
    """Complete tile set; ``sha256`` is the hash of its file list, or None in manifests of older versions."""

    tile: int
    overlap: int
    min_visible: float
    keep_empty: float
    train: TileCounts
    val: TileCounts
    test: TileCounts
    sha256: str | None = None

    def counts(self, split: str) -> TileCounts:
        """Return the counts of a split."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


def check_no_leak(split_of: Mapping[str, str], same_ground: Sequence[Sequence[str]], path: Path) -> None:
    """Check that each group of scenes that show the same ground is in one split.

    Raises:
        UserError: two scenes of a group are in different splits.
    """
    for group in same_ground:
        members = {split_of[scene]: scene for scene in group if scene in split_of}
        if len(members) > 1:
            first, second = (f"{scene!r} ({split})" for split, scene in list(members.items())[:2])
            raise UserError(f"{path}: {first} and {second} show the same ground; put them in one split")


@dataclass(frozen=True)
class DataIdentity:
    """Identity of a prepared data set and its split, as stored in checkpoints and in records of runs.

    ``sha256`` covers the content of each split (images, boxes, seed and options), but not the location of the folder.
    It is empty in records of older versions. The other attributes are for information only.
    """

    name: str
    scenes: NonNegativeInt
    annotations_sha256: str
    split_seed: int
    sha256: str = ""


class Manifest(BaseModel, frozen=True):
    """Content of ``manifest.json``.

    Attributes:
        version: version of this package that prepared the folder.
        source: source of the scenes and options of the preparation.
        class_name: name of the only class.
        alignment: verdict of the audit on whether the boxes match the objects, as ``answer`` and ``fault``.
        same_ground: pairs of overlapping scenes.
        split: scene ids of each split.
        counts: number of scenes and boxes of each split.
        resampled_from: resolution of each scene before resampling, in metres per pixel; None without resampling.
        tiles: complete tile sets, keyed by size and overlap (``640_64``).
    """

    version: str = Field(default="", alias="oil_storage")
    source: Source
    class_name: str = Field(default=CLASS_NAME, alias="class")
    alignment: dict[str, str] = {}
    same_ground: list[SharedGround] = []
    split: Split
    counts: dict[str, SceneCounts]
    resampled_from: dict[str, tuple[float, float]] | None = None
    tiles: dict[str, TileSet]

    @model_validator(mode="after")
    def _check_splits(self) -> "Manifest":
        if missing := [split for split in SPLITS if split not in self.split or split not in self.counts]:
            raise ValueError(f"split or counts has no {missing[0]!r}")
        images = self.source.images_sha256
        if unknown := [scene for split in SPLITS for scene in self.split[split] if scene not in images]:
            raise ValueError(f"source.images_sha256 has no {unknown[0]!r}")
        return self

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read the manifest of a prepared folder.

        Raises:
            UserError: the file is not a valid manifest.
            FileNotFoundError: the folder has no manifest.
        """
        path = folder / NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problem = f"not a valid manifest ({first_problem(error)})"
            raise UserError(f"{path}: {problem}; delete {folder} and prepare it again") from error

    def save(self, folder: Path) -> None:
        """Write the manifest of a prepared folder."""
        write_json(folder / NAME, self.model_dump(mode="json", by_alias=True, exclude_none=True))

    def images_of(self, split: str) -> dict[str, str]:
        """Return the SHA-256 of the image of each scene in a split."""
        return {scene: self.source.images_sha256[scene] for scene in self.split[split]}

    @property
    def identity(self) -> DataIdentity:
        """Identity of the data and its split."""
        source = self.source.model_dump(mode="json")
        if not self.source.choices.gsd:
            source["choices"].pop("source_gsd", None)  # changes no pixel
        source["choices"].pop("split_file", None)  # the content of the split is part of the hash
        content = {**source, "path": None, "split": self.split}
        return DataIdentity(
            name=self.source.path.name,
            scenes=len(self.source.images_sha256),
            annotations_sha256=self.source.annotations_sha256,
            split_seed=self.source.seed,
            sha256=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        )
