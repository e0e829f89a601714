"""Judges what a reader found: records become scenes, and every repair, loss and error is reported."""

import math
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations import Annotations, ImageRecord, Record
from oil_storage.errors import UserError
from oil_storage.files import sha256
from oil_storage.findings import Finding, Severity, error, repair, warning
from oil_storage.imagery import DEFAULT_READING, Reading, open_scene
from oil_storage.scene import CLASS_NAME, Scene

MIN_SIDE = 3.0
"""Boxes with a shorter side, in pixels, are pointed out."""
MAX_ASPECT = 2.5
"""Boxes whose longer side is more than this many times the shorter are pointed out: tanks are round."""
NEAR_DUPLICATE_IOU = 0.8
"""Two boxes that overlap by more are pointed out: which of the two is the tank's, a person must say."""
NEARLY_ALL = 0.9
"""Share of the boxes that must show a fault of the whole data set in their numbers alone."""

FEWEST = 8
"""Boxes: of fewer, most may have their corners swapped by mistake."""
NOT_CORNERS = "not-corners"
"""The check that finds x, y, width, height where corners should be."""

MISALIGNED = "misaligned"
"""The check of whether boxes sit on the objects."""
KEPT, DROPPED, LEFT = "kept", "dropped", "left out"


def audit(
    annotations: Annotations, class_map: Mapping[str, str | None], reading: Reading = DEFAULT_READING
) -> tuple[list[Scene], list[Finding]]:
    """Turn what a reader found into scenes.

    Swapped corners are put in order and boxes over the border are clipped; boxes without area, outside the image or
    written twice are dropped. Images that cannot be trusted are left out with their boxes. Each of these is reported.
    An image without boxes becomes a scene without boxes. What the numbers say of the data set as a whole, that they are
    of other units or in another order, is said once.

    Args:
        annotations: images and boxes as written.
        class_map: class names of the source, and which are tanks: :data:`~oil_storage.scene.CLASS_NAME`, or None for
            those to be left out. Names that it lacks are errors.
        reading: how the bands of the images become colours.

    Returns:
        tuple: scenes sorted by id, and the findings: images first, then boxes, each in the source's order.

    Raises:
        UserError: no image has a usable box, or all coordinates are of other units than those of the format.
    """
    findings = list(annotations.findings)
    unique = _unique(annotations.images, findings)
    images = {image.name: _judge_image(image, reading, findings) for image in unique}
    by_image: dict[str, list[Record]] = defaultdict(list)
    for record in annotations.records:
        if class_map.get(record.class_name) == CLASS_NAME:
            by_image[record.image].append(record)
    findings += _unknown_classes(annotations.records, class_map)
    usable = [(name, image) for name, image in sorted(images.items()) if image]
    boxes_as_written = [(record, image) for name, image in usable for record in by_image[name]]
    misread = _judge_units(boxes_as_written)
    findings += misread
    scenes = []
    for name, image in usable:
        # an error of all boxes is not repeated for each
        boxes = _judge_boxes(by_image[name], image.width, image.height, [] if misread else findings)
        scenes.append(replace(image, boxes=boxes))
        if not len(boxes):
            findings.append(warning("no-boxes", str(image.image), "image without boxes", "kept as background"))
    if not any(len(scene.boxes) for scene in scenes):
        stops = [str(finding) for finding in findings if finding.severity != Severity.REPAIR]
        raise UserError("\n".join(["no image has a usable box; nothing to train on, or to find", *stops[:2]]))
    _report_same_images([scene.image for scene in scenes], findings)
    return scenes, findings


def check_usable(findings: Sequence[Finding], source: Path, allow: bool = False, strict: bool = False) -> None:
    """Refuse a source with errors unless ``allow`` is set; with ``strict``, repairs and warnings count as errors.

    Raises:
        UserError: names the first error, and how many there are.
    """
    stopping = [finding for finding in findings if finding.severity == Severity.ERROR or strict]
    if stopping and not allow:
        errors = "1 error" if len(stopping) == 1 else f"{len(stopping)} errors"
        fixes = ", and --fix OUT mends" if any(finding.check == MISALIGNED for finding in stopping) else ""
        raise UserError(
            f"{stopping[0].place}: {stopping[0].problem}\n"
            f"{errors} in all: python tools/audit_dataset.py {source} lists{fixes} them; --allow goes on all the same"
        )


