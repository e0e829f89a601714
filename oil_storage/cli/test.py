"""Score a checkpoint on the val or test split, and draw its predictions."""

import argparse
from functools import partial
from pathlib import Path

from oil_storage import config
from oil_storage.cli.arguments import add_run, add_tta, file_path
from oil_storage.cli.command import choose_device, quieten_libraries, run
from oil_storage.errors import UserError


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with the arguments of MMDetection's test.py and a few more."""
    parser = argparse.ArgumentParser(prog="tools/test.py", description=__doc__)
    add_run(parser)
    parser.add_argument("checkpoint", type=file_path, help="checkpoint of tools/train.py, or safetensors weights")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="split to score (default: test)")
    parser.add_argument("--out", type=file_path, metavar="FILE.pkl", help="write the predictions to a pickle file")
    parser.add_argument("--show-dir", type=file_path, metavar="DIR", help="draw predictions and ground truth to DIR")
    add_tta(parser)
    return parser


def test(args: argparse.Namespace) -> None:
    """Score the checkpoint; print and write the scores."""
    if args.out is not None and (args.out.suffix not in (".pkl", ".pickle") or args.out.is_dir()):
        raise UserError(f"--out {args.out}: must be a file that ends in .pkl")
    config.check_files(args.config, args.checkpoint)
    cfg = config.load(args.config, args.cfg_options, work_dir=args.work_dir, bf16=args.amp)
    choose_device(args.device)
    quieten_libraries()

    from oil_storage.engine.pictures import write_pictures
    from oil_storage.inference.testing import evaluate_checkpoint
    from oil_storage.reporting.formatting import scene_table, shown, tile_table
    from oil_storage.reporting.results import log_test
    from oil_storage.reporting.score_report import PAGE
    from oil_storage.reporting.scored_run import METRICS, write_tested

    if args.show_dir is not None:
        args.show_dir.mkdir(parents=True, exist_ok=True)
    tested = evaluate_checkpoint(
        cfg,
        args.checkpoint,
        split=args.split,
        tta=args.tta,
        launcher=args.launcher,
        out=args.out,
        options=args.cfg_options,
    )
    if tested is None:
        return
    record, folder = tested.record, Path(cfg.work_dir)
    write_tested(folder, record, tested.scenes, tested.tile_detections, tested.tiles, tested.tile_folder)
    print(f"{args.split} split: {len(tested.tiles.images)} tiles, {len(tested.tiles.annotations)} boxes")
    print(tile_table(record.metrics))
    if published := record.published_protocol:
        print(
            "scored by the rules of a published YOLOX-s: "
            f"AP {shown(published['mAP'])}, AP50 {shown(published['mAP_50'])}"
        )
    print(f"\n{len(tested.scenes)} whole scenes\n{scene_table(record.scenes)}")
    print(f"figures: {folder / METRICS}\npage: {folder / PAGE}")
    if args.show_dir is not None:
        detections, threshold = tested.tile_detections, record.scenes.threshold
        write_pictures(args.show_dir, tested.tiles, tested.tile_folder, detections, threshold)
        print(f"pictures: {args.show_dir}")
    if args.split == "test":
        log_test(args.config, record)


main = partial(run, build_parser, test)
