"""Looks at test splits, on record: what is chosen after many looks is chosen on them."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOG = Path("results/test_log.csv")
CONFIGS = Path("configs")
"""Tests of configs elsewhere are nobody's experiments here."""
COLUMNS = (
    *(
        "date",
        "config",
        "data",
        "data_sha256",
        "checkpoint_sha256",
        "commit",
        "tta",
        "changes",
        "ap",
        "ap50",
        "scene_f1",
    ),
)


def log_test(config: Path, report: Mapping[str, Any]) -> None:
    """Append a test to the log, if its config is one of the repository that the command is given in.

    A log that cannot be written is warned of: the figures are worth more.

    Args:
        config: file that was tested.
        report: what ``tools/test.py`` writes into ``metrics.json``.
    """
    if CONFIGS.resolve() not in config.resolve().parents or not LOG.parent.is_dir():
        return
    metrics, scenes = report["metrics"], report["scenes"]
    figures = metrics["coco/bbox_mAP"], metrics["coco/bbox_mAP_50"], scenes.get("f1")
    row = (
        datetime.now(UTC).isoformat(timespec="seconds"),
        config.stem,
        report["data"]["name"],
        report["data"]["sha256"][:12],
        report["checkpoint_sha256"][:12],
        (report["trained"] or {}).get("commit", ""),
        str(report["tta"]).lower(),
        "; ".join(report["changes"]),
        *("" if value is None else f"{value:.4f}" for value in figures),
    )
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    if not LOG.exists():
        writer.writerow(COLUMNS)
    writer.writerow(row)
    try:
        with LOG.open("a", encoding="utf-8") as file:
            file.write(line.getvalue())  # in one piece, whoever else writes
        print(f"logged in {LOG}: a look at the test split")
    except OSError as error:
        print(f"warning: this test is not in {LOG}: {error}")
