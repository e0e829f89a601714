"""Report of scored scenes: curves, galleries of the worst boxes, and a self-contained page."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oil_storage.csv_cells import as_cell
from oil_storage.drawing import Crop, contact_sheet, jpeg
from oil_storage.evaluation.curves import curve
from oil_storage.evaluation.detections_file import CSV_COLUMNS
from oil_storage.evaluation.errors import Kind, classify
from oil_storage.evaluation.false_alarms import free_response
from oil_storage.evaluation.matching import Matched
from oil_storage.figures import Figures
from oil_storage.files import write_bytes, write_text
from oil_storage.image_file import SUFFIXES
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.reporting import score_plots
from oil_storage.reporting.formatting import shown, span
from oil_storage.reporting.pages import jpeg_uri, png, png_uri, render

PAGE, SUSPECTS = "report.html", "suspect_labels.csv"

ROWS = {
    "F1": "f1",
    "precision": "precision",
    "recall": "recall",
    "score threshold": "threshold",
    "false alarms per 100 km2": "false_alarm_rate",
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "AP, Pascal VOC (area)": "voc_ap",
    "AP, Pascal VOC (11 points)": "voc_ap_11",
    "AR": "ar",
    "count error per scene: MAE": "count_mae",
    "count error per scene: bias": "count_bias",
    "count per scene: R2": "count_r2",
    "IoU of right detections": "iou",
    "centre error, px": "centre_px",
    "diameter error, px": "diameter_px",
    "diameter bias, px": "diameter_bias_px",
    "centre error, m": "centre_m",
    "diameter error, m": "diameter_m",
}
"""Labels of the figures on the page, and their names in :class:`oil_storage.figures.Figures`."""
GALLERY_BOXES = 48
"""Maximum number of boxes in a gallery."""

PictureOf = Callable[[str, Sequence[float]], tuple[Path, tuple[int, int]] | None]
"""Function that finds an image of a box. Its arguments are the scene name and the box, xyxy in pixels of the scene.

