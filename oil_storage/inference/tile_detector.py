"""Interface between detection in scenes and the backends that run a network on tiles."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from oil_storage.checkpoints.accuracy import F1ByGsd, Share
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.inference.candidates import Rules
from oil_storage.merging import Detections


@dataclass(frozen=True, kw_only=True)
class Description:
    """Properties of a detector that its network does not contain.

    Attributes:
        config: name of the config that the detector was trained with; None if it is not known.
        tile: side of a tile in pixels of the magnified scene.
        batch_size: number of tiles in a batch on CUDA.
        test_cfg: post-processing parameters.
        score_threshold: threshold chosen on the val split; None if none was chosen.
        false_alarms: thresholds by false alarms per 100 square kilometres; see
            :class:`oil_storage.checkpoints.accuracy.ChosenThreshold`.
        reading: bands and stretch of the training scenes.
        gsd: ground resolution of the training scenes, metres per pixel; None if it is not known.
        f1_by_gsd: see :class:`oil_storage.checkpoints.checkpoint.Meta`.
    """

    config: str | None = None
    tile: PositiveInt
    batch_size: PositiveInt
    test_cfg: Rules
    score_threshold: Share | None = None
    false_alarms: dict[str, Share] = field(default_factory=dict)
    reading: Reading = DEFAULT_READING
    gsd: PositiveFloat | None = None
    f1_by_gsd: F1ByGsd = field(default_factory=dict)


class Prepared(NamedTuple):
    """Tile as the backend needs it.

    Attributes:
        size: width and height of the tile, in pixels of the magnified scene.
        content: the tile in the backend's own form.
    """

    size: tuple[int, int]
    content: Any


class TileDetector(Protocol):
    """Backend that detects in tiles.

    Attributes:
        rules: post-processing parameters; ``about.test_cfg`` unless they are replaced.
        batch_size: number of tiles that the device should process at once.
        workers: number of threads that may call :meth:`detect` at once.
    """

    rules: Rules
    batch_size: int
    workers: int

    @property
    def about(self) -> Description:
        """Description of the detector."""

    def prepare(self, pixels: NDArray[np.uint8]) -> Prepared:
        """Convert a tile, RGB ``(H, W, 3)``; called in the thread that reads scenes."""

    def detect(self, tiles: Sequence[Prepared]) -> list[Detections]:
        """Detect in a batch of tiles; return boxes in pixels of each tile, in order of decreasing score."""
