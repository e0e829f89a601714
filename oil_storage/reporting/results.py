"""Record results in ``results/<config>.json``, log tests, and make the tables of the documentation."""

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError
from oil_storage.figures import ConfigResults, Figures, RecordedRun, Stored, TestRecord, Validation, metric_key
from oil_storage.files import sha256
from oil_storage.reporting.formatting import TILE_FIGURES, markdown_table, shown, span
from oil_storage.training_log import validations

COLUMNS = ("AP", "AP50", "AP75", "AP small", "AP medium")
"""Columns with figures of tiles; see :data:`oil_storage.reporting.formatting.TILE_FIGURES`."""
PUBLISHED_COLUMNS = {"AP, published rules": "mAP", "AP50, published rules": "mAP_50"}
"""Columns with figures of tiles; see :func:`oil_storage.evaluation.dense_coco.published_score`."""
SCENE_COLUMNS = {"scene AP": "ap", "scene AP50": "ap50", "F1": "f1"}
"""Columns with figures of whole scenes and 95 % intervals; see :class:`oil_storage.figures.Figures`."""
HEADER = (
    *("config", "first weights", "data", "split", "seed", *COLUMNS, *PUBLISHED_COLUMNS, *SCENE_COLUMNS),
    *("training", "hardware", "commit"),
)
BRIEF = ("config", "data", "split", "seed", "AP", "AP50", "F1", "training")
"""Columns of the table in README."""
RECORDED = {
    *("ap", "ap50", "ap75", "ar", "voc_ap", "threshold", "precision", "recall", "f1", "count_mae", "count_bias"),
    *("count_r2", "iou", "centre_px", "diameter_px", "intervals", "lost_ap50"),
    *("false_alarm_rate", "false_alarms"),
}
"""Figures of whole scenes that results files contain."""
SETTINGS = ("split", "seed", "tta", "scenes_fraction")
"""Settings that distinguish the runs of a config on the same data."""

OUTCOMES = "outcomes.npz"
"""File beside ``metrics.json`` with a :class:`oil_storage.evaluation.outcomes.TestOutcomes`."""
LOG = Path("results/test_log.csv")
"""Log of every test on a test split. If a split is tested often, choices can overfit it."""
logger = logging.getLogger(__name__)


def measured(work_dir: Path, split: str) -> tuple[str, RecordedRun]:
    """Read the recorded data of a run: how it was trained, and its scores on a split.

    Args:
        work_dir: work dir of ``tools/train.py``, in which ``tools/test.py`` has written ``<split>/metrics.json``.
        split: ``val`` or ``test``.

    Returns:
        tuple: name of the config, and the run.

    Raises:
        UserError: the run was not tested on this split, or its test used a checkpoint of another run, other data than
            the training, or settings that were changed with ``--cfg-options``.
    """
    path = work_dir / split / "metrics.json"
    again = f"run tools/test.py with --split {split} --work-dir {work_dir}"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {again}")
    record = TestRecord.load(path)
    if not (outcomes := path.with_name(OUTCOMES)).is_file():
        raise UserError(f"{outcomes}: no such file; {again}")
    checkpoint, trained = Path(record.checkpoint), record.trained
    if checkpoint.resolve().parent != work_dir.resolve():
        raise UserError(f"{path}: has the score of {checkpoint}, which is not in {work_dir}; {again}")
    if not checkpoint.is_file() or sha256(checkpoint) != record.checkpoint_sha256:
        raise UserError(f"{path}: has the score of {checkpoint}, which was replaced or deleted since; {again}")
    if not trained or not trained.data:
        raise UserError(f"{checkpoint}: has no record of its training data; train again to record the run")
    if record.changes and record.cfg_options:  # changes in the config file itself are documented by git
        raise UserError(
            f"{path}: the settings of the test differ from those of the training ({record.changes[0]}); {again} "
            "without --cfg-options"
        )
    if record.data.sha256 != trained.data.sha256:
        raise UserError(
            f"{path}: the test used other prepared data (split seed {record.data.split_seed}) than the training "
            f"(split seed {trained.data.split_seed});\ntest again on the prepared data of the training, or train again"
        )
    return trained.config, RecordedRun(
        data=record.data,
        seed=trained.seed,
        initialised=trained.initialised,
        split=split,
        iterations=trained.iterations or 0,
        images_seen=trained.images_seen,
        scenes_fraction=trained.scenes_fraction,
        learning_rate=trained.learning_rate,
        train_minutes=None if trained.seconds is None else round(trained.seconds / 60, 1),
        hardware=trained.hardware,
        commit=trained.commit,
        tta=record.tta,
        changes=record.changes,
        date=datetime.now(UTC).date().isoformat(),
        metrics=dict(sorted(record.metrics.items())),
        published_protocol=record.published_protocol,
        scenes=type(record.scenes).model_validate(record.scenes.model_dump(include=RECORDED, exclude_unset=True)),
        learning_curve=[
            Validation(
                images=step * trained.images_seen // trained.iterations,
                ap=metrics[metric_key("mAP")],
                ap50=metrics[metric_key("mAP_50")],
            )
            for step, metrics in validations(work_dir).items()
            if trained.images_seen and trained.iterations
        ],
    )