It returns the image file and the position of the image's upper left corner in the scene, or None.
"""


@dataclass(frozen=True)
class GalleryBox:
    """Box in a gallery, where a person can check it.

    Attributes:
        scene_id: name of the scene.
        box: box as xyxy, in pixels of the scene.
        value: score of a false positive, side of a missed tank in pixels, or IoU of a correct detection.
        truth: labelled box that a correct detection matches; None for other boxes.
    """

    scene_id: str
    box: list[float]
    value: float
    truth: list[float] | None = None


def false_positives(scenes: Iterable[Matched], threshold: float) -> list[GalleryBox]:
    """List detections with an IoU below 0.1 with every label, highest scores first. Some may be unlabelled tanks."""
    boxes = [
        GalleryBox(scene.result.scene_id, scene.boxes[index].tolist(), float(scene.scores[index]))
        for scene in scenes
        for index, kind in enumerate(classify(scene, threshold).false)
        if kind is Kind.BACKGROUND
    ]
    return sorted(boxes, key=lambda box: -box.value)


def misses(scenes: Iterable[Matched], threshold: float) -> list[GalleryBox]:
    """List the objects without a matching detection at the score threshold, the largest first."""
    boxes = []
    for scene in scenes:
        matched = scene.at[0][scene.right & (scene.scores >= threshold)]
        for x1, y1, x2, y2 in np.delete(scene.result.truth, matched, axis=0).tolist():
            side = float(np.sqrt((x2 - x1) * (y2 - y1)))
            boxes.append(GalleryBox(scene.result.scene_id, [x1, y1, x2, y2], side))
    return sorted(boxes, key=lambda box: (-box.value, box.scene_id, box.box))


def loosest(scenes: Iterable[Matched], threshold: float) -> list[GalleryBox]:
    """List the correct detections at the score threshold, the lowest IoU first."""
    boxes = []
    for scene in scenes:
        for index in np.flatnonzero(scene.right & (scene.scores >= threshold)):
            number = scene.at[0][index]
            box, truth = scene.boxes[index].tolist(), scene.result.truth[number].tolist()
            boxes.append(GalleryBox(scene.result.scene_id, box, float(scene.ious[index, number]), truth))
    return sorted(boxes, key=lambda box: box.value)


def suspect_labels(boxes: Iterable[GalleryBox]) -> str:
    """Format false positives as CSV, so that a person can judge which of them are tanks without a label."""
    text = io.StringIO()
    rows = ((as_cell(box.scene_id), *(round(value, 1) for value in box.box), round(box.value, 4)) for box in boxes)
    csv.writer(text, lineterminator="\n").writerows([CSV_COLUMNS, *rows])
    return text.getvalue()


def from_tiles(folder: Path, scenes: Sequence[Matched]) -> PictureOf:
    """Return a function that finds the tile in ``folder`` with the widest margin around a box."""
    windows_by_scene = {scene.result.scene_id: scene.result.windows for scene in scenes}

    def picture_of(scene_id: str, box: Sequence[float]) -> tuple[Path, tuple[int, int]] | None:
        windows = windows_by_scene[scene_id]
        if windows is None:
            return None
        margins = np.concatenate([box[:2] - windows[:, :2], windows[:, 2:] - box[2:]], axis=1)
        x, y = windows[margins.min(axis=1).argmax(), :2].tolist()
        paths = (folder / f"{scene_id}_{x}_{y}{suffix}" for suffix in SUFFIXES)
        return next(((path, (x, y)) for path in paths if path.is_file()), None)

    return picture_of


def from_scenes(images: Mapping[str, Path]) -> PictureOf:
    """Return a function that finds the image of a whole scene. ``images`` maps scene names to image files."""
    return lambda scene_id, _: (images[scene_id], (0, 0)) if scene_id in images else None


def write_report(
    folder: Path,
    title: str,
    facts: Mapping[str, Any],
    scenes: Sequence[Matched],
    figures: Figures,
    picture_of: PictureOf,
    reading: Reading = DEFAULT_READING,
) -> None:
    """Write plots, galleries, suspect labels and the page into ``folder``.

    Args:
        folder: existing folder.
        title: title of the page.
        facts: names and values that describe the data and the detector, in the order of the page.
        scenes: matched scenes; see :func:`oil_storage.evaluation.matching.match_scenes`.
        figures: figures of these scenes; see :func:`oil_storage.evaluation.scene_score.score_scenes`.
        picture_of: function that finds pictures for the galleries.
        reading: how the bands of the pictures are converted to RGB.
    """
    threshold = figures.threshold or 0.0
    plots = score_plots.plots(curve(scenes), figures, free_response(scenes))
    for name, figure in plots.items():
        write_bytes(folder / f"{name}.png", png(figure))
    false = false_positives(scenes, threshold)
    write_text(folder / SUSPECTS, suspect_labels(false))
    galleries = [
        ("false_positives", false, "Highest-scoring false positives", "Errors, or tanks without a label.", "score"),
        ("misses", misses(scenes, threshold), "Largest missed tanks", "", "side in px"),
        ("loosest", loosest(scenes, threshold), "Right detections with the lowest IoU", "", "IoU"),
    ]
    content = {
        "title": title,
        "facts": facts.items(),
        "scenes": len(scenes),
        "tanks": sum(len(scene.result.truth) for scene in scenes),
        "threshold": figures.threshold,
        "rows": [
            (name, shown(value), span(figures.intervals.get(key)))
            for name, key in ROWS.items()
            if (value := getattr(figures, key)) is not None
        ],
        "plots": [(score_plots.TITLES[name], png_uri(figure)) for name, figure in plots.items()],
        "gains": sorted(figures.lost_ap50.items(), key=lambda item: -(item[1] or 0)),
        "kinds": [str(kind) for kind in Kind],
        "by_scene": sorted(figures.scenes.items(), key=lambda item: item[1].f1 or 0),
        "galleries": [
            {"title": title, "note": note, "unit": unit, "number": len(boxes)}
            | _write_sheet(folder / f"{name}.jpg", boxes[:GALLERY_BOXES], picture_of, reading)
            for name, boxes, title, note, unit in galleries
        ],
    }
    write_text(folder / PAGE, render("score.html", content))


def _write_sheet(path: Path, boxes: Sequence[GalleryBox], picture_of: PictureOf, reading: Reading) -> dict[str, Any]:
    """Write the contact sheet of a gallery. Return the sheet and its boxes for the page."""
    pictures = [(box, picture) for box in boxes if (picture := picture_of(box.scene_id, box.box)) is not None]
    crops = [
        Crop(image, _moved(box.box, origin), None if box.truth is None else _moved(box.truth, origin))
        for box, (image, origin) in pictures
    ]
    sheet = contact_sheet(crops, reading)
    if sheet.size:
        write_bytes(path, jpeg(sheet))
    else:
        path.unlink(missing_ok=True)  # of an earlier report
    return {"sheet": jpeg_uri(sheet), "boxes": [box for box, _ in pictures] or boxes}


def _moved(box: Sequence[float], origin: tuple[int, int]) -> list[float]:
    return [value - origin[index % 2] for index, value in enumerate(box)]
