"""Measure parameters, operations, time and memory of a detector."""

import contextlib
import io
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from torch.utils.flop_counter import FlopCounterMode

from oil_storage.checkpoints.provenance import hardware
from oil_storage.engine.bf16 import compute_as_configured
from oil_storage.engine.channels_last import to_channels_last
from oil_storage.engine.runner import use_scope
from oil_storage.figures import Cost, Times

TANKS = 20
"""Number of random boxes in each training tile."""
LEAST, MOST = 3, 200
"""Minimum and maximum number of repetitions of a measurement."""


def cost_of(cfg: Config, seconds: float) -> Cost:
    """Measure an untrained detector in the precision of its config, on CUDA if available.

    Args:
        cfg: config of the detector; the input size follows from its test pipeline and tile size.
        seconds: time for which inference is repeated, and then training. Each is repeated at least :data:`LEAST` and at
            most :data:`MOST` times.
    """
    use_scope(cfg)
    cfg.model.data_preprocessor.batch_augments = None  # these would change the input size
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with contextlib.redirect_stdout(io.StringIO()):
        model = MODELS.build(cfg.model)
        model.init_weights()
    model = model.to(device)
    to_channels_last(model)
    precision = compute_as_configured(model, cfg)
    size = input_size(cfg)

    model.eval()
    with torch.no_grad():
        tile = model.data_preprocessor(noise_tiles(1, size, device), False)
        with FlopCounterMode(display=False) as counter:
            model(**tile, mode="tensor")
        inference = _repeat(lambda: model.test_step(noise_tiles(1, size, device)), seconds, device)

    model.train()
    batch = cfg.train_dataloader.batch_size
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    training = _repeat(lambda: model.train_step(noise_tiles(batch, size, device), optimizer), seconds, device)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 1024 * kilobytes
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gflops=round(counter.get_total_flops() / 1e9, 2),
        input=list(size),
        inference=_times(inference, 1),
        training=_times(training, batch),
        memory_gb=round(peak / 2**30, 2),
        precision=precision,
        hardware=hardware(),
    )


def input_size(cfg: Config) -> tuple[int, int]:
    """Return the height and the width of a full tile after the test pipeline, in pixels."""
    dataset = cfg.test_dataloader.dataset
    shape = dataset.tile, dataset.tile
    results: Any = {"img": np.zeros((*shape, 3), np.uint8), "img_shape": shape}
    for step in dataset.pipeline:
        if step["type"] == "Resize":
            results = TRANSFORMS.build(step)(results)
    height, width = results["img"].shape[:2]
    return height, width


def noise_tiles(number: int, size: tuple[int, int], device: torch.device) -> dict[str, list[Any]]:
    """Create a batch of noise images with random boxes, in the format of a data loader."""
    height, width = size
    samples = []
    for _ in range(number):
        centres = torch.rand(TANKS, 2, device=device) * torch.tensor([width, height], device=device)
        boxes = torch.cat([centres - 9, centres + 9], dim=1)
        meta = {"img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0), "img_id": 0, "img_path": ""}
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(TANKS, dtype=torch.long, device=device))
        samples.append(sample)
    return {"inputs": [torch.randint(256, (3, *size), dtype=torch.uint8) for _ in samples], "data_samples": samples}


def _repeat(step: Callable[[], Any], seconds: float, device: torch.device) -> list[float]:
    """Repeat ``step`` and return the seconds of each repetition except the first, which is a warm-up."""
    taken: list[float] = []
    while len(taken) <= LEAST or (sum(taken[1:]) < seconds and len(taken) <= MOST):
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return taken[1:]


def _times(taken: list[float], batch: int) -> Times:
    p50, p95 = (float(f"{value / batch:.4g}") for value in np.percentile(taken, [50, 95]))
    return Times(p50=p50, p95=p95, throughput=float(f"{batch * len(taken) / sum(taken):.4g}"), batch=batch)
