"""Draw tiles with their boxes, one by one and in a contact sheet."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backends.registry import BackendFilter, backend_registry
from numpy.typing import NDArray

from oil_storage.coco import CocoFile
from oil_storage.drawing import TRUTH, draw_boxes, grid, title
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder
from oil_storage.imagery import read_pixels
from oil_storage.manifest import NAME, Manifest

SHEET = "sheet.png"
CELL = 512
"""Longest side of a tile in the contact sheet, pixels."""


@dataclass(frozen=True)
class Sample:
    """A tile with its boxes, as stored in the prepared data or after the data pipeline of a config.

    Attributes:
        tile: file name without suffix, ``<scene>_<x>_<y>``.
        image: ``(H, W, 3)`` uint8, BGR; float values are rounded and clipped.
        boxes: ``(N, 4)`` float32, xyxy, pixels of the image.
    """

    tile: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]


def stored_samples(prepared: Path, split: str, seed: int) -> Iterator[Sample]:
    """Read the tiles of a prepared folder in a random order.

    Args:
        prepared: folder that ``tools/prepare_dataset.py`` wrote; its first tile set is read.
        split: ``train``, ``val`` or ``test``.
        seed: random seed of the order.

    Yields:
        Sample: tile with its boxes, without augmentation.

    Raises:
        UserError: the folder has no manifest or no tiles, or an image is damaged.
    """
    if not (prepared / NAME).is_file():
        raise UserError(f"{prepared}: no prepared data ({NAME} is missing); run tools/prepare_dataset.py first")
    names = sorted(Manifest.load(prepared).tiles)
    if not names:
        raise UserError(f"{prepared}: has no tiles; run tools/prepare_dataset.py again")
    folder = prepared / "tiles" / names[0]
    content = CocoFile.load(folder / f"{split}.json")
    boxes = defaultdict(list)
    for annotation in content.annotations:
        boxes[annotation.image_id].append(annotation.box)
    for index in np.random.default_rng(seed).permutation(len(content.images)).tolist():
        image = content.images[index]
        path = folder / split / image.file_name
        pixels = np.ascontiguousarray(read_pixels(path)[..., ::-1])
        yield Sample(path.stem, pixels, np.array(boxes[image.id], np.float32).reshape(-1, 4))


def draw(sample: Sample, longest: int | None = None) -> NDArray[np.uint8]:
    """Draw a sample with its boxes (lines of 1 px) and a title above the image.

    Args:
        sample: sample to draw; it is not changed.
        longest: maximum side in pixels, to which larger images are shrunk. None keeps all sizes.

    Returns:
        BGR image, ``(title + H, W, 3)``.
    """
    height, width = sample.image.shape[:2]
    scale = min(1.0, longest / max(height, width)) if longest else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
    draw_boxes(canvas, sample.boxes * scale, TRUTH[::-1])
    scene, x, y = sample.tile.rsplit("_", 2)
    return np.concatenate([title(scene, size[0]), title(f"tile {x}, {y}: {len(sample.boxes)} boxes", size[0]), canvas])


def contact_sheet(samples: Iterable[Sample]) -> NDArray[np.uint8]:
    """Draw samples in a square grid, each at most :data:`CELL` px in size; return a BGR image."""
    pictures = [draw(sample, CELL) for sample in samples]
    return grid(pictures, math.ceil(math.sqrt(len(pictures))))


def save(samples: Iterator[Sample], out: Path) -> tuple[int, int]:
    """Write a PNG file for each sample, and the contact sheet. The folder ``out`` appears only when it is complete.

    Returns:
        tuple: number of samples, and number of their boxes.
    """
    drawn = list(samples)
    with atomic_folder(out.absolute()) as partial:
        for number, sample in enumerate(drawn):
            cv2.imwrite(str(partial / f"{number:03d}_{sample.tile}.png"), draw(sample))
        cv2.imwrite(str(partial / SHEET), contact_sheet(drawn))
    return len(drawn), sum(len(sample.boxes) for sample in drawn)


def check_display() -> None:
    """Raise :class:`UserError` if matplotlib cannot open a window."""
    windowed = backend_registry.list_builtin(BackendFilter.INTERACTIVE)  # type: ignore[no-untyped-call]
    if plt.get_backend().lower() not in windowed:
        raise UserError("cannot open a window: no display or no GUI toolkit; save the pictures with --out DIR")


def show(samples: Iterable[Sample]) -> None:
    """Show the contact sheet in a window until the window is closed."""
    plt.figure(figsize=(12, 12), layout="tight")
    plt.imshow(contact_sheet(samples)[..., ::-1])
    plt.axis("off")
    plt.show()
