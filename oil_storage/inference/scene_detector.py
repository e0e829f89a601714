"""Detect tanks in whole scenes."""

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from threading import Semaphore
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oil_storage.config import load as load_config
from oil_storage.errors import UserError
from oil_storage.imagery import Reading, SceneImage
from oil_storage.inference.bounding_box import BoundingBox
from oil_storage.inference.isolation import lower_isolated
from oil_storage.inference.magnification import Magnification, accuracy_warning, magnification_of, zoom_of
from oil_storage.inference.onnx_detector import OnnxDetector
from oil_storage.inference.output_folder import OVERLAP
from oil_storage.inference.runtimes import choose as choose_runtime
from oil_storage.inference.scale_estimate import LEAST, choose, evidence
from oil_storage.inference.scene_detections import SceneDetections
from oil_storage.inference.scene_sources import SceneFile, Source, source_of
from oil_storage.inference.scene_window import SceneWindow
from oil_storage.inference.second_look import look_again
from oil_storage.inference.tile_detector import TileDetector
from oil_storage.inference.tile_reader import Batch, EndOfScene, TileReader, failure
from oil_storage.merging import Detections, merge_tiles
from oil_storage.parallel import in_threads

if TYPE_CHECKING:
    from mmengine.config import Config

FAINT = 0.5
"""The fast mode drops detections before NMS if their score is below this fraction of the score threshold."""

SAMPLE = 6
"""Maximum number of scenes of a folder that are searched to estimate the folder's ground resolution."""
UNKNOWN = "unknown ground resolution, so the scene was not resampled; set --source-gsd METRES"
NO_TANKS = (
    "no tanks reported, because no ground resolution gives clear detections; "
    "if the scene has tanks, set --source-gsd METRES"
)
"""Warnings for scenes with too little evidence for a ground resolution, and without any."""
OUT_OF_MEMORY = "out of memory|DefaultCPUAllocator|[Ff]ailed to allocate memory"
"""Pattern of the messages of torch and ONNX Runtime for lack of memory."""
SMALLEST = 0.1
"""Minimum side of a box in pixels. In a large scene, float32 coordinates of smaller boxes would give an area of 0."""


