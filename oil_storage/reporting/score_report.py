"""What a test leaves for people: curves, galleries of the worst, and one page that stands alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oil_storage import __version__
from oil_storage.evaluation.curves import curve
from oil_storage.evaluation.errors import Kind
from oil_storage.evaluation.matching import Matched
from oil_storage.files import write_bytes, write_text
from oil_storage.imagery import DEFAULT_READING, SUFFIXES, Reading
from oil_storage.reporting import galleries, score_plots
from oil_storage.reporting.contact_sheet import contact_sheet
from oil_storage.reporting.data_uri import jpeg, jpeg_uri, png, png_uri
from oil_storage.reporting.figure_text import shown, span

PAGE, SUSPECTS = "report.html", "suspect_labels.csv"

ROWS = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "AP, Pascal VOC (area)": "voc_ap",
    "AP, Pascal VOC (11 points)": "voc_ap_11",
    "AR": "ar",
    "score threshold": "threshold",
    "precision": "precision",
    "recall": "recall",
    "F1": "f1",
    "tanks a scene: mean absolute error": "count_mae",
    "tanks a scene: bias": "count_bias",
    "tanks a scene: R2": "count_r2",
    "IoU of right detections": "iou",
    "error of the centre, px": "centre_px",
    "error of the diameter, px": "diameter_px",
    "bias of the diameter, px": "diameter_bias_px",
    "error of the centre, m": "centre_m",
    "error of the diameter, m": "diameter_m",
}
"""Figures of the page, and what :func:`oil_storage.evaluation.scene_score.score_scenes` calls them."""

PictureOf = Callable[[str, Sequence[float]], tuple[Path, tuple[int, int]] | None]
"""Of a scene and a box: an image that shows the box, and the image's origin in the scene; None where there is none."""


def from_tiles(folder: Path, scenes: Sequence[Matched]) -> PictureOf:
    """Pictures out of the folder of tiles that were looked at: of those that show a box, that with most around it."""
    windows = {one.result.scene_id: one.result.windows for one in scenes}

    def picture_of(scene_id: str, box: Sequence[float]) -> tuple[Path, tuple[int, int]] | None:
        of_scene = windows[scene_id]
        if of_scene is None:
            return None
        margins = np.concatenate(
            [np.asarray(box)[None, :2] - of_scene[:, :2], of_scene[:, 2:] - np.asarray(box)[2:]], 1
        )
        x, y = of_scene[margins.min(axis=1).argmax(), :2].tolist()
        found = (path for ending in SUFFIXES if (path := folder / f"{scene_id}_{x}_{y}{ending}").is_file())
        return next(((path, (x, y)) for path in found), None)

    return picture_of


def from_scenes(images: Mapping[str, Path]) -> PictureOf:
    """Pictures out of whole scenes, whose files are given by their names."""

    def picture_of(scene_id: str, _: Sequence[float]) -> tuple[Path, tuple[int, int]] | None:
        return (images[scene_id], (0, 0)) if scene_id in images else None

    return picture_of


def write_report(
    folder: Path,
    title: str,
    facts: Mapping[str, Any],
    scenes: Sequence[Matched],
    figures: Mapping[str, Any],
    picture_of: PictureOf,
    reading: Reading = DEFAULT_READING,
) -> None:
    """Write plots, galleries, suspects and the page into ``folder``.

    Args:
        folder: exists.
        title: of the page.
        facts: what was scored on what, in the order of the page.
        scenes: from :func:`oil_storage.evaluation.matching.match_scenes`.
        figures: of these scenes, from :func:`oil_storage.evaluation.scene_score.score_scenes`.
        picture_of: where galleries take their pictures from.
        reading: how the bands of these pictures become colours.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    threshold = figures.get("threshold", 0.0)
    one = curve(scenes)
    plots = {
        "precision_recall": score_plots.precision_recall(one, figures),
        "f1": score_plots.f1_over_threshold(one, figures),
        "ap_by_size": score_plots.ap_by_size(figures),
    }
    if "scenes" in figures:
        plots |= {"errors_by_size": score_plots.errors_by_size(figures), "counts": score_plots.counts(figures)}
    for name, figure in plots.items():
        write_bytes(folder / f"{name}.png", png(figure))
    false = galleries.false_positives(scenes, threshold)
    write_text(folder / SUSPECTS, galleries.suspect_labels(false))
    worst = [
        ("false_positives", "Surest detections of nothing", "Errors, or tanks without a label.", "score", false),
        ("misses", "Largest tanks that were missed", "", "side in px", galleries.misses(scenes, threshold)),
        (
            "loosest",
            "Right detections that fit worst",
            "Red is the detection, green the label.",
            "IoU",
            galleries.loosest(scenes, threshold),
        ),
    ]
    gallery_parts = [_gallery(folder, *each, picture_of, reading) for each in worst]
    spans = figures.get("intervals", {})
    content = {
        "title": title,
        "version": __version__,
        "facts": facts.items(),
        "scenes": len(scenes),
        "tanks": sum(len(each.result.truth) for each in scenes),
        "rows": [(name, shown(figures.get(key)), span(spans.get(key))) for name, key in ROWS.items()],
        "plots": [(name, png_uri(figure)) for name, figure in plots.items()],
        "gains": sorted(figures["lost_ap50"].items(), key=lambda each: -(each[1] or 0)),
        "kinds": [str(kind) for kind in Kind],
        "by_scene": sorted(figures.get("scenes", {}).items(), key=lambda each: each[1]["f1"] or 0),
        "galleries": gallery_parts,
    }
    environment = Environment(loader=PackageLoader("oil_storage.reporting"), autoescape=select_autoescape())
    write_text(folder / PAGE, environment.get_template("score.html").render(content))


def _gallery(
    folder: Path,
    name: str,
    title: str,
    note: str,
    unit: str,
    found: Sequence[galleries.Shown],
    picture_of: PictureOf,
    reading: Reading,
) -> dict[str, Any]:
    """A part of the page; its sheet is written beside, too."""
    placed = []
    for each in found[: galleries.SHOWN]:
        if (picture := picture_of(each.scene_id, each.box)) is not None:
            placed.append((each, *picture))
    moved = [(path, _moved(each.box, origin)) for each, path, origin in placed]
    beside = [None if each.beside is None else _moved(each.beside, origin) for each, _, origin in placed]
    sheet = contact_sheet(moved, beside, reading)
    path = folder / f"{name}.jpg"
    if sheet.size:
        write_bytes(path, jpeg(sheet))
    else:
        path.unlink(missing_ok=True)  # of an earlier score
    return {
        "title": title,
        "note": note,
        "unit": unit,
        "number": len(found),
        "sheet": jpeg_uri(sheet),
        "shown": [
            {"scene_id": each.scene_id, "where": [round(value) for value in each.box], "value": each.value}
            for each in (found[: galleries.SHOWN] if not placed else [each for each, _, _ in placed])
        ],
    }


def _moved(box: Sequence[float], origin: tuple[int, int]) -> list[float]:
    return [value - origin[index % 2] for index, value in enumerate(box)]
