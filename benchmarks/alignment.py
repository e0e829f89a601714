"""Measure how well the audit recognises faults of boxes, and print tables.

    python benchmarks/alignment.py SOURCE --half 1 --evidence work_dirs/alignment

    python benchmarks/alignment.py SOURCE --fit --evidence work_dirs/alignment_fit

    python benchmarks/alignment.py SOURCE --fit --enlarge 4 --evidence work_dirs/alignment_enlarged

Each fault is planted in each scene of one half of the scenes. The measurements of each scene are stored in the folder
--evidence, and later runs reuse them. Delete this folder if the code that examines scenes has changed. The thresholds
were chosen on the scenes of half 0. The tables in docs/alignment.md are for half 1. With --fit, a few faults are
planted in all scenes at once, and the scenes that pass as fit for training are counted. With --enlarge, the densest
window of 512 px of each scene takes the place of the scene, so that scenes of 1.2 m per pixel resemble scenes of 0.3 m.
"""

import argparse
import pickle
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray
from planted_faults import close_up, loosen, plant

from oil_storage.annotations import formats
from oil_storage.audit.alignment import GradientField, SceneEvidence, examine, faults
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.reexamination import reexamine
from oil_storage.audit.alignment.verdict import FEWEST, Answer, as_usual, judge_dataset, judge_scene
from oil_storage.audit.records import audit
from oil_storage.imagery import read_pixels
from oil_storage.parallel import in_processes
from oil_storage.scene import CLASS_NAME, Scene

PLANTED = [
    Fault(),
    *map(Fault, faults.DISCRETE),
    *(Fault(faults.SCALED, (scale, scale)) for scale in (0.5, 0.8, 0.9, 0.97, 1.03, 1.1, 1.25, 2.0)),
    *(Fault(faults.SCALED, scales) for scales in ((1.25, 0.8), (1.0, 0.8), (1.0, 1.03), (2.0, 1.0))),
    *(Fault(faults.RESIZED, (size, size)) for size in (0.5, 0.8, 0.97, 1.03, 1.25, 2.0)),
    *(Fault(faults.RESIZED, sizes) for sizes in ((1.25, 1.0), (1.0, 0.8), (1.25, 0.8))),
    *(Fault(faults.SHIFTED, shift) for shift in ((2.0, 0.0), (0.0, -2.0), (3.0, -3.0), (0.0, 5.0))),
    *(Fault(faults.SHIFTED, shift) for shift in ((6.0, -4.0), (-20.0, 10.0), (0.0, 40.0))),
]
HABITS = [str(Fault(faults.RESIZED, (size, size))) for size in (0.97, 1.03)]
HABITS += [str(Fault(faults.SHIFTED, shift)) for shift in ((2.0, 0.0), (0.0, -2.0))]
"""Faults so small that they can be an annotator's habit in one scene. Only a whole data set reveals them."""
HALF_A_BOX = {"half a box to the right": (0.5, 0.0), "half a box up": (0.0, -0.5), "half a box aside": (-0.5, 0.5)}
EXCHANGED = "boxes of the next scene"
IN_ALL = [
    Fault(),
    *(Fault(faults.SCALED, (scale, scale)) for scale in (0.67, 1.3)),
    Fault("transposed"),
]
A_THIRD = {"a third of a box to the right": (1 / 3, 0.0), "a third of a box aside": (-1 / 3, 1 / 3)}
LOOSENED = ("none, boxes loosened by hand", *(f"none, loosened by hand, draw {draw}" for draw in (2, 3)))
WINDOW = 512
"""Side of the windows that ``--enlarge`` magnifies, in pixels of the scene."""
Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Seen = dict[str, tuple[Fault, SceneEvidence]]
Job = tuple[Scene, Scene, Path, int]


def noisy(pixels: Pixels, boxes: Boxes) -> tuple[Pixels, Boxes]:
    """Add noise with a standard deviation of 30 grey levels."""
    noise = np.random.default_rng(0).normal(0, 30, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8), boxes


def squeezed(pixels: Pixels, boxes: Boxes) -> tuple[Pixels, Boxes]:
    """Compress the image as JPEG of quality 10."""
    _, file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 10])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8), boxes


