"""Turn records into scenes, and report every repaired, dropped or invalid box and image."""

import math
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from oil_storage.annotations import Annotations, ImageRecord, Record
from oil_storage.annotations.record import LEFT_OUT, NO_CLASS, OTHERS, with_usual_spellings
from oil_storage.audit.common_faults import ALL_SCENES, file_of, judge_files, judge_units
from oil_storage.errors import UserError
from oil_storage.files import sha256
from oil_storage.findings import Finding, Severity, error, repair, warning
from oil_storage.imagery import DEFAULT_READING, Reading, open_scene
from oil_storage.scene import CLASS_NAME, Scene

Box = tuple[float, float, float, float]

MIN_SIDE = 3.0
"""Boxes with a shorter side, in pixels, are reported."""
MAX_ASPECT = 2.5
"""Boxes with a larger aspect ratio are reported, because tanks are round."""
NEAR_DUPLICATE_IOU = 0.8
"""Pairs of boxes with a larger IoU are reported."""
NEIGHBOURS = 8
"""Number of boxes that each box is compared with."""

MISALIGNED = "misaligned"
"""Name of the check for boxes that do not match the objects in the image."""
OVER_THE_BORDER = "over-the-border"
"""Name of the check for boxes that extend beyond the image."""
MANY_CLASSES = 4
"""Number of unknown classes above which one error lists them all."""
KEPT, DROPPED, LEFT = "kept", "dropped", "left out"


def audit(
    annotations: Annotations, class_map: Mapping[str, str | None], reading: Reading = DEFAULT_READING
) -> tuple[list[Scene], list[Finding]]:
    """Turn annotations into scenes.

    Swapped corners are put in order, and boxes are clipped at the image border. Boxes without area, boxes outside the
    image and duplicates are dropped. Images that cannot be used are left out with their boxes. Each of these actions
    is reported. An image without boxes becomes a scene without boxes. A format error of the whole data set is reported
    once instead of once per box.

    Args:
        annotations: images and boxes as written.
        class_map: maps each class name of the source to :data:`~oil_storage.scene.CLASS_NAME` for tanks, or to None for
            classes to leave out. Usual spellings of the class are tanks too. Other class names are errors.
        reading: how the bands of the images are converted to RGB.

    Returns:
        tuple: the scenes, sorted by the image names in the annotations, and the findings. The findings of the reader
            come first.

    Raises:
        UserError: no image has a usable box, or nearly all boxes have another unit than the format requires.
    """
    findings = list(annotations.findings)
    images = {image.name: _judge_image(image, reading, findings) for image in _unique(annotations.images, findings)}
    by_image: dict[str, list[Record]] = defaultdict(list)
    spelled = with_usual_spellings(class_map, {record.class_name for record in annotations.records})
    new_names = {name for name in spelled.keys() - class_map.keys() if spelled[name] == CLASS_NAME}
    findings += _spellings(annotations.records, new_names)
    class_map = spelled
    for record in annotations.records:
        if class_map.get(record.class_name) == CLASS_NAME:
            by_image[record.image].append(record)
    findings += _unknown_classes(annotations, class_map)
    usable = [(name, image) for name, image in sorted(images.items()) if image]
    placed = [(record, image) for name, image in usable for record in by_image[name]]
    wrong_units = judge_units(placed)
    wrong_files = {} if wrong_units else judge_files(placed)
    findings += [*wrong_units, *wrong_files.values()]
    left_out: dict[str, list[str]] = defaultdict(list)
    for record, reason in annotations.left_out:
        if class_map.get(record.class_name, CLASS_NAME) == CLASS_NAME:
            left_out[record.image].append(reason)
    scenes = []
    for name, image in usable:
        about_boxes: list[Finding] = []
        boxes = _judge_boxes(by_image[name], image.width, image.height, about_boxes)
        scenes.append(replace(image, boxes=boxes))
        if not wrong_units:
            findings += [finding for finding in about_boxes if file_of(finding.place) not in wrong_files]
        lost = [*left_out[name], *(finding.problem for finding in about_boxes if finding.action == DROPPED)]
        if not len(boxes):
            findings.append(_without_boxes(image, lost))
    findings = _counted(findings, OVER_THE_BORDER)
    if not any(len(scene.boxes) for scene in scenes):
        by_severity = sorted(findings, key=lambda finding: finding.severity != Severity.ERROR)
        reasons = [str(finding) for finding in by_severity if finding.severity != Severity.REPAIR]
        raise UserError("\n".join(["no image has a usable box", *reasons[:2]]))
    first_images: dict[str, Path] = {}
    for path in (scene.image for scene in scenes):
        if (first := first_images.setdefault(sha256(path), path)) != path:
            findings.append(warning("same-image", str(path), f"is identical to {first}", KEPT))
    return scenes, findings


