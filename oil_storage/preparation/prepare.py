"""Writes the prepared folder: manifest, scene-level COCO, and one folder of tiles per tile geometry."""

import hashlib
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from oil_storage import __version__
from oil_storage import manifest as manifests
from oil_storage.annotations import Annotations, formats
from oil_storage.audit.inspection import Inspected, inspect
from oil_storage.audit.records import audit, check_usable
from oil_storage.audit.same_ground import Overlap, groups
from oil_storage.coco import CocoFile, CocoImage
from oil_storage.errors import UserError
from oil_storage.files import check_apart, is_partial, locked, remove_partial, sha256, write_json, write_text
from oil_storage.findings import Finding, Severity
from oil_storage.georeference import Resolution
from oil_storage.imagery import Reading
from oil_storage.manifest import SPLITS
from oil_storage.preparation.resampling import mean_ground_resolution, resample
from oil_storage.preparation.split import Split, fold_scenes, read_split_file, split_scenes
from oil_storage.preparation.tile_sets import check_geometry, first_damaged, write_tile_set
from oil_storage.scene import CLASS_NAME, Scene

OURS = (manifests.NAME, "scenes", "tiles")
"""All that a prepared folder holds."""


@dataclass(frozen=True)
class Choices:
    """What else a data set is made by.

    Attributes:
        format: of the source; None takes the one that it has.
        class_map: see :func:`oil_storage.audit.records.audit`.
        allow: go on in spite of errors: images that cannot be used are left out, boxes that seem misplaced are taken.
        strict: refuse repairs and warnings as errors are refused.
        folds: cut into so many folds instead of 70 : 15 : 15.
        fold: the one that is tested on.
        split_file: a split that is given.
        min_side: boxes with a shorter side, pixels, are left out.
        max_aspect: boxes that are more times as long as wide are left out; 0 leaves none out.
        gsd: ground resolution to which scenes are resampled, metres per pixel; None leaves them as they are. What is in
            pixels, ``min_side`` and the tile size, is in those of the resampled scenes.
        source_gsd: that of the scenes that are not georeferenced; None where nobody states it.
        bands: see :class:`oil_storage.imagery.Reading`.
        stretch: see there.
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
    gsd: float | None = None
    source_gsd: float | None = None
    bands: tuple[int, int, int] | None = None
    stretch: tuple[float, float] | None = None

    @property
    def reading(self) -> Reading:
        """Bands and stretch by which the scenes are read."""
        return Reading(self.bands, self.stretch)

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
        is_new: False where this tile set was there already, undamaged.
        mended: files in ``out`` that were missing or changed, and were made again, of a tile set the first.
        left_out: boxes that ``min_side`` and ``max_aspect`` left out.
    """

    manifest: dict[str, Any]
    findings: list[Finding]
    tiles: str
    is_new: bool
    mended: list[str]
    left_out: int


def prepare(
    source: Path, out: Path, tile: int, overlap: int, seed: int = 0, choices: Choices | None = None
) -> Prepared:
    """Prepare ``source`` in ``out``, or add a tile set to what stands there.

    The first call audits and splits the scenes; later calls keep that split, and make again what is damaged. The
    manifest is written last and names only what is complete, so a run that was killed can be started again.

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
    check_geometry(tile, overlap)
    _check_choices(choices, seed)
    check_apart(source, out)
    _check_holds_ours(out)
    annotations = formats.read(source, choices.format)
    identity = {"annotations_sha256": _digest(annotations), "seed": seed, "choices": choices.as_recorded()}
    name = f"{tile}_{overlap}"
    with _in_folder(out, name):
        if (out / manifests.NAME).is_file():
            manifest = manifests.read(out)
            scenes, findings = audit(annotations, choices.class_map, choices.reading)
            _check_same(out, manifest, identity, scenes)
            check_usable(findings, source, choices.allow, choices.strict)
            scenes = [scene for scene in scenes if scene.scene_id in manifest["source"]["images_sha256"]]
            scenes, _, left_out = _as_chosen(scenes, choices)
            mended = _write_scenes(out, scenes, manifest["split"], choices.gsd)
            damaged = _first_damaged(out, name, manifest)
        else:
            if choices.gsd:  # what is missing is said before the pixels are looked at
                resample(audit(annotations, choices.class_map, choices.reading)[0], choices.gsd, choices.source_gsd)
            inspected = inspect(annotations, choices.class_map, choices.reading)
            findings = inspected.findings
            check_usable(findings, source, choices.allow, choices.strict)
            scenes, resolutions, left_out = _as_chosen(inspected.scenes, choices)
            manifest = _begin(source, scenes, inspected, identity, choices, resolutions)
            mended, damaged = [], None
        is_new = name not in manifest["tiles"] or damaged is not None
        if is_new:
            manifest["tiles"][name] = write_tile_set(
                scenes, manifest["split"], out / "tiles" / name, tile, overlap, seed
            )
            _write_scenes(out, scenes, manifest["split"], choices.gsd)
            write_json(out / manifests.NAME, manifest)
    findings += _without_split(annotations, manifest["split"])
    return Prepared(manifest, findings, name, is_new, [*mended, *([damaged] if damaged else [])], left_out)


def _check_choices(choices: Choices, seed: int) -> None:
    if seed < 0:
        raise UserError(f"--seed {seed}: must be at least 0")
    if choices.split_file and (choices.folds is not None or choices.fold):
        raise UserError("--split-file: gives the split; leave out --folds and --fold, or --split-file")
    if choices.folds is not None and not 0 <= choices.fold < choices.folds >= len(SPLITS):
        raise UserError(
            f"--folds {choices.folds} --fold {choices.fold}: there must be at least {len(SPLITS)} folds, "
            "and the first is number 0"
        )
    if choices.fold and choices.folds is None:
        raise UserError(f"--fold {choices.fold}: one of --folds K; give both")
    if not 0 <= choices.min_side < math.inf:
        raise UserError(f"--min-side {choices.min_side:g}: must be pixels, at least 0")
    if choices.max_aspect and not 1 <= choices.max_aspect < math.inf:
        raise UserError(f"--max-aspect {choices.max_aspect:g}: must be at least 1, as a square has, or 0 for any")
    for option, value in (("--gsd", choices.gsd), ("--source-gsd", choices.source_gsd)):
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{option} {value:g}: must be metres per pixel, more than 0")
    if choices.source_gsd and not choices.gsd:
        raise UserError("--source-gsd: states what --gsd METRES starts from; give both")


def _check_holds_ours(out: Path) -> None:
    """Refuse a folder that holds more than :func:`prepare` writes."""
    foreign = [path for path in out.iterdir() if path.name not in OURS and not is_partial(path)] if out.is_dir() else []
    if foreign:
        raise UserError(f"{foreign[0]}: is not of a prepared folder; name another OUT, or an empty one")


@contextmanager
def _in_folder(out: Path, tiles: str) -> Iterator[None]:
    """Make ``out`` and keep others out of it; where what is done in it fails, leave nothing that no manifest names."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out):
            _remove_partial(out)
            try:
                yield
            except BaseException:
                if not (out / manifests.NAME).exists():
                    for split in SPLITS:
                        (out / "scenes" / f"{split}.json").unlink(missing_ok=True)
                    shutil.rmtree(out / "tiles" / tiles, ignore_errors=True)
                _remove_partial(out)
                raise
    except BaseException:
        for folder in (out / "scenes", out / "tiles", *missing):
            with suppress(OSError):  # something is in it
                folder.rmdir()
        raise


