"""Writes the prepared folder: manifest, scene-level COCO, and one folder of tiles per tile geometry."""

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
from oil_storage.preparation.resampling import resample
from oil_storage.preparation.split import read_split_file, split_scenes
from oil_storage.preparation.tile_sets import check_geometry, first_damaged, write_tile_set
from oil_storage.scene import Scene

ENTRIES = (manifests.NAME, "scenes", "tiles")
"""All that a prepared folder holds."""


@dataclass(frozen=True)
class Prepared:
    """What a call of :func:`prepare` did.

    Attributes:
        manifest: the manifest as it now stands.
        findings: what the audit repaired or dropped.
        tiles: name of the tile set, ``640_64``.
        is_new: False where this tile set was there already, undamaged.
        mended: files in ``out`` that were missing or changed, and were made again, of a tile set the first.
        left_out: number of boxes that ``min_side`` and ``max_aspect`` left out.
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
    _check_choices(choices)
    check_apart(source, out)
    entries = out.iterdir() if out.is_dir() else ()
    if foreign := [path for path in entries if path.name not in ENTRIES and not is_partial(path)]:
        raise UserError(f"{foreign[0]}: is not of a prepared folder; name another OUT, or an empty one")
    annotations = formats.read(source, choices.format)
    name = f"{tile}_{overlap}"
    with _locked(out):
        exists = (out / manifests.NAME).is_file()
        if exists:
            manifest = Manifest.load(out)
            scenes, findings = audit(annotations, choices.class_map, choices.reading)
            scenes = [scene for scene in scenes if scene.scene_id in manifest.source.images_sha256]
            _check_same(out, manifest.source, _source(source, annotations, seed, choices, scenes))
            check_usable(findings, source, choices.allow, choices.strict)
            scenes, _, left_out = _as_chosen(scenes, choices)
        else:
            if choices.gsd:  # an unknown resolution is reported before the slow look at the pixels
                resample(audit(annotations, choices.class_map, choices.reading)[0], choices.gsd, choices.source_gsd)
            inspected = inspect(annotations, choices.class_map, choices.reading)
            findings = inspected.findings
            check_usable(findings, source, choices.allow, choices.strict)
            scenes, resolutions, left_out = _as_chosen(inspected.scenes, choices)
            identity = _source(source, annotations, seed, choices, scenes)
            manifest = _new_manifest(identity, scenes, inspected, choices, resolutions)
        written = _write_scenes(out, scenes, manifest.split, choices.gsd)
        mended = written if exists else []
        known = manifest.tiles.get(name)
        damaged = first_damaged(out / "tiles" / name, known.sha256) if known else None
        is_new = not known or damaged is not None
        if is_new:
            tile_set = write_tile_set(scenes, manifest.split, out / "tiles" / name, tile, overlap, seed)
            manifest = manifest.model_copy(update={"tiles": {**manifest.tiles, name: tile_set}})
            manifest.save(out)
    findings += _without_split(annotations, manifest.split)
    mended += [f"tiles/{name}/{damaged}"] if damaged else []
    return Prepared(manifest, findings, name, is_new, mended, left_out)


def fold_folder(prepared: Path, folds: int, fold: int) -> Path:
    """Return the folder of a fold of ``prepared``: ``data/oil_storage_5_folds/0`` beside ``data/oil_storage``."""
    return prepared.with_name(f"{prepared.name}_{folds}_folds") / str(fold)


def prepare_fold(prepared: Path, folds: int, fold: int, tile: int, overlap: int) -> Prepared:
    """Prepare a fold from the source of ``prepared``, with its seed and by its choices, in :func:`fold_folder`.

    Args:
        prepared: folder of the data set.
        folds: number of folds, at least 3.
        fold: the fold that is tested on, counted from 0; the next validates, the others train.
        tile: tile side, pixels.
        overlap: pixels shared by neighbouring tiles.

    Returns:
        Prepared: what was done; a fold that is there already is left as it is.

    Raises:
        UserError: ``prepared`` is none, or its source is gone, has changed since, or has too few scenes.
    """
    if not (prepared / manifests.NAME).is_file():
        raise UserError(f"{prepared}: no prepared data; run: python tools/prepare_dataset.py SOURCE {prepared}")
    whole = Manifest.load(prepared).source
    if not whole.path.exists():
        raise UserError(f"{whole.path}: is gone; {prepared} was prepared from it, and its folds must be")
    choices = whole.choices.model_copy(update={"split_file": None, "folds": folds, "fold": fold})
    done = prepare(whole.path, fold_folder(prepared, folds, fold), tile, overlap, whole.seed, choices)
    own = done.manifest.source
    if (own.annotations_sha256, own.images_sha256) != (whole.annotations_sha256, whole.images_sha256):
        raise UserError(f"{whole.path}: has changed since {prepared} was prepared; delete that and prepare it again")
    return done


def _check_choices(choices: Choices) -> None:
    """Refuse options that exclude or need each other."""
    if choices.split_file and choices.folds:
        raise UserError("--split-file: gives the split; leave out --folds and --fold, or --split-file")
    if choices.fold >= (choices.folds or 1):
        raise UserError(f"--fold {choices.fold}: must be less than K of --folds K; give both")
    if choices.source_gsd and not choices.gsd:
        raise UserError("--source-gsd: states what --gsd METRES starts from; give both")


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Make ``out`` and keep other processes out of it; a failure leaves nothing that no manifest names."""
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
                with suppress(OSError):  # something is in it
                    out.rmdir()
            raise


