"""Runs side by side: which detector is better, by how much, and whether that could be chance."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oil_storage import __version__
from oil_storage.errors import UserError
from oil_storage.evaluation.curves import at_threshold, curve
from oil_storage.evaluation.detections_file import read_detections
from oil_storage.evaluation.matching import Matched, match_scenes
from oil_storage.evaluation.scene_metric import read_scenes
from oil_storage.evaluation.uncertainty import differences
from oil_storage.files import sha256, write_bytes, write_text
from oil_storage.reporting.data_uri import png, png_uri
from oil_storage.reporting.figure_text import shown, span
from oil_storage.reporting.results import damage_named

HEADER = (
    *("run", "config", "seed", "tiles", "scene AP", "AP, 95 %", "scene AP50", "AP50, 95 %", "F1", "F1, 95 %"),
    *("less F1 than the best", "tile AP", "iterations", "training, min", "M parameters", "s a tile", "hardware"),
)


ROUNDING = 2e-3
"""Of an F1: boxes are written as corner and sides, and one at the brink of IoU 0.5 may fall on the other side."""


@dataclass(frozen=True)
class Run:
    """A tested run.

    Attributes:
        folder: its work dir.
        tested: its ``metrics.json``.
        scenes: its detections beside the ground truth.
        truth: SHA-256 of the ground truth's file.
    """

    folder: Path
    tested: dict[str, Any]
    scenes: list[Matched]
    truth: str


def read_run(work_dir: Path, split: str) -> Run:
    """Read what ``tools/test.py`` has left of a run.

    Raises:
        UserError: the run was not tested on that split, or with flips merged, or by an earlier version, its data is
            gone, or its figures, detections and data do not belong together.
    """
    folder = work_dir / split
    path, found = folder / "metrics.json", folder / "detections.json"
    again = f"run tools/test.py with --split {split} --work-dir {work_dir}"
    if not path.is_file() or not found.is_file():
        raise UserError(f"{path if found.is_file() else found}: no such file; {again}")
    with damage_named(path, again):
        tested = json.loads(path.read_text(encoding="utf-8"))
        threshold, f1 = float(tested["scenes"]["threshold"]), float(tested["scenes"]["f1"])
        truth_path = Path(tested["data_root"], "scenes", f"{split}.json")
        told_split, tta = tested["split"], tested["tta"]
        _row_without_difference(work_dir, tested, {})
    if told_split != split or tta:
        raise UserError(f"{path}: scores the {told_split} split{', flips merged' if tta else ''}; {again}")
    if not truth_path.is_file():
        raise UserError(f"{truth_path}: no such file, though {path} was scored on it; prepare the data again")
    detections = read_detections(found, {})
    scenes = []
    for name, scene in read_scenes(truth_path).items():
        boxes, scores = detections.get(name, (scene.boxes, scene.scores))
        scenes.append(replace(scene, boxes=boxes, scores=scores))
    matched = match_scenes(scenes)
    again_f1 = at_threshold(matched, threshold).f1
    if abs(again_f1 - f1) > ROUNDING:
        raise UserError(
            f"{path}: tells an F1 of {f1:.3f}, but {found.name} and {truth_path} give {again_f1:.3f}: they are not of "
            f"one test; {again}"
        )
    return Run(work_dir, tested, matched, sha256(truth_path))


def compare(runs: Sequence[Run], known: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row for each run, the best scene AP first.

    Args:
        runs: on the same ground truth.
        known: what is recorded of each config, see :func:`oil_storage.reporting.results.read`.

    Returns:
        list: rows of cells under :data:`HEADER`.

    Raises:
        UserError: scored on different scenes.
    """
    first = runs[0]
    for run in runs:
        if run.truth != first.truth:
            raise UserError(
                f"{run.folder} and {first.folder} were scored on different scenes or boxes; only runs on the same can "
                "be compared"
            )
    ordered = sorted(runs, key=lambda run: -(run.tested["scenes"]["ap"] or 0))
    best = max(runs, key=lambda run: run.tested["scenes"]["f1"] or 0)
    return [_row(run, best, known) for run in ordered]


def _row(run: Run, best: Run, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    scores, costs = _row_without_difference(run.folder, run.tested, known)
    return [*scores, _behind(run, best), *costs]


def _row_without_difference(
    folder: Path, tested: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """Cells before and after that of the difference from the best."""
    figures, trained = tested["scenes"], tested["trained"] or {}
    config = Path(tested["config"]).stem
    speed = known.get(config, {}).get("speed")
    seconds = trained.get("seconds")
    scores = [str(folder), config, str(trained.get("seed", "-")), str(tested["tiles"])]
    for key in ("ap", "ap50", "f1"):
        scores += [shown(figures[key]), span(figures["intervals"][key]) or "-"]
    costs = [
        shown(tested["metrics"]["coco/bbox_mAP"]),
        str(trained.get("iterations", "-")),
        "-" if seconds is None else f"{seconds / 60:.0f}",
        "-" if speed is None else f"{speed['parameters'] / 1e6:.1f}",
        "-" if speed is None else f"{speed['inference']['p50']:.2g}",
        str(trained.get("hardware", "-")),
    ]
    return scores, costs


def _behind(run: Run, best: Run) -> str:
    """How much F1 lies below the best's, and whether scenes drawn anew could turn it."""
    if run is best:
        return "the best"
    thresholds = (run.tested["scenes"]["threshold"], best.tested["scenes"]["threshold"])
    low, high = differences(run.scenes, best.scenes, thresholds)["f1"]
    less = best.tested["scenes"]["f1"] - run.tested["scenes"]["f1"]
    if math.isnan(low):
        return f"{less:.3f}, may be chance"
    return f"{less:.3f} ({low:.3f} to {high:.3f}){'' if low > 0 else ', may be chance'}"


def write_comparison(out: Path, runs: Sequence[Run], known: Mapping[str, Mapping[str, Any]], split: str) -> str:
    """Write the comparison as ``comparison.md``, ``.csv`` and ``.html``, and the curves; returns the Markdown."""
    from jinja2 import Environment, PackageLoader, select_autoescape
    from matplotlib.figure import Figure

    rows = compare(runs, known)
    markdown = "".join(f"| {' | '.join(row)} |\n" for row in (HEADER, ["---"] * len(HEADER), *rows))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([HEADER, *rows])
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for run in runs:
        one = curve(run.scenes)
        axes.plot(one.recall, one.precision, label=str(run.folder))
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="lower left")
    environment = Environment(loader=PackageLoader("oil_storage.reporting"), autoescape=select_autoescape())
    content = {
        "version": __version__,
        "split": split,
        "scenes": len(runs[0].scenes),
        "tanks": sum(len(one.result.truth) for one in runs[0].scenes),
        "header": HEADER,
        "rows": rows,
        "curves": png_uri(figure),
    }
    page = environment.get_template("comparison.html").render(content)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "comparison.md", markdown)
    write_text(out / "comparison.csv", table.getvalue())
    write_bytes(out / "precision_recall.png", png(figure))
    write_text(out / "comparison.html", page)
    return markdown
