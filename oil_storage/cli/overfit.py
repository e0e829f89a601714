"""Check whether configs can learn: train a small version of each until it detects the tanks in 8 synthetic tiles."""

import argparse
import logging
from functools import partial
from pathlib import Path

from oil_storage import config
from oil_storage.cli.arguments import file_path
from oil_storage.cli.command import quieten_libraries, run
from oil_storage.errors import UserError

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/overfit.py", description=__doc__)
    parser.add_argument("configs", type=file_path, nargs="+", metavar="CONFIG", help="e.g. configs/oil/ssd_lite0.py")
    minutes = "time limit for each config, checked at each validation (default: %(default)s)"
    parser.add_argument("--minutes", type=float, default=20.0, help=minutes)
    parser.add_argument(
        "--work-dir", type=file_path, default=Path("work_dirs/overfit"), help="output folder (default: %(default)s)"
    )
    parser.add_argument("--record", type=file_path, metavar="DIR", help="write the results to DIR/<config>.json")
    return parser


def overfit(args: argparse.Namespace) -> int:
    """Train each config, or reuse its earlier result; return exit status 1 if any config has not learnt."""
    if not args.minutes > 0:
        raise UserError(f"--minutes {args.minutes:g}: must be more than 0")
    for path in args.configs:
        config.load(path)
    quieten_libraries()

    from oil_storage.engine.interruption import TrainingInterrupted
    from oil_storage.engine.overfitting import learn
    from oil_storage.preparation.overfit_tiles import write_overfit_tiles
    from oil_storage.reporting.results import record

    data = write_overfit_tiles(args.work_dir / "data")
    status = 0
    for path in args.configs:
        try:
            reached = learn(path, data, args.work_dir / path.stem, args.minutes)
        except TrainingInterrupted as stop:
            logger.warning("%s: stopped; run the same command again to continue", path.stem)
            return stop.status
        enough = reached.ap50 >= reached.wanted
        verdict = "learns" if enough else f"has not learnt; needs at least {reached.wanted}"
        print(f"{path.stem}: AP50 {reached.ap50:.3f} in {reached.iterations} iterations: {verdict}", flush=True)
        status = status if enough else 1
        if args.record:
            record(args.record, path.stem, learns=reached)
    return status


main = partial(run, build_parser, overfit)
