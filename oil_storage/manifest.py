"""The manifest of a prepared folder: what it was made from, how it was split, which tile sets are complete."""

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
        allow: go on in spite of errors: leave out images that cannot be used, keep boxes that seem misplaced.
        strict: refuse repairs and warnings as errors are refused; a manifest does not record it.
        folds: number of folds to cut the scenes into; None splits 70 : 15 : 15.
        fold: the fold that is tested on.
        split_file: file with a given split; a manifest records its SHA-256.
        min_side: boxes with a shorter side, pixels, are left out.
        max_aspect: boxes that are more times as long as wide are left out; 0 leaves none out.
        gsd: ground resolution to which scenes are resampled, metres per pixel; None leaves them as they are. What is in
            pixels, ``min_side`` and the tile size, is in those of the resampled scenes.
        source_gsd: ground resolution of the scenes that are not georeferenced; None where nobody states it.
        bands: see :class:`oil_storage.imagery.Reading`.
        stretch: see there.
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
        """Bands and stretch by which the scenes are read."""
        return Reading(self.bands, self.stretch)

    def recorded(self) -> "Choices":
        """Return the choices as a manifest records them."""
        digest = self.split_file and Path(sha256(self.split_file))
        return self.model_copy(update={"strict": False, "split_file": digest})


class Source(BaseModel, frozen=True):
    """The source of a prepared folder, and the choices by which it was prepared; hashes are SHA-256."""

    path: Path
    annotations_sha256: str
    seed: int
    choices: Choices = Choices()
    images_sha256: dict[str, str]

    @field_serializer("choices")
    def _chosen(self, choices: Choices) -> dict[str, Any]:
        return choices.model_dump(mode="json", exclude_defaults=True)


class SharedGround(BaseModel, frozen=True):
    """Two scenes that show the same ground, and its share of the smaller scene."""

    scenes: tuple[str, str]
    shared: float


class SceneCounts(BaseModel, frozen=True):
    """Numbers of scenes and of their boxes in a split."""

    scenes: int
    boxes: int


class TileCounts(BaseModel, frozen=True):
    """Numbers of tiles and of their boxes in a split, and the most boxes in one tile."""

    tiles: int
    boxes: int
    densest: int


class TileSet(BaseModel, frozen=True):
    """A complete tile set; ``sha256`` is that of its list of files, which older versions did not write."""

    tile: int
    overlap: int
    min_visible: float
    keep_empty: float
    train: TileCounts
    val: TileCounts
    test: TileCounts
    sha256: str | None = None

    def counts(self, split: str) -> TileCounts:
        """Return the numbers of a split."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


def check_no_leak(split_of: Mapping[str, str], same_ground: Sequence[Sequence[str]], path: Path) -> None:
    """Refuse a split that leaks: scenes of a group that show the same ground are in different splits.

    Raises:
        UserError: names ``path`` and the first two such scenes.
    """
    for group in same_ground:
        members = {split_of[scene]: scene for scene in group if scene in split_of}
        if len(members) > 1:
            first, second = (f"{scene!r} ({split})" for split, scene in list(members.items())[:2])
            raise UserError(f"{path}: {first} and {second} show the same ground; keep together")


@dataclass(frozen=True)
class DataIdentity:
    """A few words that tell one prepared data set and split from another, for checkpoints and records of runs.

    ``sha256`` covers all that decides what is in which split (images, boxes, seed and choices), wherever they are
    stored; early records do not have it. The other entries are for people.
    """

    name: str
    scenes: NonNegativeInt
    annotations_sha256: str
    split_seed: int
    sha256: str = ""


class Manifest(BaseModel, frozen=True):
    """The content of :data:`NAME`.

    Attributes:
        version: of this package when the folder was prepared.
        source: what the folder was made from.
        class_name: the one class.
        alignment: answer and fault of the audit's verdict on the boxes, in words.
        same_ground: pairs of scenes that overlap.
        split: scenes of each split.
        counts: their numbers, by split.
        resampled_from: resolution of each scene before resampling, metres per pixel; None without resampling.
        tiles: complete tile sets by name, ``640_64``.
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
            raise ValueError(f"split and counts have no {missing[0]!r}")
        if unknown := [scene for split in SPLITS for scene in self.split[split] if scene not in self.images]:
            raise ValueError(f"source.images_sha256 has no {unknown[0]!r}")
        return self

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read the manifest of a prepared folder.

        Raises:
            UserError: it is not a whole manifest.
            FileNotFoundError: there is none.
        """
        path = folder / NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problem = f"not a manifest ({first_problem(error)})"
            raise UserError(f"{path}: {problem}; delete {folder} and prepare it again") from error

    def save(self, folder: Path) -> None:
        """Write the manifest of a prepared folder."""
        write_json(folder / NAME, self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @property
    def images(self) -> dict[str, str]:
        """SHA-256 of the image of each scene."""
        return self.source.images_sha256

    def images_of(self, split: str) -> dict[str, str]:
        """Return the SHA-256 of the image of each scene in a split."""
        return {scene: self.images[scene] for scene in self.split[split]}

    @property
    def identity(self) -> DataIdentity:
        """Identity of the data and its split."""
        source = self.source.model_dump(mode="json")
        source["choices"].pop("split_file", None)  # the split counts, however it came about
        content = {**source, "path": None, "split": self.split}
        return DataIdentity(
            name=self.source.path.name,
            scenes=len(self.images),
            annotations_sha256=self.source.annotations_sha256,
            split_seed=self.source.seed,
            sha256=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        )
