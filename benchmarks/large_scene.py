"""Measure memory and time of detection in large GeoTIFFs with sides of 5,120 to 20,480 px.

    python benchmarks/large_scene.py configs/oil/ssd_lite0_x15.py weights/ssd_lite0_x15.safetensors

Each raster consists of copies of one synthetic scene. `tools/detect.py` runs on each raster in a new process. The table
shows the peak resident memory of this process, and its time from the start to the last output file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from oil_storage.synthetic import make_synthetic

SIDE = 2560
GSD = 1.5
"""Metres per pixel."""


def write_raster(path: Path, scene: Path, times: int) -> None:
    """Fill a tiled GeoTIFF with ``times`` x ``times`` copies of a scene, without holding the raster in memory."""
    pixels = np.ascontiguousarray(cv2.imread(str(scene))[..., ::-1].transpose(2, 0, 1))
    side = times * SIDE
    place = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, GSD, GSD)}
    shape = {"width": side, "height": side, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="lzw", **shape, **place) as raster:
        for row in range(times):
            for column in range(times):
                raster.write(pixels, window=Window(SIDE * column, SIDE * row, SIDE, SIDE))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[2, 4, 8], help="copies per side (default: 2 4 8)")
    args = parser.parse_args()
    print("| side, px | tanks | seconds | seconds per megapixel | memory, GiB |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_synthetic(folder / "synthetic", 1, SIDE, 0)
        (scene,) = (folder / "synthetic" / "images").iterdir()
        for times in args.times:
            raster, out = folder / f"raster_{times}.tif", folder / f"found_{times}"
            write_raster(raster, scene, times)
            command = ["tools/detect.py", str(args.config), str(args.checkpoint), str(raster), "--out", str(out)]
            begin = time.perf_counter()
            process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            if status:
                return 1
            tanks = len((out / f"{raster.stem}.csv").read_text().splitlines()) - 1
            side, memory = times * SIDE, used.ru_maxrss / 2**20
            print(f"| {side:,} | {tanks} | {seconds:.0f} | {seconds / side**2 * 1e6:.2f} | {memory:.2f} |", flush=True)
            raster.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
