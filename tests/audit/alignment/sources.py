"""Airbus-format sources with scenes of discs, with or without planted faults."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.planted_faults import plant
from oil_storage.audit.alignment.faults import Fault
from tests.audit.alignment.discs import scene_of_discs


def write_source(folder: Path, scenes: int, planted: Mapping[int, Fault], exchanged: Sequence[int] = ()) -> Path:
    """Write scenes with ``planted`` faults by index; each ``exchanged`` scene gets the boxes of the next one."""
    (folder / "images").mkdir(parents=True)
    rows = ["image_id,class,bounds"]
    for index in range(scenes):
        pixels, boxes = scene_of_discs(index)
        cv2.imwrite(str(folder / "images" / f"scene_{index}.png"), pixels)
        if index in exchanged:
            boxes = scene_of_discs(exchanged[(exchanged.index(index) + 1) % len(exchanged)])[1]
        height, width = pixels.shape[:2]
        rows += [row(index, box) for box in plant(planted.get(index, Fault()), boxes, width, height)]
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    return folder


def row(index: int, box: NDArray[np.float32]) -> str:
    """Return a line of the CSV file."""
    numbers = ", ".join(f"{value:.3f}" for value in box.tolist())
    return f'scene_{index},oil-storage-tank,"({numbers})"'
