"""Outcomes of a test: which detections of each scene are correct. They determine AP and F1 of any choice of scenes."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.evaluation.dense_coco import MAX_DETECTIONS
from oil_storage.evaluation.matching import IOUS, Matched
from oil_storage.files import write_bytes

BITS = 2 ** np.arange(len(IOUS), dtype=np.uint16)
"""Bit of each IoU threshold in a file."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes of S scenes with M detections, which are sorted by descending score.

    Of each image (scene or tile), the :data:`~oil_storage.evaluation.dense_coco.MAX_DETECTIONS` detections with the
    highest scores are included.

    Attributes:
        names: names of the scenes, sorted.
        objects: number of objects in each scene, ``(S,)``.
        found: number of detections in each scene that reach the score threshold, ``(S,)``.
        correct: number of these that are correct at IoU 0.5, ``(S,)``.
        scene: index of the scene of each detection, ``(M,)``.
        right: whether each detection is correct at each of :data:`~oil_storage.evaluation.matching.IOUS`, ``(10, M)``.
    """

    names: tuple[str, ...]
    objects: NDArray[np.int64]
    found: NDArray[np.int64]
    correct: NDArray[np.int64]
    scene: NDArray[np.int64]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, images: Sequence[Matched], threshold: float, scenes: Sequence[str] | None = None) -> "Outcomes":
        """Collect the outcomes of matched images.

        Args:
            images: whole scenes, or tiles.
            threshold: score threshold of ``found`` and ``correct``.
            scenes: name of the scene of each image; None if the images are scenes.
        """
        of_image = [image.result.scene_id for image in images] if scenes is None else list(scenes)
        names = sorted(set(of_image))
        index = np.array([names.index(name) for name in of_image], np.int64)
        scores = np.concatenate([np.zeros(0), *(image.scores[:MAX_DETECTIONS] for image in images)])
        order = np.argsort(-scores, kind="stable")
        right = [image.at[:, :MAX_DETECTIONS] >= 0 for image in images]
        counts = [image.scores >= threshold for image in images]

        def by_scene(values: Sequence[int]) -> NDArray[np.int64]:
            return np.bincount(index, values, len(names)).astype(np.int64)

        return cls(
            names=tuple(names),
            objects=by_scene([len(image.result.truth) for image in images]),
            found=by_scene([int(reach.sum()) for reach in counts]),
            correct=by_scene([int((image.right & reach).sum()) for image, reach in zip(images, counts, strict=True)]),
            scene=np.repeat(index, [min(len(image.scores), MAX_DETECTIONS) for image in images])[order],
            right=np.concatenate([np.zeros((len(IOUS), 0), bool), *right], axis=1)[:, order],
        )


@dataclass(frozen=True)
class TestOutcomes:
    """Outcomes of a test, counted in tiles and in whole scenes."""

    __test__ = False  # pytest would collect this class as a test

    tiles: Outcomes
    scenes: Outcomes

    def save(self, path: Path) -> None:
        """Write a compressed file of NumPy arrays; equal outcomes give equal bytes."""
        arrays = {}
        for part in fields(self):
            outcomes: Outcomes = getattr(self, part.name)
            for name in ("names", "objects", "found", "correct"):
                arrays[f"{part.name}_{name}"] = np.asarray(getattr(outcomes, name))
            arrays[f"{part.name}_scene"] = outcomes.scene.astype(np.uint16)
            arrays[f"{part.name}_right"] = BITS @ outcomes.right.astype(np.uint16)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes only bool by keyword
        write_bytes(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> "TestOutcomes":
        """Read a file.

        Raises:
            UserError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(*(_read(dict(arrays), part.name) for part in fields(cls)))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path}: missing or damaged outcomes ({type(error).__name__}); "
                "restore it from git, or test and record the run again"
            ) from error


def _read(arrays: dict[str, NDArray[np.generic]], part: str) -> Outcomes:
    names = [str(name) for name in arrays[f"{part}_names"].tolist()]
    objects, found, correct, scene, right = (
        arrays[f"{part}_{name}"].astype(np.int64) for name in ("objects", "found", "correct", "scene", "right")
    )
    same = {len(names), len(objects), len(found), len(correct)}
    if len(same) > 1 or len(scene) != len(right) or (scene >= len(names)).any():
        raise ValueError("arrays do not fit together")
    return Outcomes(tuple(names), objects, found, correct, scene, (right & BITS[:, None].astype(np.int64)) > 0)
