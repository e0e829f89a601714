"""Compare the detection times of ``SceneDetector`` and SAHI in whole scenes.

Both use the same weights, tiles, overlap and threshold.

    python benchmarks/whole_scenes.py CONFIG CHECKPOINT SCENE... --sahi-python /tmp/sahi/bin/python

``benchmarks/merge_tiles.py`` describes how to create the environment of SAHI. SAHI runs its mmdet model on slices,
without a pass over the whole image, and with its default post-processing. Each program first loads its model and
detects in the first scene to warm up, which is not timed. It then detects in all scenes. The time includes all steps
from reading the file to merging the boxes. The shortest of ``--repeat`` times counts. ``SceneDetector`` runs in four
modes: float32 without the fast mode, the default settings with and without the second look, and ONNX Runtime with the
model of ``tools/export.py``.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.provenance import hardware
from oil_storage.cli.export import main as export
from oil_storage.inference import SceneDetector

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
    begin = time.perf_counter()
    found = [detect(scene) for scene in scenes]
    taken.append(time.perf_counter() - begin)
    parts.append({name: sum(one[1].get(name, 0) for one in found) for name in ("prediction", "postprocess")})
best = taken.index(min(taken))
print(f"| SAHI | {sum(one[0] for one in found)} | {taken[best]:.1f} | {taken[best] / len(scenes):.2f} |")
print("of these: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts[best].items()))
"""


def shortest(work: Callable[[], int], repeat: int) -> tuple[int, float]:
    """Call a function ``repeat`` times. Return its last result, and its shortest time in seconds."""
    taken, result = [], 0
    for _ in range(repeat):
        begin = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - begin)
    return result, min(taken)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("scenes", type=Path, nargs="+")
    parser.add_argument("--sahi-python", type=Path, required=True, help="Python of an environment with SAHI")
    parser.add_argument("--repeat", type=int, default=2, metavar="N", help="number of runs (default: %(default)s)")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    threshold = Checkpoint.read(args.checkpoint).threshold() or 0.3
    print(f"{len(args.scenes)} scenes, {device}, {hardware()}, score threshold {threshold:.3f}\n")
    print("| | tanks | seconds | a scene |\n| --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder, "exported.onnx")
        modes = {
            "float32": {"fast": False, "second_look": False},
            "default": {"second_look": False},
            "default with second look": {},
            "ONNX Runtime": {"backend": "onnx", "second_look": False},
        }
        for name, mode in modes.items():
            cfg, weights = Config.fromfile(args.config), args.checkpoint
            if name == "float32":
                cfg.optim_wrapper.type = "OptimWrapper"
            if name == "ONNX Runtime":
                if export([str(args.config), str(args.checkpoint), "--out", str(exported)]):
                    continue  # export has logged the reason
                weights = exported
            detector = SceneDetector(cfg, weights, score_thr=threshold, tile=TILE, overlap=OVERLAP, **mode)
            detector.detect(args.scenes[0])
            found, seconds = shortest(
                lambda detector=detector: sum(len(one.boxes) for _, one in detector.detect_all(args.scenes)),
                args.repeat,
            )
            print(f"| ours, {name} | {found} | {seconds:.1f} | {seconds / len(args.scenes):.2f} |", flush=True)
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
