"""Export a trained detector to ONNX, or its weights to safetensors."""

import argparse
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from oil_storage import config
from oil_storage.cli.arguments import add_config, file_path
from oil_storage.cli.command import choose_device, quieten_libraries, run
from oil_storage.errors import UserError


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/export.py", description=__doc__)
    add_config(parser)
    parser.add_argument("checkpoint", type=file_path, help="checkpoint of tools/train.py, or safetensors weights")
    to = "onnx for the detector without final NMS, safetensors for the weights in half precision (default: %(default)s)"
    parser.add_argument("--to", choices=("onnx", "safetensors"), default="onnx", help=to)
    parser.add_argument(
        "--out", type=file_path, metavar="FILE", help="default: path of the checkpoint with the new suffix"
    )
    return parser


def export_checkpoint(args: argparse.Namespace) -> None:
    """Export a checkpoint; print the path and a description of the file."""
    config.check_files(args.config, args.checkpoint)
    out: Path = args.out or args.checkpoint.with_suffix(f".{args.to}")
    if out.suffix != f".{args.to}":
        raise UserError(f"--out {out}: must end in .{args.to}")
    if out.resolve() == args.checkpoint.resolve():
        raise UserError(f"--out {out}: is the checkpoint itself; use another file")
    cfg = config.load(args.config)
    choose_device("cpu")
    quieten_libraries()

    from oil_storage.checkpoints.checkpoint import Checkpoint
    from oil_storage.checkpoints.model_weights import build_model
    from oil_storage.checkpoints.serialization import to_safetensors
    from oil_storage.engine.runner import use_scope
    from oil_storage.files import remove_partial, sha256, write_bytes
    from oil_storage.inference.onnx_export import export, resize_of
    from oil_storage.inference.torch_detector import describe

    use_scope(cfg)
    checkpoint = Checkpoint.read(args.checkpoint)
    model = build_model(cfg, checkpoint)
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_partial(out.parent, out.name)
    if args.to == "safetensors":
        meta = {key: value for key, value in asdict(checkpoint.meta).items() if value is not None}
        write_bytes(out, to_safetensors(checkpoint.state_dict, meta))
        print(f"{out}: {out.stat().st_size / 1e6:.1f} MB; tools/detect.py, tools/test.py and --load-from read it")
        return
    about = replace(describe(cfg, checkpoint), config=args.config.stem)
    resize = resize_of(cfg.test_dataloader.dataset.pipeline)
    content, metadata = export(model, about, resize, sha256(args.checkpoint))
    write_bytes(out, content)
    height, width = metadata.size
    print(
        f"{out}: {len(content) / 1e6:.1f} MB; RGB tiles (N, 3, {height}, {width}), 0 to 255 -> boxes (N, M, 4) xyxy "
        "and scores (N, M), before NMS"
    )


main = partial(run, build_parser, export_checkpoint)
