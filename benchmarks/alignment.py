"""How well faults of boxes are recognised: plants each in every other scene and prints the confusion table.

    python benchmarks/alignment.py SOURCE --half 1 --every 1 > docs/alignment_table.md

Thresholds were fixed on the scenes of half 0; the table of docs/alignment.md is that of half 1.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from oil_storage.annotations import formats
from oil_storage.imagery import read_pixels
from oil_storage.parallel import in_processes
from oil_storage.preparation.alignment import SceneEvidence, examine, faults
from oil_storage.preparation.alignment.dataset import judge_dataset
from oil_storage.preparation.alignment.faults import Fault, plant
from oil_storage.preparation.alignment.verdict import FEWEST, Answer
from oil_storage.preparation.audit import audit
from oil_storage.scene import CLASS_NAME, Scene

PLANTED = [
    Fault(),
    *map(Fault, faults.DISCRETE),
    *(Fault(faults.SCALED, (scale, scale)) for scale in (0.5, 0.8, 0.97, 1.03, 1.25, 2.0)),
    *(Fault(faults.SCALED, scales) for scales in ((1.25, 0.8), (1.0, 0.8))),
    *(Fault(faults.RESIZED, (size,)) for size in (0.5, 0.8, 1.25, 2.0)),
    *(Fault(faults.SHIFTED, shift) for shift in ((2.0, 0.0), (6.0, -4.0), (-20.0, 10.0), (0.0, 40.0))),
]


def evidence_of(job: tuple[Scene, Fault]) -> SceneEvidence:
    """What a scene shows with a fault planted."""
    scene, fault = job
    written = plant(fault, scene.boxes, scene.width, scene.height)
    return examine(scene.scene_id, read_pixels(scene.image), written)


def rows(scenes: Sequence[Scene]) -> Iterator[str]:
    """A line of the table for each fault."""
    yield "| planted | data set | scenes: right | unknown | wrong | what wrong ones were called | measured |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for fault in PLANTED:
        found = list(in_processes(evidence_of, [(scene, fault) for scene in scenes], str(fault), "scene"))
        verdict = judge_dataset(found)
        expected = fault.kind
        calls = Counter(
            "unknown" if one.answer == Answer.UNKNOWN else one.fault.kind for one in verdict.scenes.values()
        )
        right, unknown = calls.pop(expected, 0), calls.pop("unknown", 0)
        named = ", ".join(f"{number} {kind}" for kind, number in calls.most_common())
        measured = np.round(verdict.fault.parameters or verdict.shift, 3).tolist()
        yield f"| {fault} | {verdict.fault} | {right} | {unknown} | {sum(calls.values())} | {named} | {measured} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="labelled scenes that are right")
    parser.add_argument("--half", type=int, choices=(0, 1), default=1, help="0: thresholds were fixed on it")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each N-th scene of the half")
    args = parser.parse_args()
    scenes, _ = audit(formats.read(args.source), {CLASS_NAME: CLASS_NAME})
    half = [scene for scene in scenes if len(scene.boxes) >= FEWEST][args.half :: 2][:: args.every]
    print(f"{len(half)} scenes, {sum(len(scene.boxes) for scene in half)} boxes\n")
    for line in rows(half):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
