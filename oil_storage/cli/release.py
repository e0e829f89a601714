"""Write the files that ship with the package from a checkpoint: weights, exported detector, 8-bit version, card."""

import argparse
import logging
import os
import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from oil_storage import config, processor, shipped
from oil_storage.cli.arguments import add_config, file_path
from oil_storage.cli.command import choose_device, quieten_libraries, run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from oil_storage.inference.onnx_detector import OnnxDetector
    from oil_storage.inference.precision_comparison import Accuracy, Comparison

CALIBRATION = 48
"""Number of train tiles with which the 8-bit version is calibrated; half of them have the most objects."""
MARKS = "<!-- precision -->", "<!-- /precision -->"
"""Comments around the table that is replaced in the card."""
logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/release.py", description=__doc__)
    add_config(parser)
    parser.add_argument("checkpoint", type=file_path, help="checkpoint with a threshold, or safetensors weights")
    root = "folder with weights/ and oil_storage/weights/ (default: the clone)"
    parser.add_argument("--root", type=file_path, default=shipped.ROOT, metavar="DIR", help=root)
    return parser


def release(args: argparse.Namespace) -> None:
    """Write all files and print the comparison of the precisions.

    Files that belong to the checkpoint are kept, so that the command can add another kind of processor: with
    ``ONEDNN_MAX_CPU_ISA=AVX2``, OpenVINO computes as on a processor with AVX2 alone. ONNX Runtime has no such switch.
    """
    config.check_files(args.config, args.checkpoint)
    cfg = config.load(args.config)
    choose_device("cpu")
    quieten_libraries()

    import onnx

    from oil_storage.checkpoints.checkpoint import Checkpoint
    from oil_storage.checkpoints.serialization import SAFETENSORS, to_safetensors
    from oil_storage.cli.export import main as export
    from oil_storage.engine.runner import check_tiles, use_scope
    from oil_storage.files import sha256, write_bytes, write_text
    from oil_storage.inference.onnx_detector import OnnxDetector
    from oil_storage.inference.onnx_export import with_metadata
    from oil_storage.inference.onnx_int8 import quantised
    from oil_storage.inference.onnx_metadata import read_metadata
    from oil_storage.inference.precision_comparison import Comparison, accuracy, seconds_for_a_tile
    from oil_storage.inference.runtimes import INT8, ONNX

    use_scope(cfg)
    checkpoint = Checkpoint.read(args.checkpoint)
    if checkpoint.threshold() is None:
        raise UserError(f"{args.checkpoint}: has no score threshold; run tools/test.py --split val first")
    cfg.test_dataloader.dataset.split = "val"
    check_tiles(cfg, "test_dataloader")
    dataset = cfg.test_dataloader.dataset
    data_root, tile_set = Path(dataset.data_root), f"{dataset.tile}_{dataset.overlap}"
    checkpoint.check_unseen(data_root, "val")
    name = args.config.stem
    weights = args.root / "weights" / f"{name}{SAFETENSORS}"
    exported = args.root / "oil_storage" / "weights" / f"{name}{ONNX}"
    small = exported.with_suffix(INT8)
    for folder in (weights.parent, exported.parent):
        folder.mkdir(parents=True, exist_ok=True)

    if weights.resolve() != args.checkpoint.resolve():
        meta = {key: value for key, value in asdict(checkpoint.meta).items() if value is not None}
        write_bytes(weights, to_safetensors(checkpoint.state_dict, meta))
    digest = sha256(weights)
    if not exported.is_file() or read_metadata(exported).checkpoint_sha256 != digest:
        before = onnx.load(exported).graph if exported.is_file() else None
        if export([str(args.config), str(weights), "--out", str(exported)]):
            raise UserError(f"{weights}: cannot be exported, see above")
        if small.is_file() and onnx.load(exported).graph == before:  # only the metadata changed
            about = replace(read_metadata(exported), int8_for=read_metadata(small).int8_for)
            write_bytes(small, with_metadata(onnx.load(small), about))
    if not small.is_file() or read_metadata(small).checkpoint_sha256 != digest:
        logger.info("calibrating the 8-bit version with %d train tiles", CALIBRATION)
        write_bytes(small, quantised(exported, _calibration(OnnxDetector(exported, "cpu"), data_root, tile_set)))

    is_restricted = "ONEDNN_MAX_CPU_ISA" in os.environ
    backends = [*(["openvino"] if find_spec("openvino") else []), *([] if is_restricted else ["onnx"])]
    rows: dict[str, Comparison] = {}
    float32 = None  # equal in all backends
    for backend in backends:
        versions = [OnnxDetector(path, "cpu", backend) for path in (exported, small)]
        seconds = seconds_for_a_tile(*versions)
        logger.info("%s: %.3f and %.3f CPU seconds for a tile in float32 and in 8 bits", backend, *seconds)
        float32 = float32 or accuracy(versions[0], data_root, tile_set)
        int8 = accuracy(versions[1], data_root, tile_set)
        rows[f"{backend}/{processor.kind()}"] = Comparison(float32, int8, seconds)
    about = read_metadata(small)
    better = {one for one in about.int8_for if one not in rows}
    better |= {one for one, comparison in rows.items() if comparison.is_better}
    write_bytes(small, with_metadata(onnx.load(small), replace(about, int8_for=sorted(better))))
    card = weights.with_suffix(".md")
    text = card.read_text(encoding="utf-8") if card.is_file() else "\n".join(MARKS)
    table = _table(rows, better, text)
    write_text(card, re.sub(f"{MARKS[0]}.*{MARKS[1]}", lambda _: table, text, flags=re.S))
    print(f"{table}\nscore threshold {checkpoint.threshold():.3f}; wrote {weights}, {exported}, {small}, {card}")


