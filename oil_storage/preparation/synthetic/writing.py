"""Write a synthetic data set in the raw layout of the Airbus set."""

import csv
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image

from oil_storage.errors import UserError
from oil_storage.files import locked
from oil_storage.parallel import in_processes
from oil_storage.preparation.synthetic.rendering import render_scene

CLASS_NAME = "oil-storage-tank"
UNFINISHED = ".unfinished"
"""Folder within the data set's that holds what is not yet whole."""

LIMITS = {"scenes": (1, 99_999), "size": (256, 8192), "seed": (0, 2**32 - 1)}

Row = tuple[str, str, str]


def make_synthetic(out: Path, scenes: int, size: int, seed: int) -> int:
    """Render scenes into ``out/images/<image_id>.jpg`` and their boxes into ``out/annotations.csv``.

    Both appear when they are whole, or not at all. Bytes depend on ``seed``, ``size`` and the index of a scene alone.

    Args:
        out: folder to make; may exist if it is empty or holds nothing but what a killed run left.
        scenes: how many, >= 1.
        size: side of a scene in px, >= 256.
        seed: >= 0.

    Returns:
        int: the number of boxes written.

    Raises:
        UserError: an argument is out of range, ``out`` holds something already, another process is filling it, or the
            memory does not suffice.
    """
    for name, value in (("scenes", scenes), ("size", size), ("seed", seed)):
        least, most = LIMITS[name]
        if not least <= value <= most:
            raise UserError(f"--{name} {value}: must be {least} to {most}")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder")
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with locked(out):
            if any(path.name != UNFINISHED for path in out.iterdir()):
                raise UserError(f"{out}: not empty; name another folder or remove it first")
            return _fill(out, scenes, size, seed)
    except BaseException:
        with suppress(OSError):  # one that holds something by now
            for folder in missing:
                folder.rmdir()
        raise


def _fill(out: Path, scenes: int, size: int, seed: int) -> int:
    unfinished = out / UNFINISHED
    if unfinished.exists():
        shutil.rmtree(unfinished)
    try:
        images = unfinished / "images"
        images.mkdir(parents=True)
        write = partial(_write_scene, seed=seed, size=size, folder=images)
        rows = [row for found in in_processes(write, range(scenes), "rendering", "scene") for row in found]
        with (unfinished / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("image_id", "class", "bounds"))
            writer.writerows(rows)
        for whole in (images, unfinished / "annotations.csv"):  # without annotations it does not pass for finished
            whole.rename(out / whole.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return len(rows)


def _write_scene(index: int, seed: int, size: int, folder: Path) -> list[Row]:
    image, boxes = render_scene(seed, index, size)
    image_id = f"synthetic-{seed}-{index:05d}"
    Image.fromarray(image).save(folder / f"{image_id}.jpg", quality=95, subsampling=0)
    return [(image_id, CLASS_NAME, str(box)) for box in boxes]
