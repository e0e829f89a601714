"""Tables of the benchmark: detectors of several families with the same backbone, data and training time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from oil_storage.figures import ConfigResults, CudaCost, RecordedRun, metric_key
from oil_storage.reporting.formatting import brief, markdown_table, shown, span
from oil_storage.reporting.results import outcomes_path

if TYPE_CHECKING:
    from oil_storage.evaluation.outcomes import Outcomes, TestOutcomes

LINE_UP = ("ssd_lite0_x15", "faster_rcnn_lite0_x15", "dino_lite0_x15", "rtmdet_lite0_x15")
"""Configs of the benchmark."""
NOT_RUN = "not yet run"
DASH = "-"
SPLITS = ("val", "test")
SCORES = (
    *("config", "split", "seed", "learning rate", "iterations", "images", "tile AP", "AP50", "AP75", "AP small"),
    *("AP medium", "scene AP50", "scene F1", "false alarms per 100 km²", "recall at 10 false alarms", "commit"),
)
COMPARED = {"tile AP": ("tiles", "ap"), "scene AP50": ("scenes", "ap50"), "scene F1": ("scenes", "f1")}
"""Compared figures: the part of :class:`~oil_storage.evaluation.outcomes.TestOutcomes`, and the name of the figure."""


@dataclass(frozen=True)
class Row:
    """Recorded run with its outcomes, which are None if they were not recorded."""

    config: str
    run: RecordedRun
    outcomes: "TestOutcomes | None"

    def part(self, name: str) -> "Outcomes | None":
        """Return the outcomes of ``tiles`` or ``scenes``."""
        return None if self.outcomes is None else getattr(self.outcomes, name)


def read_rows(known: Mapping[str, ConfigResults], results: Path, new: Mapping[Path, Path]) -> list[Row]:
    """Read the runs of the line-up without test-time augmentation, on the data of its first run.

    Args:
        known: recorded results of each config; see :func:`oil_storage.reporting.results.read`.
        results: folder of the recorded results.
        new: outcomes that are not in this folder yet: the file that contains them, by the path in this folder.
    """
    runs = [(name, run) for name in LINE_UP if name in known for run in known[name].runs if not run.tta]
    rows = []
    for name, run in runs:
        path, outcomes = outcomes_path(results, name, run), None
        path = new.get(path, path)
        if run.data.sha256 != runs[0][1].data.sha256:
            continue
        if path.is_file():
            from oil_storage.evaluation.outcomes import TestOutcomes

            outcomes = TestOutcomes.load(path)
        rows.append(Row(name, run, outcomes))
    return rows


def tables(known: Mapping[str, ConfigResults], rows: Sequence[Row]) -> dict[str, str]:
    """Make all tables of the page, by their name in its markers.

    Args:
        known: recorded results of each config.
        rows: see :func:`read_rows`.
    """
    line_up = {name: known.get(name, ConfigResults(config=name)) for name in LINE_UP}
    whole = [row for row in rows if row.run.scenes_fraction == 1]
    return {
        "budget": _budget(line_up),
        "search": _search(line_up),
        "scores": _scores(whole),
        "differences": _differences(whole),
        "costs": _costs(line_up),
        "fractions": _fractions(rows),
        "cuda": cuda_table({name: content.cuda for name, content in line_up.items()}),
    }


def _budget(line_up: Mapping[str, ConfigResults]) -> str:
    header = ("config", "s per iteration", "iterations", "images", "measured iterations", "hardware", "commit")
    cells = []
    for name, content in line_up.items():
        if (budget := content.budget) is None:
            cells.append(_missing(name, header))
            continue
        numbers = budget.iterations, budget.images, budget.measured
        seconds = f"{budget.seconds_per_iteration:.3g}"
        cells.append([f"`{name}`", seconds, *map(_grouped, numbers), budget.hardware, budget.commit])
    return markdown_table(header, cells)


def _search(line_up: Mapping[str, ConfigResults]) -> str:
    header = ("config", "iterations", "val AP by learning rate", "best", "commit")
    cells = []
    for name, content in line_up.items():
        lengths = sorted({trial.iterations for trial in content.trials})
        for iterations in lengths:
            trials = [trial for trial in content.trials if trial.iterations == iterations]
            best = max(trials, key=lambda trial: trial.ap or 0.0)
            tried = ", ".join(f"{trial.learning_rate:g}: {shown(trial.ap)}" for trial in trials)
            commits = ", ".join(dict.fromkeys(trial.commit for trial in trials))
            cells.append([f"`{name}`", _grouped(iterations), tried, f"{best.learning_rate:g}", commits])
        if not lengths:
            cells.append(_missing(name, header))
    return markdown_table(header, cells)


def _scores(rows: Sequence[Row]) -> str:
    cells = []
    for name in LINE_UP:
        for split in SPLITS:
            found = [row for row in rows if (row.config, row.run.split) == (name, split)]
            cells += [_score(row) for row in found] or [[f"`{name}`", split, NOT_RUN, *[DASH] * (len(SCORES) - 3)]]
    return markdown_table(SCORES, cells)


def _score(row: Row) -> list[str]:
    run, figures = row.run, row.run.scenes
    tiles, interval = row.part("tiles"), ""
    if tiles is not None:
        from oil_storage.evaluation.uncertainty import intervals

        low, high = intervals([tiles])["ap"]
        interval = "" if math.isnan(low) else f" ({span([low, high])})"
    ap, *others = (run.metrics[metric_key(name)] for name in ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m"))
    scenes = []
    for name in ("ap50", "f1"):
        ends = span(figures.intervals.get(name)) if figures else ""
        scenes.append(shown(getattr(figures, name, None)) + (f" ({ends})" if ends else ""))
    point = figures.false_alarms.get("10") if figures else None
    return [
        f"`{row.config}`",
        run.split,
        str(run.seed),
        DASH if run.learning_rate is None else f"{run.learning_rate:g}",
        _grouped(run.iterations),
        _grouped(run.images_seen),
        shown(ap) + interval,
        *map(shown, others),
        *scenes,
        shown(figures.false_alarm_rate if figures else None, 1),
        shown(point.recall if point else None),
        run.commit,
    ]


def _differences(rows: Sequence[Row]) -> str:
    header = ("better", "than", "split", "seeds", *COMPARED)
    cells = []
    for split in SPLITS:
        known = [row for row in rows if row.run.split == split and row.outcomes is not None]
        by_config = {name: [row for row in known if row.config == name] for name in LINE_UP}
        ranked = sorted((name for name in by_config if by_config[name]), key=lambda name: -_mean_ap(by_config[name]))
        for better, worse in combinations(ranked, 2):
            seeds = "; ".join(", ".join(str(row.run.seed) for row in by_config[name]) for name in (better, worse))
            values = [_difference(by_config[better], by_config[worse], *figure) for figure in COMPARED.values()]
            cells.append([f"`{better}`", f"`{worse}`", split, seeds, *values])
    return markdown_table(header, cells) if cells else f"Paired differences: {NOT_RUN}.\n"


def _mean_ap(rows: Sequence[Row]) -> float:
    return mean(row.run.metrics[metric_key("mAP")] or 0.0 for row in rows)


def _difference(better: Sequence[Row], worse: Sequence[Row], part: str, figure: str) -> str:
    """Format by how much the mean of some runs exceeds that of others, with its paired 95 % interval."""
    import numpy as np

    from oil_storage.evaluation.uncertainty import differences, resampled

    first, second = ([one for row in rows if (one := row.part(part)) is not None] for rows in (better, worse))
    if {run.names for run in first} != {run.names for run in second}:
        return "other scenes"
    means = [mean(resampled(run)(np.ones(len(run.names), int))[figure] for run in runs) for runs in (first, second)]
    low, high = differences(second, first)[figure]
    if math.isnan(low):  # a single scene
        return f"{means[0] - means[1]:+.3f}, may be chance"
    text = f"{means[0] - means[1]:+.3f}, {low:+.3f} to {high:+.3f}"
    return f"{text}, may be chance" if low <= 0 <= high else text


def _costs(line_up: Mapping[str, ConfigResults]) -> str:
    header = (
        *("config", "M parameters", "GFLOPs per tile", "s per scene", "scene, px", "peak memory, GB"),
        *("hardware", "commit"),
    )
    cells = []
    for name, content in line_up.items():
        speed, scene = content.speed, content.scene
        if speed is None and scene is None:
            cells.append(_missing(name, header))
            continue
        row = [f"`{name}`", *[DASH] * (len(header) - 1)]
        if speed is not None:
            row[1:3] = f"{speed.parameters / 1e6:.2f}", f"{speed.gflops:.1f}"
        if scene is not None:
            size = " x ".join(map(str, scene.size[::-1]))
            row[3:] = brief(scene.seconds), size, f"{scene.memory_gb:.2f}", scene.hardware, scene.commit
        cells.append(row)
    return markdown_table(header, cells)


def _fractions(rows: Sequence[Row]) -> str:
    header = ("config", "train scenes", "seed", "tile AP", "AP50", "scene F1", "tile AP below all scenes")
    cells = []
    for name in LINE_UP:
        runs = [row for row in rows if (row.config, row.run.split) == (name, "val")]
        seeds = {row.run.seed for row in runs if row.run.scenes_fraction < 1}
        for row in (row for row in runs if row.run.seed in seeds):
            run, less = row.run, DASH
            whole = [other for other in runs if (other.run.seed, other.run.scenes_fraction) == (run.seed, 1)]
            if run.scenes_fraction < 1 and row.outcomes and any(other.outcomes for other in whole):
                less = _difference(whole, [row], *COMPARED["tile AP"])
            ap, ap50 = (run.metrics[metric_key(key)] for key in ("mAP", "mAP_50"))
            f1 = run.scenes.f1 if run.scenes else None
            share = f"{run.scenes_fraction:.0%}"
            cells.append([f"`{name}`", share, str(run.seed), *map(shown, (ap, ap50, f1)), less])
        if not seeds:
            cells.append(_missing(name, header))
    return markdown_table(header, cells)


def cuda_table(costs: Mapping[str, CudaCost | None]) -> str:
    """Make a table of the results on CUDA, with the speed-up over stock MMDetection; None is not yet run."""
    header = (
        *("config", "training, images/s", "to float32", "to AMP", "inference, images/s", "to float32", "trained, s"),
        *("images", "val AP", "val AP50"),
    )
    cells = []
    for name, cost in costs.items():
        if cost is None:
            cells.append(_missing(name, header))
            continue
        own = {"training": cost.images_per_second, "inference": cost.inference}
        row = [f"`{name}`"]
        for task, modes in (("training", ("float32", "AMP")), ("inference", ("float32",))):
            rate = own[task]
            row.append(shown(rate, 1))
            for mode in modes:
                stock = cost.stock.get(mode, {}).get(task)
                row.append(f"{rate / stock:.2f}" if stock and rate else DASH)
        if trained := cost.trained:
            ap = [shown(trained.metrics[metric_key(key)]) for key in ("mAP", "mAP_50")]
            row += [f"{trained.seconds:.0f}", str(trained.images), *ap]
        cells.append(row + [DASH] * (len(header) - len(row)))
    return markdown_table(header, cells)


def _missing(name: str, header: Sequence[str]) -> list[str]:
    return [f"`{name}`", NOT_RUN, *[DASH] * (len(header) - 2)]


def _grouped(number: int | None) -> str:
    return DASH if number is None else f"{number:,}"
