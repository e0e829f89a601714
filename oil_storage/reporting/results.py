"""Committed results, ``results/<config>.json``, the log of test splits, and the tables that README shows of them."""

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError
from oil_storage.figures import ConfigResults, Figures, RecordedRun, Stored, TestRecord, metric_key
from oil_storage.files import sha256
from oil_storage.reporting.formatting import TILE_FIGURES, markdown_table, shown, span

COLUMNS = ("AP", "AP50", "AP75", "AP small", "AP medium")
"""Columns for figures of tiles, see :data:`oil_storage.reporting.formatting.TILE_FIGURES`."""
PUBLISHED_COLUMNS = {"AP, published rules": "mAP", "AP50, published rules": "mAP_50"}
"""Columns for figures of tiles by the published rules, see :mod:`oil_storage.evaluation.dense_coco`."""
SCENE_COLUMNS = {"scene AP": "ap", "scene AP50": "ap50", "F1": "f1"}
"""Columns for figures of whole scenes, with 95 % intervals, see :class:`oil_storage.figures.Figures`."""
HEADER = (
    *("config", "first weights", "data", "split", "seed", *COLUMNS, *PUBLISHED_COLUMNS, *SCENE_COLUMNS),
    *("training", "hardware", "commit"),
)
BRIEF = ("config", "data", "split", "seed", "AP", "AP50", "F1", "training")
"""Columns of README's table."""
RECORDED = {
    *("ap", "ap50", "ap75", "ar", "voc_ap", "threshold", "precision", "recall", "f1", "count_mae", "count_bias"),
    *("count_r2", "iou", "centre_px", "diameter_px", "intervals", "lost_ap50"),
}
"""Figures of whole scenes that are committed."""

LOG = Path("results/test_log.csv")
"""Every look at a test split: what is chosen after many looks is chosen on them."""
logger = logging.getLogger(__name__)


def measured(work_dir: Path, split: str) -> tuple[str, RecordedRun]:
    """Read what a run has scored.

    Args:
        work_dir: folder of ``tools/train.py``, in which ``tools/test.py --split`` has left ``<split>/metrics.json``.
        split: ``val`` or ``test``.

    Returns:
        tuple: name of the config, and the run.

    Raises:
        UserError: the run was not tested on that split, or the test was of something else: another checkpoint than
            stands there, other data than it was trained on, or a config changed with ``--cfg-options``.
    """
    path = work_dir / split / "metrics.json"
    again = f"run tools/test.py with --split {split} --work-dir {work_dir}"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {again}")
    record = TestRecord.load(path)
    checkpoint, trained = Path(record.checkpoint), record.trained
    if checkpoint.resolve().parent != work_dir.resolve():
        raise UserError(f"{path}: scores {checkpoint}, which is not of {work_dir}; {again}")
    if not checkpoint.is_file() or sha256(checkpoint) != record.checkpoint_sha256:
        raise UserError(f"{path}: scores a {checkpoint} that is not there any more; {again}")
    if not trained or not trained.data:
        raise UserError(f"{checkpoint}: does not tell on what data it was trained; train it again to record it")
    if record.changes and record.cfg_options:  # without options the config has changed, which all can read
        raise UserError(f"{path}: not tested as it was trained: {record.changes[0]}; {again}, as it was trained")
    if record.data.sha256 != trained.data.sha256:
        raise UserError(
            f"{path}: scores on data that was prepared otherwise than what the run was trained on (split seed "
            f"{record.data.split_seed}, trained on {trained.data.split_seed});\n"
            "prepare it as it was, or train again"
        )
    return trained.config, RecordedRun(
        data=record.data,
        seed=trained.seed,
        initialised=trained.initialised,
        split=split,
        iterations=trained.iterations or 0,
        train_minutes=None if trained.seconds is None else round(trained.seconds / 60, 1),
        hardware=trained.hardware,
        commit=trained.commit,
        tta=record.tta,
        changes=record.changes,
        date=datetime.now(UTC).date().isoformat(),
        metrics=dict(sorted(record.metrics.items())),
        published_protocol=record.published_protocol,
        scenes=type(record.scenes).model_validate(record.scenes.model_dump(include=RECORDED, exclude_unset=True)),
    )


def read(results: Path) -> dict[str, ConfigResults]:
    """Read what is known of each config, by its name.

    Raises:
        UserError: a file is damaged.
    """
    known = {path.stem: ConfigResults.load(path) for path in sorted(results.glob("*.json"))}
    for name, content in known.items():
        if content.config != name:
            raise UserError(f"{results / name}.json: holds results of {content.config!r}; take it from git again")
    return known


