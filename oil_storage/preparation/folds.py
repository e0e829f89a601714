"""Prepares the folds of a data set that is prepared already: for cross-validation."""

from dataclasses import asdict
from pathlib import Path

from oil_storage import manifest as manifests
from oil_storage.errors import UserError
from oil_storage.preparation.prepare import Choices, Prepared, prepare


def fold_folder(prepared: Path, folds: int, fold: int) -> Path:
    """Where a fold of ``prepared`` stands: ``data/oil_storage_5_folds/0`` beside ``data/oil_storage``."""
    return prepared.with_name(f"{prepared.name}_{folds}_folds") / str(fold)


def prepare_fold(prepared: Path, folds: int, fold: int, tile: int, overlap: int) -> Prepared:
    """Prepare a fold from the source of ``prepared``, with its seed and by its choices, in :func:`fold_folder`.

    Args:
        prepared: folder of the data set.
        folds: how many, at least 3.
        fold: which of them is tested on, counted from 0; the next validates, the others train.
        tile: tile side, pixels.
        overlap: pixels shared by neighbouring tiles.

    Returns:
        Prepared: what was done; a fold that is there already is left as it is.

    Raises:
        UserError: ``prepared`` is none, or its source is gone, has changed since, or has too few scenes.
    """
    if not (prepared / manifests.NAME).is_file():
        raise UserError(f"{prepared}: no prepared data; run: python tools/prepare_dataset.py SOURCE {prepared}")
    manifest = manifests.read(prepared)
    whole, reading = manifest["source"], asdict(manifests.reading(manifest))
    source = Path(whole["path"])
    if not source.exists():
        raise UserError(f"{source}: is gone; {prepared} was prepared from it, and its folds must be")
    choices = Choices(**{**whole.get("choices", {}), **reading, "split_file": None, "folds": folds, "fold": fold})
    made = prepare(source, fold_folder(prepared, folds, fold), tile, overlap, whole["seed"], choices)
    for key in ("annotations_sha256", "images_sha256"):
        if made.manifest["source"][key] != whole[key]:
            raise UserError(f"{source}: has changed since {prepared} was prepared; delete that and prepare it again")
    return made
