"""Stored results of detectors: scores, cost and training data."""

import math
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from oil_storage.files import read_json, validated, write_json
from oil_storage.manifest import DataIdentity


def _nan_to_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


Figure = Annotated[float | None, BeforeValidator(_nan_to_none)]
"""Number, or None if it is undefined, such as the AP of large objects if there are no large objects."""
Interval = Annotated[list[Figure], Field(min_length=2, max_length=2)]
"""Lower and upper bound of a 95 % confidence interval."""


def metric_key(name: str) -> str:
    """Return the key of a tile metric in the results of mmengine's Runner: ``coco/bbox_mAP_50`` for ``mAP_50``."""
    return f"coco/bbox_{name}"


class Stored(BaseModel):
    """Base class for the content of a JSON file."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            UserError: the file is not JSON, or an entry is invalid.
        """
        return validated(read_json(path), cls, path)

    def save(self, path: Path) -> None:
        """Write a file atomically, without the fields that were not set."""
        write_json(path, self.model_dump(mode="json", exclude_unset=True))


class SceneFigures(Stored):
    """Results of one scene at the score threshold.

    ``tanks`` is the number of labels, and ``found`` is the number of detections. ``errors`` counts the errors by kind.
    """

    tanks: int
    found: int
    precision: Figure
    recall: Figure
    f1: Figure
    errors: dict[str, int]


FALSE_ALARM_RATES = (100, 10, 1)
"""Numbers of false alarms per 100 square kilometres. A score threshold is chosen for each."""


class OperatingPoint(Stored):
    """Score threshold that limits the false alarms per area, and the recall at this threshold."""

    threshold: float
    recall: Figure


class Figures(Stored):
    """Metrics of detections in whole scenes.

    ``ap`` to ``ar`` are COCO metrics. ``ap_under_8`` to ``ap_from_64`` are the AP of objects by size. The size of an
    object is the square root of its box area, in pixels. The fields from ``precision`` onwards, except
    ``false_alarms``, are computed at the score threshold and IoU 0.5. They are not set if there is no threshold.
    ``iou`` and the errors of centre and diameter are means over true positives.

    Attributes:
        voc_ap: Pascal VOC average precision (area under the curve).
        voc_ap_11: Pascal VOC average precision (11 points).
        lost_ap50: gain in AP50 if all errors of a kind were corrected, by kind.
        count_mae: mean absolute error of the number of detections per scene.
        count_bias: mean error of the number of detections per scene; positive if there are too many.
        count_r2: coefficient of determination of the number of detections per scene.
        false_alarm_rate: false alarms per 100 square kilometres; None if the ground resolution is not known.
        false_alarms: operating point for each of :data:`FALSE_ALARM_RATES`; does not depend on ``threshold``.
        intervals: 95 % confidence intervals of ``ap``, ``ap50`` and ``f1``.
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
    false_alarm_rate: Figure = None
    false_alarms: dict[str, OperatingPoint] = {}
    intervals: dict[str, Interval] = {}
    errors_by_size: dict[str, dict[str, int]] = {}
    scenes: dict[str, SceneFigures] = {}


class TrainedBy(Stored):
    """Training that produced a checkpoint; see :class:`oil_storage.checkpoints.checkpoint.Trained`.

    Attributes:
        images_seen: number of images seen in training, with repetitions; None if unknown.
        scenes_fraction: see :class:`oil_storage.datasets.oil_storage.OilStorageDataset`.
        learning_rate: initial learning rate; None if unknown.
        recipe_sha256: hash that is equal for training runs that differ only in seed, fold or data location.
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
    images_seen: int | None = None
    scenes_fraction: float = 1.0
    learning_rate: float | None = None
    recipe_sha256: str


class TestRecord(Stored):
    """``metrics.json`` of ``tools/test.py``: detector, data and metrics of a test.

    Attributes:
        config_sha256: hash of the config after all overrides.
        trained: training of the checkpoint; None if the checkpoint has no record of it.
        changes: differences from the training config, one sentence each.
        tiles: size and overlap of the tiles (``640_64``).
        tta: whether test-time augmentation was used.
        precision: ``float32`` or ``bfloat16``.
        metrics: tile and scene metrics that the Runner reports.
        published_protocol: result of :func:`oil_storage.evaluation.dense_coco.published_score`; empty if the tile set
            is not the published one (``640_64``).
        scenes: metrics of whole scenes.
    """

    __test__ = False  # pytest would collect this class as a test

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
    """``metrics.json`` of ``tools/evaluate.py``. ``threshold_is`` states how the score threshold was chosen."""

    detections: str
    ground_truth: str
    ground_truth_sha256: str
    threshold_is: str
    oil_storage: str


