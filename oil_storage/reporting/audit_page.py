"""Write the result of an audit as a self-contained page."""

from collections import Counter
from pathlib import Path

import numpy as np

from oil_storage.audit.alignment.faults import Fault, undo
from oil_storage.audit.alignment.roundness import SUSPECT
from oil_storage.audit.alignment.verdict import Answer
from oil_storage.audit.inspection import SMALLEST, Inspected
from oil_storage.audit.records import MAX_ASPECT, MIN_SIDE, NEAR_DUPLICATE_IOU
from oil_storage.audit.repair import fault_of
from oil_storage.drawing import COLUMNS, Crop, contact_sheet
from oil_storage.files import write_text
from oil_storage.reporting.pages import jpeg_uri, png_uri, render

RANDOM_BOXES = 96
SUSPECTS = 64
FAULTY = 8
"""Maximum number of faulty scenes whose boxes are shown before and after the correction."""
FINDINGS = 500
"""Maximum number of findings in the list. Further findings are only counted."""
SIZE_BINS = range(0, 129, 4)


def write_page(path: Path, source: Path, inspected: Inspected, coverage: str = "") -> None:
    """Write the page of an audit.

    Args:
        path: HTML file to write.
        source: audited folder.
        inspected: result of the audit.
        coverage: text that states how many boxes the anchors of a config can match.
    """
    images = {scene.scene_id: scene.image for scene in inspected.scenes}
    suspects = [suspect for suspect in inspected.suspects if suspect.scene_id in images][:SUSPECTS]
    suspect_crops = [Crop(images[suspect.scene_id], suspect.record.box) for suspect in suspects]
    random = _random_boxes(inspected)
    content = {
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
        "random_sheet": jpeg_uri(contact_sheet(random, inspected.reading)),
        "suspects": suspects,
        "suspect_sheet": jpeg_uri(contact_sheet(suspect_crops, inspected.reading)),
        "coverage": coverage,
        "min_side": MIN_SIDE,
        "max_aspect": MAX_ASPECT,
        "near_duplicate": NEAR_DUPLICATE_IOU,
        "suspect": SUSPECT,
        "smallest": SMALLEST,
    }
    write_text(path, render("audit.html", content))


def _undone(inspected: Inspected) -> list[tuple[str, Fault, str, str]]:
    """Draw boxes of some faulty scenes, as written and with the fault corrected.

    Boxes that are outside the image after the correction are left out.

    Returns:
        list: name and fault of each scene, and the data URIs of its two pictures.
    """
    scenes = {scene.scene_id: scene for scene in inspected.scenes}
    faults = {name: fault_of(name, inspected.alignment) for name in scenes if name in inspected.written}
    shown = []
    for name, fault in [(name, fault) for name, fault in faults.items() if fault != Fault()][:FAULTY]:
        scene, written = scenes[name], inspected.written[name]
        target = scenes.get(fault.image, scene)
        mended = undo(fault, written, scene.width, scene.height)
        inside = np.flatnonzero(((mended >= 0) & (mended <= np.tile((target.width, target.height), 2))).all(axis=1))
        some = inside[np.linspace(0, len(inside) - 1, min(COLUMNS, len(inside))).astype(int)]
        before, after = (
            jpeg_uri(contact_sheet([Crop(image, box) for box in boxes[some].tolist()], inspected.reading))
            for image, boxes in ((scene.image, written), (target.image, mended))
        )
        shown.append((name, fault, before, after))
    return shown


def _random_boxes(inspected: Inspected) -> list[Crop]:
    boxes = [Crop(scene.image, box) for scene in inspected.scenes for box in scene.boxes.tolist()]
    chosen = np.random.default_rng(0).choice(len(boxes), min(RANDOM_BOXES, len(boxes)), replace=False)
    return [boxes[index] for index in sorted(chosen)]


def _plots(inspected: Inspected) -> list[tuple[str, str]]:
    """Plot sizes, densities and positions of boxes. Return the title and the data URI of each plot."""
    from matplotlib.figure import Figure

    scenes = [scene for scene in inspected.scenes if len(scene.boxes)]
    if not scenes:
        return []
    sides = np.concatenate([np.sqrt((scene.boxes[:, 2:] - scene.boxes[:, :2]).prod(axis=1)) for scene in scenes])
    x, y = np.concatenate(
        [(scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2 / [scene.width, scene.height] for scene in scenes]
    ).T
    figures = [Figure(figsize=(4.2, 3), layout="constrained") for _ in range(3)]
    sizes, densities, positions = (figure.subplots() for figure in figures)
    sizes.hist(sides, bins=SIZE_BINS, color="#4a6fa5")
    sizes.set(xlabel="side of a box, px", ylabel="boxes")
    densities.hist([len(scene.boxes) for scene in inspected.scenes], bins=20, color="#4a6fa5")
    densities.set(xlabel="boxes in a scene", ylabel="scenes")
    positions.imshow(np.histogram2d(y, x, bins=16, range=((0, 1), (0, 1)))[0], cmap="viridis")
    positions.set(xticks=[], yticks=[], xlabel="boxes in each part of the scenes (brighter: more)")
    return list(zip(("Sizes", "Densities", "Positions"), map(png_uri, figures), strict=True))
