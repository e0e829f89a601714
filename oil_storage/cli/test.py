"""Test a checkpoint: score it on the val or test split, and draw its predictions."""

import argparse
import copy
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oil_storage.cli import configuration
from oil_storage.cli.command import is_first_process, run
from oil_storage.cli.false_start import nothing_left
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from oil_storage.checkpoints.checkpoint import Checkpoint

TABLE = {
    "AP": "mAP",
    "AP50": "mAP_50",
    "AP75": "mAP_75",
    "AP small": "mAP_s",
    "AP medium": "mAP_m",
    "AP large": "mAP_l",
    "AR": "AR",
}
"""Rows of the table that is printed, and what the metric calls them after ``coco/bbox_``."""
PACKAGES = ("oil-storage", "torch", "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "faster-coco-eval", "numpy")
"""Whose versions stand beside the figures."""


def build_parser() -> argparse.ArgumentParser:
    """Flags as in MMDetection's own test.py, and the split."""
    parser = argparse.ArgumentParser(prog="tools/test.py", description=__doc__)
    configuration.add_arguments(parser)
    parser.add_argument("checkpoint", type=Path, help="checkpoint that tools/train.py wrote, or weights in safetensors")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="tiles to score (default: test)")
    parser.add_argument("--out", type=Path, metavar="FILE.pkl", help="write the predictions as a pickle")
    parser.add_argument("--show-dir", type=Path, metavar="DIR", help="draw predictions beside ground truth into DIR")
    parser.add_argument(
        "--tta",
        action="store_true",
        help="merge the predictions of tiles as they are and turned by 180 degrees, or of the config's tta_pipeline",
    )
    return parser


