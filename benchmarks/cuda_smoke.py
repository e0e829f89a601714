"""Train each config for 100 iterations in bfloat16 on CUDA, within a time limit.

    python benchmarks/cuda_smoke.py --minutes 25 --record results

The benchmark needs no data and no weights. The tiles are noise with boxes, and the config sets the batch size. The
most important configs come first. The results file of each config gets the first and last loss, the images per second
and the peak memory. If a config fails, the reason is printed.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from oil_storage.figures import CudaCost
from oil_storage.reporting.results import record

ITERATIONS = 100
FIRST = ["ssd_r101", "faster_rcnn_r50", "dino_r50", "rtmdet_lite2", "ssd_r50_p2", "yolox_s", "rtmdet_m", "ssd_lite0"]


def smoke(path: Path) -> dict[str, Any]:
    """Train one config in this process."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.optim import build_optim_wrapper

    from oil_storage import config
    from oil_storage.engine.bf16 import compute_in_bf16
    from oil_storage.engine.channels_last import to_channels_last
    from oil_storage.engine.cost import input_size, noise_tiles
    from oil_storage.engine.from_scratch import from_scratch
    from oil_storage.engine.runner import use_scope

    cfg = config.load(path)
    use_scope(cfg)
    from_scratch(cfg)
    cfg.model.data_preprocessor.batch_augments = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model = model.cuda().train()
    to_channels_last(model)
    compute_in_bf16(model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    batch, size = cfg.train_dataloader.batch_size, input_size(cfg)
    tiles = noise_tiles(batch, size, torch.device("cuda"))
    losses = []
    for iteration in range(ITERATIONS):
        if iteration == ITERATIONS // 10:  # warmed up by then
            torch.cuda.synchronize()
            start = time.perf_counter()
        losses.append(float(model.train_step(tiles, optimizer)["loss"]))
    seconds = time.perf_counter() - start
    for iteration, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise ValueError(f"the loss became {loss} in iteration {iteration}")
    return {
        "loss": [round(losses[0], 3), round(losses[-1], 3)],
        "images_per_second": round(batch * (ITERATIONS - ITERATIONS // 10) / seconds, 1),
        "memory_gb": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "batch": batch,
        "input": list(size),
        "hardware": torch.cuda.get_device_name(),
    }


def main() -> int:
    """Train each config in its own process. Return exit status 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", type=Path, nargs="*", help="default: all, the most important first")
    parser.add_argument("--minutes", type=float, default=25.0, help="time limit (default: %(default)s)")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write results into DIR/<config>.json")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(smoke(args.configs[0])))
        return 0
    end = time.monotonic() + 60 * args.minutes
    all_configs = sorted(Path("configs/oil").glob("*.py"), key=lambda path: [*FIRST, path.stem].index(path.stem))
    failed = False
    for path in args.configs or all_configs:
        left = end - time.monotonic()
        if left <= 0:
            print(f"{path.stem}: not run, the time limit was reached", flush=True)
            continue
        command = [sys.executable, __file__, str(path), "--alone"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            print(f"{path.stem}: stopped, the time limit was reached", flush=True)
            continue
        if done.returncode:
            failed = True
            print(f"{path.stem}: failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}", flush=True)
            continue
        trained = json.loads(done.stdout.splitlines()[-1])
        if args.record:
            record(args.record, path.stem, cuda=CudaCost(**trained))
        print(path.stem, trained, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
