"""Measure and train configs on one GPU in one short run, from a single file of packed tiles.

    OIL_STORAGE_DATA=data/oil_storage python benchmarks/cuda.py work_dirs/tiles.zip --pack
    python benchmarks/cuda.py work_dirs/tiles.zip --rehearse    # small images, few iterations, on the CPU
    python benchmarks/cuda.py work_dirs/tiles.zip --out results

Each config gets an equal part of the time and a process of its own. The process measures images per second in training
and in inference on batches that stay in memory, in turn with the same detector in stock MMDetection (float32, and
mmengine's AmpOptimWrapper). Then it trains for a time that is equal for all configs, and tests on the val tiles. Each
result is written to OUT/<config>.json at once. A config that fails is reported, and the next one starts. Without a
file, --rehearse renders, prepares and packs scenes first.
"""

import argparse
import copy
import logging
import math
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import cycle, islice
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from oil_storage import config
from oil_storage.cli.arguments import file_path, number
from oil_storage.cli.command import choose_device, quieten_libraries, run
from oil_storage.errors import UserError
from oil_storage.figures import CudaCost, CudaTraining, metric_key
from oil_storage.reporting.benchmark_page import LINE_UP, cuda_table
from oil_storage.reporting.results import read, record

CONFIGS = [Path("configs", "oil", f"{name}.py") for name in LINE_UP]
STOCK = {"float32": "OptimWrapper", "AMP": "AmpOptimWrapper"}
"""Modes of stock MMDetection, and their optimiser wrappers. AMP is float16 in training only."""
ROUNDS = 3
"""Number of times that each mode is measured; the median counts."""
BATCHES = 4
"""Number of different batches in memory."""
MEASURED, TRAINED = 0.2, 0.5
"""Parts of the time of a config for measurements and for training. The rest is for the start and the test."""
PLANNED = 0.9
"""Part of the training time for which iterations are planned, so that the schedule ends before the time is over."""

SCENES, SIDE = 7, 640
"""Number and side of the scenes that a rehearsal renders."""
SMALLER = 5
"""Factor by which a rehearsal reduces the sides of images."""
QUERIES = 200
ITERATIONS = 3
"""Number of queries and training iterations in a rehearsal."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Work on one config.

    Attributes:
        path: config file.
        data: unpacked tiles.
        work_dir: work dir of the training.
        measured: seconds for all measurements.
        trained: seconds for the training.
        is_rehearsal: whether everything is small and on the CPU.
    """

    path: Path
    data: Path
    work_dir: Path
    measured: float
    trained: float
    is_rehearsal: bool


def load(job: Job, options: Sequence[str] = ()) -> Any:
    """Read the config of a job, with tiles from memory, and reduced for a rehearsal."""
    os.environ["OIL_STORAGE_DATA"] = str(job.data)
    cfg = config.load(job.path, options, work_dir=job.work_dir)
    workers = 1 if job.is_rehearsal else max(1, len(os.sched_getaffinity(0)) - 1)
    for name in ("train_dataloader", "val_dataloader"):
        cfg[name].num_workers = workers
        dataset = config.dataset_of(cfg, name)
        for step in dataset.pipeline:
            if step.type == "LoadImageFromFile":
                step.type = "LoadDecodedTile"
            elif job.is_rehearsal:
                _reduce(step)
    if job.is_rehearsal:
        cfg.train_dataloader.batch_size = cfg.val_dataloader.batch_size = 2
        if "num_queries" in cfg.model:  # small images have fewer positions than the config has queries
            cfg.model.num_queries = cfg.model.test_cfg.max_per_img = QUERIES
    return cfg


