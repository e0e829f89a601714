import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from faster_coco_eval.core import mask
from PIL import Image

from oil_storage.annotations import Annotations, ImageRecord, Record
from oil_storage.audit.records import NEAR_DUPLICATE_IOU, _near_duplicates, audit, check_usable
from oil_storage.errors import UserError
from oil_storage.findings import Finding, Severity, error, warning
from oil_storage.scene import CLASS_NAME, Scene

CLASSES = {CLASS_NAME: CLASS_NAME}
Box = tuple[float, float, float, float]


def record(box: Box = (1, 2, 9, 9), image: str = "a", class_name: str = CLASS_NAME) -> Record:
    return Record(image, class_name, box, "f.csv:9")


def judged(folder: Path, *records: Record, size: tuple[int, int] | None = None) -> tuple[list[Scene], list[Finding]]:
    images = [ImageRecord(path.stem, path, size, str(path)) for path in sorted(folder.iterdir())]
    named = {image.name for image in images}
    missing = [ImageRecord(item.image, None, None, item.place) for item in records if item.image not in named]
    return audit(Annotations([*images, *missing], list(records), []), CLASSES)


def checks(findings: list[Finding], severity: Severity) -> list[str]:
    return [finding.check for finding in findings if finding.severity == severity]


@pytest.mark.parametrize(
    ("box", "kept", "check"),
    [
        ((10, 20, 30, 40), [10, 20, 30, 40], None),
        ((10, 40, 30, 20), [10, 20, 30, 40], "swapped-corners"),
        ((30, 40, 10, 20), [10, 20, 30, 40], "swapped-corners"),
        ((-5, 50, 30, 95), [0, 50, 30, 80], "over-the-border"),
        ((10, 20, 30, 20), None, "no-area"),
        ((100, 20, 110, 30), None, "outside"),
        ((10, -9, 30, 0), None, "outside"),
        ((10, float("nan"), 30, 9), None, "not-finite"),
        ((10, 20, float("inf"), 40), None, "not-finite"),
        ((10, 20, 1e39, 40), None, "not-finite"),  # infinite in float32
        ((50, 20, 50.000001, 40), None, "no-area"),  # in float32
        ((10, 20, 12.5, 24), [10, 20, 12.5, 24], "tiny"),
        ((10, 20, 40, 30), [10, 20, 40, 30], "aspect"),
        ((0, 20, 10, 60), [0, 20, 10, 60], None),  # cut by the border
    ],
)
def test_audit_keeps_repairs_or_drops_a_box_and_reports_it(
    images: Path, box: Box, kept: list[float] | None, check: str | None
) -> None:
    scenes, findings = judged(images, record(box), record(image="b"))
    assert scenes[0].boxes.tolist() == ([] if kept is None else [kept])
    assert scenes[0].boxes.dtype == np.float32
    about_box = [finding for finding in findings if finding.place == "f.csv:9"]
    assert [finding.check for finding in about_box] == ([] if check is None else [check])
    assert all(f"{box[0]:g}" in finding.problem for finding in about_box)
    assert checks(findings, Severity.ERROR) == ([] if kept else ["lost-labels"])


@pytest.mark.parametrize(
    ("second", "kept", "check"),
    [
        ((10, 20, 40, 50), 1, "duplicate-box"),
        ((10, 20, 40, 50.000001), 1, "duplicate-box"),
        ((40, 50, 10, 20), 1, "duplicate-box"),
        ((11, 20, 40, 50), 2, "near-duplicate"),
        ((30, 20, 60, 50), 2, None),
    ],
)
def test_audit_reports_duplicate_boxes(images: Path, second: Box, kept: int, check: str | None) -> None:
    scenes, findings = judged(images, record((10, 20, 40, 50)), record(second), record((10, 20, 40, 50), "b"))
    assert [len(scene.boxes) for scene in scenes] == [kept, 1]
    assert checks(findings, Severity.WARNING) == ([] if check is None else [check])


def test_near_duplicates_equal_those_of_a_comparison_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 300, (400, 2))
    boxes = np.hstack([corners, corners + rng.uniform(5, 60, (400, 2))])
    boxes = np.vstack([boxes, boxes[:150] + rng.normal(0, 1.5, (150, 4))]).astype(np.float32)
    xywh = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float64)
    ious = np.tril(mask.iou(xywh, xywh, [0] * len(xywh)), k=-1)
    found = {index: int(ious[index].argmax()) for index in range(len(boxes)) if ious[index].max() > NEAR_DUPLICATE_IOU}
    assert len(found) > 50
    assert _near_duplicates(boxes) == found


def test_near_duplicates_of_many_boxes_in_one_place_are_found_in_seconds() -> None:
    boxes = np.random.default_rng(0).uniform(0, 1, (20_000, 4)).astype(np.float32) + np.float32([0, 0, 50, 50])
    start = time.process_time()
    assert len(_near_duplicates(boxes)) > 15_000
    assert time.process_time() - start < 5


