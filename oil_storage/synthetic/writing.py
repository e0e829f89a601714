"""Write a synthetic data set in the raw layout of the Airbus set."""

import csv
from functools import partial
from pathlib import Path

from PIL import Image

from oil_storage.annotations.formats import check_is_free
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder
from oil_storage.parallel import in_processes
from oil_storage.synthetic.rendering import render_scene

CLASS_NAME = "oil-storage-tank"
LIMITS = {"scenes": (1, 99_999), "size": (256, 8192), "seed": (0, 2**32 - 1)}

Row = tuple[str, str, str]


def make_synthetic(out: Path, scenes: int, size: int, seed: int) -> int:
    """Render scenes into ``out/images/<image_id>.jpg`` and their boxes into ``out/annotations.csv``.

    The folder appears when it is complete. Bytes depend on ``seed``, ``size`` and the index of a scene alone.

    Args:
        out: folder to make; may exist if it is empty.
        scenes: how many, >= 1.
        size: side of a scene in px, >= 256.
        seed: >= 0.

    Returns:
        int: the number of boxes written.

    Raises:
        UserError: an argument is out of range, ``out`` holds something already, or the memory does not suffice.
    """
    for name, value in (("scenes", scenes), ("size", size), ("seed", seed)):
        least, most = LIMITS[name]
        if not least <= value <= most:
            raise UserError(f"--{name} {value}: must be {least} to {most}")
    check_is_free(out)
    with atomic_folder(out) as folder:
        (folder / "images").mkdir()
        write = partial(_write_scene, seed=seed, size=size, folder=folder / "images")
        rows = [row for found in in_processes(write, range(scenes), "rendering", "scene") for row in found]
        with (folder / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("image_id", "class", "bounds"))
            writer.writerows(rows)
        check_is_free(out)  # another process may have filled it meanwhile
    return len(rows)


def _write_scene(index: int, seed: int, size: int, folder: Path) -> list[Row]:
    image, boxes = render_scene(seed, index, size)
    image_id = f"synthetic-{seed}-{index:05d}"
    Image.fromarray(image).save(folder / f"{image_id}.jpg", quality=95, subsampling=0)
    return [(image_id, CLASS_NAME, str(box)) for box in boxes]
