"""Committed results, ``results/<config>.json``, and the tables that README shows of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError
from oil_storage.files import sha256, write_json
from oil_storage.reporting.figure_text import shown, span

COLUMNS = {"AP": "mAP", "AP50": "mAP_50", "AP75": "mAP_75", "AP small": "mAP_s", "AP medium": "mAP_m"}
"""Columns of a table, and what the metric calls them after ``coco/bbox_``."""

SCENE_COLUMNS = {"scene AP": "ap", "scene AP50": "ap50", "F1": "f1"}
"""Columns of whole scenes, with their 95 % intervals where there are, and what
:func:`oil_storage.evaluation.scene_score.score_scenes` calls them."""
PUBLISHED_COLUMNS = {"AP, published rules": "mAP", "AP50, published rules": "mAP_50"}
"""Columns of tiles, see :mod:`oil_storage.evaluation.published_protocol`."""
OF_SCENES = (
    *("ap", "ap50", "ap75", "ar", "voc_ap", "threshold", "precision", "recall", "f1", "count_mae", "count_bias"),
    *("count_r2", "iou", "centre_px", "diameter_px", "intervals", "lost_ap50"),
)
"""Figures of whole scenes that are recorded."""

AGAIN = "take it from git again"
"""The remedy for a damaged file of results."""

IDENTITY = ("split", "seed", "tta")
"""What tells a config's runs on one data set apart."""

Run = dict[str, Any]
"""A trained and tested run as it is committed."""


def measured(work_dir: Path, split: str) -> tuple[str, Run]:
    """What a run has scored, if it is the run's score.

    Args:
        work_dir: folder of ``tools/train.py``, in which ``tools/test.py --split`` has left ``<split>/metrics.json``.
        split: ``val`` or ``test``.

    Returns:
        tuple: name of the config, and the run.

    Raises:
        UserError: the run was not tested on that split, or what was tested is not it: another checkpoint than stands
            there, other data than it was trained on, or a config changed with ``--cfg-options``.
    """
    path = work_dir / split / "metrics.json"
    again = f"run tools/test.py again with --split {split} --work-dir {work_dir}"
    if not path.is_file():
        raise UserError(f"{path}: no such file; run tools/test.py with --split {split} --work-dir {work_dir} first")
    with damage_named(path, again):
        tested = json.loads(path.read_text(encoding="utf-8"))
        _check_is_its_score(path, tested, work_dir, split, again)
        trained = tested["trained"]
        run = {
            "data": tested["data"],
            "seed": trained["seed"],
            "initialised": trained.get("initialised"),
            "split": split,
            "iterations": trained["iterations"],
            "train_minutes": None if trained["seconds"] is None else round(trained["seconds"] / 60, 1),
            "hardware": trained["hardware"],
            "commit": trained["commit"],
            "tta": tested["tta"],
            "changes": tested["changes"],
            "date": datetime.now(UTC).date().isoformat(),
            "metrics": dict(sorted(tested["metrics"].items())),  # null where the split has no box of that size
            "published_protocol": tested.get("published_protocol", {}),
            "scenes": {key: tested["scenes"][key] for key in OF_SCENES if key in tested["scenes"]},
        }
        _cells(trained["config"], run)
        return trained["config"], run


def _check_is_its_score(path: Path, tested: dict[str, Any], work_dir: Path, split: str, again: str) -> None:
    checkpoint, trained = Path(tested["checkpoint"]), tested["trained"]
    if tested["split"] != split:
        raise UserError(f"{path}: scores the split {tested['split']!r}; {again}")
    if checkpoint.resolve().parent != work_dir.resolve():
        raise UserError(f"{path}: scores {checkpoint}, which is not of {work_dir}; {again}")
    if not checkpoint.is_file() or sha256(checkpoint) != tested["checkpoint_sha256"]:
        raise UserError(f"{path}: scores a {checkpoint} that is not there any more; {again}")
    if not trained or not trained["data"]:
        raise UserError(f"{checkpoint}: does not tell on what data it was trained; train it again to record it")
    if tested["changes"] and tested["cfg_options"]:  # without, what has changed is the config, as all can read it
        raise UserError(f"{path}: not tested as it was trained: {tested['changes'][0]}; {again}, as it was trained")
    if tested["data"]["sha256"] != trained["data"]["sha256"]:
        raise UserError(
            f"{path}: scores on data that was prepared otherwise than what the run was trained on (split seed "
            f"{tested['data']['split_seed']}, trained on {trained['data']['split_seed']});\n"
            "prepare it as it was, or train again"
        )


def committed(results: Path) -> dict[str, list[Run]]:
    """The recorded runs of each config.

    Raises:
        UserError: a file that is not whole.
    """
    runs_of = {}
    for config, known in read(results).items():
        with damage_named(results / f"{config}.json", AGAIN):
            if runs := known.get("runs", []):
                runs_of[config] = runs
            for run in runs:
                _cells(config, run)
                _note(config, run)
    return runs_of