def test_image_names_with_control_characters_are_errors(images: Path) -> None:
    (images / "b.jpg").rename(images / "b\nc.jpg")
    scenes, findings = judged(images, record())
    assert [scene.scene_id for scene in scenes] == ["a"]
    assert checks(findings, Severity.ERROR) == ["unusual-name"]


def test_image_without_boxes_becomes_a_scene(images: Path) -> None:
    scenes, findings = judged(images, record())
    assert [(scene.scene_id, scene.width, scene.height) for scene in scenes] == [("a", 100, 80), ("b", 100, 80)]
    assert scenes[1].boxes.shape == (0, 4)
    assert "b.jpg: image without boxes" in str(findings[0])


@pytest.mark.parametrize(
    ("bad", "check", "words"),
    [
        (record(image="c"), "missing-image", "f.csv:9: image 'c' is missing"),
        (record(class_name="ship"), "unknown-class", "f.csv:9: class 'ship' is unknown"),
    ],
)
def test_unusable_record_is_an_error_with_its_location(images: Path, bad: Record, check: str, words: str) -> None:
    scenes, findings = judged(images, record(), bad)
    assert [len(scene.boxes) for scene in scenes] == [1, 0]
    assert checks(findings, Severity.ERROR) == [check]
    assert any(words in str(finding) for finding in findings)


def test_many_unknown_classes_are_one_error(images: Path) -> None:
    records = [record((9 * x, 2, 9 * x + 8, 9), class_name=name) for x, name in enumerate("abcdef")]
    _, findings = judged(images, record((60, 60, 70, 70)), *records)
    (finding,) = [finding for finding in findings if finding.severity == Severity.ERROR]
    assert "6 classes are unknown: 'f' (1)" in finding.problem
    assert "'*=-' leaves out all others" in finding.problem


def test_class_map_selects_or_ignores_classes(images: Path) -> None:
    annotations = Annotations(
        [ImageRecord("a", images / "a.jpg", None, "a")],
        [record((1, 2, 9, 9), class_name="tank"), record((20, 20, 30, 30), class_name="ship")],
        [],
    )
    scenes, findings = audit(annotations, {"tank": CLASS_NAME, "ship": None})
    assert scenes[0].boxes.tolist() == [[1, 2, 9, 9]]
    assert findings == []


def test_usual_spelling_of_the_class_is_reported_once(images: Path) -> None:
    scenes, findings = judged(images, *(record((x, 2, x + 9, 9), class_name="Oil_Tank") for x in (1, 20, 40)))
    assert len(scenes[0].boxes) == 3
    (spelling,) = [finding for finding in findings if finding.check == "spelling"]
    assert str(spelling) == f"repair: f.csv:9: class 'Oil_Tank' (3 boxes) -> taken as {CLASS_NAME}"


def test_boxes_over_the_border_are_counted(images: Path) -> None:
    scenes, findings = judged(images, record((-5, 5, 20, 20)), record(), record((60, 60, 80, 90)), record(image="b"))
    assert scenes[0].boxes.tolist() == [[0, 5, 20, 20], [1, 2, 9, 9], [60, 60, 80, 80]]
    (clipped,) = [finding for finding in findings if finding.check == "over-the-border"]
    assert clipped.problem.startswith("box (-5, 5, 20, 20) extends")
    assert clipped.problem.endswith("; 1 more")


def test_refusal_lists_all_errors_in_the_order_of_files_and_lines() -> None:
    places = ["b.csv:2", "a.csv:10", "all scenes", "a.csv:9", "image_12.jpg", "image_2.jpg"]
    findings = [error("check", place, "is wrong", "kept") for place in places]
    with pytest.raises(UserError) as refusal:
        check_usable([warning("check", "a.csv:1", "is odd", "kept"), *findings], Path("source"))
    *lines, total = str(refusal.value).splitlines()
    order = ["all scenes", "a.csv:9", "a.csv:10", "b.csv:2", "image_2.jpg", "image_12.jpg"]
    assert lines == [f"{place}: is wrong" for place in order]
    assert total.startswith("6 errors in total; python tools/audit_dataset.py source")
    check_usable(findings, Path("source"), allow=True)


def test_audit_fails_without_usable_boxes(images: Path) -> None:
    with pytest.raises(UserError, match=r"no image has a usable box.*\n.*a\.jpg: none of its 1 labels .*no area"):
        judged(images, record((1, 2, 1, 9)))


def test_image_that_lost_its_labels_in_the_reader_is_an_error(images: Path) -> None:
    annotations = Annotations([ImageRecord(name, images / f"{name}.jpg", None, name) for name in "ab"], [record()], [])
    annotations.leave_out(record(image="b"), "crowd", "is a crowd")
    _, findings = audit(annotations, CLASSES)
    assert checks(findings, Severity.ERROR) == ["lost-labels"]
    assert "b.jpg: none of its 1 labels gives a box" in str(findings[-1])
    annotations.left_out[0] = (record(image="b", class_name="ship"), "is a crowd")
    _, findings = audit(annotations, {**CLASSES, "ship": None})
    assert checks(findings, Severity.ERROR) == []