def _source(path: Path, annotations: Annotations, seed: int, choices: Choices, scenes: Sequence[Scene]) -> Source:
    digests = [sha256(file) for file in annotations.files]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    images = {scene.scene_id: sha256(scene.image) for scene in scenes}
    choices = choices.recorded()
    return Source(path=path.resolve(), annotations_sha256=digest, seed=seed, choices=choices, images_sha256=images)


def _check_same(out: Path, before: Source, now: Source) -> None:
    fields = ("annotations_sha256", "seed", "choices", "images_sha256")
    if differing := [name for name in fields if getattr(before, name) != getattr(now, name)]:
        raise UserError(
            f"{out}: was prepared from another source or otherwise ({', '.join(differing)} differ); "
            "name another OUT, or delete this one to start anew"
        )


def _as_chosen(scenes: Sequence[Scene], choices: Choices) -> tuple[list[Scene], dict[str, Resolution], int]:
    """Resample scenes and leave boxes out; return the resolutions before and the number of boxes left out."""
    resolutions: dict[str, Resolution] = {}
    if choices.gsd:
        scenes, resolutions = resample(scenes, choices.gsd, choices.source_gsd)
    kept = []
    for scene in scenes:
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        fits = sides.min(axis=1) >= choices.min_side
        if choices.max_aspect:
            fits &= sides.max(axis=1) <= choices.max_aspect * sides.min(axis=1)
        kept.append(replace(scene, boxes=scene.boxes[fits]))
    before, after = (sum(len(scene.boxes) for scene in each) for each in (scenes, kept))
    return kept, resolutions, before - after


def _without_split(annotations: Annotations, split: Split) -> list[Finding]:
    """Report images in no split: not named in a split file, unusable, or newer than the prepared folder."""
    members = {scene_id for scene_ids in split.values() for scene_id in scene_ids}
    return [
        warning("no-split", str(image.path), "is in no split", "left out")
        for image in annotations.images
        if image.path and image.path.stem not in members
    ]


def _write_scenes(out: Path, scenes: Sequence[Scene], split: Split, gsd: float | None) -> list[str]:
    """Write scenes as COCO where they are not written so already; return the files that were, as paths in ``out``."""
    by_id = {scene.scene_id: scene for scene in scenes}
    (out / "scenes").mkdir(exist_ok=True)
    written = []
    for name in SPLITS:
        members = [by_id[scene_id] for scene_id in split[name]]
        images = []
        for number, scene in enumerate(members, start=1):
            image = CocoImage(number, scene.image.name, scene.width, scene.height, scene.scene_id, gsd or scene.gsd)
            images.append(image)
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
