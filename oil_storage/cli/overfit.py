"""See whether configs can learn: train each, in small, on eight synthetic tiles until it finds their tanks again."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from oil_storage import config
from oil_storage.cli.command import quieten_libraries, run
from oil_storage.errors import UserError

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/overfit.py", description=__doc__)
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="e.g. configs/oil/ssd_lite0.py")
    parser.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        help="time limit for each, checked whenever it is scored (default: %(default)s)",
    )
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/overfit"), help="default: %(default)s")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="write what was reached into DIR/<config>.json, e.g. results"
    )
    return parser


def overfit(args: argparse.Namespace) -> int:
    """Train what is not trained yet; return exit status 1 where a config has not learnt."""
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
            logger.warning("%s: the same command carries on", path.stem)
            return stop.status
        enough = reached.ap50 >= reached.wanted
        verdict = "learns" if enough else f"has not learnt, which takes {reached.wanted}"
        print(f"{path.stem}: AP50 {reached.ap50:.3f} in {reached.iterations} iterations: {verdict}", flush=True)
        status = status if enough else 1
        if args.record:
            record(args.record, path.stem, learns=reached)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/overfit.py``; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), overfit, argv)
