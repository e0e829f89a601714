"""Measure a detector on scenes that are resampled to other ground resolutions, with and without a georeference.

    python benchmarks/resolution.py CONFIG CHECKPOINT IMAGES data/oil_storage/scenes/val.json

IMAGES is the folder of the scenes, whose ground resolution is about 1.35 m per pixel. Each scene is resampled and
written twice, as a GeoTIFF and as a PNG without a georeference. The detector searches both with default options. For
reference, it also searches the original scenes at a magnification of 1. The figures are written to
``results/resolution/<checkpoint>.json``, and plotted in ``docs/resolution.svg``. ``--gsd`` selects resolutions. The
figures of other resolutions remain in the file. F1 of the GeoTIFFs is also stored in a ``.pth`` checkpoint, so that
detection warns of scenes with other resolutions.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import rasterio
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.transform import from_origin

from oil_storage.checkpoints.checkpoint import store_accuracy
from oil_storage.checkpoints.provenance import commit, hardware
from oil_storage.errors import UserError
from oil_storage.evaluation.curves import at_threshold
from oil_storage.evaluation.ground_truth import read_coco
from oil_storage.evaluation.matching import SceneResult, match_scenes
from oil_storage.files import read_json, write_json
from oil_storage.imagery import read_pixels
from oil_storage.inference import SceneDetector

NATIVE = 1.35
"""Ground resolution of the Airbus scenes in metres per pixel, the middle of 1.2 to 1.5."""
RESOLUTIONS = (0.3, 0.5, 0.8, 1.2, 1.5, 2.0, 3.0)
RESULTS, PLOT = Path("results/resolution"), Path("docs/resolution.svg")
CLOSE = 0.25
"""Relative error up to which an estimated resolution counts as close."""


def resampled(pixels: NDArray[np.uint8], gsd: float) -> NDArray[np.uint8]:
    """Resample a scene ``(H, W, 3)`` from :data:`NATIVE` to ``gsd`` metres per pixel."""
    size = tuple(round(side * NATIVE / gsd) for side in pixels.shape[1::-1])
    interpolation = cv2.INTER_AREA if gsd > NATIVE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def write_scene(path: Path, pixels: NDArray[np.uint8], gsd: float) -> None:
    """Write a GeoTIFF with a georeference, or a PNG if ``path`` has the suffix ``.png``."""
    if path.suffix == ".png":
        cv2.imwrite(str(path), pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return
    height, width = pixels.shape[:2]
    profile = {"width": width, "height": height, "count": 3, "dtype": "uint8", "tiled": True, "compress": "deflate"}
    georeference = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_500_000, gsd, gsd)}
    with rasterio.open(path, "w", driver="GTiff", **profile, **georeference) as raster:
        raster.write(pixels.transpose(2, 0, 1))


def f1(detector: SceneDetector, truth: dict[str, SceneResult], paths: list[Path]) -> tuple[float, list[float | None]]:
    """Detect tanks in scenes. Return F1 at IoU 0.5 over all scenes, and the ground resolution used for each scene."""
    results, resolutions = [], []
    for path, detections in detector.detect_all(paths, paths):
        if isinstance(detections, UserError):
            raise detections
        scene = truth[path.stem]
        factor = np.tile((detections.width / scene.width, detections.height / scene.height), 2)
        boxes = (detections.boxes / factor).astype(np.float32)
        results.append(replace(scene, boxes=boxes, scores=detections.scores))
        resolutions.append(detections.magnification.gsd)
    return at_threshold(match_scenes(results), detector.threshold).f1, resolutions


def measure(detector: SceneDetector, truth: dict[str, SceneResult], images: list[Path], gsd: float) -> dict[str, float]:
    """Measure F1 at a ground resolution, and the share of scenes whose estimated resolution is close."""
    with tempfile.TemporaryDirectory() as folder:
        figures = {}
        for suffix, name in ((".tif", "f1_georeferenced"), (".png", "f1_estimated")):
            paths = [Path(folder, f"{image.stem}{suffix}") for image in images]
            for image, path in zip(images, paths, strict=True):
                write_scene(path, resampled(read_pixels(image), gsd), gsd)
            figures[name], resolutions = f1(detector, truth, paths)
            for path in paths:
                path.unlink()
    errors = [abs(estimate / gsd - 1) if estimate else np.inf for estimate in resolutions]
    figures["share_close"] = float(np.mean(np.array(errors) <= CLOSE))
    return figures


def plot(figures: dict[str, dict[str, float]], native: float, path: Path) -> None:
    """Plot F1 over the ground resolution."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    gsds = sorted(figures, key=float)
    for key, label in (("f1_georeferenced", "georeferenced"), ("f1_estimated", "resolution estimated")):
        axes.plot([float(gsd) for gsd in gsds], [figures[gsd][key] for gsd in gsds], marker="o", label=label)
    axes.axhline(native, color="#999999", linewidth=1, linestyle="--", label="scenes as they are")
    axes.set(xscale="log", xlabel="metres per pixel", ylabel="F1 of val scenes", ylim=(0, 1))
    axes.set_xticks([float(gsd) for gsd in gsds], gsds)
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Read the command line, measure, write figures and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", type=Path, help="folder of the scenes")
    parser.add_argument("truth", type=Path, help="COCO JSON of the scenes")
    parser.add_argument("--gsd", type=float, nargs="+", default=RESOLUTIONS, metavar="METRES")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("--plot", type=Path, default=PLOT, help="default: %(default)s")
    args = parser.parse_args()
    truth = read_coco(args.truth).scenes
    images = [path for path in sorted(args.images.iterdir()) if path.stem in truth]
    out = args.results / f"{args.checkpoint.stem}.json"
    record = read_json(out) if out.is_file() else {"by_gsd": {}}
    record |= {"commit": commit(), "hardware": hardware()}
    record["f1_native"] = f1(SceneDetector(args.config, args.checkpoint, scale=1.0), truth, images)[0]
    print(f"as they are: F1 {record['f1_native']:.3f}")
    detector = SceneDetector(args.config, args.checkpoint)
    args.results.mkdir(parents=True, exist_ok=True)
    for gsd in args.gsd:
        figures = record["by_gsd"][f"{gsd:g}"] = measure(detector, truth, images, gsd)
        print(f"{gsd:g} m: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)
        write_json(out, record)
    if args.checkpoint.suffix == ".pth":
        store_accuracy(args.checkpoint, {gsd: figures["f1_georeferenced"] for gsd, figures in record["by_gsd"].items()})
    plot(record["by_gsd"], record["f1_native"], args.plot)


if __name__ == "__main__":
    main()