def _remove_partial(out: Path) -> None:
    """Remove what a killed run had begun to write."""
    for folder in (out, out / "scenes", out / "tiles"):
        remove_partial(folder)


def _digest(annotations: Annotations) -> str:
    """SHA-256 of the annotation file, or of those of several in their order."""
    digests = [sha256(path) for path in annotations.files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _as_chosen(scenes: Sequence[Scene], choices: Choices) -> tuple[list[Scene], dict[str, Resolution], int]:
    """Resample and leave boxes out as asked; returns the resolutions before and how many boxes are left out."""
    resolutions: dict[str, Resolution] = {}
    if choices.gsd:
        scenes, resolutions = resample(scenes, choices.gsd, choices.source_gsd)
    kept, left_out = _without_odd(scenes, choices)
    return kept, resolutions, left_out


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


def _without_split(annotations: Annotations, split: Split) -> list[Finding]:
    """Images whose scenes are in no split: not named in a split file, unusable, or newer than the data set."""
    members = {scene_id for scene_ids in split.values() for scene_id in scene_ids}
    return [
        Finding(Severity.WARNING, "no-split", str(image.path), "is in no split", "left out")
        for image in annotations.images
        if image.path and image.path.stem not in members
    ]


def _first_damaged(out: Path, name: str, manifest: Mapping[str, Any]) -> str | None:
    """The first file of a tile set that the manifest names and that is missing or changed, as a path in ``out``."""
    if name not in manifest["tiles"]:
        return None
    damaged = first_damaged(out / "tiles" / name, manifest["tiles"][name].get("sha256"))
    return damaged and f"tiles/{name}/{damaged}"


def _write_scenes(out: Path, scenes: Sequence[Scene], split: Split, gsd: float | None) -> list[str]:
    """Write scenes as COCO where they are not written so already; returns what was, as paths in ``out``."""
    by_id = {scene.scene_id: scene for scene in scenes}
    (out / "scenes").mkdir(exist_ok=True)
    written = []
    for name in SPLITS:
        members = [by_id[scene_id] for scene_id in split[name]]
        images = []
        for number, scene in enumerate(members, start=1):
            resolution = gsd or mean_ground_resolution(scene)
            images.append(CocoImage(number, scene.image.name, scene.width, scene.height, scene.scene_id, resolution))
        text = CocoFile.of_boxes(images, [scene.boxes for scene in members]).text()
        path = out / "scenes" / f"{name}.json"
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
            written.append(f"scenes/{name}.json")
    return written


def _begin(
    source: Path,
    scenes: Sequence[Scene],
    inspected: Inspected,
    identity: dict[str, Any],
    choices: Choices,
    resolutions: Mapping[str, Resolution],
) -> dict[str, Any]:
    """Split the scenes; returns a manifest without tile sets."""
    split = _split(source, scenes, inspected.same_ground, identity["seed"], choices)
    boxes = {scene.scene_id: len(scene.boxes) for scene in scenes}
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
        "counts": {
            name: {"scenes": len(members), "boxes": sum(boxes[scene_id] for scene_id in members)}
            for name, members in split.items()
        },
        **(
            {"resampled_from": {name: [round(side, 4) for side in of] for name, of in resolutions.items()}}
            if resolutions
            else {}
        ),
        "tiles": {},
    }


def _split(source: Path, scenes: Sequence[Scene], overlaps: Sequence[Overlap], seed: int, choices: Choices) -> Split:
    boxes = {scene.scene_id: len(scene.boxes) for scene in scenes}
    together = groups(overlaps, list(boxes))
    if choices.split_file:
        return read_split_file(choices.split_file, list(boxes), together)
    try:
        if choices.folds is not None:
            return fold_scenes(boxes, choices.folds, choices.fold, seed, together)
        return split_scenes(boxes, seed, together)
    except ValueError as error:
        raise UserError(f"{source}: {error}; each split needs a scene") from error
