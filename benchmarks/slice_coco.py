"""Compare the time to prepare scenes with the time of SAHI's ``slice_coco`` for the same tiles.

    python -m venv /tmp/sahi && /tmp/sahi/bin/pip install sahi
    python benchmarks/slice_coco.py SOURCE --sahi-python /tmp/sahi/bin/python

The tiles have 640 px and overlap by 64 px. A tile keeps a box if at least 30 % of the box's area is inside the tile.
Each program runs alone on all cores. The programs run in turn ``--repeat`` times, and the shortest time counts.

SAHI only decodes images and cuts tiles. In the row "prepare", ``prepare_dataset.py`` also audits the data, compares
boxes and scenes with pixels, and splits the scenes. In the row "tiles alone", it runs again after its tiles were
deleted. It keeps 15 % of the empty train tiles. It writes train tiles as JPEG of quality 95, 4:4:4, and val and test
tiles as PNG. In the row "the same kinds", SAHI writes the same file types, but keeps all empty tiles. By default, SAHI
writes PNG, or JPEG of quality 75, 4:2:0. For the row "JPEG 95", Pillow's default is set to quality 95, 4:4:4. Memory is
the peak of the proportional set size, summed over all processes of a run.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oil_storage.annotations import formats
from oil_storage.audit.records import audit
from oil_storage.coco import CocoFile, CocoImage
from oil_storage.manifest import Manifest
from oil_storage.scene import CLASS_NAME, Scene

TILE, OVERLAP = 640, 64
PREPARE = Path(__file__).parents[1] / "tools" / "prepare_dataset.py"
SLICE = """
import sys
from PIL import JpegImagePlugin
from sahi.slicing import slice_coco
images, out, is_ours, tile, overlap, *parts = sys.argv[1:]
if is_ours == "True":
    save = JpegImagePlugin._save
    def save_as_ours(image, file, name):
        image.encoderinfo |= {"quality": 95, "subsampling": 0}
        save(image, file, name)
    JpegImagePlugin.Image.register_save("JPEG", save_as_ours)
for annotations, suffix in zip(parts[::2], parts[1::2]):
    slice_coco(annotations, images, "tiles", out, slice_height=int(tile), slice_width=int(tile),
               overlap_height_ratio=int(overlap) / int(tile), overlap_width_ratio=int(overlap) / int(tile),
               min_area_ratio=0.3, out_ext=suffix)
"""


@dataclass(frozen=True)
class Run:
    """Time in seconds and memory in MB of a command."""

    seconds: float
    memory: float


def measured(command: Sequence[object]) -> Run:
    """Run a command and measure it. If the command fails, print its output and exit."""
    with tempfile.TemporaryFile("w+") as output:
        begin = time.perf_counter()
        process = subprocess.Popen([*map(str, command)], stdout=output, stderr=subprocess.STDOUT)
        highest = 0.0
        while process.poll() is None:
            highest = max(highest, memory_of(process.pid))
            time.sleep(0.1)
        seconds = time.perf_counter() - begin
        if process.returncode:
            output.seek(0)
            sys.exit(f"{command[0]} failed:\n{output.read()}")
    return Run(seconds, highest)


def memory_of(pid: int) -> float:
    """Return the proportional set size of a process and its children in MB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        threads = [path for path in Path(f"/proc/{pid}/task").iterdir() if path.name != str(pid)]
        children += [child for path in threads for child in (path / "children").read_text().split()]
    except OSError:  # the process has just ended
        return 0.0
    own = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return own / 1024 + sum(memory_of(int(child)) for child in children)


def some(source: Path, number: int, folder: Path) -> Path:
    """Make a data set of the first ``number`` scenes of ``source``."""
    images = sorted((source / "images").iterdir())[:number]
    (folder / "images").mkdir(parents=True)
    for image in images:
        (folder / "images" / image.name).symlink_to(image.resolve())
    stems = {image.stem for image in images}
    with (source / "annotations.csv").open() as read, (folder / "annotations.csv").open("w") as write:
        rows = csv.DictReader(read)
        writer = csv.DictWriter(write, rows.fieldnames or [])
        writer.writeheader()
        writer.writerows(row for row in rows if Path(row["image_id"]).stem in stems)
    return folder


def write_coco(scenes: Sequence[Scene], path: Path) -> Path:
    """Write a COCO file for SAHI."""
    images = [CocoImage(number, scene.image.name, scene.width, scene.height) for number, scene in enumerate(scenes, 1)]
    CocoFile.of_boxes(images, [scene.boxes for scene in scenes]).save(path)
    return path


def tiles_in(folder: Path) -> str:
    """Return the number of tiles of each file type: ``1250 jpg, 600 png``."""
    counts = Counter(path.suffix[1:] for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))


def ours(source: Path, out: Path) -> tuple[Run, Run]:
    """Measure the whole preparation, and a second call that only cuts tiles."""
    command = [sys.executable, PREPARE, source, out, "--tile", TILE, "--overlap", OVERLAP]
    shutil.rmtree(out, ignore_errors=True)
    whole = measured(command)
    shutil.rmtree(out / "tiles")
    return whole, measured(command)


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder in the Airbus format")
    parser.add_argument("--sahi-python", type=Path, required=True, help="Python of an environment with SAHI")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="number of runs (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        scenes, _ = audit(formats.read(args.source), {CLASS_NAME: CLASS_NAME})
        runs: dict[str, list[Run]] = {}
        tiles: dict[str, str] = {}
        for _ in range(args.repeat):
            for title, run in zip(("prepare", "tiles alone"), ours(args.source, work / "ours"), strict=True):
                runs.setdefault(title, []).append(run)
                tiles[title] = tiles_in(work / "ours" / "tiles")
            train = set(Manifest.load(work / "ours").split["train"])
            for title, suffixes, is_ours in (
                ("SAHI, the same kinds", {True: ".jpg", False: ".png"}, True),
                ("SAHI, JPEG 95", {True: ".jpg", False: ".jpg"}, True),
                ("SAHI, JPEG 75", {True: ".jpg", False: ".jpg"}, False),
                ("SAHI, PNG", {True: ".png", False: ".png"}, False),
            ):
                shutil.rmtree(work / "sahi", ignore_errors=True)
                command: list[object] = [args.sahi_python, "-c", SLICE, scenes[0].image.parent, work / "sahi"]
                command += [is_ours, TILE, OVERLAP]
                for is_train, suffix in suffixes.items():
                    part = [one for one in scenes if (one.scene_id in train) == is_train]
                    command += [write_coco(part, work / f"{is_train}.json"), suffix]
                runs.setdefault(title, []).append(measured(command))
                tiles[title] = tiles_in(work / "sahi")
        print(f"{len(scenes)} scenes, {os.cpu_count()} cores, best of {args.repeat}\n")
        print("| | tiles | seconds | MB |\n| --- | --- | --- | --- |")
        for title, taken in runs.items():
            seconds, memory = min(run.seconds for run in taken), max(run.memory for run in taken)
            print(f"| {title} | {tiles[title]} | {seconds:.1f} | {memory:.0f} |", flush=True)
        print("\n| scenes | MB of prepare |\n| --- | --- |")
        for number in (len(scenes) // 4, len(scenes) // 2, len(scenes)):
            whole, _ = ours(some(args.source, number, work / str(number)), work / "ours")
            print(f"| {number} | {whole.memory:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