def _judge_units(records: Sequence[tuple[Record, Scene]]) -> list[Finding]:
    """Return one error where most boxes are a position and a size instead of corners.

    Raises:
        UserError: shares where pixels are wanted, or pixels where a format wants shares.
    """
    finite = [(record, image) for record, image in records if np.isfinite(record.box).all()]
    if not finite:
        return []
    first = finite[0][0]
    boxes = np.array([record.box for record, _ in finite], np.float64)
    sizes = np.array([(image.width, image.height) for _, image in finite], np.float64)
    if (within := ((boxes >= 0) & (boxes <= 1)).all(axis=1)).mean() >= NEARLY_ALL:
        raise UserError(
            f"{first.place}: {within.sum()} of {len(boxes)} boxes lie within 0 and 1, this one is {first.box}:\n"
            "coordinates look normalised to 0..1; multiply them by the image's width and height"
        )
    shares = boxes / np.tile(sizes, 2)
    outside = (boxes[:, :2] >= sizes).any(axis=1) & (shares[:, 2:] <= np.maximum(sizes, 1)).all(axis=1)
    if outside.mean() >= NEARLY_ALL:
        raise UserError(
            f"{first.place}: {outside.sum()} of {len(boxes)} boxes lie outside, as {first.box} does:\n"
            "coordinates look like pixels where this format has shares of the image; divide by its width and height"
        )
    swapped = (boxes[:, 2:] < boxes[:, :2]).all(axis=1)
    fits = (boxes[:, :2] + boxes[:, 2:] / 2 <= sizes).all(axis=1)  # also of a centre and a size
    if len(boxes) < FEWEST or 2 * swapped.sum() <= len(boxes) or fits.mean() < NEARLY_ALL:
        return []
    problem = (
        f"{swapped.sum()} of {len(boxes)} boxes have their second corner above and left of the first: they look like "
        "x, y, width, height where corners are wanted"
    )
    return [error(NOT_CORNERS, "all scenes", problem, "write xmin, ymin, xmax, ymax; audit_dataset.py --fix can")]


def _report_same_images(paths: Sequence[Path], findings: list[Finding]) -> None:
    """Point out files of the same bytes."""
    firsts: dict[str, Path] = {}
    for path in paths:
        if (first := firsts.setdefault(sha256(path), path)) != path:
            findings.append(warning("same-image", str(path), f"is the same image as {first}", KEPT))


def _unique(images: list[ImageRecord], findings: list[Finding]) -> list[ImageRecord]:
    """Return the images without those whose scene id another image has already; these are errors."""
    firsts: dict[str, ImageRecord] = {}
    for image in images:
        if image.path and (first := firsts.setdefault(image.path.stem, image)) != image:
            problem = f"names {image.name!r} again, after {first.place}"
            findings.append(error("duplicate-image", image.place, problem, LEFT))
    return [image for image in images if not image.path or firsts[image.path.stem] == image]


def _judge_image(image: ImageRecord, reading: Reading, findings: list[Finding]) -> Scene | None:
    """Open an image as detection does; return a scene without boxes, or report why it cannot be used."""
    if image.path is None:
        findings.append(error("missing-image", image.place, f"names the image {image.name!r}, which is missing", LEFT))
        return None
    place = str(image.path)
    try:
        scene = open_scene(image.path, reading)
    except UserError as reason:
        findings.append(error("unreadable-image", place, str(reason).removeprefix(f"{place}: "), LEFT))
        return None
    if image.size not in (None, (scene.width, scene.height)):
        stated = "{} x {}".format(*image.size)
        problem = f"stated as {stated} px, the image has {scene.width} x {scene.height}: boxes may be of another scale"
        if image.size == (scene.height, scene.width) and "exif-rotated" in scene.notes:
            problem = f"stated as {stated} px, the size before {scene.notes['exif-rotated']}: so may be its boxes"
        findings.append(error("other-size", image.place, problem, LEFT))
        return None
    findings += [warning(check, place, note, KEPT) for check, note in scene.notes.items()]
    no_boxes = np.zeros((0, 4), np.float32)
    return Scene(image.path.stem, image.path, scene.width, scene.height, no_boxes, scene.georeference, reading)


