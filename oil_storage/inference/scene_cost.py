"""Measure time and memory of detection in whole scenes."""

import resource
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from mmengine.config import Config

from oil_storage.checkpoints.provenance import commit, hardware
from oil_storage.figures import SceneCost
from oil_storage.files import sha256
from oil_storage.imagery import open_scene
from oil_storage.inference.output_folder import OVERLAP
from oil_storage.inference.scene_detector import SceneDetector


def scene_cost(cfg: Config, weights: Path, scenes: Sequence[Path], seconds: float, overlap: int = OVERLAP) -> SceneCost:
    """Detect in scenes with the default settings, one scene after another; the first detection is a warm-up.

    The resolution of the scenes is not estimated, and they are not resampled.

    Args:
        cfg: config of the detector.
        weights: checkpoint, weights in safetensors, or ONNX file.
        scenes: image files of the same size.
        seconds: time for which detection is repeated; every scene is searched at least once after the warm-up.
        overlap: overlap of the tiles, in pixels.
    """
    detector = SceneDetector(cfg, weights, overlap=overlap, scale=1.0)
    image = open_scene(scenes[0])
    detector.detect(str(scenes[0]))
    taken: list[float] = []
    while len(taken) < len(scenes) or sum(taken) < seconds:
        begin = time.perf_counter()
        detector.detect(str(scenes[len(taken) % len(scenes)]))
        taken.append(time.perf_counter() - begin)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 1024 * kilobytes
    return SceneCost(
        seconds=float(f"{median(taken):.4g}"),
        memory_gb=round(peak / 2**30, 2),
        size=[image.height, image.width],
        scenes=len(taken),
        checkpoint_sha256=sha256(weights),
        hardware=hardware(),
        commit=commit(),
    )
