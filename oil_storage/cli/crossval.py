"""Cross-validate a config: train a detector for each fold of its data set and test it on that fold."""

import argparse
import gc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from oil_storage import config
from oil_storage.cli import train as training
from oil_storage.cli.arguments import fold_count
from oil_storage.cli.command import run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from oil_storage.figures import TestRecord


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with the arguments of ``tools/train.py`` and ``--folds``."""
    parser = training.build_parser()
    parser.prog = "tools/crossval.py"
    parser.description = (
        f"{__doc__} Of the other folds, the next one is the val split, and the rest are the train split. If fold N is "
        "the test split, its prepared data is in <data>_K_folds/N, and its results are in <work dir>/N. Each test adds "
        "a line to results/test_log.csv."
    )
    parser.add_argument("--folds", type=fold_count, required=True, metavar="K", help="number of folds, at least 3")
    return parser


def crossval(args: argparse.Namespace) -> None:
    """Prepare, train and test all folds; write the scores to ``crossval.json`` and print them as a table."""
    if args.resume not in (None, "auto"):
        raise UserError(f"--resume {args.resume}: each fold has its own checkpoint; give --resume without a value")
    if args.launcher != "none":
        raise UserError(f"--launcher {args.launcher}: folds are trained in a single process; leave this option out")
    dataset = config.dataset_of(training.configure(args), "train_dataloader")

    from oil_storage.files import write_json

    work_dir = args.work_dir or Path("work_dirs", f"{args.config.stem}_{args.folds}_folds")
    # prepare all folds first, so that errors in the data show before hours of training
    prepared_folds = [prepare_data(dataset, args.folds, fold) for fold in range(args.folds)]
    records = []
    for fold, prepared in enumerate(prepared_folds):
        print(f"\nfold {fold} of {args.folds}: {prepared}", flush=True)
        records.append(train_and_test(args, prepared, work_dir / str(fold)))
        gc.collect()  # reference cycles of the Runner keep the processes of its loaders alive
    path = work_dir / "crossval.json"
    folds_json = [record.model_dump(mode="json", exclude_unset=True) for record in records]
    write_json(path, {"config": str(args.config), "folds": folds_json})
    print(f"\n{table(records)}\nfigures: {path}")


def prepare_data(dataset: "Config", folds: int, fold: int) -> Path:
    """Prepare a fold with the tile size and overlap of a config's data set; return the folder of the fold.

    Raises:
        UserError: see :func:`oil_storage.preparation.prepare.prepare_fold`.
    """
    from oil_storage.preparation.prepare import fold_folder, prepare_fold

    prepared = prepare_fold(Path(dataset.data_root), folds, fold, dataset.tile, dataset.overlap)
    out = fold_folder(Path(dataset.data_root), folds, fold)
    counts = prepared.manifest.counts
    print(f"{out}: " + "; ".join(f"{s} {counts[s].scenes} scenes, {counts[s].boxes} boxes" for s in counts))
    return out


def set_data_root(prepared: Path, cfg: "Config") -> "Config":
    """Set the data folder of all loaders of a config; return the config."""
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        config.dataset_of(cfg, loader).data_root = str(prepared)
    return cfg


def train_and_test(args: argparse.Namespace, prepared: Path, work_dir: Path) -> "TestRecord":
    """Train on a fold, choose a score threshold on its val split, and score the last checkpoint on its test split."""
    from oil_storage.checkpoints.work_dir import LAST
    from oil_storage.engine.training import train
    from oil_storage.inference.testing import evaluate_checkpoint
    from oil_storage.reporting.results import log_test
    from oil_storage.reporting.scored_run import write_tested

    train(set_data_root(prepared, training.configure(args, work_dir)), resume=args.resume, scratch=args.from_scratch)
    checkpoint = Path((work_dir / LAST).read_text(encoding="utf-8"))
    for split in ("val", "test"):
        cfg = config.load(args.config, args.cfg_options, work_dir=work_dir, bf16=args.amp)
        tested = evaluate_checkpoint(set_data_root(prepared, cfg), checkpoint, split=split, options=args.cfg_options)
        assert tested is not None  # None only in further processes of a distributed run
        record = tested.record
        write_tested(work_dir / split, record, tested.scenes, tested.tile_detections, tested.tiles, tested.tile_folder)
    log_test(args.config, record)
    return record


def table(folds: Sequence["TestRecord"]) -> str:
    """Return a table with a line for each fold and lines with the mean and standard deviation of all folds."""
    from oil_storage.figures import metric_key
    from oil_storage.reporting.formatting import TILE_FIGURES, shown
    from oil_storage.reporting.results import SCENE_COLUMNS

    values = [
        [
            *(record.metrics[metric_key(key)] for key in TILE_FIGURES.values()),
            *(getattr(record.scenes, key) for key in SCENE_COLUMNS.values()),
        ]
        for record in folds
    ]
    defined = [[value for value in column if value is not None] for column in zip(*values, strict=True)]
    lines = [["fold", *TILE_FIGURES, *SCENE_COLUMNS]]
    lines += [[str(fold), *map(shown, row)] for fold, row in enumerate(values)]
    lines.append(["mean", *(shown(mean(column) if column else None) for column in defined)])
    lines.append(["sd", *(shown(stdev(column) if len(column) > 1 else None) for column in defined)])
    return "\n".join("".join(f"{cell:>11}" for cell in line) for line in lines)


main = partial(run, build_parser, crossval)
