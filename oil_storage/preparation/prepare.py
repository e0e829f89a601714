"""Writes the prepared folder: manifest, scene-level COCO, and one folder of tiles per tile geometry."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from oil_storage import __version__
from oil_storage.annotations import Annotations, formats
from oil_storage.errors import UserError
from oil_storage.files import locked, sha256, write_json
from oil_storage.findings import Finding, Severity
from oil_storage.preparation import manifest as manifests
from oil_storage.preparation.audit import audit
from oil_storage.preparation.coco import coco, image_entry
from oil_storage.preparation.inspection import Inspected, inspect
from oil_storage.preparation.same_ground import Overlap, groups
from oil_storage.preparation.split import SPLITS, Split, fold_scenes, read_split_file, split_scenes
from oil_storage.preparation.tile_sets import is_whole, write_tile_set
from oil_storage.scene import CLASS_NAME, Scene

OURS = (manifests.NAME, f".{manifests.NAME}.partial", "scenes", "tiles")
"""All that a prepared folder holds."""


@dataclass(frozen=True)
class Choices:
    """What else a data set is made by.

    Attributes:
        format: of the source; None takes the one that it has.
        class_map: see :func:`oil_storage.preparation.audit.audit`.
        allow: go on in spite of errors: images that cannot be used are left out, boxes that seem misplaced are taken.
        strict: refuse repairs and warnings as errors are refused.
        folds: cut into so many folds instead of 70 : 15 : 15.
        fold: the one that is tested on.
        split_file: a split that is given.
        min_side: boxes with a shorter side, pixels, are left out.
        max_aspect: boxes that are more times as long as wide are left out; 0 leaves none out.
    """

    format: str | None = None
    class_map: Mapping[str, str | None] = field(default_factory=lambda: {CLASS_NAME: CLASS_NAME})
    allow: bool = False
    strict: bool = False
    folds: int | None = None
    fold: int = 0
    split_file: Path | None = None
    min_side: float = 0.0
    max_aspect: float = 0.0

    def as_recorded(self) -> dict[str, Any]:
        """Those that are not the default, as the manifest has them."""
        default = asdict(Choices())
        chosen = {name: value for name, value in asdict(self).items() if value != default[name] and name != "strict"}
        if self.split_file:
            chosen["split_file"] = sha256(self.split_file)
        return chosen


@dataclass(frozen=True)
class Prepared:
    """What a call of :func:`prepare` did.

    Attributes:
        manifest: the manifest as it now stands.
        findings: what the audit repaired or dropped.
        tiles: name of the tile set, ``640_64``.
        is_new: False where this tile set was there already.
        left_out: boxes that ``min_side`` and ``max_aspect`` left out.
    """

    manifest: dict[str, Any]
    findings: list[Finding]
    tiles: str
    is_new: bool
    left_out: int


def prepare(
    source: Path, out: Path, tile: int, overlap: int, seed: int = 0, choices: Choices | None = None
) -> Prepared:
    """Prepare ``source`` in ``out``, or add a tile set to what stands there.

    The first call audits and splits the scenes; later calls keep that split. The manifest is written last and names
    only what is complete, so a run that was killed can be started again.

    Args:
        source: folder in one of the formats of :mod:`oil_storage.annotations.formats`.
        out: the prepared folder.
        tile: tile side, pixels.
        overlap: pixels shared by neighbouring tiles.
        seed: of the split and of the choice of empty train tiles.
        choices: see there.

    Returns:
        Prepared: manifest and findings.

    Raises:
        UserError: the source is unusable or has errors, ``out`` holds something else, or was made from another source
            or by other choices, or another process is preparing it.
    """
    choices = choices or Choices()
    if not 0 <= overlap < tile:
        raise UserError(f"--overlap {overlap} must be at least 0 and less than --tile {tile}")
    if seed < 0:
        raise UserError(f"--seed {seed}: must be at least 0")
    _check_out(out)
    annotations = formats.read(source, choices.format)
    identity = {"annotations_sha256": _digest(annotations), "seed": seed, "choices": choices.as_recorded()}
    out.mkdir(parents=True, exist_ok=True)
    with locked(out), _not_left_empty(out):
        if (out / manifests.NAME).is_file():
            manifest = manifests.read(out)
            scenes, findings = audit(annotations, choices.class_map)
            scenes, left_out = _without_odd(scenes, choices)
            _check_same(out, manifest, identity, scenes)
        else:
            inspected = inspect(annotations, choices.class_map)
            findings = inspected.findings
            _check_usable(findings, choices, source)
            scenes, left_out = _without_odd(inspected.scenes, choices)
            manifest = _begin(source, out, scenes, inspected, identity, choices)
        name = f"{tile}_{overlap}"
        is_new = name not in manifest["tiles"] or not is_whole(out / "tiles" / name)
        if is_new:
            manifest["tiles"][name] = write_tile_set(
                scenes, manifest["split"], out / "tiles" / name, tile, overlap, seed
            )
            write_json(out / manifests.NAME, manifest)
    return Prepared(manifest, findings, name, is_new, left_out)


def _check_out(out: Path) -> None:
    """Refuse a folder that holds more than :func:`prepare` writes, the source among them."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder")
    foreign = [path for path in out.iterdir() if path.name not in OURS] if out.is_dir() else []
    if foreign:
        raise UserError(f"{foreign[0]}: is not of a prepared folder; name another OUT, or an empty one")