def resized(pixels: Pixels, boxes: Boxes, times: float) -> tuple[Pixels, Boxes]:
    """Resize image and boxes by a factor."""
    height, width = (round(side * times) for side in pixels.shape[:2])
    how = cv2.INTER_CUBIC if times > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8), boxes * np.float32(times)


def smeared(pixels: Pixels, boxes: Boxes) -> tuple[Pixels, Boxes]:
    """Blur the image horizontally over 9 px, like motion blur."""
    return np.asarray(cv2.filter2D(pixels, -1, np.full((1, 9), 1 / 9)), np.uint8), boxes


def largest(pixels: Pixels, boxes: Boxes, number: int) -> tuple[Pixels, Boxes]:
    """Keep only the largest boxes."""
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")
    return pixels, boxes[order[:number]]


WORSE = {
    "blurred by 2 px": lambda pixels, boxes: (cv2.GaussianBlur(pixels, (0, 0), 2), boxes),
    "smeared over 9 px": smeared,
    "noise of 30 grey levels": noisy,
    "negative": lambda pixels, boxes: (255 - pixels, boxes),
    "JPEG of quality 10": squeezed,
    "enlarged twice": lambda pixels, boxes: resized(pixels, boxes, 2),
    "reduced to a half": lambda pixels, boxes: resized(pixels, boxes, 1 / 2),
    "the six largest boxes alone": lambda pixels, boxes: largest(pixels, boxes, 6),
    "eight boxes alone": lambda pixels, boxes: (pixels, np.random.default_rng(0).permutation(boxes)[:8]),
}
"""Changes that make correct boxes harder to judge."""


def see(job: Job) -> Seen:
    """Examine a scene with each planted fault. Return the fault and the evidence, by the name of the fault."""
    scene, following, kept, _ = job
    path = kept / f"{scene.scene_id}.pickle"
    if path.exists():
        found: Seen = pickle.loads(path.read_bytes())
        return found
    pixels = read_pixels(scene.image)
    field = GradientField.of(pixels)
    side = float(np.median(scene.boxes[:, 2:] - scene.boxes[:, :2]))
    named = {str(fault): fault for fault in PLANTED}
    named |= {name: Fault(faults.SHIFTED, (x * side, y * side)) for name, (x, y) in HALF_A_BOX.items()}
    seen = {
        name: (fault, examine(scene.scene_id, field, plant(fault, scene.boxes, scene.width, scene.height)))
        for name, fault in named.items()
    }
    of_other = Fault(faults.ELSEWHERE, image=following.scene_id)
    seen[EXCHANGED] = of_other, examine(scene.scene_id, field, following.boxes)
    for name, change in WORSE.items():
        changed, boxes = change(pixels, scene.boxes)
        seen[f"none, {name}"] = Fault(), examine(scene.scene_id, GradientField.of(changed), boxes)
    path.with_suffix(".part").write_bytes(pickle.dumps(seen))
    path.with_suffix(".part").rename(path)
    return seen


def see_all(job: Job) -> Seen:
    """Examine a scene with each fault that ``--fit`` plants. Return the same as :func:`see`."""
    scene, following, kept, times = job
    path = kept / f"{scene.scene_id}.pickle"
    if path.exists():
        found: Seen = pickle.loads(path.read_bytes())
        return found
    pixels, boxes, others = read_pixels(scene.image), scene.boxes, following.boxes
    if times > 1:
        (x, y), boxes = close_up(boxes, scene.width, scene.height, WINDOW)
        pixels, boxes = resized(pixels[y : y + WINDOW, x : x + WINDOW], boxes, times)
        others = close_up(others, following.width, following.height, WINDOW)[1] * np.float32(times)
    field = GradientField.of(pixels)
    height, width = pixels.shape[:2]
    side = float(np.median(boxes[:, 2:] - boxes[:, :2]))
    named = {str(fault): fault for fault in IN_ALL}
    named |= {name: Fault(faults.SHIFTED, (x * side, y * side)) for name, (x, y) in A_THIRD.items()}
    written = {name: plant(fault, boxes, width, height) for name, fault in named.items()}
    rng = np.random.default_rng(crc32(scene.scene_id.encode()))
    written |= {EXCHANGED: others, **{draw: loosen(boxes, rng) for draw in LOOSENED}}
    seen = {name: (named.get(name, Fault()), examine(scene.scene_id, field, boxes)) for name, boxes in written.items()}
    path.with_suffix(".part").write_bytes(pickle.dumps(seen))
    path.with_suffix(".part").rename(path)
    return seen