def _unknown_classes(records: Sequence[Record], class_map: Mapping[str, str | None]) -> list[Finding]:
    """An error for each class of which nobody has said whether it is a tank's, at its first box."""
    unknown: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.class_name not in class_map:
            unknown[record.class_name].append(record)
    errors = []
    for name, of_class in unknown.items():
        of_boxes = f", of {len(of_class)} boxes," if len(of_class) > 1 else ""
        is_tank, is_none = (shlex.quote(f"{name}={target}") for target in (CLASS_NAME, "-"))
        problem = f"class {name!r}{of_boxes} is unknown; --class-map {is_tank} makes it a tank, {is_none} leaves it out"
        errors.append(error("unknown-class", of_class[0].place, problem, LEFT))
    return errors


def _judge_boxes(records: list[Record], width: int, height: int, findings: list[Finding]) -> NDArray[np.float32]:
    """Return ``(N, 4)`` float32 xyxy boxes inside the image; report what was repaired, dropped or is odd."""
    kept: list[Record] = []
    boxes: list[tuple[float, float, float, float]] = []
    for record in records:
        box = _judge_box(record, width, height, findings)
        if box is None:
            continue
        if box in boxes:
            first = kept[boxes.index(box)].place
            problem = f"box {record.box} is that of {first} again"
            findings.append(warning("duplicate-box", record.place, problem, DROPPED))
            continue
        kept.append(record)
        boxes.append(box)
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    areas = (array[:, 2:] - array[:, :2]).prod(axis=1)
    for second in range(1, len(array)):
        corner = np.maximum(array[:second, :2], array[second, :2])
        sides = np.clip(np.minimum(array[:second, 2:], array[second, 2:]) - corner, 0, None)
        shared = sides.prod(axis=1)
        iou = shared / (areas[:second] + areas[second] - shared)
        if iou.max() > NEAR_DUPLICATE_IOU:
            problem = f"box {kept[second].box} is nearly that of {kept[int(iou.argmax())].place}"
            findings.append(warning("near-duplicate", kept[second].place, problem, KEPT))
    return array


def _judge_box(
    record: Record, width: int, height: int, findings: list[Finding]
) -> tuple[float, float, float, float] | None:
    # judged in the precision in which they are kept
    with np.errstate(over="ignore"):
        x1, y1, x2, y2 = np.array(record.box, dtype=np.float32).tolist()
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        findings.append(warning("not-finite", record.place, f"coordinates {record.box} are not finite", DROPPED))
        return None
    if x1 > x2 or y1 > y2:
        problem = f"corners of {record.box} are swapped"
        findings.append(repair("swapped-corners", record.place, problem, "put in order"))
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    if x1 == x2 or y1 == y2:
        findings.append(warning("no-area", record.place, f"box {record.box} has no area", DROPPED))
        return None
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        problem = f"box {record.box} lies outside the {width} x {height} image"
        findings.append(warning("outside", record.place, problem, DROPPED))
        return None
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        problem = f"box {record.box} reaches over the border of the {width} x {height} image"
        findings.append(repair("over-the-border", record.place, problem, "clipped"))
        x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    short, long = sorted((x2 - x1, y2 - y1))
    if short < MIN_SIDE:
        problem = f"box {record.box} is {short:g} px across, under {MIN_SIDE:g}"
        findings.append(warning("tiny", record.place, problem, KEPT))
    elif long > MAX_ASPECT * short and x1 > 0 and y1 > 0 and x2 < width and y2 < height:  # not cut by the border
        problem = f"box {record.box} is {long / short:.1f} times as long as it is wide"
        findings.append(warning("aspect", record.place, problem, KEPT))
    return x1, y1, x2, y2