def _reduce(step: Any) -> None:
    if step.type == "RandomTileCrop":
        step.size = [side // SMALLER for side in ([step.size] * 2 if isinstance(step.size, int) else step.size)]
    if step.type == "Resize" and "scale" in step:
        step.scale = tuple(math.ceil(side / SMALLER / 32) * 32 for side in step.scale)
    elif step.type == "Resize":
        step.scale_factor /= SMALLER


def register(data: Path) -> None:
    """Decode all tiles into memory, and register the transform that returns them and the hook that ends training."""
    import cv2
    from mmcv.transforms import BaseTransform
    from mmdet.registry import TRANSFORMS
    from mmengine.hooks import Hook
    from mmengine.registry import HOOKS

    paths = sorted(path for path in data.glob("tiles/*/*/*") if path.is_file())
    with ThreadPoolExecutor() as threads:
        decoded = dict(zip(map(str, paths), threads.map(lambda path: cv2.imread(str(path)), paths), strict=True))

    @TRANSFORMS.register_module()
    class LoadDecodedTile(BaseTransform):
        """Transform that returns a tile from memory, like ``LoadImageFromFile``."""

        def transform(self, results: dict[str, Any]) -> dict[str, Any]:
            image = decoded[results["img_path"]].copy()
            return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}

    @HOOKS.register_module()
    class TimeLimitHook(Hook):
        """Hook that makes the iteration in which the time is over the last one, before the validation."""

        priority = "VERY_HIGH"  # before the hook that saves a checkpoint after the last iteration

        def __init__(self, seconds: float) -> None:
            self.seconds = seconds

        def before_train(self, runner: Any) -> None:
            self.start = time.perf_counter()

        def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
            if time.perf_counter() - self.start > self.seconds:
                runner.train_loop._max_iters = runner.iter + 1


def measure(job: Job) -> CudaCost:
    """Measure a config in turn with stock MMDetection."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.optim import build_optim_wrapper
    from mmengine.runner import Runner

    from oil_storage.checkpoints.provenance import commit, hardware
    from oil_storage.engine.bf16 import compute_as_configured
    from oil_storage.engine.channels_last import to_channels_last
    from oil_storage.engine.runner import use_scope
    from oil_storage.inference.testing import PACKAGES

    cfg = load(job)
    use_scope(cfg)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True  # as in training
    in_one_process = {"num_workers": 0, "persistent_workers": False, "prefetch_factor": None}
    batches = {}
    for task, name in (("training", "train_dataloader"), ("inference", "val_dataloader")):
        loader = Runner.build_dataloader({**cfg[name], **in_one_process}, seed=0)
        batches[task] = list(islice(loader, BATCHES))

    def steps(wrapper: str | None) -> dict[str, Callable[[Any], Any]]:
        """Build a model and return its training and inference step; ``wrapper`` is None for this project's modes."""
        nonlocal precision
        torch.manual_seed(0)
        model = MODELS.build(copy.deepcopy(cfg.model))
        model.init_weights()
        model = model.to(device)
        if wrapper is None:
            to_channels_last(model)
            precision = compute_as_configured(model, cfg)
        optimizer = build_optim_wrapper(model, {**cfg.optim_wrapper, "type": wrapper or cfg.optim_wrapper.type})

        def train(batch: Any) -> float:
            model.train()
            return float(
                model.train_step(batch, optimizer)["loss"].detach()
            )  # logging reads the loss in each iteration, too

        def infer(batch: Any) -> None:
            model.eval()
            with torch.no_grad():
                model.test_step(batch)

        # AMP changes only the training, and float32 measures the inference
        return {"training": train} if wrapper == STOCK["AMP"] else {"training": train, "inference": infer}

    def rate(step: Callable[[Any], Any], task: str, seconds: float) -> tuple[float, list[Any]]:
        """Repeat a step; return the images per second, and what the steps returned."""
        if device.type == "cuda":
            torch.cuda.synchronize()
        start, images, outputs = time.perf_counter(), 0, []
        for batch in cycle(batches[task]):
            outputs.append(step(batch))
            images += len(batch["inputs"])
            if len(outputs) >= 2 and time.perf_counter() - start >= seconds:
                break
        if device.type == "cuda":
            torch.cuda.synchronize()
        return images / (time.perf_counter() - start), outputs

    precision = ""
    losses: list[float] = []
    memory = 0
    modes: dict[str, dict[str, Callable[[Any], Any]]] = {}
    failed: dict[str, str] = {}
    rounds = 1 if job.is_rehearsal else ROUNDS
    seconds = job.measured / (5 * (rounds + 1))  # five steps, and a round to warm up
    for mode, wrapper in {"own": None, **STOCK}.items():
        try:
            built = steps(wrapper)
            warm = {task: rate(step, task, seconds)[1] for task, step in built.items()}
        except Exception as error:
            if mode == "own":
                raise
            failed[mode] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        modes[mode] = built
        if mode == "own":
            losses += warm["training"]
            memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    rates: dict[str, dict[str, list[float]]] = {mode: {task: [] for task in tasks} for mode, tasks in modes.items()}
    for _ in range(rounds):
        for mode, tasks in modes.items():
            for task, step in tasks.items():
                images_per_second, outputs = rate(step, task, seconds)
                rates[mode][task].append(images_per_second)
                if mode == "own" and task == "training":
                    losses += outputs
    if not all(map(math.isfinite, losses)):
        raise ValueError("the loss became infinite or nan")
    medians = {mode: {task: round(median(r), 2) for task, r in tasks.items()} for mode, tasks in rates.items()}
    own = medians.pop("own")
    return CudaCost(
        loss=[round(losses[0], 3), round(losses[-1], 3)],
        images_per_second=own["training"],
        memory_gb=round(memory / 2**30, 2),
        batch=cfg.train_dataloader.batch_size,
        input=list(batches["training"][0]["inputs"][0].shape[1:]),
        hardware=hardware(),
        inference=own["inference"],
        precision=precision,
        stock=medians,
        failed=failed,
        packages={name: version(name) for name in PACKAGES},
        commit=commit(),
    )


