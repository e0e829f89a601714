"""Write a synthetic data set in the raw layout of the Airbus set."""

import csv
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from oil_storage.errors import UserError
from oil_storage.preparation.synthetic.rendering import render_scene

CLASS_NAME = "oil-storage-tank"
MIN_SIZE = 256

Row = tuple[str, str, str]


def _write_scene(index: int, seed: int, size: int, folder: Path) -> list[Row]:
    image, boxes = render_scene(seed, index, size)
    image_id = f"synthetic-{seed}-{index:05d}"
    Image.fromarray(image).save(folder / f"{image_id}.jpg", quality=95, subsampling=0)
    return [(image_id, CLASS_NAME, str(box)) for box in boxes]


def make_synthetic(out: Path, scenes: int, size: int, seed: int, processes: int | None = None) -> int:
    """Render scenes into ``out/images/<image_id>.jpg`` and their boxes into ``out/annotations.csv``.

    The folder is built beside ``out`` and renamed when it is whole. Bytes depend on ``seed``, ``size`` and the index of
    a scene alone.

    Args:
        out: folder to make; may exist if it is empty.
        scenes: how many, >= 1.
        size: side of a scene in px, >= 256.
        seed: >= 0.
        processes: how many to use; None uses every core.

    Returns:
        int: the number of boxes written.

    Raises:
        UserError: an argument is out of range, or ``out`` holds something already.
    """
    for name, value, least in (("--scenes", scenes, 1), ("--size", size, MIN_SIZE), ("--seed", seed, 0)):
        if value < least:
            raise UserError(f"{name} {value}: must be at least {least}")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: not empty; name another folder or remove it first")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be made, {error.strerror}: {error.filename}") from error
    building = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        rows = _write_all(building / "images", scenes, size, seed, processes or os.cpu_count() or 1)
        with (building / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("image_id", "class", "bounds"))
            writer.writerows(rows)
        building.chmod(0o755)
        building.replace(out)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return len(rows)


def _write_all(images: Path, scenes: int, size: int, seed: int, processes: int) -> list[Row]:
    images.mkdir()
    write = partial(_write_scene, seed=seed, size=size, folder=images)
    rows: list[Row] = []
    with ProcessPoolExecutor(min(processes, scenes), get_context("spawn")) as pool:
        for found in tqdm(pool.map(write, range(scenes)), total=scenes, desc="rendering", unit="scene", delay=3):
            rows.extend(found)
    return rows