class SceneDetector:
    """Trained detector for scenes of any size.

    Args:
        config: config of the detector. An ONNX file contains all that is needed, so only the name of its config is
            compared, and None is allowed.
        checkpoint: checkpoint of ``tools/train.py``, safetensors weights, or ONNX file of ``tools/export.py``.
        score_thr: lowest score of a detection; None uses the threshold in the checkpoint, which
            ``tools/test.py --split val`` chose.
        false_alarms: 100, 10 or 1: use the threshold for this number of false alarms per 100 square kilometres of the
            val scenes.
        device: ``cpu`` or ``cuda``; None uses CUDA if it is available.
        batch_size: number of tiles in a batch; None uses the batch size of the config on CUDA, and one tile for every
            two cores on a CPU, because larger batches save no time there (docs/detection.md).
        tile: side of a tile in pixels; None uses the tile size of the config.
        overlap: overlap of neighbouring tiles in pixels, after magnification.
        gsd: ground resolution to which scenes are resampled, metres per pixel; None uses that of the training scenes.
        source_gsd: ground resolution of scenes that are not georeferenced, metres per pixel; None if it is not known.
        scale: factor by which all scenes are magnified, regardless of their ground resolution; None resamples to
            ``gsd``.
        tta: use test-time augmentation: detect in each tile and in a copy that is rotated by 180 degrees, and merge the
            detections. A config can define other copies in ``tta_pipeline``. Detection takes at least twice as long.
        backend: ``onnx``, ``openvino`` or ``torch``; None uses the fastest that is installed and runs the checkpoint.
        precision: ``float32``, ``int8`` or ``auto``; see :func:`oil_storage.inference.runtimes.choose`.
        fast: fold batch norms into convolutions, and drop low scores before NMS; if False, the detections are exactly
            the same as those of ``tools/test.py``.
        second_look: search uncertain detections again and lower the scores of isolated ones, see
            :mod:`oil_storage.inference.second_look` and :mod:`oil_storage.inference.isolation`; not with ``tta``.
        bands: see :class:`oil_storage.imagery.Reading`; None uses the bands of the training scenes, and ``()`` uses
            the bands that each file declares.
        stretch: see :class:`oil_storage.imagery.Reading`; None uses the stretch of the training scenes, and ``()``
            stretches only bands with more than 8 bits.
        bbox: west, south, east and north in degrees, WGS 84: only the part of each scene in this box is searched, see
            :class:`oil_storage.inference.bounding_box.BoundingBox`; None searches whole scenes.

    Attributes:
        backend: backend that runs the detector.
        threshold: lowest score of a detection.
        made_with: name of the config that the checkpoint was trained with; None if the checkpoint does not state it.

    Raises:
        UserError: the checkpoint is missing, is damaged, has no threshold or belongs to another model or config;
            ``overlap`` is not smaller than ``tile``; or ``tta`` is set for ONNX Runtime.
    """

    def __init__(
        self,
        config: "str | Path | Config | None",
        checkpoint: str | Path,
        *,
        score_thr: float | None = None,
        false_alarms: int | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        tile: int | None = None,
        overlap: int = OVERLAP,
        gsd: float | None = None,
        source_gsd: float | None = None,
        scale: float | None = None,
        tta: bool = False,
        backend: str | None = None,
        precision: str = "auto",
        fast: bool = True,
        second_look: bool = True,
        bands: tuple[int, int, int] | tuple[()] | None = None,
        stretch: tuple[float, float] | tuple[()] | None = None,
        bbox: tuple[float, float, float, float] | None = None,
    ) -> None:
        checkpoint, self.backend = choose_runtime(Path(checkpoint), backend, precision, device)
        self.detector: TileDetector
        if self.backend != "torch":
            if tta:
                raise UserError("--tta: is not available for exported detectors; give a PyTorch checkpoint")
            self.detector = OnnxDetector(checkpoint, device, self.backend)
            name = (
                "" if config is None else Path(config if isinstance(config, str | Path) else config.filename or "").stem
            )
            if name not in ("", self.detector.about.config):  # another config may prepare tiles differently
                raise UserError(
                    f"{checkpoint}: was exported with config {self.detector.about.config}, not {name}; "
                    f"give {self.detector.about.config}"
                )
        else:
            from oil_storage.inference.torch_detector import TorchDetector

            if config is None:
                raise UserError(f"{checkpoint}: needs the config of its training; only .onnx files do not")
            cfg = load_config(Path(config)) if isinstance(config, str | Path) else copy.deepcopy(config)
            self.detector = TorchDetector(cfg, checkpoint, device, tta=tta, fast=fast)
        about, rules = self.detector.about, self.detector.rules
        self.made_with = about.config
        stored_threshold = about.score_threshold
        if false_alarms is not None and (stored_threshold := about.false_alarms.get(str(false_alarms))) is None:
            raise UserError(
                f"{checkpoint}: has no threshold for {false_alarms} false alarms per 100 km2; give --score-thr, or run "
                "tools/test.py --split val on data whose ground resolution is known"
            )
        threshold = stored_threshold if score_thr is None else score_thr
        if threshold is None:
            flag = " --tta" if tta else ""
            raise UserError(
                f"{checkpoint}: has no score threshold{flag and ' for --tta'}; "
                f"give --score-thr, or run tools/test.py --split val{flag}, which chooses one"
            )
        self.threshold: float = threshold
        if fast and not tta:  # TTA merges detections of all scores; in NMS, low scores do not affect higher scores
            self.detector.rules = replace(rules, score_thr=max(rules.score_thr, FAINT * threshold))
        tile = tile or about.tile
        if not 0 <= overlap < tile:
            raise UserError(f"--overlap {overlap}: must be 0 to {tile - 1}, less than --tile {tile}")
        self.gsd: float | None = gsd or about.gsd
        self._source_gsd, self._scale, self._f1_by_gsd = source_gsd, scale, about.f1_by_gsd
        self._samples: dict[PurePath, dict[SceneFile, NDArray[np.float64]]] = {}
        self._siblings: Sequence[SceneFile] = ()
        self._looks_again = second_look and not tta
        self._calls = Semaphore(self.detector.workers)
        self.reader = TileReader(
            self.detector.prepare,
            tile,
            overlap,
            self._magnify,
            batch_size or self.detector.batch_size,
            Reading(
                about.reading.bands if bands is None else (bands or None),
                about.reading.stretch if stretch is None else (stretch or None),
            ),
            None if bbox is None else BoundingBox(*bbox),
        )

    def detect(self, scene: str | Source) -> SceneDetections:
        """Detect the tanks of one scene.

        Args:
            scene: path or URL of an image or of a STAC item, or RGB array ``(H, W, 3)`` of uint8.

        Raises:
            UserError: the file is missing, damaged or not an image, or does not meet the bounding box.
        """
        ((_, detections),) = self.detect_all([source_of(scene) if isinstance(scene, str) else scene])
        if isinstance(detections, UserError):
            raise detections
        return detections

    def detect_all(
        self, scenes: Iterable[Source], siblings: Sequence[SceneFile] = ()
    ) -> Iterator[tuple[Source, SceneDetections | UserError]]:
        """Detect the tanks of many scenes, in the given order.

        One thread reads tiles in advance, ``detector.workers`` threads search them, and another thread merges the
        detections of a scene while the next scene is searched.

        Args:
            scenes: image files or arrays.
            siblings: image files, usually all scenes of a run. If the ground resolution of a scene is unknown, the
                siblings in the same folder help to estimate it.

        Yields:
            tuple: path or array of a scene, and its detections, or the error if the scene cannot be read.
        """
        for source, result in self.detect_opened(scenes, siblings):
            yield source, result if isinstance(result, UserError) else result[1]

    def detect_opened(
        self, scenes: Iterable[Source], siblings: Sequence[SceneFile] = ()
    ) -> Iterator[tuple[Source, tuple[SceneImage, SceneDetections] | UserError]]:
        """Detect as :meth:`detect_all` does, and also yield the opened scenes, or the opened windows of them."""
        self._siblings, self._samples = siblings, {}
        return in_threads(self._merge, self._predicted(scenes))

    def _magnify(self, source: Source, image: SceneImage) -> Magnification:
        """Choose the magnification of a scene. If its ground resolution is unknown, estimate the resolution."""
        magnification = magnification_of(image, self.gsd, self._source_gsd, self._scale)
        if self.gsd is None or self._scale is not None:
            return magnification
        if magnification.resolution is None:
            magnification = self._estimated(source, image, self.gsd)
        if magnification.gsd is None:
            return magnification
        return replace(magnification, warning=accuracy_warning(magnification.gsd, self._f1_by_gsd))

    def _estimated(self, source: Source, image: SceneImage, gsd: float) -> Magnification:
        folder = self._folder_evidence(source)
        own = None if isinstance(source, np.ndarray) else folder.get(source)
        if own is None:
            own = self._evidence(image)
        estimate = choose(own, list(folder.values()))
        if estimate is None:
            is_searched = bool(own.max() >= LEAST)
            warning = UNKNOWN if is_searched else NO_TANKS
            return Magnification(evidence=float(own.max()), is_searched=is_searched, warning=warning)
        resolution = (gsd * estimate.zoom,) * 2
        return Magnification(zoom_of(resolution, gsd), resolution, "estimated", estimate.evidence)

    def _evidence(self, image: SceneImage) -> NDArray[np.float64]:
        return evidence(image, self._search, self.threshold, self.reader.tile)

    def _folder_evidence(self, source: Source) -> dict[SceneFile, NDArray[np.float64]]:
        """Compute the evidence (:func:`evidence`) of scenes with unknown resolution in the folder of ``source``.

        At most :data:`SAMPLE` scenes are used, and the results for a folder are stored.
        """
        if isinstance(source, np.ndarray):
            return {}
        if source.parent not in self._samples:
            members = [path for path in self._siblings if path.parent == source.parent]
            sample = members[:: -(-len(members) // SAMPLE)] if len(members) > 1 else []
            values = self._samples[source.parent] = {}
            for path in sample:
                with suppress(UserError, OSError, MemoryError):  # reported when this scene is searched
                    image = self.reader.open(path)
                    if magnification_of(image, None).resolution is None:
                        values[path] = self._evidence(image)
        return self._samples[source.parent]

    def _search(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detect tanks in one tile, RGB ``(H, W, 3)``; return boxes in pixels of the tile."""
        height, width = pixels.shape[:2]
        (detections,) = self._predict(Batch([np.array([0.0, 0.0, width, height])], [self.reader.prepare(pixels)]))
        return detections

    def _predicted(
        self, scenes: Iterable[Source]
    ) -> Iterator[tuple[EndOfScene, list[NDArray[np.float64]], list[Detections]]]:
        """Yield the end marker of each scene, the windows of its tiles, and the detections in each tile."""
        windows: list[NDArray[np.float64]] = []
        tiles: list[Detections] = []
        failed: MemoryError | None = None
        items = ((item,) for item in self.reader.read(scenes))
        for item, found in in_threads(self._predicted_item, items, self.detector.workers):
            if not isinstance(item, Batch):
                end = item if failed is None else EndOfScene(item.source, failure(item.source, failed))
                yield end, windows, tiles
                windows, tiles, failed = [], [], None
            elif isinstance(found, MemoryError):
                failed = found
            else:
                windows += item.windows
                tiles += found

    def _predicted_item(self, item: Batch | EndOfScene) -> tuple[Batch | EndOfScene, list[Detections] | MemoryError]:
        if not isinstance(item, Batch):
            return item, []
        try:
            return item, self._predict(item)
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and not re.search(OUT_OF_MEMORY, str(error)):
                raise
            return item, MemoryError()

    def _merge(
        self, end: EndOfScene, windows: Sequence[NDArray[np.float64]], tiles: Sequence[Detections]
    ) -> tuple[Source, tuple[SceneImage, SceneDetections] | UserError]:
        source, result = end
        if isinstance(result, UserError):
            return source, result
        image, magnification = result
        size = np.array([image.width, image.height])
        width, height = (size * magnification.zoom).tolist()
        found = merge_tiles(np.reshape(windows, (-1, 4)), tiles, width, height)
        if self._looks_again:
            try:
                found = look_again(
                    image, magnification.corners, found, self._search, self.reader.tile, self.detector.workers
                )
            except (UserError, OSError, MemoryError) as error:
                return source, failure(source, error)
            found = lower_isolated(found, (width, height), self.gsd)
        boxes, scores = found
        is_kept = scores >= self.threshold
        whole, window = (
            (image.whole, image.window) if isinstance(image, SceneWindow) else (image, np.zeros(4, np.int64))
        )
        boxes = (boxes[is_kept] / magnification.corners + np.tile(window[:2], 2)).astype(np.float32)
        detections = SceneDetections(
            whole.file_name,
            whole.width,
            whole.height,
            boxes,
            scores[is_kept],
            whole.georeference,
            whole.notes,
            magnification,
            tuple(window.tolist()) if window.any() else None,
        )
        return source, (image, detections)

    def _predict(self, batch: Batch) -> list[Detections]:
        """Detect tanks in the tiles of a batch; return boxes in pixels of the magnified tiles."""
        with self._calls:  # the threads that read tiles and merge scenes also call this
            found = self.detector.detect(batch.tiles)
        detections = []
        for window, tile, (boxes, scores) in zip(batch.windows, batch.tiles, found, strict=True):
            has_area = (boxes[:, 2:] - boxes[:, :2] >= SMALLEST).all(axis=1)
            stretch = (window[2:] - window[:2]) / tile.size  # nearly 1; sizes are rounded to whole pixels
            detections.append(Detections((boxes[has_area] * np.tile(stretch, 2)).astype(np.float32), scores[has_area]))
        return detections
