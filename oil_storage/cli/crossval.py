"""``tools/crossval.py``: train a config on every fold of its data set and score it on what the fold leaves out."""

import argparse
import gc
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from oil_storage.cli import configuration
from oil_storage.cli import test as testing
from oil_storage.cli import train as training
from oil_storage.cli.command import run
from oil_storage.errors import UserError
from oil_storage.reporting.results import SCENE_COLUMNS

DATA = "OIL_STORAGE_DATA"
"""Environment variable by which configs find their prepared folder."""


def build_parser() -> argparse.ArgumentParser:
    """Flags of ``tools/train.py``, and the number of folds."""
    parser = training.build_parser()
    parser.prog = "tools/crossval.py"
    parser.description = (
        "Cross-validate a config. The scenes that its prepared data set was made from are cut into K folds; each is "
        "tested on once, by a training that neither saw it nor the next fold, which validates. Folds are prepared in "
        "<data>_K_folds/0 and so on, and trained in <work dir>/0 and so on. Each test is a line of "
        "results/test_log.csv."
    )
    parser.add_argument("--folds", type=int, required=True, metavar="K", help="how many, at least 3")
    return parser


def crossval(args: argparse.Namespace) -> int:
    """Prepare, train and test all folds; write ``crossval.json`` and print its table."""
    if args.folds < 3:
        raise UserError(f"--folds {args.folds}: must be at least 3: one tests, one validates, the others train")
    if args.resume not in (None, "auto"):
        raise UserError(f"--resume {args.resume}: each fold has a checkpoint of its own; give --resume alone")
    if args.launcher != "none":
        raise UserError(f"--launcher {args.launcher}: folds are trained in one process, one after another")
    configuration.check_files(args.config, args.load_from)
    configuration.choose_device(args.device)
    configuration.quieten()
    work_dir = args.work_dir or Path("work_dirs", f"{args.config.stem}_{args.folds}_folds")
    # all before the first training: what is wrong with one is said now, not after hours
    data = [prepare_data(args, fold) for fold in range(args.folds)]
    results = []
    for fold, prepared in enumerate(data):
        print(f"\nfold {fold} of {args.folds}: {prepared}")
        with environment(DATA, str(prepared)):
            if status := train_and_test(args, work_dir / str(fold)):
                return status
        results.append(json.loads((work_dir / str(fold) / "test" / "metrics.json").read_text(encoding="utf-8")))
        gc.collect()  # a Runner and its hooks hold each other, and the loaders' processes

    from oil_storage.files import write_json

    path = work_dir / "crossval.json"
    write_json(path, {"config": str(args.config), "folds": results})
    print(f"\n{table(results)}\nfigures: {path}")
    return 0


def prepare_data(args: argparse.Namespace, fold: int) -> Path:
    """Prepare a fold of the config's data set in its tile geometry; returns the fold's folder.

    Raises:
        UserError: the config does not find its data through :data:`DATA`, or see
            :func:`oil_storage.preparation.prepare.prepare_fold`.
    """
    from oil_storage.preparation.prepare import fold_folder, prepare_fold

    dataset = configuration.load(args).train_dataloader.dataset
    out = fold_folder(Path(dataset.data_root), args.folds, fold)
    with environment(DATA, str(out)):
        cfg = configuration.load(args)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if Path(cfg[loader].dataset.data_root) != out:
            remedy = f"write '{{{{${DATA}:data/oil_storage}}}}', so that folds can take turns"
            raise UserError(f"{args.config}: {loader}.dataset.data_root={cfg[loader].dataset.data_root}; {remedy}")
    prepared = prepare_fold(Path(dataset.data_root), args.folds, fold, dataset.tile, dataset.overlap)
    counts = prepared.manifest.counts
    print(f"{out}: " + "; ".join(f"{s} {counts[s].scenes} scenes, {counts[s].boxes} boxes" for s in counts))
    return out


def train_and_test(args: argparse.Namespace, work_dir: Path) -> int:
    """Train a fold, choose its last checkpoint's score threshold on val, score it on test; returns the exit status."""
    from oil_storage.checkpoints.work_dir import LAST

    if status := training.train(argparse.Namespace(**{**vars(args), "work_dir": work_dir})):
        return status
    checkpoint = Path((work_dir / LAST).read_text(encoding="utf-8"))
    same = {name: getattr(args, name) for name in ("amp", "cfg_options", "device", "debug")}
    for split in ("val", "test"):
        defaults = testing.build_parser().parse_args([str(args.config), str(checkpoint), "--split", split])
        if status := testing.test(argparse.Namespace(**{**vars(defaults), **same, "work_dir": work_dir})):
            return status
    return 0


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


def table(folds: Sequence[Mapping[str, Any]]) -> str:
    """A line a fold, then mean and standard deviation of the folds that have a value (of no large box, no AP large).

    Args:
        folds: ``metrics.json`` of each.
    """
    tiles = {name: f"coco/bbox_{key}" for name, key in testing.TABLE.items()}
    columns = [*tiles, *SCENE_COLUMNS]
    found = [
        [*(one["metrics"][key] for key in tiles.values()), *(one["scenes"].get(key) for key in SCENE_COLUMNS.values())]
        for one in folds
    ]
    lines = [[str(fold), *map(_figure, figures)] for fold, figures in enumerate(found)]
    values = [[value for value in column if value is not None] for column in zip(*found, strict=True)]
    lines.append(["mean", *(_figure(mean(there) if there else None) for there in values)])
    lines.append(["sd", *(_figure(stdev(there) if len(there) > 1 else None) for there in values)])
    return "\n".join("".join(f"{cell:>11}" for cell in line) for line in [["fold", *columns], *lines])


def _figure(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/crossval.py``."""
    return run(build_parser(), crossval, argv)
