"""A second look at scenes of which the first said nothing: the scales of other scenes, and other scenes' images."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.chance import chance_of
from oil_storage.audit.alignment.faults import Fault, undo
from oil_storage.audit.alignment.roundness import GradientField, roundness, settled, tightened
from oil_storage.audit.alignment.verdict import SETTLED
from oil_storage.imagery import read_pixels
from oil_storage.parallel import in_processes
from oil_storage.scene import Scene

SAMPLE = 60
ON_ALL_IMAGES = 20
"""So many scenes are tried on every image; more of them on each other's alone, or it would take too long."""
CLEAR = 9.0
"""Standard deviations of the mean by which a place must be rounder than chance, and most boxes must be round there."""

Job = tuple[Scene, dict[str, NDArray[np.float32]], tuple[Fault, ...]]


def look_again(
    scenes: Mapping[str, Scene], boxes: Mapping[str, NDArray[np.float32]], scales: Sequence[Fault]
) -> dict[str, Fault]:
    """Try boxes on other scenes' images, and on their own under scales that were found elsewhere.

    Args:
        scenes: all, by scene id.
        boxes: ``(N, 4)`` as written, of the scenes that need it.
        scales: faults of kind :data:`faults.SCALED`.

    Returns:
        dict: the fault of each scene for which one was found.
    """
    if not boxes:
        return {}
    few = {name: _sample(written) for name, written in boxes.items()}
    tried = scenes if len(boxes) <= ON_ALL_IMAGES else {name: scenes[name] for name in boxes}
    jobs: list[Job] = [(scene, few, tuple(scales)) for scene in tried.values()]
    best: dict[str, tuple[float, Fault]] = {}
    for found in in_processes(_try, jobs, "looking again at what sits on nothing", "image"):
        for name, (above, fault) in found.items():
            if above > max(CLEAR, best.get(name, (0.0, fault))[0]):
                best[name] = above, fault
    return {name: fault for name, (_, fault) in best.items()}


def _try(job: Job) -> dict[str, tuple[float, Fault]]:
    """Of each set of boxes, by how many deviations it is rounder than chance on this image, and under which fault."""
    scene, boxes, scales = job
    pixels = read_pixels(scene.image, scene.reading)
    height, width = pixels.shape[:2]
    field = GradientField.of(pixels)
    rng = np.random.default_rng(0)
    found: dict[str, tuple[float, Fault]] = {}
    for name, written in boxes.items():
        candidates = scales if name == scene.scene_id else (Fault(faults.ELSEWHERE, image=scene.scene_id),)
        for fault in candidates:
            undone = undo(fault, written, width, height)
            chance, deviation = chance_of(field, undone[:, 2:] - undone[:, :2], width, height, rng)
            better = float(roundness(field, tightened(undone)).mean()) - chance
            above = better / max(deviation / len(undone) ** 0.5, 1e-6)
            if settled(field, undone) < SETTLED:
                continue
            if above > found.get(name, (0.0, fault))[0]:
                found[name] = above, fault
    return found


def _sample(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(boxes) <= SAMPLE:
        return boxes
    chosen: NDArray[np.float32] = boxes[np.random.default_rng(0).choice(len(boxes), SAMPLE, replace=False)]
    return chosen