def train(job: Job, images_per_second: float) -> CudaTraining:
    """Train a config for a fixed time, and test it on the val tiles."""
    from oil_storage.checkpoints.checkpoint import Checkpoint
    from oil_storage.checkpoints.work_dir import find_last
    from oil_storage.engine.training import train as train_config
    from oil_storage.training_log import validations

    batch = load(job).train_dataloader.batch_size
    planned = max(1, int(PLANNED * job.trained * images_per_second / batch))
    if job.is_rehearsal:
        planned = ITERATIONS
    cfg = load(job, [f"train_cfg.max_iters={planned}", f"train_cfg.val_interval={planned}"])
    cfg.custom_hooks = [*cfg.get("custom_hooks", []), {"type": "TimeLimitHook", "seconds": job.trained}]
    train_config(cfg)
    last = find_last(job.work_dir)
    assert last is not None
    meta = Checkpoint.read(last).meta
    assert meta.trained is not None
    names = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l", "AR")
    *_, metrics = validations(job.work_dir).values()
    return CudaTraining(
        seconds=round(meta.trained.seconds or 0.0, 1),
        planned=planned,
        iterations=meta.iter or 0,
        images=(meta.iter or 0) * batch,
        metrics={key: metrics[key] for key in map(metric_key, names)},
    )


def work(job: Job, results: Connection) -> None:
    """Measure and train a config in this process. Send each result, or at last the text of an error."""
    try:
        if job.is_rehearsal:
            choose_device("cpu")
        quieten_libraries()

        from mmengine.logging import MMLogger

        set_start_method("fork", force=True)  # data workers share the decoded tiles; this process was spawned
        MMLogger.get_current_instance().setLevel("ERROR")  # it warns of each frozen parameter
        register(job.data)
        cost = measure(job)
        results.send(cost)
        results.send(cost.model_copy(update={"trained": train(job, cost.images_per_second)}))
    except Exception as error:
        traceback.print_exc()
        results.send(f"{type(error).__name__}: {error}".splitlines()[0])


def outcomes(job: Job, seconds: float) -> Iterator[CudaCost | str]:
    """Work on a config in a new process; yield each result, and the reason if one is missing."""
    end = time.monotonic() + seconds
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(job, sender))
    process.start()
    sender.close()
    try:
        for _ in range(2):
            if not receiver.poll(max(0.0, end - time.monotonic())):
                yield f"stopped after {seconds:.0f} s, its part of the time"
                return
            outcome: CudaCost | str = receiver.recv()
            yield outcome
            if isinstance(outcome, str):
                return
    except EOFError:
        process.join()
        yield f"its process ended with status {process.exitcode}"
    finally:
        process.kill()  # its data workers end with it
        process.join()