def test_audit_reports_identical_image_files(images: Path) -> None:
    (images / "c.jpg").write_bytes((images / "a.jpg").read_bytes())
    _, findings = judged(images, record(), record(image="b"), record((2, 2, 8, 8), image="c"))
    assert [finding.check for finding in findings] == ["same-image"]
    assert str(findings[0]).startswith(f"warning: {images}/c.jpg: is identical to {images}/a.jpg")


def test_different_images_of_equal_file_size_are_not_identical(images: Path) -> None:
    for name in ("c", "d"):
        Image.new("RGB", (100, 80), (ord(name), 0, 0)).save(images / f"{name}.tif")
    (images / "b.jpg").unlink()
    _, findings = judged(images, record(), record(image="c"), record(image="d"))
    assert findings == []


def write_turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 80)).save(path, exif=exif)


def write_sixteen_bits(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((80, 100, 3), np.uint16))


def write_six_bands(path: Path) -> None:
    with rasterio.open(path, "w", driver="GTiff", width=100, height=80, count=6, dtype="uint8"):
        pass


@pytest.mark.parametrize(
    ("name", "write", "check"),
    [
        ("c.jpg", lambda path: path.write_bytes(b"no image"), "unreadable-image"),
        ("c.tif", write_six_bands, "unreadable-image"),
        ("a.png", lambda path: Image.new("RGB", (100, 80)).save(path), "duplicate-image"),
    ],
)
def test_audit_leaves_out_unusable_images(images: Path, name: str, write: object, check: str) -> None:
    write(images / name)  # type: ignore[operator]
    scenes, findings = judged(images, record(image="b"))
    assert checks(findings, Severity.ERROR) == [check]
    assert [scene.scene_id for scene in scenes] == ["a", "b"]


def test_audit_leaves_out_an_image_with_wrong_stated_size(images: Path) -> None:
    with pytest.raises(UserError, match="size is 50 x 80 px"):
        judged(images, record(), size=(50, 80))
    assert checks(judged(images, record(), size=(100, 80))[1], Severity.ERROR) == []


@pytest.mark.parametrize(
    ("name", "write", "check", "words", "size"),
    [
        ("c.jpg", write_turned, "exif-rotated", "EXIF orientation 6: turned upright", (80, 100)),
        ("c.tif", write_sixteen_bits, "stretched", "percentiles 2 and 98 of each band map to 0 and 255", (100, 80)),
    ],
)
def test_rotated_or_stretched_image_is_kept_with_a_warning(
    images: Path, name: str, write: Callable[[Path], None], check: str, words: str, size: tuple[int, int]
) -> None:
    write(images / name)
    scenes, findings = judged(images, record(image="b"))
    assert (scenes[2].width, scenes[2].height) == size
    assert [finding.problem for finding in findings if finding.check == check] == [words]


@pytest.mark.parametrize(
    ("mode", "bands"),
    [
        ("L", "has 1 band; the first is used as grey"),
        ("RGBA", "has 4 bands; [1, 2, 3] are used as red, green and blue"),
    ],
)
def test_audit_reports_grey_and_alpha_bands(images: Path, mode: str, bands: str) -> None:
    Image.new(mode, (100, 80)).save(images / "c.png")
    scenes, findings = judged(images, record(image="c"))
    assert [scene.scene_id for scene in scenes] == ["a", "b", "c"]
    assert bands in next(finding.problem for finding in findings if finding.check == "bands")


def test_audit_finds_the_defects_of_the_airbus_data(airbus: Path) -> None:
    from oil_storage.annotations.formats import read

    scenes, findings = audit(read(airbus), CLASSES)
    assert len(scenes) == 78
    assert checks(findings, Severity.ERROR) == []
    assert checks(findings, Severity.REPAIR) == ["swapped-corners"]
    assert "no-area" in checks(findings, Severity.WARNING)


def test_audit_closes_all_images(images: Path) -> None:
    for number in range(20):
        Image.new("RGB", (100, 80)).save(images / f"more_{number}.tif")
    before = len(os.listdir("/proc/self/fd"))
    scenes, _ = judged(images, record(image="b"))
    assert len(scenes) == 22
    assert len(os.listdir("/proc/self/fd")) <= before


def test_error_names_the_exif_rotation_if_the_stated_size_ignores_it(images: Path) -> None:
    write_turned(images / "a.jpg")
    with pytest.raises(UserError, match=r"size is 100 x 80 px, but the image was rotated \(EXIF orientation 6: turned"):
        judged(images, record(), size=(100, 80))