def fit(seen: Mapping[str, Seen]) -> Iterator[str]:
    """Yield a table: the verdicts and the scenes that pass as fit for training if a fault is planted in all scenes."""
    yield "| planted in all scenes | fit | called faulty | sound | not enough evidence | answer for all scenes |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for planted in next(iter(seen.values())):
        verdict = judge_dataset([of[planted][1] for of in seen.values()])
        answers = Counter(one.answer for one in verdict.scenes.values())
        passed = sum(map(verdict.is_fit, verdict.scenes))
        counts = " | ".join(str(answers[answer]) for answer in (Answer.NO, Answer.YES, Answer.UNKNOWN))
        yield f"| {planted} | {passed} | {counts} | {verdict.answer}: {verdict.fault} |"


def single(scenes: Sequence[Scene], seen: Mapping[str, Seen]) -> Iterator[str]:
    """Yield a table: the verdicts on each fault if it is planted in a single scene, and if it is in all scenes."""
    yield "| planted fault | correct | not enough evidence | wrong | wrong answers | answer for all scenes |"
    yield "| --- | --- | --- | --- | --- | --- |"
    right = {name: of[str(Fault())][1] for name, of in seen.items()}
    usual = float(np.median([np.sqrt(np.prod(one.size)) for one in right.values()]))
    named = planted_in = 0
    for planted in next(iter(seen.values())):
        expected = next(iter(seen.values()))[planted][0].kind
        evidence = as_usual([of[planted][1] for of in seen.values()])
        verdicts = {name: judge_scene(one, usual) for name, one in zip(seen, evidence, strict=True)}
        unknown = [
            name
            for name, verdict in verdicts.items()
            if verdict.answer == Answer.UNKNOWN or (planted == EXCHANGED and verdict.fault.kind == faults.UNNAMED)
        ]
        called = {name: verdict.fault.kind for name, verdict in verdicts.items() if name not in unknown}
        if planted == EXCHANGED:
            follows = {one.scene_id: other for one, other in zip(scenes, [*scenes[1:], scenes[0]], strict=True)}
            images = {scene.scene_id: scene for scene in scenes}
            found = reexamine(images, {name: follows[name].boxes for name in unknown}, [])
            true = {name for name, fault in found.items() if fault.image == follows[name].scene_id}
            called |= {name: expected if name in true else "of a wrong image" for name in found}
        counts = Counter(called.values())
        correct = counts.pop(expected, 0)
        wrong = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
        if expected != faults.NONE and planted not in HABITS:
            named, planted_in = named + correct, planted_in + len(verdicts)
        of_all = judge_dataset([of[planted][1] for of in seen.values()]).fault
        whole = "" if planted == EXCHANGED else str(of_all)
        silent = len(verdicts) - len(called)
        yield f"| {planted} | {correct} | {silent} | {sum(counts.values())} | {wrong} | {whole} |"
    yield ""
    yield f"{named} of {planted_in} faults are named correctly ({named / planted_in:.1%}), without {', '.join(HABITS)}"


def common(seen: Mapping[str, Seen]) -> Iterator[str]:
    """Yield a table: each shift, box size or scale planted in all scenes, its measured value, and the error.

    Shifts and box sizes are relative to those of the correct boxes.
    """
    yield "| planted in all scenes | shift, px | size | error |"
    yield "| --- | --- | --- | --- |"
    before = judge_dataset([of[str(Fault())][1] for of in seen.values()])
    for fault in PLANTED:
        if fault.kind not in (faults.SHIFTED, faults.RESIZED, faults.SCALED):
            continue
        verdict = judge_dataset([of[str(fault)][1] for of in seen.values()])
        if fault.kind == faults.SHIFTED:
            found = np.subtract(verdict.fault.parameters, before.shift) if verdict.fault.parameters else np.zeros(2)
            error = f"{np.hypot(*np.subtract(found, fault.parameters)):.2f} px"
        elif fault.kind == faults.RESIZED and fault.parameters[0] == fault.parameters[1]:
            found = np.array([verdict.size / before.size])
            error = f"{abs(found[0] / fault.parameters[0] - 1):.1%}"
        elif fault.kind == faults.SCALED and verdict.fault.kind == faults.SCALED:
            found = np.array(verdict.fault.parameters)
            error = f"{np.abs(found / fault.parameters - 1).max():.2%}"
        else:
            continue
        moved = f"({verdict.shift[0]:+.2f}, {verdict.shift[1]:+.2f})" if verdict.shift else ""
        yield f"| {fault} | {moved} | {np.round(found, 3).tolist()} | {error} |"


