"""Train the network that measures the error of boxes.

    python tools/make_synthetic.py synthetic --scenes 240 --seed 100
    python benchmarks/train_box_error.py synthetic --out oil_storage/audit/alignment/box_error.onnx

Boxes are shifted and resized at random, and the network learns to predict by how much. Only rendered scenes are used,
because their boxes are exact. The network does not learn from the boxes of real scenes, so it can judge them
independently. The training takes five minutes on one core.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import trange

from oil_storage.annotations import formats
from oil_storage.audit.alignment.box_error import SIDE, cut_patches
from oil_storage.audit.records import audit
from oil_storage.imagery import read_pixels
from oil_storage.scene import CLASS_NAME

PER_SCENE = 200
"""Maximum number of boxes of a scene in each epoch, so that dense scenes do not dominate."""
BATCH = 256
RATE = 3e-3
Floats = NDArray[np.float32]


def network() -> nn.Sequential:
    """Make the network. It maps patches ``(N, 1, SIDE, SIDE)`` to predictions ``(N, 8)``.

    A prediction has four errors, see :func:`misplaced`, and then the logarithms of their four spreads.
    """
    layers: list[nn.Module] = []
    before = 1
    for width, stride in ((12, 1), (16, 2), (24, 1), (32, 2), (48, 1), (48, 2)):
        layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    cells = (SIDE // 8) ** 2
    layers += [nn.Flatten(), nn.Dropout(0.1), nn.Linear(before * cells, 64), nn.ReLU(), nn.Linear(64, 8)]
    return nn.Sequential(*layers)


def misplaced(boxes: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Shift and resize boxes at random. Return the new boxes and their errors, each ``(N, 4)``.

    The columns of the errors are shift x / new width, shift y / new height, log(new width / width) and
    log(new height / height).
    """
    sides, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    size = rng.normal(0, 0.45, (len(boxes), 1)).clip(-1, 1) + rng.normal(0, 0.1, (len(boxes), 2))
    shift = rng.normal(0, 0.22, (len(boxes), 2)).clip(-0.6, 0.6)
    half = sides * np.exp(size) / 2
    centre = centre + shift * half * 2
    moved = np.concatenate([centre - half, centre + half], axis=1)
    return moved.astype(np.float32), np.concatenate([shift, size], axis=1).astype(np.float32)


def flipped(seen: Floats, errors: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Mirror and transpose patches at random, and invert the grey levels of 15 % of them."""
    x, y, turn, negative = rng.random((4, len(seen))) < np.array([0.5, 0.5, 0.5, 0.15])[:, None]
    seen, errors = seen.copy(), errors.copy()
    seen[x], errors[x, 0] = seen[x][:, :, ::-1], -errors[x, 0]
    seen[y], errors[y, 1] = seen[y][:, ::-1], -errors[y, 1]
    seen[turn], errors[turn] = seen[turn].transpose(0, 2, 1), errors[turn][:, [1, 0, 3, 2]]
    seen[negative] *= -1
    return seen, errors


def loss(found: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of the errors under a Laplace distribution."""
    middle, spread = found[:, :4], found[:, 4:].clamp(-4, 2)
    return ((middle - errors).abs() * torch.exp(-spread) + spread).mean()


def train(scenes: Sequence[tuple[NDArray[np.uint8], Floats]], epochs: int) -> nn.Sequential:
    """Train a network on pairs ``(grey image, boxes)``."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-3)
    in_epoch = max(1, sum(min(len(boxes), PER_SCENE) for _, boxes in scenes) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * in_epoch)
    progress = trange(epochs, unit="epoch")
    for _ in progress:
        seen, errors = [], []
        for grey, boxes in scenes:
            some = boxes[rng.permutation(len(boxes))[:PER_SCENE]]
            moved, by = misplaced(some, rng)
            seen.append(cut_patches(grey, moved))
            errors.append(by)
        x, y = flipped(np.concatenate(seen), np.concatenate(errors), rng)
        order = rng.permutation(len(x))
        total = 0.0
        for i in range(in_epoch):
            batch = order[i * BATCH : (i + 1) * BATCH]
            value = loss(model(torch.from_numpy(x[batch])[:, None]), torch.from_numpy(y[batch]))
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += value.item()
        progress.set_postfix(loss=total / in_epoch)
    return model.eval()


def main() -> int:
    """Train and write the network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="scenes with exact boxes")
    parser.add_argument("--out", type=Path, required=True, help="ONNX file")
    parser.add_argument("--epochs", type=int, default=50, help="default: 50")
    args = parser.parse_args()
    scenes, _ = audit(formats.read(args.source), {CLASS_NAME: CLASS_NAME})
    pictures = [(cv2.cvtColor(read_pixels(scene.image), cv2.COLOR_RGB2GRAY), scene.boxes) for scene in scenes]
    model = train(pictures, args.epochs)
    torch.onnx.export(
        model,
        (torch.zeros(2, 1, SIDE, SIDE),),
        args.out,
        dynamo=False,
        opset_version=17,
        input_names=["patches"],
        output_names=["errors"],
        dynamic_axes={"patches": {0: "N"}, "errors": {0: "N"}},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
