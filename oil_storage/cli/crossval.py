"""Cross-validate a config: train it on every fold of its data set and score it on what the fold leaves out."""

import argparse
import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from oil_storage import config
from oil_storage.cli import train as training
from oil_storage.cli.command import run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from oil_storage.figures import TestRecord

DATA = "OIL_STORAGE_DATA"
"""Environment variable by which configs find their prepared folder."""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser: flags of ``tools/train.py``, and the number of folds."""
    parser = training.build_parser()
    parser.prog = "tools/crossval.py"
    parser.description = (
        "Cross-validate a config. The scenes that its prepared data set was made from are cut into K folds; each is "
        "tested on once, by a training that saw neither it nor the next fold, which validates. Folds are prepared in "
        "<data>_K_folds/0 and so on, and trained in <work dir>/0 and so on. Each test is a line of "
        "results/test_log.csv."
    )
    parser.add_argument("--folds", type=int, required=True, metavar="K", help="how many, at least 3")
    return parser


def crossval(args: argparse.Namespace) -> None:
    """Prepare, train and test all folds; write ``crossval.json`` and print its table."""
    if args.folds < 3:
        raise UserError(f"--folds {args.folds}: must be at least 3: one tests, one validates, the others train")
    if args.resume not in (None, "auto"):
        raise UserError(f"--resume {args.resume}: each fold has a checkpoint of its own; give --resume alone")
    if args.launcher != "none":
        raise UserError(f"--launcher {args.launcher}: folds are trained in one process, one after another")
    training.configure(args)

    from oil_storage.files import write_json

    work_dir = args.work_dir or Path("work_dirs", f"{args.config.stem}_{args.folds}_folds")
    # prepare all folds before the first training, so that errors show now and not after hours
    folds = [prepare_data(args, fold) for fold in range(args.folds)]
    records = []
    for fold, prepared in enumerate(folds):
        print(f"\nfold {fold} of {args.folds}: {prepared}", flush=True)
        with environment(DATA, str(prepared)):
            records.append(train_and_test(args, work_dir / str(fold)))
        gc.collect()  # a Runner and its hooks hold each other, and the loaders' processes
    path = work_dir / "crossval.json"
    folds_json = [record.model_dump(mode="json", exclude_unset=True) for record in records]
    write_json(path, {"config": str(args.config), "folds": folds_json})
    print(f"\n{table(records)}\nfigures: {path}")


def prepare_data(args: argparse.Namespace, fold: int) -> Path:
    """Prepare a fold of the config's data set in its tile geometry; return the fold's folder.

    Raises:
        UserError: the config does not find its data through :data:`DATA`, or see
            :func:`oil_storage.preparation.prepare.prepare_fold`.
    """
    from oil_storage.preparation.prepare import fold_folder, prepare_fold

    dataset = config.load(args.config, args.cfg_options).train_dataloader.dataset
    out = fold_folder(Path(dataset.data_root), args.folds, fold)
    with environment(DATA, str(out)):
        cfg = config.load(args.config, args.cfg_options)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if Path(cfg[loader].dataset.data_root) != out:
            remedy = f"write '{{{{${DATA}:data/oil_storage}}}}', so that folds can take turns"
            raise UserError(f"{args.config}: {loader}.dataset.data_root={cfg[loader].dataset.data_root}; {remedy}")
    prepared = prepare_fold(Path(dataset.data_root), args.folds, fold, dataset.tile, dataset.overlap)
    counts = prepared.manifest.counts
    print(f"{out}: " + "; ".join(f"{s} {counts[s].scenes} scenes, {counts[s].boxes} boxes" for s in counts))
    return out


def train_and_test(args: argparse.Namespace, work_dir: Path) -> "TestRecord":
    """Train a fold, choose its last checkpoint's score threshold on val, and score it on test."""
    from oil_storage.checkpoints.work_dir import LAST
    from oil_storage.engine.testing import evaluate_checkpoint
    from oil_storage.engine.training import train
    from oil_storage.reporting.results import log_test
    from oil_storage.reporting.scored_run import write_tested

    train(training.configure(args, work_dir), resume=args.resume, scratch=args.from_scratch)
    checkpoint = Path((work_dir / LAST).read_text(encoding="utf-8"))
    for split in ("val", "test"):
        cfg = config.load(args.config, args.cfg_options, work_dir=work_dir, bf16=args.amp)
        tested = evaluate_checkpoint(cfg, checkpoint, split=split, options=args.cfg_options)
        assert tested is not None  # in the only process
        record = tested.record
        write_tested(work_dir / split, record, tested.scenes, tested.tile_detections, tested.tile_folder)
    log_test(args.config, record)
    return record


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def table(folds: Sequence["TestRecord"]) -> str:
    """Make a line for each fold, then mean and standard deviation of the folds that have a value."""
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
    known = [[value for value in column if value is not None] for column in zip(*values, strict=True)]
    lines = [["fold", *TILE_FIGURES, *SCENE_COLUMNS]]
    lines += [[str(fold), *map(shown, row)] for fold, row in enumerate(values)]
    lines.append(["mean", *(shown(mean(column) if column else None) for column in known)])
    lines.append(["sd", *(shown(stdev(column) if len(column) > 1 else None) for column in known)])
    return "\n".join("".join(f"{cell:>11}" for cell in line) for line in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/crossval.py``; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), crossval, argv)
