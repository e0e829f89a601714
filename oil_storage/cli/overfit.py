"""See whether configs can learn: train each, in small, on eight synthetic tiles until it finds their tanks again."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oil_storage.cli import configuration
from oil_storage.cli.command import run
from oil_storage.errors import UserError

CNN_AP50, DETR_AP50 = 0.9, 0.5
"""What is enough; detectors of the DETR family take long from scratch."""
LEARNT = "learnt.json"
SIGNALLED = 128
"""Exit statuses above are of what a signal has ended."""


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    parser = argparse.ArgumentParser(prog="tools/overfit.py", description=__doc__)
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="e.g. configs/oil/ssd_lite0.py")
    parser.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        help="for each, at most, looked at whenever it is scored (default: %(default)s)",
    )
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/overfit"), help="default: %(default)s")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="write what was reached into DIR/<config>.json, e.g. results"
    )
    return parser


def overfit(args: argparse.Namespace) -> int:
    """Train what is not trained yet; exit status 1 where a config has not learnt."""
    if not args.minutes > 0:
        raise UserError(f"--minutes {args.minutes:g}: must be more than 0")
    for path in args.configs:
        configuration.check_files(path)
    configuration.quieten()

    from oil_storage.preparation.overfit_tiles import write_overfit_tiles
    from oil_storage.reporting.results import record

    for path in args.configs:
        configuration.read(path)
    data = write_overfit_tiles(args.work_dir / "data")
    learnt = True
    for path in args.configs:
        reached = learn(path, data, args.work_dir / path.stem, args.minutes)
        enough = reached["ap50"] >= reached["wanted"]
        verdict = "learns" if enough else f"has not learnt, which takes {reached['wanted']}"
        print(f"{path.stem}: AP50 {reached['ap50']:.3f} in {reached['iterations']} iterations: {verdict}", flush=True)
        learnt &= enough
        if args.record:
            record(args.record, path.stem, "learns", reached)
    return 0 if learnt else 1


def learn(path: Path, data: Path, work_dir: Path, minutes: float) -> dict[str, Any]:
    """Train one config, or go on where an earlier call was stopped or had no more time; what is done is not done again.

    Args:
        path: of the config.
        data: prepared tiles.
        work_dir: of this config's training.
        minutes: at most.

    Returns:
        dict: ``ap50``, ``wanted``, ``iterations``, ``seconds``, ``hardware``, ``commit``.
    """
    from oil_storage.checkpoints.checkpoint import Checkpoint
    from oil_storage.checkpoints.work_dir import find_last
    from oil_storage.cli import train
    from oil_storage.engine.overfitting import overfitting
    from oil_storage.files import write_json, write_text

    cfg = configuration.read(path)
    wanted = DETR_AP50 if "num_queries" in cfg.model else CNN_AP50
    text: str = overfitting(cfg, data, wanted, minutes).pretty_text
    config, learnt = work_dir.with_suffix(".py"), work_dir / LEARNT  # beside the folder, where mmengine writes its own
    if work_dir.is_dir() and not (config.is_file() and _same_but_for_time(config.read_text(encoding="utf-8"), text)):
        print(f"{work_dir}: holds what another config has learnt; deleted", flush=True)
        shutil.rmtree(work_dir)
    elif learnt.is_file():
        found: dict[str, Any] = json.loads(learnt.read_text(encoding="utf-8"))
        if found["ap50"] >= wanted or found["seconds"] >= 60 * minutes:
            return found
    write_text(config, text)
    resume = ["--resume"] if find_last(work_dir) else []
    if status := train.main([str(config), "--work-dir", str(work_dir), *resume]):
        if status > SIGNALLED:
            print(f"{path.stem}: the same command carries on", file=sys.stderr)
        sys.exit(status)  # it has said why
    last = find_last(work_dir)
    assert last is not None  # a training that ended well leaves one
    meta = Checkpoint.read(last).meta
    assert meta.trained is not None  # our own training wrote it
    reached = {
        "ap50": _last_score(work_dir),
        "wanted": wanted,
        "iterations": meta.iter,
        "seconds": round(meta.trained.seconds or 0.0, 1),
        "hardware": meta.trained.hardware,
        "commit": meta.trained.commit,
    }
    write_json(learnt, reached)
    return reached


def _same_but_for_time(one: str, other: str) -> bool:
    """Whether two configs are the same but for the time that they have."""
    first, second = (
        [line for line in text.splitlines() if not line.startswith("most_seconds = ")] for text in (one, other)
    )
    return first == second


def _last_score(work_dir: Path) -> float:
    """The last AP50 that a training has logged."""
    from oil_storage.engine.learnt import AP50

    logs = sorted(work_dir.glob("*/vis_data/scalars.json"))
    entries = [json.loads(line) for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    return float([entry[AP50] for entry in entries if AP50 in entry][-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/overfit.py``."""
    return run(build_parser(), overfit, argv)