def test(args: argparse.Namespace) -> int:
    """Run the test that ``args`` describe."""
    if args.out is not None and args.out.suffix not in (".pkl", ".pickle"):
        raise UserError(f"--out {args.out}: must end in .pkl")
    if args.out is not None and args.out.is_dir():
        raise UserError(f"--out {args.out}: is a folder; name a file in it")
    configuration.check_files(args.config, args.checkpoint)
    configuration.choose_device(args.device)
    configuration.quieten()
    cfg = configuration.load(args)

    from mmdet.evaluation import DumpDetResults
    from mmengine.dist import is_main_process

    from oil_storage.checkpoints import weights_file
    from oil_storage.checkpoints.checkpoint import Checkpoint, ChosenThreshold, store_threshold
    from oil_storage.coco import CocoFile
    from oil_storage.datasets.oil_storage import check_prepared
    from oil_storage.engine import distributed
    from oil_storage.engine.bf16 import compute_as_configured
    from oil_storage.engine.concise_runner import ConciseRunner
    from oil_storage.engine.detection_limits import too_few
    from oil_storage.engine.failures import plain_errors
    from oil_storage.evaluation.curves import curve
    from oil_storage.evaluation.matching import match_scenes
    from oil_storage.evaluation.published_protocol import TILES as PUBLISHED_TILES
    from oil_storage.evaluation.published_protocol import published_score
    from oil_storage.evaluation.scene_metric import SceneMetric
    from oil_storage.evaluation.scene_result import truth_sha256
    from oil_storage.evaluation.scene_score import coco_detections, results_of, score_scenes
    from oil_storage.files import partial_path, publish, remove_partial, sha256, write_json, write_text
    from oil_storage.inference.tta import use_tta
    from oil_storage.manifest import Manifest
    from oil_storage.reporting.figure_text import scene_table, shown
    from oil_storage.reporting.score_files import DETECTIONS, METRICS, TILE_DETECTIONS
    from oil_storage.reporting.score_report import PAGE, from_tiles, write_report
    from oil_storage.reporting.test_log import log_test

    checkpoint = Checkpoint.read(args.checkpoint)
    distributed.prepare(cfg, args.launcher)
    trained, changes = as_trained(cfg, checkpoint)
    choose_split(cfg, args.split)
    dataset = cfg.test_dataloader.dataset
    data_root = Path(dataset.data_root)
    check_prepared(data_root, f"{dataset.tile}_{dataset.overlap}")
    checkpoint.check_unseen(data_root, args.split)
    if is_first_process():
        if warning := too_few(cfg, "test_dataloader"):
            print(warning)
        for change in changes:
            print(f"not as it was trained: {change}")
    report: dict[str, Any] = {
        "config": str(args.config),
        "config_sha256": hashlib.sha256(cfg.pretty_text.encode()).hexdigest(),
        "packages": {name: version(name) for name in PACKAGES},
        "checkpoint": str(args.checkpoint),
        "trained": trained,
        "changes": changes,
        "cfg_options": list(args.cfg_options),
        "data_root": str(data_root),
        "data": asdict(Manifest.load(data_root).identity),
        "tiles": f"{dataset.tile}_{dataset.overlap}",
        "split": args.split,
        "tta": args.tta,
    }
    cfg.work_dir = str(Path(cfg.work_dir, args.split))
    remove_partial(Path(cfg.work_dir))
    cfg.load_from = str(args.checkpoint)
    cfg.resume = False
    if args.tta:
        use_tta(cfg)
    if args.show_dir is not None:
        cfg.default_hooks.picture_folder = {"type": "PictureFolderHook", "folder": str(args.show_dir)}
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        remove_partial(args.out.parent, args.out.name)

    with nothing_left(Path(cfg.work_dir)), plain_errors(args.config, args.cfg_options):
        runner = ConciseRunner.from_cfg(cfg)
        report["precision"] = compute_as_configured(runner.model, cfg)
        if args.amp and report["precision"] == "float32":
            print("tests in float32: this device has no bfloat16")
        scene_metric = SceneMetric(cfg.test_evaluator.ann_file, str(data_root / "scenes" / f"{args.split}.json"))
        runner.test_evaluator.metrics.append(scene_metric)
        if args.out is not None:
            runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=str(partial_path(args.out))))
        metrics = runner.test()
    if is_main_process():
        if args.out is not None:
            publish(partial_path(args.out), args.out)
        scenes = match_scenes(scene_metric.merged)
        kept = checkpoint.threshold(args.tta)
        threshold = curve(scenes).best_threshold() if args.split == "val" else kept
        figures = score_scenes(scenes, threshold)
        is_ours = args.checkpoint.suffix.lower() != weights_file.SUFFIX  # what is given away stays as it is
        if args.split == "val" and threshold is not None and not changes and is_ours:
            try:
                chosen = ChosenThreshold(float(threshold), float(figures["f1"]), report["data"]["sha256"])
                store_threshold(args.checkpoint, chosen, args.tta)
            except UserError as error:  # the figures are worth more than that
                print(f"warning: {error}")
        of_tiles = [
            result for image_id, found in sorted(scene_metric.found.items()) for result in results_of(image_id, found)
        ]
        published = {}
        if report["tiles"] == PUBLISHED_TILES:
            tiles_truth = CocoFile.load(Path(cfg.test_evaluator.ann_file))
            published = published_score(tiles_truth.to_dict(), of_tiles)
        report |= {
            "ground_truth_sha256": truth_sha256(scene_metric.merged),
            "checkpoint_sha256": sha256(args.checkpoint),
            "metrics": {name: None if math.isnan(value) else value for name, value in metrics.items()},
            "published_protocol": {name: None if math.isnan(value) else value for name, value in published.items()},
            "scenes": figures,
            "tiles_ap_minus_scenes_ap": _gap(metrics),
        }
        folder, tiles = Path(cfg.work_dir), Path(cfg.test_evaluator.ann_file).with_suffix("")
        (folder / METRICS).unlink(missing_ok=True)  # of an earlier test, whose other files are about to go
        coco_detections([one.result for one in scenes]).save(folder / DETECTIONS)
        write_text(folder / TILE_DETECTIONS, json.dumps(of_tiles))
        title = f"{args.config.stem}, {args.split} split"
        write_report(folder, title, facts(report), scenes, figures, from_tiles(tiles, scenes))
        write_json(folder / METRICS, report)  # the last, so that where it is, all is
        dataset = runner.test_dataloader.dataset
        boxes = sum(len(dataset.get_data_info(index)["instances"]) for index in range(len(dataset)))
        print(f"\n{args.split} split: {len(dataset)} tiles, {boxes} boxes\n{table(metrics)}")
        if published := report["published_protocol"]:
            shown_both = f"AP {shown(published['mAP'])}, AP50 {shown(published['mAP_50'])}"
            print(f"by the rules of the published YOLOX-s: {shown_both}")
        print(f"\n{len(scenes)} whole scenes\n{scene_table(figures)}")
        print(f"figures: {folder / METRICS}\npage: {folder / PAGE}")
        if args.show_dir is not None:
            print(f"pictures: {args.show_dir}")
        if args.split == "test":
            log_test(args.config, report)
    return 0


