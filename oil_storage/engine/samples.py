"""Show the augmented tiles and boxes that a data pipeline passes to a model."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backends.registry import BackendFilter, backend_registry
from mmengine.config import Config
from mmengine.runner import Runner
from numpy.typing import NDArray

from oil_storage.drawing import TRUTH, draw_boxes, grid, title
from oil_storage.engine.reproducibility import seed_everything
from oil_storage.engine.runner import use_scope
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder

SHEET = "sheet.png"
CELL = 512
"""Longest side of a tile in the contact sheet, pixels."""


@dataclass(frozen=True)
class Sample:
    """A tile after the data pipeline.

    Attributes:
        tile: file name without suffix, ``<scene>_<x>_<y>``.
        image: ``(H, W, 3)`` uint8, BGR; float values are rounded and clipped.
        boxes: ``(N, 4)`` float32, xyxy, pixels of the image.
    """

    tile: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]


def read_samples(cfg: Config, split: str, seed: int) -> Iterator[Sample]:
    """Load tiles with the data set, pipeline and sampler of a config, in the order of training or evaluation.

    The augmentation of a sample depends only on the seed and the position, see
    :class:`oil_storage.engine.reproducibility.SeededSampler`. Therefore the samples are the same as in a training
    run.

    Args:
        cfg: result of :func:`oil_storage.config.load`.
        split: ``train`` (endless), ``val`` or ``test``.
        seed: random seed of the training.

    Yields:
        Sample: tile with its boxes: those after augmentation or, in ``test_mode``, the ground truth.

    Raises:
        UserError: the config has no loader of this split.
    """
    settings = cfg.get(f"{split}_dataloader")
    if not settings:
        raise UserError(f"{cfg.filename}: has no {split}_dataloader; use another split")
    use_scope(cfg)
    settings = {**settings, "num_workers": 0, "persistent_workers": False, "prefetch_factor": None}
    loader = Runner.build_dataloader(settings, seed=seed)
    dataset, test_mode = loader.dataset, settings["dataset"].get("test_mode", False)
    infos = map(dataset.get_data_info, range(len(dataset))) if test_mode else ()
    labels = {info["img_id"]: [box["bbox"] for box in info["instances"]] for info in infos}
    seed_everything(seed)
    for batch in loader:
        for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
            if test_mode:
                # test pipelines can load boxes after resizing, so these boxes are in pixels of the file
                scale = np.tile(np.float32(sample.get("scale_factor", (1, 1))), 2)
                boxes = np.array(labels[sample.img_id], np.float32).reshape(-1, 4) * scale
            else:
                boxes = sample.gt_instances.bboxes.numpy()
            pixels = image.permute(1, 2, 0).numpy().round().clip(0, 255).astype(np.uint8)
            yield Sample(Path(sample.img_path).stem, pixels, boxes)


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