def replaced(runs: Sequence[Run], run: Run) -> list[Run]:
    """``runs`` with ``run`` in place of that of the same seed on the same data and split and views, in order.

    Raises:
        UserError: that one was trained for another number of iterations, so they are not one experiment.
    """
    others = []
    for other in runs:
        # of the data by what was recorded then; its folder may be called otherwise
        data = {key: value for key, value in other["data"].items() if key != "name"}
        if any(other[key] != run[key] for key in IDENTITY) or data.items() - run["data"].items():
            others.append(other)
        elif other["iterations"] != run["iterations"]:
            raise UserError(
                f"seed {run['seed']} is recorded with {other['iterations']} iterations, this run had "
                f"{run['iterations']}; record it elsewhere with --results, or take the other out first"
            )
    return sorted([*others, run], key=lambda one: (one["data"]["name"], *(one[key] for key in IDENTITY)))


def record(results: Path, config: str, part: str, content: Any) -> Path:
    """Write what is known of a config, beside what else is known of it; returns the file.

    Args:
        results: folder of all configs' files.
        config: its name.
        part: ``runs``, as :func:`committed` reads them; ``learns``, of ``tools/overfit.py``; ``speed``, of
            ``tools/benchmark.py``; or ``cuda``, of ``benchmarks/cuda_smoke.py``.
        content: to be written as json.

    Raises:
        UserError: the file that stands there is not whole.
    """
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{config}.json"
    write_json(path, {"config": config, **read(results).get(config, {}), part: content})
    return path


def read(results: Path) -> dict[str, dict[str, Any]]:
    """What is known of each config, by its name.

    Raises:
        UserError: a file that is not whole.
    """
    known = {}
    for path in sorted(results.glob("*.json")):
        with damage_named(path, AGAIN):
            content = dict(json.loads(path.read_text(encoding="utf-8")))
            if content["config"] != path.stem:
                raise ValueError(f"is of {content['config']!r}")
            known[path.stem] = content
    return known


@contextmanager
def damage_named(path: Path, remedy: str) -> Iterator[None]:
    """Blame what goes wrong while a json's content is looked at on its file.

    Raises:
        UserError: names it, and the remedy.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        fault = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: damaged, or of another version ({fault}); {remedy}") from error


def table(results: Path) -> str:
    """:func:`markdown` of all that is committed."""
    return markdown(committed(results))


def markdown(runs_of: Mapping[str, Sequence[Run]]) -> str:
    """A table a data set, a line a run; figures on different data are not to be compared.

    Raises:
        UserError: nothing is recorded.
    """
    header = ["config", "first weights", "data", "split", "seed", *COLUMNS, *PUBLISHED_COLUMNS, *SCENE_COLUMNS]
    header += ["training", "hardware", "commit"]
    by_data: dict[tuple[Any, ...], list[str]] = {}
    notes = []
    for config, runs in runs_of.items():
        for run in runs:
            data = tuple(run["data"][key] for key in ("name", "annotations_sha256", "split_seed"))
            lines = by_data.setdefault(data, [_row(header), _row(["---"] * len(header))])
            lines.append(_row(_cells(config, run)))
            notes += [note] if (note := _note(config, run)) else []
    if not by_data:
        raise UserError("no run is recorded; name one: tools/report.py WORK_DIR")
    tables = ["\n".join(lines) for _, lines in sorted(by_data.items())]
    return "\n\n".join([*tables, *dict.fromkeys(notes)]) + "\n"


def _note(config: str, run: Run) -> str | None:
    changes = "; ".join(run["changes"])
    return f"`{config}` is tested otherwise than it was trained: {changes}." if changes else None


def _cells(config: str, run: Run) -> list[str]:
    values = [run["metrics"][f"coco/bbox_{name}"] for name in COLUMNS.values()]
    values += [run.get("published_protocol", {}).get(name) for name in PUBLISHED_COLUMNS.values()]
    scenes, minutes = run.get("scenes", {}), run["train_minutes"]
    return [
        f"`{config}`{', two views' if run['tta'] else ''}",
        run.get("initialised") or "-",
        run["data"]["name"],
        run["split"],
        str(run["seed"]),
        *(shown(value) for value in values),
        *(_with_interval(scenes, name) for name in SCENE_COLUMNS.values()),
        "-" if minutes is None else f"{minutes:.0f} min",
        run["hardware"],
        run["commit"],
    ]


def _with_interval(scenes: Mapping[str, Any], name: str) -> str:
    interval = span(scenes.get("intervals", {}).get(name))
    return f"{shown(scenes.get(name))} ({interval})" if interval else shown(scenes.get(name))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