def record(results: Path, config: str, **parts: Stored | Sequence[Stored]) -> Path:
    """Write what was measured of a config, beside what else is known of it; return the file.

    Args:
        results: folder of all configs' files.
        config: its name.
        parts: attributes of :class:`oil_storage.figures.ConfigResults`.
    """
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{config}.json"
    before = read(results).get(config, ConfigResults(config=config))
    before.model_copy(update=parts).save(path)
    return path


def replaced(runs: Sequence[RecordedRun], run: RecordedRun) -> list[RecordedRun]:
    """Return ``runs`` with ``run`` in place of that of the same seed, data, split and views, in order.

    Raises:
        UserError: that one was trained for another number of iterations, so they are not one experiment.
    """
    others = []
    for other in runs:
        # early records have no hash of their data, and its folder may be called otherwise
        same_data = replace(other.data, name=run.data.name, sha256=other.data.sha256 or run.data.sha256) == run.data
        if not same_data or (other.split, other.seed, other.tta) != (run.split, run.seed, run.tta):
            others.append(other)
        elif other.iterations != run.iterations:
            raise UserError(
                f"seed {run.seed} is recorded with {other.iterations} iterations, this run had {run.iterations};\n"
                "record it elsewhere with --results, or take the other out first"
            )
    return sorted([*others, run], key=lambda kept: (kept.data.name, kept.split, kept.seed or 0, kept.tta))


def markdown(known: Mapping[str, ConfigResults], columns: Sequence[str] = HEADER) -> str:
    """Make a table for each data set, a line a run; figures on different data are not to be compared.

    Args:
        known: see :func:`read`.
        columns: columns of the tables; with all of them, notes on changed configs follow.

    Raises:
        UserError: nothing is recorded.
    """
    by_data: dict[tuple[Any, ...], list[Sequence[str]]] = {}
    notes = []
    for config, content in known.items():
        for run in content.runs:
            data = run.data.name, run.data.annotations_sha256, run.data.split_seed
            cells = dict(zip(HEADER, _cells(config, run), strict=True))
            by_data.setdefault(data, []).append([cells[column] for column in columns])
            if run.changes and columns == HEADER:
                notes.append(f"`{config}` is tested otherwise than it was trained: {'; '.join(run.changes)}.\n")
    if not by_data:
        raise UserError("no run is recorded; name one: tools/report.py WORK_DIR")
    tables = [markdown_table(columns, rows) for _, rows in sorted(by_data.items())]
    return "\n".join([*tables, *dict.fromkeys(notes)])


def _cells(config: str, run: RecordedRun) -> list[str]:
    values = [run.metrics[metric_key(TILE_FIGURES[name])] for name in COLUMNS]
    values += [run.published_protocol.get(name) for name in PUBLISHED_COLUMNS.values()]
    return [
        f"`{config}`{', two views' if run.tta else ''}",
        run.initialised or "-",
        run.data.name,
        run.split,
        str(run.seed),
        *map(shown, values),
        *(_with_interval(run.scenes, name) for name in SCENE_COLUMNS.values()),
        "-" if run.train_minutes is None else f"{run.train_minutes:.0f} min",
        run.hardware,
        run.commit,
    ]


def _with_interval(figures: Figures | None, name: str) -> str:
    interval = span(figures.intervals.get(name)) if figures else ""
    return shown(getattr(figures, name, None)) + (f" ({interval})" if interval else "")


def log_test(config: Path, tested: TestRecord) -> None:
    """Append a test to :data:`LOG`, if its config is one of the repository that the command is given in.

    A log that cannot be written causes a warning: the figures are worth more.
    """
    if Path("configs").resolve() not in config.resolve().parents or not LOG.parent.is_dir():
        return
    figures = {
        "ap": tested.metrics[metric_key("mAP")],
        "ap50": tested.metrics[metric_key("mAP_50")],
        "scene_f1": tested.scenes.f1,
    }
    row = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.stem,
        "data": tested.data.name,
        "data_sha256": tested.data.sha256[:12],
        "checkpoint_sha256": tested.checkpoint_sha256[:12],
        "commit": tested.trained.commit if tested.trained else "",
        "tta": str(tested.tta).lower(),
        "changes": "; ".join(tested.changes),
        **{name: "" if value is None else f"{value:.4f}" for name, value in figures.items()},
    }
    try:
        is_new = not LOG.exists()
        with LOG.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([row, row.values()] if is_new else [row.values()])
        logger.info("logged in %s: a look at the test split", LOG)
    except OSError as error:
        logger.warning("this test is not in %s: %s", LOG, error)
