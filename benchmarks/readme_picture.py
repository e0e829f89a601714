"""Draw the picture of README: labels next to the detections of the shipped weights, on a rendered scene.

    python tools/make_synthetic.py data/readme_picture --scenes 2 --size 640 --seed 3
    python benchmarks/readme_picture.py data/readme_picture docs/demo.jpg

README shows the picture at half its width, so lines and titles are large enough for this size.
"""

import argparse
import ast
import csv
from pathlib import Path

import cv2
import numpy as np

from oil_storage.drawing import PREDICTION, TRUTH, draw_boxes, jpeg, title
from oil_storage.imagery import read_pixels
from oil_storage.inference import SceneDetector

CONFIG, WEIGHTS = Path("configs/oil/ssd_lite0_multires.py"), Path("weights/ssd_lite0_multires.safetensors")
SCENE = "synthetic-3-00001"
WIDTH, HEIGHT = 480, 470
"""Size of the upper left part of the scene that is shown."""
MAGNIFIED, LINE_WIDTH, TITLE_SCALE = 2, 4, 3


def half(pixels: np.ndarray, boxes: np.ndarray, colour: tuple[int, int, int], name: str) -> np.ndarray:
    """Draw the boxes in the shown part, below a title with the number of boxes."""
    inside = boxes[(boxes[:, 0] < WIDTH) & (boxes[:, 1] < HEIGHT)]
    size = MAGNIFIED * WIDTH, MAGNIFIED * HEIGHT
    canvas = cv2.resize(pixels[:HEIGHT, :WIDTH], size, interpolation=cv2.INTER_CUBIC)
    for margin in range(LINE_WIDTH):
        draw_boxes(canvas, inside * MAGNIFIED + np.float32([-margin, -margin, margin, margin]), colour)
    band = title(f"{name}: {len(inside)}", size[0] // TITLE_SCALE)
    band = cv2.resize(band, (size[0], TITLE_SCALE * len(band)), interpolation=cv2.INTER_CUBIC)
    return np.concatenate([band, canvas])


def main() -> None:
    """Detect the tanks, and draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of tools/make_synthetic.py")
    parser.add_argument("out", type=Path, help="JPEG file to write")
    args = parser.parse_args()
    path = args.source / "images" / f"{SCENE}.jpg"
    pixels = read_pixels(path)
    with (args.source / "annotations.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["image_id"].startswith(SCENE)]
    labels = np.float32([ast.literal_eval(row["bounds"]) for row in rows])
    detected = SceneDetector(CONFIG, WEIGHTS).detect(path).boxes
    left = half(pixels, labels, TRUTH, "labels")
    right = half(pixels, detected, PREDICTION, "detections")
    line = np.full((len(left), 6, 3), 255, np.uint8)
    args.out.write_bytes(jpeg(np.concatenate([left, line, right], axis=1), quality=82))


if __name__ == "__main__":
    main()
