"""Committed results, ``results/<config>.json``, and the table that README shows of them."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError
from oil_storage.files import write_json

COLUMNS = {"AP": "mAP", "AP50": "mAP_50", "AP75": "mAP_75", "AP small": "mAP_s", "AP medium": "mAP_m"}
"""Columns of the table, and what the metric calls them after ``coco/bbox_``."""


def record(work_dir: Path, split: str, results: Path) -> Path:
    """Add a trained and tested run to the committed results.

    Call it on the machine that trained: its name and that of the commit checked out go into the record.

    Args:
        work_dir: folder of ``tools/train.py``, in which ``tools/test.py --split`` has left ``<split>/metrics.json``.
        split: ``val`` or ``test``.
        results: folder of committed results.

    Returns:
        Path: the file written; a run of the same seed on the same data and split is replaced.

    Raises:
        UserError: the run was not tested on that split, has no log, or what was tested is not it: a checkpoint of
            another folder, other data than it was trained on, or flips merged (``--tta``).
    """
    from mmengine.config import Config

    path = work_dir / split / "metrics.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; run tools/test.py with --split {split} --work-dir {work_dir} first")
    tested = json.loads(path.read_text(encoding="utf-8"))
    config = Path(tested["config"]).stem
    trained = Config.fromfile(work_dir / f"{config}.py")
    _check_tested(path, tested, work_dir, split, trained.train_dataloader.dataset.data_root)
    iterations, seconds = training_time(work_dir)
    run = {
        "data": tested["data"],
        "seed": trained.randomness.seed,
        "split": split,
        "iterations": iterations,
        "train_minutes": round(seconds / 60, 1),
        "hardware": hardware(),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        ).stdout.strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "metrics": {
            # null where the split has no box of that size
            key: None if value is None else round(value, 4)
            for key, value in sorted(tested["metrics"].items())
        },
    }
    path = results / f"{config}.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    others = [other for other in runs if any(other[key] != run[key] for key in ("data", "split", "seed"))]
    ordered = sorted([*others, run], key=lambda one: (one["data"]["name"], one["split"], one["seed"]))
    results.mkdir(parents=True, exist_ok=True)
    write_json(path, {"config": config, "runs": ordered})
    return path


def _check_tested(path: Path, tested: dict[str, Any], work_dir: Path, split: str, data_root: str) -> None:
    again = f"run tools/test.py again with --split {split} --work-dir {work_dir}"
    if tested["split"] != split:
        raise UserError(f"{path}: scores the split {tested['split']!r}; {again}")
    if Path(tested["checkpoint"]).resolve().parent != work_dir.resolve():
        raise UserError(f"{path}: scores {tested['checkpoint']}, which is not of {work_dir}; {again}")
    if Path(tested["data_root"]).resolve() != Path(data_root).resolve():
        raise UserError(f"{path}: scores on {tested['data_root']}, but the run was trained on {data_root}; {again}")
    if tested["tta"]:
        raise UserError(f"{path}: flips were merged, as the recorded runs do not; {again}, without --tta")


def training_time(work_dir: Path) -> tuple[int, float]:
    """Iterations done and seconds they took, validation apart, from the logged scalars of a run and its resumptions.

    Raises:
        UserError: the folder holds no log of a training.
    """
    times: dict[int, float] = {}
    for log in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in log.read_text(encoding="utf-8").splitlines():
            scalars = json.loads(line)
            if "loss" in scalars:
                times[scalars["step"]] = scalars["time"]
    if not times:
        raise UserError(f"{work_dir}: no */vis_data/scalars.json of a training in it")
    steps = [0, *sorted(times)]
    return steps[-1], sum((step - before) * times[step] for before, step in pairwise(steps))


def hardware() -> str:
    """Name of the GPU, or of the processor with the number of cores in use."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else platform.machine()}"


def table(results: Path) -> str:
    """Markdown table of all recorded runs, one line a run, tile level.

    Raises:
        UserError: nothing is recorded.
    """
    if not any(results.glob("*.json")):
        raise UserError(f"{results}: holds no recorded run; name one: tools/report.py WORK_DIR")
    header = ["config", "data", "split", "seed", *COLUMNS, "training", "hardware"]
    lines = [_row(header), _row(["---"] * len(header))]
    for path in sorted(results.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        lines += [_row([f"`{content['config']}`", *_cells(run)]) for run in content["runs"]]
    return "\n".join(lines) + "\n"


def _cells(run: dict[str, Any]) -> list[str]:
    values = [run["metrics"][f"coco/bbox_{name}"] for name in COLUMNS.values()]
    figures = ["-" if value is None else f"{value:.3f}" for value in values]
    return [
        run["data"]["name"],
        run["split"],
        str(run["seed"]),
        *figures,
        f"{run['train_minutes']:.0f} min",
        run["hardware"],
    ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
