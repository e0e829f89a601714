"""Write a prepared folder: a manifest, the scenes as COCO files, and tile sets of different sizes and overlaps."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from oil_storage import __version__
from oil_storage import manifest as manifests
from oil_storage.annotations import Annotations, formats
from oil_storage.audit.inspection import Inspected, inspect
from oil_storage.audit.overlaps import connected_groups
from oil_storage.audit.records import audit, check_usable
from oil_storage.coco import CocoFile, CocoImage
from oil_storage.errors import UserError
from oil_storage.files import check_apart, is_partial, locked, remove_partial, sha256, write_text
from oil_storage.findings import Finding, warning
from oil_storage.georeference import Resolution
from oil_storage.manifest import SPLITS, Choices, Manifest, SceneCounts, SharedGround, Source, Split
from oil_storage.preparation.resampling import check_resolutions, resample
from oil_storage.preparation.split import read_split_file, split_scenes
from oil_storage.preparation.tile_sets import check_geometry, first_damaged, write_tile_set
from oil_storage.scene import Scene

ENTRIES = (manifests.NAME, "scenes", "tiles")
"""Names of the entries of a prepared folder."""
COMPARED = ("annotations_sha256", "seed", "choices", "images_sha256")
"""Attributes of :class:`Source` that must be the same in all calls of :func:`prepare` with one output folder."""


@dataclass(frozen=True)
class Prepared:
    """Result of :func:`prepare`.

    Attributes:
        manifest: manifest after the call.
        findings: findings of the audit.
        tiles: name of the tile set: tile side and overlap in pixels, ``640_64``.
        is_new: whether the tile set was written; False if it existed and was not damaged.
        mended: missing or damaged files in ``out`` that were written again; for a tile set, only the first such file.
        left_out: number of boxes that ``min_side`` and ``max_aspect`` excluded.
    """

    manifest: Manifest
    findings: list[Finding]
    tiles: str
    is_new: bool
    mended: list[str]
    left_out: int


def prepare(
    source: Path, out: Path, tile: int, overlap: int, seed: int = 0, choices: Choices | None = None
) -> Prepared:
    """Prepare a data set for training, or add a tile set to a prepared folder.

    The first call audits and splits the scenes. Later calls keep this split and replace damaged files. The manifest is
    written last and lists only complete tile sets, so an interrupted call can be repeated.

    Args:
        source: folder in one of the formats of :mod:`oil_storage.annotations.formats`.
        out: prepared folder.
        tile: tile side in pixels.
        overlap: overlap of adjacent tiles in pixels.
        seed: seed of the split and of the selection of empty train tiles.
        choices: options of the preparation.

    Returns:
        Prepared: the manifest, the findings and the files that were written.

    Raises:
        UserError: the source is unusable or has errors; ``out`` contains other files or was prepared from another
            source or with other options; or another process is writing to it.
    """
    choices = choices or Choices()
    check_geometry(tile, overlap)
    _check_choices(choices)
    check_apart(source, out)
    entries = out.iterdir() if out.is_dir() else ()
    if foreign := [path for path in entries if path.name not in ENTRIES and not is_partial(path)]:
        raise UserError(f"{foreign[0]}: does not belong to a prepared folder; choose a new or empty folder as OUT")
    annotations = formats.read(source, choices.format)
    name = f"{tile}_{overlap}"
    with _locked(out):
        manifest = Manifest.load(out) if (out / manifests.NAME).is_file() else None
        if manifest:
            scenes, findings = audit(annotations, choices.class_map, choices.reading)
            scenes = [scene for scene in scenes if scene.scene_id in manifest.source.images_sha256]
        else:
            if choices.gsd or choices.split_file:  # report problems before the slow inspection
                audited = audit(annotations, choices.class_map, choices.reading)[0]
                if choices.gsd:
                    resample(audited, choices.gsd, choices.source_gsd)
                if choices.split_file:
                    read_split_file(choices.split_file, [[scene.scene_id] for scene in audited])
            inspected = inspect(annotations, choices.class_map, choices.reading)
            scenes, findings = inspected.scenes, inspected.findings
        identity = _source(source, annotations, seed, choices, scenes)
        if manifest and (
            differing := [key for key in COMPARED if getattr(identity, key) != getattr(manifest.source, key)]
        ):
            before, now = manifest.source.choices, identity.choices
            options = [name for name in Choices.model_fields if getattr(before, name) != getattr(now, name)]
            raise UserError(
                f"{out}: was prepared from another source or with other options "
                f"({', '.join([*options, *(key for key in differing if key != 'choices')])} differ); "
                "choose another OUT, or delete this one"
            )
        findings += [] if choices.gsd else check_resolutions(scenes, choices.source_gsd)
        check_usable(findings, source, choices.allow, choices.strict)
        scenes, resolutions, left_out = _as_chosen(scenes, choices)
        exists = manifest is not None
        if not manifest:
            manifest = _new_manifest(identity, scenes, inspected, choices, resolutions)
        written = _write_scenes(out, scenes, manifest.split, choices)
        mended = written if exists else []
        tile_set = manifest.tiles.get(name)
        damaged = first_damaged(out / "tiles" / name, tile_set.sha256) if tile_set else None
        is_new = not tile_set or damaged is not None
        if is_new:
            tile_set = write_tile_set(scenes, manifest.split, out / "tiles" / name, tile, overlap, seed)
            manifest = manifest.model_copy(update={"tiles": {**manifest.tiles, name: tile_set}})
            manifest.save(out)
    members = {scene_id for scene_ids in manifest.split.values() for scene_id in scene_ids}
    without_split = [image.path for image in annotations.images if image.path and image.path.stem not in members]
    findings += [warning("no-split", str(path), "image is not in any split", "left out") for path in without_split]
    mended += [f"tiles/{name}/{damaged}"] if damaged else []
    return Prepared(manifest, findings, name, is_new, mended, left_out)


def fold_folder(prepared: Path, folds: int, fold: int) -> Path:
    """Return the folder of a fold, such as ``data/oil_storage_5_folds/0`` for the data ``data/oil_storage``."""
    return prepared.with_name(f"{prepared.name}_{folds}_folds") / str(fold)


def prepare_fold(prepared: Path, folds: int, fold: int, tile: int, overlap: int) -> Prepared:
    """Prepare one fold in :func:`fold_folder`; take the source, seed and options from a prepared folder.

    Args:
        prepared: prepared folder of the data set.
        folds: number of folds, at least 3.
        fold: index of the test fold, from 0; the next fold is for validation and the others are for training.
        tile: tile side in pixels.
        overlap: overlap of adjacent tiles in pixels.

    Returns:
        Prepared: see :func:`prepare`. A fold that already exists keeps its split.

    Raises:
        UserError: ``prepared`` is not a prepared folder, or its source is missing, has changed or has too few scenes.
    """
    if not (prepared / manifests.NAME).is_file():
        raise UserError(f"{prepared}: not a prepared folder; run: python tools/prepare_dataset.py SOURCE {prepared}")
    whole = Manifest.load(prepared).source
    if not whole.path.exists():
        raise UserError(f"{whole.path}: no such file or folder; restore it, because {prepared} was prepared from it")
    choices = whole.choices.model_copy(update={"split_file": None, "folds": folds, "fold": fold})
    done = prepare(whole.path, fold_folder(prepared, folds, fold), tile, overlap, whole.seed, choices)
    own = done.manifest.source
    if (own.annotations_sha256, own.images_sha256) != (whole.annotations_sha256, whole.images_sha256):
        raise UserError(
            f"{whole.path}: has changed since {prepared} was prepared; delete {prepared} and prepare it again"
        )
    return done


def _check_choices(choices: Choices) -> None:
    """Raise UserError for options that exclude or require each other."""
    if choices.split_file and choices.folds:
        raise UserError("--split-file cannot be combined with --folds and --fold; give one or the other")
    if choices.fold >= (choices.folds or 1):
        raise UserError(f"--fold {choices.fold} requires --folds with a larger number")


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Create and lock ``out``. If the block fails before a manifest exists, remove everything that was written."""
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        for folder in (out, out / "scenes", out / "tiles"):
            remove_partial(folder)
        try:
            yield
        except BaseException:
            if not (out / manifests.NAME).exists():
                shutil.rmtree(out / "scenes", ignore_errors=True)
                shutil.rmtree(out / "tiles", ignore_errors=True)
                with suppress(OSError):  # the folder is not empty
                    out.rmdir()
            raise


