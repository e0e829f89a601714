"""Tiny labelled scenes in the Airbus layout: bright discs on textured ground."""

from pathlib import Path

import cv2
import numpy as np


def write_raw_data(folder: Path, scenes: int = 6, size: int = 256, tanks: int = 8, seed: int = 0) -> Path:
    """Write ``images/`` and ``annotations.csv``; scene ``i`` is called ``scene_i`` and has ``tanks`` boxes."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = ["image_id,class,bounds"]
    for index in range(scenes):
        # ground of its own, or scenes would show the same
        texture = cv2.GaussianBlur(rng.normal(0, 60, (size, size, 1)).astype(np.float32), (0, 0), 2)[..., None]
        image = (75 + texture + rng.integers(-8, 8, (size, size, 3))).clip(0, 110).astype(np.uint8)
        for cell in rng.choice(16, tanks, replace=False):
            row, column = divmod(int(cell), 4)
            radius = int(rng.integers(4, size // 10))
            x, y = size * (2 * column + 1) // 8, size * (2 * row + 1) // 8
            cv2.circle(image, (x, y), radius, (230, 230, 230), -1)
            rows.append(
                f'scene_{index},oil-storage-tank,"({x - radius}, {y - radius}, {x + radius + 1}, {y + radius + 1})"'
            )
        cv2.imwrite(str(folder / "images" / f"scene_{index}.jpg"), image)
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    return folder
