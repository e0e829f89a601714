"""Figures of detectors as they are stored: what was scored, what it cost, on what data it was trained."""

import math
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from oil_storage.files import read_json, validated, write_json
from oil_storage.manifest import DataIdentity


def _nan_to_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


Figure = Annotated[float | None, BeforeValidator(_nan_to_none)]
"""A number; None where it does not exist, as the AP of large objects where there is none."""
Interval = Annotated[list[Figure], Field(min_length=2, max_length=2)]
"""Lower and upper end of a 95 % interval."""


def metric_key(name: str) -> str:
    """Return the key under which a Runner reports a figure of tiles, ``coco/bbox_mAP_50`` for ``mAP_50``."""
    return f"coco/bbox_{name}"


class Stored(BaseModel):
    """Content of a JSON file."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            UserError: not JSON, or not of this kind; names the entry.
        """
        return validated(read_json(path), cls, path)

    def save(self, path: Path) -> None:
        """Write a file in one step, without what was not set."""
        write_json(path, self.model_dump(mode="json", exclude_unset=True))


class SceneFigures(Stored):
    """Figures of one scene at the score threshold: numbers of labelled tanks, of detections and of errors by kind."""

    tanks: int
    found: int
    precision: Figure
    recall: Figure
    f1: Figure
    errors: dict[str, int]


class Figures(Stored):
    """Figures of detections in whole scenes.

    ``ap`` to ``ar`` are COCO's, ``ap_under_8`` and so on of objects by their mean side in pixels. The figures from
    ``precision`` on hold at the score threshold and IoU 0.5, and are not set without one; lengths are of right
    detections.

    Attributes:
        voc_ap: Pascal VOC's average precision (area below the curve).
        voc_ap_11: Pascal VOC's average precision (11 points).
        lost_ap50: AP50 that would be gained without one kind of error.
        count_mae: mean absolute error of the number of detections in a scene.
        count_bias: mean error of it; positive where there are too many.
        count_r2: share of the variance of the true numbers that it explains.
        intervals: 95 % intervals of ``ap``, ``ap50`` and ``f1``.
        errors_by_size: number of errors by size bin and kind.
    """

    ap: Figure
    ap50: Figure
    ap75: Figure = None
    ap_s: Figure = None
    ap_m: Figure = None
    ap_l: Figure = None
    ap_under_8: Figure = None
    ap_8_16: Figure = None
    ap_16_32: Figure = None
    ap_32_64: Figure = None
    ap_from_64: Figure = None
    ar: Figure = None
    voc_ap_11: Figure = None
    voc_ap: Figure = None
    lost_ap50: dict[str, Figure] = {}
    threshold: float | None = None
    precision: Figure = None
    recall: Figure = None
    f1: Figure = None
    count_mae: Figure = None
    count_bias: Figure = None
    count_r2: Figure = None
    iou: Figure = None
    centre_px: Figure = None
    diameter_px: Figure = None
    diameter_bias_px: Figure = None
    centre_m: Figure = None
    diameter_m: Figure = None
    intervals: dict[str, Interval] = {}
    errors_by_size: dict[str, dict[str, int]] = {}
    scenes: dict[str, SceneFigures] = {}


class TrainedBy(Stored):
    """A training as its checkpoint describes it, see :class:`oil_storage.checkpoints.checkpoint.Trained`.

    ``recipe_sha256`` is equal for trainings that differ in seed, fold or place alone.
    """

    config: str
    initialised: str | None = None
    data: DataIdentity | None = None
    processes: int = 1
    hardware: str = ""
    commit: str = ""
    seconds: float | None = None
    seed: int | None = None
    iterations: int | None = None
    recipe_sha256: str


class TestRecord(Stored):
    """``metrics.json`` of ``tools/test.py``: what was tested, on what, and its figures.

    Attributes:
        config_sha256: hash of the config after all overrides.
        trained: None where the checkpoint does not tell.
        changes: differences to the config of the training, as sentences.
        tiles: size and overlap, ``640_64``.
        tta: whether several views of each tile were merged.
        precision: ``float32`` or ``bfloat16``.
        metrics: figures of tiles and scenes as a Runner reports them.
        published_protocol: figures of tiles by the published rules; empty for other tile sets.
        scenes: figures of whole scenes.
    """

    __test__ = False  # pytest takes classes with this name for tests

    config: str
    config_sha256: str
    packages: dict[str, str]
    checkpoint: str
    checkpoint_sha256: str
    trained: TrainedBy | None
    changes: list[str]
    cfg_options: list[str]
    data_root: str
    data: DataIdentity
    ground_truth_sha256: str
    tiles: str
    split: str
    tta: bool
    precision: str
    metrics: dict[str, Figure]
    published_protocol: dict[str, Figure] = {}
    scenes: Figures
    tiles_ap_minus_scenes_ap: Figure


class EvaluationRecord(Figures):
    """``metrics.json`` of ``tools/evaluate.py``; ``threshold_is`` says how the score threshold was chosen."""

    detections: str
    ground_truth: str
    ground_truth_sha256: str
    threshold_is: str
    oil_storage: str


class RecordedRun(Stored):
    """A trained and tested run as it is committed in ``results/``; attributes as in :class:`TestRecord`."""

    data: DataIdentity
    seed: int | None
    initialised: str | None = None
    split: str
    iterations: int
    train_minutes: float | None
    hardware: str
    commit: str
    tta: bool
    changes: list[str]
    date: str
    metrics: dict[str, Figure]
    published_protocol: dict[str, Figure] = {}
    scenes: Figures | None = None


class Times(Stored):
    """Seconds for one tile (median and 95th percentile), and tiles a second, in batches of ``batch``."""

    p50: float
    p95: float
    throughput: float
    batch: int = 1  # older inference figures do not state it


class Cost(Stored):
    """What a detector costs, on tiles of ``input`` (height, width) pixels.

    ``gflops`` are 1e9 floating-point operations (a multiply-add counts two) of convolutions and matrix products of a
    tile. Inference includes pre- and postprocessing. Memory is at its peak.
    """

    parameters: int
    gflops: float
    input: list[int]
    inference: Times
    training: Times
    memory_gb: float
    precision: str
    hardware: str


class Learnt(Stored):
    """AP50 that a small version of a detector has reached on a few tiles, and the one that is enough."""

    ap50: float
    wanted: float
    iterations: int
    seconds: float
    hardware: str
    commit: str


class CudaCost(Stored):
    """Training on CUDA, see ``benchmarks/cuda_smoke.py``."""

    loss: list[float]
    images_per_second: float
    memory_gb: float
    batch: int
    input: list[int]
    hardware: str


class ConfigResults(Stored):
    """``results/<config>.json``: all that was measured of a config."""

    config: str
    runs: list[RecordedRun] = []
    learns: Learnt | None = None
    speed: Cost | None = None
    cuda: CudaCost | None = None
