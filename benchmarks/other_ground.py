"""Measure a detector on ground without tanks and on images that are unlike its training scenes.

    python benchmarks/other_ground.py CONFIG CHECKPOINT --usgs DIR --rsod DIR --airbus DIR --truth SCENES/val.json

Images are searched with default options; the resolution of the val scenes is stated. Four measurements are made:

* false positives on tank-free chips of the USGS land-use data set (numbers 15 to 29 of 20 classes, 1.8 km² at 0.3 m per
  pixel): joined to one GeoTIFF, joined to one PNG without a georeference, and as a folder of chips,
* clear tanks found in the chips of the class ``storagetanks`` (``benchmarks/labels/usgs_tanks.json``),
* false positives on val scenes, more than 240 m from all labels and corrections
  (``benchmarks/labels/val_corrections.json``),
* F1 on RSOD, aerial images of about 0.3 m per pixel without a georeference.

The figures are written to ``results/other_ground/<checkpoint>.json``. Figures of the same weights and threshold that
are not measured again are kept.
"""

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from resolution import NATIVE, write_scene

from oil_storage.checkpoints.provenance import commit, hardware
from oil_storage.errors import UserError
from oil_storage.evaluation.curves import at_threshold
from oil_storage.evaluation.ground_truth import read_coco, read_folder
from oil_storage.evaluation.matching import SceneResult, match_scenes
from oil_storage.files import read_json, sha256, write_json
from oil_storage.imagery import read_pixels
from oil_storage.inference import SceneDetector
from oil_storage.inference.scene_detections import SceneDetections

LABELS = Path(__file__).parent / "labels"
RESULTS = Path("results/other_ground")
TANKS = "storagetanks"
FIRST_TEST_CHIP = 15
CHIP, CHIP_GSD, COLUMNS = 256, 0.3, 18
"""Side of a chip in pixels, its metres per pixel, and the number of chips in a row of the joined image."""
FAR = 240.0
"""Minimum distance in metres from labels."""
CELL = 16
"""Side in pixels of the grid cells by which the area far from labels is measured."""

Box = NDArray[np.float32]


def detections_of(detector: SceneDetector, paths: Sequence[Path]) -> dict[Path, SceneDetections]:
    """Detect tanks in scenes of one run."""
    found = {}
    for path, detections in detector.detect_all(paths, paths):
        if isinstance(detections, UserError):
            raise detections
        assert isinstance(path, Path)
        found[path] = detections
    return found