class Validation(Stored):
    """AP of the val tiles in the course of a training, after a number of images."""

    images: int
    ap: Figure
    ap50: Figure


class RecordedRun(Stored):
    """Trained and tested run in ``results/``; see :class:`TrainedBy` and :class:`TestRecord` for the attributes.

    ``learning_curve`` has the validations of the training, in order.
    """

    data: DataIdentity
    seed: int | None
    initialised: str | None = None
    split: str
    iterations: int
    images_seen: int | None = None
    scenes_fraction: float = 1.0
    learning_rate: float | None = None
    train_minutes: float | None
    hardware: str
    commit: str
    tta: bool
    changes: list[str]
    date: str
    metrics: dict[str, Figure]
    published_protocol: dict[str, Figure] = {}
    scenes: Figures | None = None
    learning_curve: list[Validation] = []


class Trial(Stored):
    """Short training in the search for a learning rate, and the AP of the val tiles at its end."""

    learning_rate: float
    seed: int | None
    iterations: int
    images: int
    ap: Figure
    ap50: Figure
    hardware: str
    commit: str


class Budget(Stored):
    """Number of training iterations that fit into a time, from the measured time of an iteration.

    The time of validations does not count. ``measured`` is the number of iterations that were measured.
    """

    minutes: float
    iterations: int
    images: int
    seconds_per_iteration: float
    measured: int
    hardware: str
    commit: str


class Times(Stored):
    """Seconds per tile (median and 95th percentile) and tiles per second, for batches of ``batch`` tiles."""

    p50: float
    p95: float
    throughput: float
    batch: int = 1  # older records of inference lack it


class Cost(Stored):
    """Cost of a detector for tiles of ``input`` (height, width) pixels.

    ``gflops`` counts the operations of convolutions and matrix products per tile, in 1e9. A multiply-add counts as two.
    Inference includes pre- and postprocessing. ``memory_gb`` is the peak memory.
    """

    parameters: int
    gflops: float
    input: list[int]
    inference: Times
    training: Times
    memory_gb: float
    precision: str
    hardware: str


class SceneCost(Stored):
    """Cost of detection in whole scenes, from the file to the merged boxes.

    Attributes:
        seconds: median time of a scene.
        memory_gb: peak memory of the process.
        size: height and width of the scenes, in pixels.
        scenes: number of measured scenes, with repetitions.
        checkpoint_sha256: SHA-256 of the weights.
    """

    seconds: float
    memory_gb: float
    size: list[int]
    scenes: int
    checkpoint_sha256: str
    hardware: str
    commit: str


class Learnt(Stored):
    """Result of overfitting a few tiles. The check passes if ``ap50`` is at least ``wanted``."""

    ap50: float
    wanted: float
    iterations: int
    seconds: float
    hardware: str
    commit: str


class CudaTraining(Stored):
    """Training for a fixed time on CUDA, and its test on the val tiles.

    ``iterations`` may be fewer than ``planned``, if the time was over before. ``metrics`` are those of
    :func:`oil_storage.evaluation.dense_coco.score`.
    """

    seconds: float
    planned: int
    iterations: int
    images: int
    metrics: dict[str, Figure]


class CudaCost(Stored):
    """Speed and memory of training on CUDA; see ``benchmarks/cuda.py``.

    Attributes:
        loss: first and last loss.
        images_per_second: images per second in training.
        memory_gb: peak memory in training.
        batch: batch size in training.
        input: height and width of the images in training, in pixels.
        inference: images per second in inference, in batches.
        precision: precision of training and inference, ``bfloat16`` or ``float32``.
        stock: images per second of the same detector without this project's bfloat16 and channels last, by mode
            (``float32`` or ``AMP``) and task (``training`` or ``inference``).
        failed: reason for each mode of ``stock`` that could not be measured.
        trained: training and test; None if they failed or are not finished.
        packages: versions of the packages.
    """

    loss: list[float]
    images_per_second: float
    memory_gb: float
    batch: int
    input: list[int]
    hardware: str
    inference: float | None = None
    precision: str = "bfloat16"
    stock: dict[str, dict[str, float]] = {}
    failed: dict[str, str] = {}
    trained: CudaTraining | None = None
    packages: dict[str, str] = {}
    commit: str = ""


class ConfigResults(Stored):
    """``results/<config>.json``: all results of a config."""

    config: str
    runs: list[RecordedRun] = []
    trials: list[Trial] = []
    budget: Budget | None = None
    learns: Learnt | None = None
    speed: Cost | None = None
    scene: SceneCost | None = None
    cuda: CudaCost | None = None
