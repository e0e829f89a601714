"""The audit as a page that stands alone: figures and pictures inside, no network."""

from collections import Counter
from pathlib import Path

import numpy as np

from oil_storage import __version__
from oil_storage.audit.alignment.faults import Fault, undo
from oil_storage.audit.alignment.roundness import SUSPECT
from oil_storage.audit.alignment.verdict import Answer
from oil_storage.audit.inspection import SMALLEST, Inspected
from oil_storage.audit.records import MAX_ASPECT, MIN_SIDE, NEAR_DUPLICATE_IOU
from oil_storage.audit.repair import fault_of
from oil_storage.files import write_text
from oil_storage.reporting.contact_sheet import COLUMNS, contact_sheet
from oil_storage.reporting.data_uri import jpeg_uri, png_uri

RANDOM_BOXES = 96
SUSPECTS = 64
FAULTY = 8
"""Scenes with a fault that are shown as written and mended."""
FINDINGS = 500
"""So many are listed; the others are counted."""
SIZE_BINS = range(0, 129, 4)


def write_page(path: Path, source: Path, inspected: Inspected, coverage: str = "") -> None:
    """Write the page.

    Args:
        path: the html file; appears when it is whole.
        source: what was audited; named on the page.
        inspected: what was found.
        coverage: what a config's anchors can match, in lines.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(loader=PackageLoader("oil_storage.reporting"), autoescape=select_autoescape())
    images = {scene.scene_id: scene.image for scene in inspected.scenes}
    suspects = [one for one in inspected.suspects if one.scene_id in images][:SUSPECTS]
    random = _random_boxes(inspected)
    content = {
        "version": __version__,
        "source": source,
        "inspected": inspected,
        "boxes": sum(len(scene.boxes) for scene in inspected.scenes),
        "counts": Counter((finding.severity, finding.check) for finding in inspected.findings).most_common(),
        "findings": inspected.findings[:FINDINGS],
        "unlisted": max(0, len(inspected.findings) - FINDINGS),
        "odd_scenes": {
            name: verdict for name, verdict in inspected.alignment.scenes.items() if verdict.answer != Answer.YES
        },
        "plots": _plots(inspected),
        "undone": _undone(inspected),
        "random": random,
        "random_sheet": jpeg_uri(contact_sheet(random, reading=inspected.reading)),
        "suspects": suspects,
        "suspect_sheet": jpeg_uri(
            contact_sheet([(images[one.scene_id], one.record.box) for one in suspects], reading=inspected.reading)
        ),
        "coverage": coverage,
        "min_side": MIN_SIDE,
        "max_aspect": MAX_ASPECT,
        "near_duplicate": NEAR_DUPLICATE_IOU,
        "suspect": SUSPECT,
        "smallest": SMALLEST,
    }
    write_text(path, environment.get_template("audit.html").render(content))


def _undone(inspected: Inspected) -> list[tuple[str, Fault, str, str]]:
    """Some scenes with a fault: id, fault, and pictures of some boxes as written and with the fault undone.

    Boxes that do not lie in the image then, wild ones among them, are not shown.
    """
    scenes = {scene.scene_id: scene for scene in inspected.scenes}
    faulty = [(name, fault_of(name, inspected.alignment)) for name in scenes if name in inspected.written]
    shown = []
    for name, fault in [one for one in faulty if one[1] != Fault()][:FAULTY]:
        scene, written = scenes[name], inspected.written[name]
        there = scenes.get(fault.image, scene)
        right = undo(fault, written, scene.width, scene.height)
        inside = np.flatnonzero(((right >= 0) & (right <= np.tile((there.width, there.height), 2))).all(axis=1))
        some = inside[np.linspace(0, len(inside) - 1, min(COLUMNS, len(inside))).astype(int)]
        pairs = ((scene.image, written[some]), (there.image, right[some]))
        sheets = [[(image, box) for box in boxes.tolist()] for image, boxes in pairs]
        before, after = (jpeg_uri(contact_sheet(sheet, reading=inspected.reading)) for sheet in sheets)
        shown.append((name, fault, before, after))
    return shown


def _random_boxes(inspected: Inspected) -> list[tuple[Path, list[float]]]:
    every = [(scene.image, box) for scene in inspected.scenes for box in scene.boxes.tolist()]
    chosen = np.random.default_rng(0).choice(len(every), min(RANDOM_BOXES, len(every)), replace=False)
    return [every[index] for index in sorted(chosen)]


def _plots(inspected: Inspected) -> list[tuple[str, str]]:
    """Titles and pictures: sizes, densities, positions."""
    from matplotlib.figure import Figure

    boxes = [scene.boxes for scene in inspected.scenes if len(scene.boxes)]
    if not boxes:
        return []
    sides = np.sqrt(np.concatenate([(one[:, 2:] - one[:, :2]).prod(axis=1) for one in boxes]))
    positions = np.concatenate(
        [
            (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2 / [scene.width, scene.height]
            for scene in inspected.scenes
            if len(scene.boxes)
        ]
    )
    plots = []
    for title, label in (
        ("Sizes", "side of a box, px"),
        ("Densities", "boxes in a scene"),
        ("Positions", "boxes in each part of the scenes, brighter is more"),
    ):
        figure = Figure(figsize=(4.2, 3), layout="constrained")
        axes = figure.subplots()
        if title == "Sizes":
            axes.hist(sides, bins=SIZE_BINS, color="#4a6fa5")
        elif title == "Densities":
            axes.hist([len(scene.boxes) for scene in inspected.scenes], bins=20, color="#4a6fa5")
        else:
            counts, _, _ = np.histogram2d(positions[:, 1], positions[:, 0], bins=16, range=((0, 1), (0, 1)))
            axes.imshow(counts, cmap="viridis")
            axes.set_xticks([])
            axes.set_yticks([])
        axes.set_xlabel(label)
        plots.append((title, png_uri(figure)))
    return plots
