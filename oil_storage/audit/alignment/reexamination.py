"""Find the image to which the boxes of a scene without a verdict belong, or the scale fault of these boxes."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import chain

import numpy as np

from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.evidence import working_reduction
from oil_storage.audit.alignment.faults import Fault, undo
from oil_storage.audit.alignment.roundness import Floats, GradientField, chance_of, roundness, settled, tightened
from oil_storage.audit.alignment.verdict import SETTLED
from oil_storage.imagery import read_pixels
from oil_storage.parallel import in_processes
from oil_storage.scene import Scene

TRIED_BOXES = 60
"""Maximum number of boxes per scene that are compared with other images."""
ON_ALL_IMAGES = 20
"""Maximum number of scenes without a verdict whose boxes are compared with all images. If more scenes have no verdict,
their boxes are compared only with each other's images."""
CLEAR_DEVIATIONS = 9.0
"""Minimum roundness above chance, in standard deviations of the mean, of boxes that match another image."""


def reexamine(scenes: Mapping[str, Scene], boxes: Mapping[str, Floats], scales: Sequence[Fault]) -> dict[str, Fault]:
    """Compare the boxes of scenes without a verdict with other images, and try the scale faults of other scenes.

    Args:
        scenes: all scenes by id.
        boxes: ``(N, 4)`` boxes as written, by the id of a scene without a verdict or with an unnamed fault.
        scales: faults of kind :data:`faults.SCALED` that were found in other scenes.

    Returns:
        dict: detected faults by scene id.
    """
    if not boxes:
        return {}
    rng = np.random.default_rng
    samples = {
        name: written if len(written) <= TRIED_BOXES else rng(0).choice(written, TRIED_BOXES, replace=False)
        for name, written in boxes.items()
    }
    images = scenes.values() if len(boxes) <= ON_ALL_IMAGES else [scenes[name] for name in boxes]
    attempt = partial(_try_on, boxes=samples, scales=scales)
    by_image = in_processes(attempt, list(images), "reexamining scenes without a verdict", "image")
    best_last = sorted(chain.from_iterable(by_image), key=lambda match: match[0])
    return {name: fault for _, name, fault in best_last}


def _try_on(scene: Scene, boxes: Mapping[str, Floats], scales: Sequence[Fault]) -> list[tuple[float, str, Fault]]:
    """Compare the boxes of other scenes with the image of a scene, and try ``scales`` on the boxes of the scene itself.

    Returns:
        list: for each clear match, the roundness above chance in standard deviations, the scene id of the boxes, and
            the fault.
    """
    pixels = read_pixels(scene.image, scene.reading)
    height, width = pixels.shape[:2]
    reduced = cache(GradientField.of(pixels).reduced)
    rng = np.random.default_rng(0)
    clear = []
    for name, written in boxes.items():
        reduction = working_reduction(written)
        field = reduced(reduction)
        for fault in scales if name == scene.scene_id else [Fault(faults.ELSEWHERE, image=scene.scene_id)]:
            undone = undo(fault, written, width, height) / np.float32(reduction)
            chance, deviation = chance_of(field, undone[:, 2:] - undone[:, :2], rng)
            better = float(roundness(field, tightened(undone)).mean()) - chance
            deviations = better / max(deviation / len(undone) ** 0.5, 1e-6)
            if deviations > CLEAR_DEVIATIONS and settled(field, undone) >= SETTLED:
                clear.append((deviations, name, fault))
    return clear