def _source(path: Path, annotations: Annotations, seed: int, choices: Choices, scenes: Sequence[Scene]) -> Source:
    digests = [sha256(file) for file in annotations.files]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    images = {scene.scene_id: sha256(scene.image) for scene in scenes}
    choices = choices.recorded()
    return Source(path=path.resolve(), annotations_sha256=digest, seed=seed, choices=choices, images_sha256=images)


def _as_chosen(scenes: Sequence[Scene], choices: Choices) -> tuple[list[Scene], dict[str, Resolution], int]:
    """Resample scenes and exclude boxes. Also return the original resolutions and the number of excluded boxes."""
    resolutions: dict[str, Resolution] = {}
    if choices.gsd:
        scenes, resolutions = resample(scenes, choices.gsd, choices.source_gsd)
    reduced = []
    for scene in scenes:
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        fits = sides.min(axis=1) >= choices.min_side
        if choices.max_aspect:
            fits &= sides.max(axis=1) <= choices.max_aspect * sides.min(axis=1)
        reduced.append(replace(scene, boxes=scene.boxes[fits]))
    before, after = (sum(len(scene.boxes) for scene in each) for each in (scenes, reduced))
    return reduced, resolutions, before - after


def _write_scenes(out: Path, scenes: Sequence[Scene], split: Split, choices: Choices) -> list[str]:
    """Write a COCO file for each split unless it is up to date; return the written files, relative to ``out``."""
    by_id = {scene.scene_id: scene for scene in scenes}
    (out / "scenes").mkdir(exist_ok=True)
    written = []
    for name in SPLITS:
        members = [by_id[scene_id] for scene_id in split[name]]
        images = []
        for number, scene in enumerate(members, start=1):
            gsd = choices.gsd or scene.gsd or choices.source_gsd
            images.append(CocoImage(number, scene.image.name, scene.width, scene.height, scene.scene_id, gsd))
        text = CocoFile.of_boxes(images, [scene.boxes for scene in members]).text()
        path = out / "scenes" / f"{name}.json"
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
            written.append(f"scenes/{name}.json")
    return written


def _new_manifest(
    source: Source, scenes: Sequence[Scene], inspected: Inspected, choices: Choices, resolutions: dict[str, Resolution]
) -> Manifest:
    """Split the scenes; return a manifest without tile sets."""
    boxes = {scene.scene_id: len(scene.boxes) for scene in scenes}
    groups = connected_groups(inspected.same_ground, boxes)
    if choices.split_file:
        split = read_split_file(choices.split_file, groups)
    else:
        split = split_scenes(boxes, groups, source.seed, choices.folds, choices.fold)
    rounded = {name: (round(x, 4), round(y, 4)) for name, (x, y) in resolutions.items()}
    return Manifest(
        oil_storage=__version__,
        source=source,
        alignment={"answer": str(inspected.alignment.answer), "fault": str(inspected.alignment.fault)},
        same_ground=[
            SharedGround(scenes=(overlap.first, overlap.second), shared=round(overlap.shared, 3))
            for overlap in inspected.same_ground
        ],
        split=split,
        counts={
            name: SceneCounts(scenes=len(members), boxes=sum(boxes[scene_id] for scene_id in members))
            for name, members in split.items()
        },
        resampled_from=rounded or None,
        tiles={},
    )