def _calibration(detector: "OnnxDetector", data_root: Path, tile_set: str) -> "Iterator[NDArray[np.float32]]":
    """Yield the inputs of the network for train tiles: those with the most objects, and others at random."""
    from oil_storage.coco import CocoFile
    from oil_storage.imagery import read_pixels

    folder = data_root / "tiles" / tile_set / "train"
    tiles = CocoFile.load(folder.with_suffix(".json"))
    objects = Counter(annotation.image_id for annotation in tiles.annotations)
    ranked = sorted(tiles.images, key=lambda tile: (-objects[tile.id], tile.file_name))
    rich, rest = ranked[: CALIBRATION // 2], ranked[CALIBRATION // 2 :]
    others = random.Random(0).sample(rest, min(len(rest), CALIBRATION - len(rich)))
    for tile in tqdm([*rich, *others], desc="calibrating", unit="tile", delay=2):
        yield detector.inputs([detector.prepare(read_pixels(folder / tile.file_name))])


def _table(rows: "Mapping[str, Comparison]", better: Collection[str], card: str) -> str:
    """Return the table of the card. Rows of a card for other backends and kinds of processors are kept."""
    lines = {
        one: f"| {one} | {_numbers(rows[one].float32)} | {_numbers(rows[one].int8)} | "
        f"{rows[one].seconds[0]:.3f} | {rows[one].seconds[1]:.3f} | {'8 bits' if one in better else 'float32'} |"
        for one in rows
    }
    old = {line.split()[1]: line for line in card.splitlines() if re.match(r"\| (onnx|openvino)/", line)}
    heads = ("backend/processor", "float32: AP", "AP50", "F1", "8 bits: AP", "AP50", "F1")
    head = f"| {' | '.join([*heads, 'float32: s', '8 bits: s', 'default'])} |"
    rule = "|" + "---|" * (len(heads) + 3)
    return "\n".join([MARKS[0], head, rule, *(line for _, line in sorted({**old, **lines}.items())), MARKS[1]])


def _numbers(accuracy: "Accuracy") -> str:
    return " | ".join(f"{value:.4f}" for value in (accuracy.ap, accuracy.ap50, accuracy.f1))


main = partial(run, build_parser, release)