def check_usable(findings: Sequence[Finding], source: Path, allow: bool = False, strict: bool = False) -> None:
    """Reject a source with errors, unless ``allow`` is set. ``strict`` treats repairs and warnings as errors.

    Raises:
        UserError: the source has errors; the message lists them in the order of files and lines.
    """
    stopping = [finding for finding in findings if finding.severity == Severity.ERROR or strict]
    if stopping and not allow:
        lines = [f"{finding.place}: {finding.problem}" for finding in sorted(stopping, key=_by_place)]
        errors = "1 error" if len(stopping) == 1 else f"{len(stopping)} errors"
        hint = f"python tools/audit_dataset.py {source} shows them"
        fix = ", and --fix OUT repairs them" if any(finding.check == MISALIGNED for finding in stopping) else ""
        raise UserError("\n".join([*lines, f"{errors} in total; {hint}{fix}; --allow ignores them"]))


def _by_place(finding: Finding) -> tuple[bool, list[tuple[int, str]]]:
    """Return a sort key: findings about all scenes first, then files by name and lines by number."""
    parts = re.split(r"(\d+)", finding.place)
    return finding.place != ALL_SCENES, [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _unique(images: list[ImageRecord], findings: list[Finding]) -> list[ImageRecord]:
    """Return the first image with each scene id; report the other images as errors."""
    firsts: dict[str, ImageRecord] = {}
    for image in images:
        if image.path and (first := firsts.setdefault(image.path.stem, image)) != image:
            problem = f"image {image.name!r} has the same file name (without suffix) as {first.name!r} ({first.place})"
            findings.append(error("duplicate-image", image.place, problem, LEFT))
    return [image for image in images if not image.path or firsts[image.path.stem] == image]


def _judge_image(image: ImageRecord, reading: Reading, findings: list[Finding]) -> Scene | None:
    """Return a scene without boxes, or report why the image cannot be used."""
    if image.path is None:
        findings.append(
            error("missing-image", image.place, f"image {image.name!r} is missing; put it into SOURCE", LEFT)
        )
        return None
    place = str(image.path)
    if re.search(r"[\x00-\x1f\x7f]", image.path.name):
        problem = f"the file name {image.path.name!r} has control characters; rename the file"
        findings.append(error("unusual-name", repr(place), problem, LEFT))
        return None
    try:
        scene = open_scene(image.path, reading)
    except UserError as reason:
        findings.append(error("unreadable-image", place, str(reason).removeprefix(f"{place}: "), LEFT))
        return None
    if image.size not in (None, (scene.width, scene.height)):
        stated = "{} x {}".format(*image.size)
        problem = f"size is {stated} px, but the image has {scene.width} x {scene.height} px; boxes may differ in scale"
        if image.size == (scene.height, scene.width) and "exif-rotated" in scene.notes:
            note = scene.notes["exif-rotated"]
            problem = f"size is {stated} px, but the image was rotated ({note}); boxes may need the same rotation"
        findings.append(error("other-size", image.place, problem, LEFT))
        return None
    findings += [warning(check, place, note, KEPT) for check, note in scene.notes.items()]
    no_boxes = np.zeros((0, 4), np.float32)
    sides = scene.width, scene.height
    return Scene(image.path.stem, image.path, *sides, no_boxes, scene.georeference, reading, image.gsd)


def _without_boxes(image: Scene, lost: Sequence[str]) -> Finding:
    """Return an error if all labels of an image were lost, or a warning if it has none."""
    place = str(image.image)
    if not lost:
        return warning("no-boxes", place, "image without boxes", "kept as background")
    problem = f"none of its {len(lost)} labels gives a box, so tanks would become background; the first {lost[0]}"
    return error("lost-labels", place, problem, KEPT)


def _unknown_classes(annotations: Annotations, class_map: Mapping[str, str | None]) -> list[Finding]:
    """Return an error for each class that is not in the class map, or one error if there are many.

    The error names the first box of the class.
    """
    unknown: dict[str, list[Record]] = defaultdict(list)
    for record in annotations.records:
        if record.class_name not in class_map:
            unknown[record.class_name].append(record)
    if len(unknown) > MANY_CLASSES:
        counts = sorted(((len(of_class), name) for name, of_class in unknown.items()), reverse=True)
        listed = ", ".join(f"{name!r} ({count})" for count, name in counts[: 2 * MANY_CLASSES])
        problem = (
            f"{len(unknown)} classes are unknown: {listed}{', ...' if len(unknown) > 2 * MANY_CLASSES else ''}; "
            f"--class-map NAME={CLASS_NAME} makes one a tank, '{OTHERS}={LEFT_OUT}' leaves out all others"
        )
        first = next(iter(unknown.values()))[0]
        return [error("unknown-class", first.place, problem, LEFT)]
    errors = []
    for name, of_class in unknown.items():
        count = f" ({len(of_class)} boxes)" if len(of_class) > 1 else ""
        tank, ignored = (shlex.quote(f"{name}={target}") for target in (CLASS_NAME, "-"))
        problem = f"class {name!r}{count} is unknown; --class-map {tank} makes it a tank, {ignored} leaves it out"
        if name == NO_CLASS and annotations.unnamed:
            problem = f"{len(of_class)} labels have {annotations.unnamed[0]}"
        errors.append(error("unknown-class", of_class[0].place, problem, LEFT))
    return errors


def _spellings(records: Sequence[Record], names: Collection[str]) -> list[Finding]:
    """Return a repair for each usual spelling of the class, with the number of its boxes."""
    of_name = {name: [record for record in records if record.class_name == name] for name in sorted(names)}
    return [
        repair("spelling", boxes[0].place, f"class {name!r} ({len(boxes)} boxes)", f"taken as {CLASS_NAME}")
        for name, boxes in of_name.items()
    ]


def _counted(findings: list[Finding], check: str) -> list[Finding]:
    """Replace the findings of a check by the first one, with the number of the others."""
    same = [finding for finding in findings if finding.check == check]
    if len(same) < 2:
        return findings
    counted = replace(same[0], problem=f"{same[0].problem}; {len(same) - 1} more")
    kept = [finding for finding in findings if finding is same[0] or finding.check != check]
    return [counted if finding is same[0] else finding for finding in kept]


def _judge_boxes(records: list[Record], width: int, height: int, findings: list[Finding]) -> NDArray[np.float32]:
    """Return ``(N, 4)`` float32 xyxy boxes inside the image; report repaired, dropped and suspicious boxes."""
    records_by_box: dict[Box, Record] = {}
    for record in records:
        if (box := _judge_box(record, width, height, findings)) is None:
            continue
        if (first := records_by_box.setdefault(box, record)) is not record:
            problem = f"box {record.box} is the same as the box at {first.place}"
            findings.append(warning("duplicate-box", record.place, problem, DROPPED))
    unique = list(records_by_box.values())
    boxes = np.array(list(records_by_box), dtype=np.float32).reshape(-1, 4)
    for index, earlier in _near_duplicates(boxes).items():
        problem = f"box {unique[index].box} is nearly the same as the box at {unique[earlier].place}"
        findings.append(warning("near-duplicate", unique[index].place, problem, KEPT))
    return boxes


def _near_duplicates(boxes: NDArray[np.float32]) -> dict[int, int]:
    """Return the index of each box that nearly equals an earlier one, with the index of the most similar earlier one.

    Each box is compared with the :data:`NEIGHBOURS` boxes whose corners are nearest to its own, which takes
    ``O(N log N)`` even if all boxes are in one place.
    """
    corners = boxes.astype(np.float64)
    neighbours = min(NEIGHBOURS + 1, len(boxes))
    if neighbours < 2:
        return {}
    nearest = KDTree(corners).query(corners, neighbours, p=np.inf)[1]
    pairs = np.stack([np.repeat(np.arange(len(boxes)), neighbours), nearest.ravel()])
    earlier, later = np.unique(np.sort(pairs[:, pairs[0] != pairs[1]], axis=0), axis=1)
    a, b = corners[earlier], corners[later]
    common = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
    ious = common / ((a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - common)
    order = np.lexsort((earlier, -ious, later))
    order = order[ious[order] > NEAR_DUPLICATE_IOU]
    indices, best = np.unique(later[order], return_index=True)
    return dict(zip(indices.tolist(), earlier[order][best].tolist(), strict=True))


def _judge_box(record: Record, width: int, height: int, findings: list[Finding]) -> Box | None:
    """Repair a box and report problems; return the box rounded to float32, or None if it is unusable."""

    def report(kind: Callable[..., Finding], check: str, problem: str, action: str) -> None:
        findings.append(kind(check, record.place, f"box {record.box} {problem}", action))

    with np.errstate(over="ignore"):
        x1, y1, x2, y2 = np.array(record.box, dtype=np.float32).tolist()
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        report(warning, "not-finite", "has coordinates that are not finite", DROPPED)
        return None
    if x1 > x2 or y1 > y2:
        report(repair, "swapped-corners", "has swapped corners", "put in order")
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    if x1 == x2 or y1 == y2:
        report(warning, "no-area", "has no area", DROPPED)
        return None
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        report(warning, "outside", f"lies outside the {width} x {height} image", DROPPED)
        return None
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        report(repair, OVER_THE_BORDER, f"extends beyond the border of the {width} x {height} image", "clipped")
        x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    short, long = sorted((x2 - x1, y2 - y1))
    if short < MIN_SIDE:
        report(warning, "tiny", f"has a side of {short:g} px, less than {MIN_SIDE:g} px", KEPT)
    elif long > MAX_ASPECT * short and x1 > 0 and y1 > 0 and x2 < width and y2 < height:  # not cut by the border
        report(warning, "aspect", f"has an aspect ratio of {long / short:.1f}", KEPT)
    return x1, y1, x2, y2