def five_wrong(scenes: Sequence[Scene], seen: Mapping[str, Seen], draws: int = 100) -> str:
    """Return how often the audit finds exactly the faulty scenes if five scenes have different faults."""
    rng = np.random.default_rng(0)
    exact = rightly = 0
    kinds = [str(Fault("transposed")), str(Fault("mirrored top-bottom")), str(Fault("xywh read as xyxy"))]
    kinds += [str(Fault(faults.SCALED, (0.8, 0.8))), str(Fault(faults.RESIZED, (1.25, 1.25)))]
    for _ in range(draws):
        wrong = dict(zip(rng.choice([scene.scene_id for scene in scenes], 5, replace=False), kinds, strict=True))
        verdicts = judge_dataset([of[wrong.get(name, str(Fault()))][1] for name, of in seen.items()]).scenes
        named = {name for name, verdict in verdicts.items() if verdict.answer != Answer.YES}
        exact += named == set(wrong)
        rightly += all(verdicts[name].fault.kind == seen[name][fault][0].kind for name, fault in wrong.items())
    return f"{draws} draws of five faulty scenes: exactly these are found in {exact}, all faults correct in {rightly}"


def few_right(seen: Mapping[str, Seen], draws: int = 400) -> str:
    """Return how often the audit reports a fault in a data set of a few correct scenes."""
    rng = np.random.default_rng(0)
    right = [of[str(Fault())][1] for of in seen.values()]
    called = []
    for number in (1, 2, 3, 5, 10, 20):
        wrong = 0
        for _ in range(draws):
            verdict = judge_dataset([right[i] for i in rng.choice(len(right), number, replace=False)])
            wrong += Answer.NO in {verdict.answer, *(one.answer for one in verdict.scenes.values())}
        called.append(f"{number}: {wrong}")
    return f"{draws} draws of N correct scenes; number of false alarms for each N: {', '.join(called)}"


def _alone(scenes: Sequence[Scene], seen: Mapping[str, Seen]) -> Iterator[str]:
    """Yield the tables for each fault planted in one scene at a time."""
    yield from (*single(scenes, seen), "", *common(seen), "", five_wrong(scenes, seen), "", few_right(seen))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="scenes with correct labels")
    parser.add_argument("--half", type=int, choices=(0, 1), help="half of the scenes to use (default: all, or 1)")
    parser.add_argument("--fit", action="store_true", help="plant faults in all scenes, and count the fit scenes")
    parser.add_argument("--enlarge", type=int, default=1, metavar="N", help="with --fit: use windows, enlarged N times")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th scene of the half")
    parser.add_argument("--evidence", type=Path, required=True, metavar="DIR", help="folder for the measurements")
    args = parser.parse_args()
    scenes, _ = audit(formats.read(args.source), {CLASS_NAME: CLASS_NAME})
    judged = [scene for scene in scenes if len(scene.boxes) >= (1 if args.fit else FEWEST)]
    first, step = (args.half, 2) if args.half is not None else (0, 1) if args.fit else (1, 2)
    half = judged[first::step][:: args.every]
    args.evidence.mkdir(parents=True, exist_ok=True)
    jobs = [(one, other, args.evidence, args.enlarge) for one, other in zip(half, [*half[1:], half[0]], strict=True)]
    looks = in_processes(see_all if args.fit else see, jobs, "planting faults", "scene")
    seen = {scene.scene_id: found for scene, found in zip(half, looks, strict=True)}
    print(f"{len(half)} scenes, {sum(len(scene.boxes) for scene in half)} boxes\n")
    tables = fit(seen) if args.fit else _alone(half, seen)
    for line in tables:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