def rendered(folder: Path) -> Path:
    """Render and prepare scenes; return the prepared folder."""
    from oil_storage.preparation.prepare import prepare
    from oil_storage.synthetic import make_synthetic

    make_synthetic(folder / "scenes", SCENES, SIDE, seed=0)
    prepare(folder / "scenes", folder / "prepared", 640, 64)
    return folder / "prepared"


def pack_tiles(data: Path, tiles: Path) -> None:
    """Pack a prepared folder and print the content of the file."""
    from oil_storage.preparation.packed_tiles import pack

    packed = pack(data, "640_64", tiles)
    print(
        f"{tiles}: {packed.train} train and {packed.val} val tiles, {packed.size / 2**20:.1f} MiB, "
        f"train tiles with WebP quality {packed.quality}",
        flush=True,
    )


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="benchmarks/cuda.py", description=__doc__, formatter_class=formatter)
    parser.add_argument("tiles", type=file_path, nargs="?", metavar="TILES", help="file of packed tiles (*.zip)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--pack", action="store_true", help="only write TILES from the folder in OIL_STORAGE_DATA")
    what.add_argument("--rehearse", action="store_true", help="run everything in small on the CPU")
    parser.add_argument(
        "--configs", type=file_path, nargs="+", default=CONFIGS, metavar="CONFIG", help="configs to run"
    )
    parser.add_argument("--out", type=file_path, metavar="DIR", help="folder for <config>.json; results adds to these")
    parser.add_argument("--minutes", type=number(0), default=10.0, help="time limit in all (default: 10)")
    trained = "training time of each config (default: half of its part of --minutes)"
    parser.add_argument("--train-minutes", type=number(0), help=trained)
    return parser


def benchmark(args: argparse.Namespace) -> int:
    """Pack tiles, or run all configs; return exit status 1 if a config failed."""
    end = time.monotonic() + 60 * args.minutes
    if args.tiles is None and not args.rehearse:
        raise UserError("no TILES; give a file, written with --pack")
    if args.out is None and not (args.pack or args.rehearse):
        raise UserError("no --out; give a folder for the results")
    cfgs = [config.load(path) for path in args.configs]
    if args.pack:
        pack_tiles(Path(config.dataset_of(cfgs[0], "train_dataloader").data_root), args.tiles)
        return 0
    if not args.rehearse:
        choose_device("cuda")
    from oil_storage.preparation.packed_tiles import unpack

    share = 60 * args.minutes / len(args.configs)
    training = share * TRAINED if args.train_minutes is None else 60 * args.train_minutes
    measured = 0.0 if args.rehearse else share * MEASURED
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        out = args.out or folder / "results"
        tiles = args.tiles or folder / "tiles.zip"
        if args.tiles is None:
            pack_tiles(rendered(folder), tiles)
        unpack(tiles, folder / "data")
        names = [path.stem for path in args.configs]
        for index, path in enumerate(args.configs):
            job = Job(path, folder / "data", folder / path.stem, measured, training, args.rehearse)
            left = end - time.monotonic()
            for outcome in outcomes(job, max(0.0, left / (len(names) - index))):
                if isinstance(outcome, str):
                    failed.append(path)
                    logger.error("%s: %s", path, outcome)
                    continue
                for mode, reason in outcome.failed.items() if outcome.trained is None else ():
                    logger.warning("%s: stock MMDetection, %s: %s", path, mode, reason)
                record(out, path.stem, cuda=outcome)
        known = read(out) if out.is_dir() else {}
        costs = {name: known[name].cuda for name in names if name in known}
        print(cuda_table({name: cost for name, cost in costs.items() if cost}), flush=True)
    return int(bool(failed))


main = partial(run, build_parser, benchmark)

if __name__ == "__main__":
    sys.exit(main())