def _gap(metrics: Mapping[str, float]) -> float | None:
    """How much the AP of tiles exceeds that of scenes; None where one of them does not exist."""
    gap = metrics["coco/bbox_mAP"] - metrics["scene/ap"]
    return None if math.isnan(gap) else gap


def facts(report: Mapping[str, Any]) -> dict[str, str]:
    """What was scored on what, for the page."""
    from oil_storage.reporting.figure_text import shown

    data = report["data"]
    trained = report["trained"] or {}
    return {
        "config": report["config"],
        "checkpoint": f"{report['checkpoint']} (SHA-256 {report['checkpoint_sha256'][:12]})",
        "trained": f"{trained['iterations']} iterations from {trained.get('initialised') or 'what is not told'}, "
        f"seed {trained['seed']}, commit {trained['commit']}, on "
        f"{trained['hardware']}"
        if trained
        else "the checkpoint does not tell",
        "data": f"{data['name']}, {report['split']} split of seed {data['split_seed']} (SHA-256 {data['sha256'][:12]})",
        "AP of tiles": f"{shown(report['metrics']['coco/bbox_mAP'])}, less that of scenes "
        f"{shown(report['tiles_ap_minus_scenes_ap'])}",
        "as": f"{report['precision']}{', flips merged' if report['tta'] else ''}",
    }


def as_trained(cfg: "Config", checkpoint: "Checkpoint") -> tuple[dict[str, Any] | None, list[str]]:
    """Return what a checkpoint tells of its training, and what would be scored otherwise than that training scored.

    Args:
        cfg: of the test, its split and flips not yet chosen.
        checkpoint: to be tested.

    Returns:
        tuple: for the records of runs, None where the checkpoint tells nothing; and the changes in model, tiles,
            evaluator and precision, as sentences.
    """
    from mmengine.config import Config

    from oil_storage.checkpoints.trained_config import differences, recipe_sha256
    from oil_storage.engine.from_scratch import from_scratch

    meta = checkpoint.meta
    if meta.trained is None:
        return None, []
    before, now = Config(checkpoint.trained_settings()), copy.deepcopy(cfg)
    recipe = recipe_sha256(before)
    for one in (before, now):
        from_scratch(one)  # what is frozen, and initialised from where, changes no score
    places = ("model", "test_dataloader.dataset", "test_evaluator", "test_cfg", "optim_wrapper.type")
    changes = [change for at in places for change in differences(_at(before, at), _at(now, at), at)]
    told = {key: value for key, value in asdict(meta.trained).items() if key != "images"}  # thousands, perhaps
    return {**told, "seed": meta.seed, "iterations": meta.iter, "recipe_sha256": recipe}, changes


def _at(cfg: "Config", place: str) -> Any:
    node: Any = cfg
    for key in place.split("."):
        node = node.get(key) or {}
    return node


def choose_split(cfg: "Config", split: str) -> None:
    """Point a config's test loader and evaluator at another split of the same tile set."""
    if not isinstance(cfg.get("test_evaluator"), dict) or "ann_file" not in cfg.test_evaluator:
        raise UserError("the config needs one test_evaluator, with an ann_file")
    configuration.check_evaluator(cfg, "test")
    cfg.test_dataloader.dataset.split = split
    cfg.test_evaluator.ann_file = str(Path(cfg.test_evaluator.ann_file).with_stem(split))


def table(metrics: Mapping[str, Any]) -> str:
    """The average precisions, a line each; a dash where the split has no box of that size."""
    values = {name: metrics[f"coco/bbox_{key}"] for name, key in TABLE.items()}
    return "\n".join(f"{name:<10}{'-' if math.isnan(value) else f'{value:.3f}'}" for name, value in values.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/test.py``."""
    return run(build_parser(), test, argv)