def outcomes_path(results: Path, config: str, run: RecordedRun) -> Path:
    """Return the path of the outcomes of a recorded run; see :class:`oil_storage.evaluation.outcomes.TestOutcomes`."""
    parts = [config, run.data.sha256[:6], run.split, str(run.seed)]
    parts += ["two_views"] * run.tta + [f"{run.scenes_fraction:g}_of_scenes"] * (run.scenes_fraction < 1)
    return results / "outcomes" / f"{'-'.join(parts)}.npz"


def read(results: Path) -> dict[str, ConfigResults]:
    """Read the recorded results of all configs. Return them by the name of the config.

    Raises:
        UserError: a file is damaged.
    """
    known = {path.stem: ConfigResults.load(path) for path in sorted(results.glob("*.json"))}
    for name, content in known.items():
        if content.config != name:
            raise UserError(f"{results / name}.json: has the results of {content.config!r}; restore it from git")
    return known


def record(results: Path, config: str, **parts: Stored | Sequence[Stored]) -> Path:
    """Update the results file of a config, and return its path.

    Args:
        results: folder of the results files.
        config: name of the config.
        parts: attributes of :class:`oil_storage.figures.ConfigResults` to replace.
    """
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{config}.json"
    before = read(results).get(config, ConfigResults(config=config))
    before.model_copy(update=parts).save(path)
    return path


def replaced(runs: Sequence[RecordedRun], run: RecordedRun) -> list[RecordedRun]:
    """Add a run to earlier runs, and sort them. The run replaces the run with equal settings.

    The settings are the seed, the data, the split, ``tta`` and ``scenes_fraction``.

    Raises:
        UserError: the run to replace has another number of iterations.
    """
    others = []
    for other in runs:
        same_data = replace(other.data, name=run.data.name) == run.data
        if not same_data or any(getattr(other, key) != getattr(run, key) for key in SETTINGS):
            others.append(other)
        elif other.iterations != run.iterations:
            raise UserError(
                f"seed {run.seed}: is recorded with {other.iterations} iterations, but this run has {run.iterations};\n"
                "record this run in another folder with --results, or remove the earlier run first"
            )

    def place(run: RecordedRun) -> tuple[Any, ...]:
        return run.data.name, run.split, run.seed or 0, run.tta, -run.scenes_fraction

    return sorted([*others, run], key=place)


def markdown(known: Mapping[str, ConfigResults], columns: Sequence[str] = HEADER) -> str:
    """Make a Markdown table for each data set and split seed, with a row for each run.

    If all columns are given, notes after the tables name the runs whose test settings differ from their training.

    Args:
        known: recorded results of each config; see :func:`read`.
        columns: columns of the tables, from :data:`HEADER`.

    Raises:
        UserError: no run is recorded.
    """
    by_data: dict[tuple[Any, ...], list[Sequence[str]]] = {}
    notes = []
    for config, content in known.items():
        for run in content.runs:
            if run.scenes_fraction < 1:  # docs/benchmark.md has these
                continue
            data = run.data.name, run.data.annotations_sha256, run.data.split_seed
            cells = dict(zip(HEADER, _cells(config, run), strict=True))
            by_data.setdefault(data, []).append([cells[column] for column in columns])
            if run.changes and columns == HEADER:
                changes = "; ".join(run.changes)
                notes.append(f"`{config}` was tested with settings that differ from training: {changes}.\n")
    if not by_data:
        raise UserError("no run is recorded; record one with tools/report.py WORK_DIR")
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
    """Append a test to :data:`LOG` if the config is in the ``configs`` folder of the working directory.

    If the log cannot be written, this is only a warning, so that the figures are not lost.
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
        logger.info("%s: logged this test on the test split", LOG)
    except OSError as error:
        logger.warning("%s: cannot log this test: %s", LOG, error)
