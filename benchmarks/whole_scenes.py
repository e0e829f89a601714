"""Compare the detection times of ``SceneDetector`` and SAHI in whole scenes.

Both use the same weights, tiles, overlap and threshold.

    python benchmarks/whole_scenes.py CONFIG CHECKPOINT SCENE... --sahi-python /tmp/sahi/bin/python

``benchmarks/merge_tiles.py`` describes how to create the environment of SAHI. SAHI runs its mmdet model on slices,
without a pass over the whole image, and with its default post-processing. Each program first loads its model and
detects in the first scene to warm up, which is not timed. It then detects in all scenes. The time includes all steps
from reading the file to merging the boxes. The shortest of ``--repeat`` times counts. ``SceneDetector`` runs in PyTorch
(float32 without the fast mode, and the default settings) and in each installed runtime, in float32 and in 8 bits, all
without the second look; and with all default settings. 8 bits need a checkpoint that ``tools/release.py`` released. The
CPU seconds are those of all threads; they depend less on other processes than the time.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from oil_storage import processor, shipped
from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.provenance import hardware
from oil_storage.cli.export import main as export
from oil_storage.files import sha256
from oil_storage.inference import SceneDetector
from oil_storage.inference.onnx_metadata import read_metadata
from oil_storage.inference.runtimes import INT8

TILE, OVERLAP = 640, 128
SAHI = """
import sys, time, warnings
warnings.filterwarnings("ignore")
from sahi import AutoDetectionModel
from sahi.predict import get_sliced_prediction
config, checkpoint, device, threshold, tile, overlap, repeat, *scenes = sys.argv[1:]
model = AutoDetectionModel.from_pretrained(
    model_type="mmdet", model_path=checkpoint, config_path=config, confidence_threshold=float(threshold), device=device)
def detect(scene):
    found = get_sliced_prediction(
        scene, model, slice_height=int(tile), slice_width=int(tile), overlap_height_ratio=int(overlap) / int(tile),
        overlap_width_ratio=int(overlap) / int(tile), perform_standard_pred=False, verbose=0)
    return len(found.object_prediction_list), found.durations_in_seconds
detect(scenes[0])
taken, parts = [], []
for _ in range(int(repeat)):
    begin, cpu_begin = time.perf_counter(), time.process_time()
    found = [detect(scene) for scene in scenes]
    taken.append((time.perf_counter() - begin, time.process_time() - cpu_begin))
    parts.append({name: sum(one[1].get(name, 0) for one in found) for name in ("prediction", "postprocess")})
best = taken.index(min(taken))
seconds, cpu = taken[best]
number = len(scenes)
print(f"| SAHI | {sum(one[0] for one in found)} | {seconds:.1f} | {seconds / number:.2f} | {cpu / number:.1f} |")
print("of these: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts[best].items()))
"""


def shortest(work: Callable[[], int], repeat: int) -> tuple[int, float, float]:
    """Call a function ``repeat`` times. Return its last result, and the shortest time with its CPU time, in seconds."""
    taken, result = [], 0
    for _ in range(repeat):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        result = work()
        taken.append((time.perf_counter() - begin, time.process_time() - cpu_begin))
    return result, *min(taken)


def modes(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Yield the name of each mode, its detector and the options of ``SceneDetector``."""
    once = {"second_look": False}
    yield "torch, float32, not fast", args.checkpoint, {"fast": False, **once}
    yield "torch, default", args.checkpoint, once
    exported = shipped.EXPORTED
    if read_metadata(exported).checkpoint_sha256 != sha256(args.checkpoint):
        exported = folder / "exported.onnx"
        if export([str(args.config), str(args.checkpoint), "--out", str(exported)]):
            return  # export has logged the reason
    precisions = ("float32", "int8") if exported.with_suffix(INT8).is_file() else ("float32",)
    for backend in ("onnx", *(["openvino"] if find_spec("openvino") else [])):
        for precision in precisions:
            yield f"{backend}, {precision}", exported, {"backend": backend, "precision": precision, **once}
    yield "default with second look", exported, {}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("scenes", type=Path, nargs="+")
    parser.add_argument("--sahi-python", type=Path, help="Python of an environment with SAHI; not run without it")
    parser.add_argument("--source-gsd", type=float, metavar="METRES", help="resolution of scenes that do not state it")
    parser.add_argument("--repeat", type=int, default=2, metavar="N", help="number of runs (default: %(default)s)")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    threshold = Checkpoint.read(args.checkpoint).threshold() or 0.3
    number = len(args.scenes)
    print(f"{number} scenes, {device}, {hardware()} ({processor.kind()}), score threshold {threshold:.3f}\n")
    print("| | tanks | seconds | a scene | CPU seconds a scene |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, weights, options in modes(args, Path(folder)):
            cfg = Config.fromfile(args.config)
            if not options.get("fast", True):
                cfg.optim_wrapper.type = "OptimWrapper"
            options = {"tile": TILE, "overlap": OVERLAP, "source_gsd": args.source_gsd, **options}
            detector = SceneDetector(cfg, weights, score_thr=threshold, **options)
            detector.detect(args.scenes[0])
            found, seconds, cpu = shortest(
                lambda detector=detector: sum(len(one.boxes) for _, one in detector.detect_all(args.scenes)),
                args.repeat,
            )
            print(
                f"| ours, {name} | {found} | {seconds:.1f} | {seconds / number:.2f} | {cpu / number:.1f} |", flush=True
            )
    if args.sahi_python is None:
        return 0
    command = [
        args.sahi_python,
        "-c",
        SAHI,
        args.config,
        args.checkpoint,
        device,
        threshold,
        TILE,
        OVERLAP,
        args.repeat,
    ]
    subprocess.run([str(part) for part in [*command, *args.scenes]], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