def joined(chips: Sequence[Path]) -> NDArray[np.uint8]:
    """Join chips to one image with :data:`COLUMNS` chips in a row."""
    rows = -(-len(chips) // COLUMNS)
    image = np.zeros((rows * CHIP, COLUMNS * CHIP, 3), np.uint8)
    for index, path in enumerate(chips):
        row, column = divmod(index, COLUMNS)
        pixels = cv2.resize(read_pixels(path), (CHIP, CHIP))
        image[row * CHIP : (row + 1) * CHIP, column * CHIP : (column + 1) * CHIP] = pixels
    return image


def tank_free_chips(detector: SceneDetector, usgs: Path) -> dict[str, Any]:
    """Count false positives on the test chips without tanks."""
    chips = [
        chip
        for folder in sorted(usgs.iterdir())
        if folder.is_dir() and folder.name != TANKS
        for chip in sorted(folder.glob("*.jpg"))
        if int(chip.stem[-2:]) >= FIRST_TEST_CHIP
    ]
    random.Random(0).shuffle(chips)
    figures: dict[str, Any] = {"km2": round(len(chips) * (CHIP * CHIP_GSD) ** 2 / 1e6, 2)}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("joined.tif", "joined.png"):
            path = Path(folder, name)
            write_scene(path, joined(chips), CHIP_GSD)
            (found,) = detections_of(detector, [path]).values()
            columns, rows = ((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 // CHIP).astype(int).T
            names = (chips[row * COLUMNS + column].parent.name for row, column in zip(rows, columns, strict=True))
            figures[name] = dict(Counter(names).most_common())
        links = [Path(folder, chip.name) for chip in chips]
        for link, chip in zip(links, chips, strict=True):
            link.symlink_to(chip.resolve())
        numbers = {path.stem[:-2]: len(found.boxes) for path, found in detections_of(detector, links).items()}
        figures["chips"] = {name: number for name, number in numbers.items() if number}
    return figures


def clear_tanks(detector: SceneDetector, usgs: Path) -> dict[str, int]:
    """Count how many of the clear tanks are found."""
    labels = {name: np.array(boxes, np.float32) for name, boxes in read_json(LABELS / "usgs_tanks.json")[TANKS].items()}
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for name, boxes in labels.items():
            if not len(boxes):
                continue
            pixels = read_pixels(usgs / TANKS / name)
            path = Path(folder, name).with_suffix(".tif")
            write_scene(path, pixels, CHIP_GSD)
            (found,) = detections_of(detector, [path]).values()
            height, width = pixels.shape[:2]
            results.append(SceneResult(name, width, height, boxes, found.boxes, found.scores))
    return {
        "found": sum(int(scene.right.sum()) for scene in match_scenes(results)),
        "of": sum(map(len, labels.values())),
    }


def far_from_labels(detector: SceneDetector, airbus: Path, truth: Path) -> dict[str, Any]:
    """Count false positives on val scenes, far from any label and correction."""
    corrections = read_json(LABELS / "val_corrections.json")["scenes"]
    scenes = read_coco(truth).scenes
    paths = [path for path in sorted(airbus.iterdir()) if path.stem in scenes]
    grid = np.arange(CELL / 2, max(max(scene.width, scene.height) for scene in scenes.values()), CELL)
    number, cells = 0, 0
    for path, found in detections_of(detector, paths).items():
        scene = scenes[path.stem]
        added = [entry["box"] for entry in corrections.get(path.stem, [])]
        labels = np.concatenate([scene.truth, np.array(added, np.float32).reshape(-1, 4)])
        number += int(is_far((found.boxes[:, :2] + found.boxes[:, 2:]) / 2, labels).sum())
        x, y = np.meshgrid(grid[grid < scene.width], grid[grid < scene.height])
        cells += int(is_far(np.stack([x.ravel(), y.ravel()], axis=1), labels).sum())
    area = cells * (CELL * NATIVE) ** 2 / 1e6
    return {"km2": round(area, 1), "false_positives": number, "per_100_km2": round(100 * number / area, 1)}


def is_far(points: NDArray[Any], boxes: Box) -> NDArray[np.bool_]:
    """Return whether points ``(P, 2)`` are more than :data:`FAR` metres from all boxes ``(N, 4)`` xyxy."""
    far = np.ones(len(points), bool)
    for box in boxes:
        gaps = np.maximum(np.maximum(box[:2] - points, points - box[2:]), 0)
        far &= np.hypot(*gaps.T) > FAR / NATIVE
    return far


def other_sensor(detector: SceneDetector, rsod: Path) -> dict[str, Any]:
    """Measure F1, precision and recall on RSOD."""
    truth = read_folder(rsod, "voc", allow=True)
    paths = [truth.images[name] for name in truth.scenes]
    results = []
    for (name, scene), found in zip(truth.scenes.items(), detections_of(detector, paths).values(), strict=True):
        results.append(SceneResult(name, scene.width, scene.height, scene.truth, found.boxes, found.scores))
    point = at_threshold(match_scenes(results), detector.threshold)
    return {"f1": round(point.f1, 4), "precision": round(point.precision, 4), "recall": round(point.recall, 4)}


def main() -> None:
    """Read the command line, measure and write figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--usgs", type=Path, help="folder of the land-use classes")
    parser.add_argument("--rsod", type=Path, help="folder with JPEGImages and Annotations")
    parser.add_argument("--airbus", type=Path, help="folder of the val scenes; also needs --truth")
    parser.add_argument("--truth", type=Path, help="COCO JSON of the val scenes")
    parser.add_argument("--score-thr", type=float, help="default: the threshold in the checkpoint")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    args = parser.parse_args()
    detector = SceneDetector(args.config, args.checkpoint, score_thr=args.score_thr)
    stated = SceneDetector(args.config, args.checkpoint, score_thr=args.score_thr, source_gsd=NATIVE)
    args.results.mkdir(parents=True, exist_ok=True)
    out = args.results / f"{args.checkpoint.stem}.json"
    measured = {"checkpoint_sha256": sha256(args.checkpoint), "threshold": detector.threshold}
    known = read_json(out) if out.is_file() else {}
    record = known if measured.items() <= known.items() else measured
    measures = [
        ("usgs", args.usgs, lambda: tank_free_chips(detector, args.usgs)),
        ("usgs_clear_tanks", args.usgs, lambda: clear_tanks(detector, args.usgs)),
        ("val_far", args.airbus, lambda: far_from_labels(stated, args.airbus, args.truth)),
        ("rsod", args.rsod, lambda: other_sensor(detector, args.rsod)),
    ]
    for name, folder, measure in measures:
        if folder is not None:
            record[name] = measure() | {"commit": commit(), "hardware": hardware()}
            print(f"{name}: {record[name]}", flush=True)
            write_json(out, record)


if __name__ == "__main__":
    main()
