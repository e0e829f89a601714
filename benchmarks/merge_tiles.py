"""Compare the time of ``merge_tiles`` with the time of SAHI's default post-processing.

    python -m venv /tmp/sahi
    echo "$PWD/.venv/lib/python3.11/site-packages" > /tmp/sahi/lib/python3.11/site-packages/ours.pth
    /tmp/sahi/bin/pip install sahi numba
    python benchmarks/merge_tiles.py --sahi-python /tmp/sahi/bin/python

The scene has a side of 20,480 px and tanks of 5 to 40 px, as dense as in the densest real scene. The tiles have 640 px
and overlap by 128 px. The boxes have a noise of 1 px. There are about 100,000 detections in all. Both programs get
their input in memory. SAHI gets a list of ``ObjectPrediction``, and the time to create it is not counted. SAHI's
default is GREEDYNMM with intersection over the smaller area, threshold 0.5. Each SAHI backend first runs on a few
detections, so that compilation is not timed. The shortest of ``--repeat`` times counts.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from oil_storage.merging import Detections, merge_tiles
from oil_storage.tiling import cut_boxes, tile_grid

SIDE, TILE, OVERLAP, TANKS = 20_480, 640, 128, 62_000
SAHI = """
import sys, time
import numpy as np
from sahi.postprocess.backends import set_postprocess_backend
from sahi.postprocess.combine import GreedyNMMPostprocess
from sahi.prediction import ObjectPrediction
path, side, repeat = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rows = np.load(path)
def predictions(rows):
    return [ObjectPrediction(bbox=row[:4].tolist(), score=float(row[4]), category_id=0, category_name="tank",
                             full_shape=[side, side]) for row in rows]
merge = GreedyNMMPostprocess(match_threshold=0.5, match_metric="IOS", class_agnostic=False)
for backend in ("numpy", "numba"):
    set_postprocess_backend(backend)
    merge(predictions(rows[:20000]))
    taken = []
    for _ in range(repeat):
        given = predictions(rows)
        begin = time.perf_counter()
        found = merge(given)
        taken.append(time.perf_counter() - begin)
    print(f"| SAHI, {backend} | {len(found)} | {min(taken):.2f} |", flush=True)
"""


def detections() -> tuple[np.ndarray, list[Detections]]:
    """Return the windows of the tiles, ``(T, 4)`` xyxy, and the detections in each tile."""
    random = np.random.default_rng(0)
    centres, sides = random.uniform(0, SIDE, (TANKS, 2)), random.uniform(5, 40, (TANKS, 1))
    boxes = np.clip(np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), 0, SIDE).astype(np.float32)
    windows = tile_grid(SIDE, SIDE, TILE, OVERLAP)
    tiles = []
    for window in windows:
        seen, _ = cut_boxes(boxes, window)
        seen = np.clip(seen + random.normal(0, 1, seen.shape), 0, TILE).astype(np.float32)
        seen = seen[(seen[:, 2:] > seen[:, :2]).all(axis=1)]
        tiles.append(Detections(seen, random.uniform(0.05, 1, len(seen)).astype(np.float32)))
    return windows, tiles


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sahi-python", type=Path, required=True, help="Python of an environment with SAHI")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="number of runs (default: %(default)s)")
    args = parser.parse_args()
    windows, tiles = detections()
    number = sum(len(tile.boxes) for tile in tiles)
    print(f"{number} detections in {len(tiles)} tiles of {TANKS} tanks\n")
    print("| | found | seconds |\n| --- | --- | --- |")
    taken = []
    for _ in range(args.repeat):
        begin = time.perf_counter()
        found = merge_tiles(windows, tiles, SIDE, SIDE)
        taken.append(time.perf_counter() - begin)
    print(f"| merge_tiles | {len(found.boxes)} | {min(taken):.3f} |", flush=True)
    moved = [tile.boxes + np.tile(window[:2], 2) for window, tile in zip(windows, tiles, strict=True)]
    rows = np.concatenate([np.concatenate(moved), np.concatenate([tile.scores for tile in tiles])[:, None]], axis=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.npy")
        np.save(path, rows)
        command = [args.sahi_python, "-c", SAHI, path, SIDE, args.repeat]
        subprocess.run([str(part) for part in command], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
