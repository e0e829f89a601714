"""Show what the model is given: tiles as the pipeline augments them, with their boxes."""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oil_storage.cli import configuration
from oil_storage.cli.command import run
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder

if TYPE_CHECKING:
    import numpy as np
    from mmengine.config import Config
    from numpy.typing import NDArray

SHEET = "sheet.png"
CELL = 512
"""Longest side of a tile in the contact sheet, pixels."""
GAP = 6
"""Pixels around the tiles of the contact sheet."""


@dataclass(frozen=True)
class Sample:
    """A tile as the data preprocessor is given it.

    Attributes:
        tile: its file's name without suffix, ``<scene>_<x>_<y>``.
        image: ``(H, W, 3)`` uint8, BGR; of an image of floats, values out of range are clipped.
        boxes: ``(N, 4)`` float32, xyxy, pixels of the image.
    """

    tile: str
    image: "NDArray[np.uint8]"
    boxes: "NDArray[np.float32]"


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    parser = argparse.ArgumentParser(
        prog="browse_dataset.py",
        description=f"{__doc__} The train split's are the first that a training with this seed would see.",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="config file, e.g. configs/oil/rtmdet_lite0.py")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"new or empty folder for PNGs and {SHEET}")
    parser.add_argument("--number", type=int, default=16, help="how many tiles (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of order and augmentation (default: the config's)")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override the config, as in tools/train.py"
    )
    parser.set_defaults(work_dir=None, amp=False)  # read by configuration.load; nothing is trained here
    return parser


def browse_dataset(args: argparse.Namespace) -> None:
    """Draw the samples that ``args`` describe, and save or show them."""
    for option in ("number", "seed"):
        value, least = getattr(args, option), {"number": 1, "seed": 0}[option]
        if value is not None and value < least:
            raise UserError(f"--{option} {value}: must be {least} or more")
    if args.out is None:
        check_display()
    else:
        from oil_storage.annotations.formats import check_is_free

        check_is_free(args.out)
    configuration.check_files(args.config)
    configuration.quieten()
    cfg = configuration.load(args)
    seed = args.seed if args.seed is not None else cfg.get("randomness", {}).get("seed") or 0

    from oil_storage.engine.failures import plain_errors

    with plain_errors():
        samples = itertools.islice(read_samples(cfg, args.split, seed), args.number)
        if args.out is None:
            show(contact_sheet([draw(sample, CELL) for sample in samples]))
        else:
            tiles, boxes = save(samples, args.out)
            print(f"{args.split} split, seed {seed}: {tiles} tiles with {boxes} boxes; all at once: {args.out / SHEET}")


def read_samples(cfg: "Config", split: str, seed: int) -> Iterator[Sample]:
    """Load tiles through the config's own data set, pipeline and sampler, in the order of training or evaluation.

    A sample's augmentation depends on the seed and its place alone
    (:class:`oil_storage.engine.reproducibility.SeededSampler`), so that loading in this process gives what a
    training's workers give.

    Args:
        cfg: as :func:`oil_storage.cli.configuration.load` returns it.
        split: whose loader: ``train`` without end, ``val`` or ``test``.
        seed: of the sampler, and of what a sampler without seeds leaves open.

    Yields:
        Sample: with the boxes that the model is given, or is scored against where it is given none.

    Raises:
        UserError: the config has no loader of this split.
    """
    import numpy as np
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    from oil_storage.engine.reproducibility import seed_everything

    settings = cfg.get(f"{split}_dataloader")
    if not settings:
        raise UserError(f"{cfg.filename}: has no {split}_dataloader")
    init_default_scope(cfg.get("default_scope", "mmdet"))
    settings = {**settings, "num_workers": 0, "persistent_workers": False, "prefetch_factor": None}
    loader = Runner.build_dataloader(settings, seed=seed)
    dataset, test_mode = loader.dataset, settings["dataset"].get("test_mode", False)
    places = {dataset.get_data_info(i)["img_id"]: i for i in range(len(dataset))} if test_mode else {}
    seed_everything(seed)
    for batch in loader:
        for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
            if test_mode:
                # a test pipeline may load boxes after resizing, and so leave them in pixels of the file
                truth = dataset.get_data_info(places[sample.img_id])["instances"]
                scale = np.tile(np.float32(sample.get("scale_factor", (1, 1))), 2)
                boxes = np.array([box["bbox"] for box in truth], np.float32).reshape(-1, 4) * scale
            else:
                boxes = sample.gt_instances.bboxes.numpy()
            pixels = image.permute(1, 2, 0).numpy().round().clip(0, 255).astype(np.uint8)
            yield Sample(Path(sample.img_path).stem, pixels, boxes)


def draw(sample: Sample, longest: int | None = None) -> "NDArray[np.uint8]":
    """Draw a sample's boxes 1 px wide, on the outermost pixels that are theirs, below a title.

    Args:
        sample: is left as it is.
        longest: a longer image is shrunk to it first; None never shrinks.

    Returns:
        BGR ``(title + H, W, 3)``.
    """
    import cv2
    import numpy as np

    from oil_storage.drawing import TRUTH, draw_boxes, title

    height, width = sample.image.shape[:2]
    scale = min(1.0, longest / max(height, width)) if longest else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
    draw_boxes(canvas, sample.boxes * scale, TRUTH[::-1])
    scene, x, y = sample.tile.rsplit("_", 2)
    return np.concatenate([title(scene, size[0]), title(f"tile {x}, {y}: {len(sample.boxes)} boxes", size[0]), canvas])


def contact_sheet(pictures: Sequence["NDArray[np.uint8]"]) -> "NDArray[np.uint8]":
    """Pictures in rows from the left, as many rows as columns or one fewer; all BGR."""
    import math

    import numpy as np

    columns = math.ceil(math.sqrt(len(pictures)))
    height, width = (max(picture.shape[axis] for picture in pictures) + GAP for axis in (0, 1))
    sheet = np.full((height * math.ceil(len(pictures) / columns) + GAP, width * columns + GAP, 3), 64, np.uint8)
    for place, picture in enumerate(pictures):
        y, x = GAP + height * (place // columns), GAP + width * (place % columns)
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return sheet


def save(samples: Iterator[Sample], out: Path) -> tuple[int, int]:
    """Write a PNG a sample and the contact sheet to ``out``, which appears when all is written.

    Returns:
        tuple: how many samples, and how many boxes they have.
    """
    small = []
    boxes = 0
    with atomic_folder(out.absolute()) as partial:
        for number, sample in enumerate(samples):
            _write_png(partial / f"{number:03d}_{sample.tile}.png", draw(sample))
            small.append(draw(sample, CELL))
            boxes += len(sample.boxes)
        _write_png(partial / SHEET, contact_sheet(small))
    return len(small), boxes


def _write_png(path: Path, picture: "NDArray[np.uint8]") -> None:
    import cv2

    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def check_display() -> None:
    """Raise a :class:`UserError` where no window can be opened."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.registry import BackendFilter, backend_registry

    windowed = backend_registry.list_builtin(BackendFilter.INTERACTIVE)  # type: ignore[no-untyped-call]
    if plt.get_backend().lower() not in windowed:
        raise UserError("no display to open a window on, or no toolkit for it: save the pictures with --out DIR")


def show(sheet: "NDArray[np.uint8]") -> None:
    """Open a window with the contact sheet and wait until it is closed."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 12), layout="tight")
    axes = figure.add_subplot()
    axes.imshow(sheet[..., ::-1])
    axes.set_axis_off()
    plt.show()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), browse_dataset, argv)