@contextmanager
def _not_left_empty(out: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):  # something is in it
            out.rmdir()
        raise


def _digest(annotations: Annotations) -> str:
    """SHA-256 of the annotation file, or of those of several in their order."""
    digests = [sha256(path) for path in annotations.files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _check_usable(findings: Sequence[Finding], choices: Choices, source: Path) -> None:
    stopping = [one for one in findings if one.severity == Severity.ERROR or choices.strict]
    if stopping and not choices.allow:
        errors = "1 error" if len(stopping) == 1 else f"{len(stopping)} errors"
        raise UserError(
            f"{stopping[0].place}: {stopping[0].problem}\n"
            f"{errors} in all: python tools/audit_dataset.py {source} lists them; --allow goes on in spite of them"
        )


def _without_odd(scenes: Sequence[Scene], choices: Choices) -> tuple[list[Scene], int]:
    """Leave boxes out as asked; returns how many."""
    kept = []
    for scene in scenes:
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        fits = sides.min(axis=1, initial=float("inf")) >= choices.min_side
        if choices.max_aspect:
            fits &= sides.max(axis=1, initial=0) <= choices.max_aspect * sides.min(axis=1, initial=float("inf"))
        kept.append(replace(scene, boxes=scene.boxes[fits]))
    before = sum(len(scene.boxes) for scene in scenes)
    return kept, before - sum(len(scene.boxes) for scene in kept)


def _check_same(out: Path, manifest: dict[str, Any], identity: dict[str, Any], scenes: Sequence[Scene]) -> None:
    before = {"choices": {}, **manifest["source"]}
    differing = [key for key, value in identity.items() if before.get(key) != value]
    hashes = {scene.scene_id: sha256(scene.image) for scene in scenes if scene.scene_id in before["images_sha256"]}
    if before["images_sha256"] != hashes:
        differing.append("images")
    if differing:
        raise UserError(
            f"{out}: was prepared from another source or otherwise ({', '.join(differing)} differ); "
            "name another OUT, or delete this one to start anew"
        )


def _begin(
    source: Path,
    out: Path,
    scenes: Sequence[Scene],
    inspected: Inspected,
    identity: dict[str, Any],
    choices: Choices,
) -> dict[str, Any]:
    """Split the scenes and write them as COCO; returns a manifest without tile sets."""
    split = _split(source, scenes, inspected.same_ground, identity["seed"], choices)
    by_id = {scene.scene_id: scene for scene in scenes}
    (out / "scenes").mkdir(parents=True, exist_ok=True)
    counts = {}
    for name in SPLITS:
        members = [by_id[scene_id] for scene_id in split[name]]
        images = [image_entry(scene.scene_id, scene.image.name, scene.width, scene.height) for scene in members]
        write_json(out / "scenes" / f"{name}.json", coco(images, [scene.boxes for scene in members]))
        counts[name] = {"scenes": len(members), "boxes": sum(len(scene.boxes) for scene in members)}
    return {
        "oil_storage": __version__,
        "source": {
            "path": str(source.resolve()),
            **identity,
            "images_sha256": {scene.scene_id: sha256(scene.image) for scene in scenes},
        },
        "class": CLASS_NAME,
        "alignment": {"answer": str(inspected.alignment.answer), "fault": str(inspected.alignment.fault)},
        "same_ground": [
            {"scenes": [one.first, one.second], "shared": round(one.shared, 3)} for one in inspected.same_ground
        ],
        "split": split,
        "counts": counts,
        "tiles": {},
    }


def _split(source: Path, scenes: Sequence[Scene], overlaps: Sequence[Overlap], seed: int, choices: Choices) -> Split:
    boxes = {scene.scene_id: len(scene.boxes) for scene in scenes}
    together = groups(overlaps, list(boxes))
    if choices.split_file:
        return read_split_file(choices.split_file, list(boxes), together)
    try:
        if choices.folds:
            return fold_scenes(boxes, choices.folds, choices.fold, seed, together)
        return split_scenes(boxes, seed, together)
    except ValueError as error:
        raise UserError(f"{source}: {error}; each split needs a scene") from error
