"""Detects the tanks of whole scenes."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from numpy.typing import NDArray

from oil_storage.annotations.images import scene_name
from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.model_weights import build_model
from oil_storage.engine.bf16 import compute_as_configured
from oil_storage.engine.channels_last import to_channels_last
from oil_storage.errors import UserError
from oil_storage.georeference import Georeference
from oil_storage.imagery import DEFAULT_READING, Reading, SceneImage
from oil_storage.inference.flips import predict_flips
from oil_storage.inference.fusing import fuse
from oil_storage.inference.onnx_model import OnnxModel
from oil_storage.inference.tile_reader import Source, TileReader
from oil_storage.merging import Detections, merge_tiles

OVERLAP = 128
"""Pixels that neighbouring tiles share: larger than nearly all tanks, so that some tile sees each whole."""
FAINT = 0.5
"""Share of the score threshold below which a tile's detections play no part in merging, in the fast mode."""


@dataclass(frozen=True)
class SceneDetections:
    """The tanks of a scene, best scores first.

    ``supervision.Detections(xyxy=found.boxes, confidence=found.scores)`` takes them.

    Attributes:
        file_name: of the scene, without folders; ``array`` where it was given as pixels.
        width: of the scene, pixels.
        height: of the scene, pixels.
        boxes: ``(N, 4)`` float32 xyxy, pixels of the scene.
        scores: ``(N,)`` float32.
        georeference: where the scene lies; None where it does not say.
        notes: what was done to the stored pixels, by the name of an audit's check.
    """

    file_name: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    georeference: Georeference | None
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the scene: its file's, without suffix."""
        return scene_name(self.file_name)


class SceneDetector:
    """A trained detector for scenes of any size.

    Args:
        config: of the detector.
        checkpoint: that ``tools/train.py`` wrote, or weights in safetensors; for the backend ``onnx`` the ONNX file of
            ``tools/export.py``.
        score_thr: detections below are left out; None takes the threshold that ``tools/test.py --split val`` has
            chosen and kept in the checkpoint.
        device: ``cpu`` or ``cuda``; None takes CUDA if there.
        batch_size: tiles at a time; None takes the config's on CUDA, one for two cores on a CPU: more take memory and
            save no time (docs/detection.md).
        tile: pixels a side of what the detector gets; None takes the config's, on which it was trained.
        overlap: pixels of the scene that neighbouring tiles share.
        scale: magnifies scenes, so that a tile shows less of them and tanks are larger in it.
        tta: look at each tile as it is and turned by 180 degrees, or as the config's ``tta_pipeline`` says, and merge
            what is found: twice the work or more.
        backend: ``torch``, or ``onnx`` for ONNX Runtime.
        fast: fold batch norms into convolutions, and drop faint detections of tiles before NMS; without, figures are
            those of ``tools/test.py`` to the last digits.
        bands: see :class:`oil_storage.imagery.Reading`; None takes those that the weights were trained on, ``()`` those
            that the file names.
        stretch: see there; None takes that of the training, ``()`` the default.

    Attributes:
        threshold: least score of what is found.
        made_with: name of the config that the checkpoint was trained with; None where it does not say.

    Raises:
        UserError: no such file, a checkpoint that is damaged or of another model, no threshold, or sizes that do not
            fit together.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        *,
        score_thr: float | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        tile: int | None = None,
        overlap: int = OVERLAP,
        scale: float = 1.0,
        tta: bool = False,
        backend: str = "torch",
        fast: bool = True,
        bands: tuple[int, int, int] | tuple[()] | None = None,
        stretch: tuple[float, float] | tuple[()] | None = None,
    ) -> None:
        cfg = copy.deepcopy(config) if isinstance(config, Config) else Config.fromfile(config)
        checkpoint = Path(checkpoint)
        if not checkpoint.is_file():
            raise UserError(f"{checkpoint}: no such checkpoint file")
        import_modules_from_strings(**cfg.custom_imports)
        init_default_scope(cfg.default_scope)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if tta:
            if backend == "onnx":
                raise UserError("--tta: goes with PyTorch alone, without --backend onnx")
            predict_flips(cfg)
        if backend == "torch" and checkpoint.suffix.lower() == ".onnx":
            raise UserError(f"{checkpoint}: runs with --backend onnx")
        if backend == "onnx":
            self.model: Any = OnnxModel(checkpoint, self.device)
            made_with: str | None = self.model.about.config
            if cfg.filename and Path(cfg.filename).stem != made_with:  # its tiles may be made otherwise
                raise UserError(
                    f"{checkpoint}: made with the config {made_with}, not {Path(cfg.filename).stem}; give that"
                )
            stored = self.model.about.score_threshold
            trained_with = self.model.about.reading
        else:
            loaded = Checkpoint.read(checkpoint)
            stored = loaded.threshold(tta)
            made_with = loaded.meta.trained.config if loaded.meta.trained else None
            trained_with = loaded.meta.trained.reading if loaded.meta.trained else DEFAULT_READING
        chosen = stored if score_thr is None else score_thr
        if chosen is None:
            views = " --tta" if tta else ""
            raise UserError(
                f"{checkpoint}: has no score threshold yet{views and f' for{views}'}; give --score-thr, or choose one: "
                f"tools/test.py --split val{views}"
            )
        self.threshold, self.made_with = chosen, made_with
        if fast and not tta:  # views are merged by all that they show
            rules = self.model.rules if backend == "onnx" else cfg.model.get("test_cfg")
            _drop_faint(rules or {}, FAINT * chosen)
        if backend == "torch":
            self.model = build_model(cfg, loaded).to(self.device)
            if fast:
                fuse(self.model)
            to_channels_last(self.model)
            compute_as_configured(self.model, cfg)
        loader = cfg.test_dataloader
        self.reader = TileReader(
            loader.dataset.pipeline,
            tile or int(loader.dataset.tile),
            overlap,
            scale,
            batch_size or _usual_batch(int(loader.batch_size), self.device),
            Reading(
                trained_with.bands if bands is None else (bands or None),
                trained_with.stretch if stretch is None else (stretch or None),
            ),
        )
        if not 0 <= overlap < self.reader.shown:
            raise UserError(
                f"--overlap {overlap}: must be 0 to {self.reader.shown - 1}, less than the {self.reader.shown} px of a "
                "scene that a tile shows; a larger --tile shows more"
            )

    def detect(self, scene: str | Source) -> SceneDetections:
        """Find the tanks of one scene.

        Args:
            scene: an image file, or ``(H, W, 3)`` RGB uint8.

        Raises:
            UserError: not an image, or a damaged one.
        """
        (_, found), *_ = self.detect_all([Path(scene) if isinstance(scene, str) else scene])
        if isinstance(found, UserError):
            raise found
        return found

    def detect_all(self, scenes: Iterable[Source]) -> Iterator[tuple[Source, SceneDetections | UserError]]:
        """Find the tanks of many scenes; the next tiles are read while these are looked at.

        Yields:
            tuple: each scene as given, and what was found, or why it could not be read; in order.
        """
        before: tuple[Source, Future[SceneDetections] | UserError] | None = None
        with ThreadPoolExecutor(1) as merging:
            for source, image, batches in self.reader.read_ahead(scenes):
                windows: list[NDArray[np.int64]] = []
                tiles: list[Detections] = []
                opened = image
                for batch in batches:
                    if isinstance(batch, UserError):
                        opened = batch
                    else:
                        windows += batch[0]
                        tiles += self._predict(*batch)
                if before is not None:
                    yield _ended(*before)
                if isinstance(opened, UserError):
                    before = source, opened
                else:
                    before = source, merging.submit(self._merged, opened, windows, tiles)
            if before is not None:
                yield _ended(*before)

    def _merged(
        self, image: SceneImage, windows: Sequence[NDArray[np.int64]], tiles: Sequence[Detections]
    ) -> SceneDetections:
        none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        found = merge_tiles(np.stack(windows), tiles, image.width, image.height) if tiles else none
        kept = found.scores >= self.threshold
        return SceneDetections(
            image.file_name,
            image.width,
            image.height,
            found.boxes[kept],
            found.scores[kept],
            image.georeference,
            image.notes,
        )

    def _predict(self, windows: Sequence[NDArray[np.int64]], tiles: Sequence[dict[str, Any]]) -> list[Detections]:
        """What is in each tile, in pixels of the scene from the tile's corner on."""
        with torch.no_grad():
            samples = self.model.test_step(pseudo_collate(tiles))
        found = []
        for window, sample in zip(windows, samples, strict=True):
            boxes, scores = (sample.pred_instances[key].float().cpu().numpy() for key in ("bboxes", "scores"))
            there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # what was clipped to nothing is nowhere
            zoom = (window[2:] - window[:2]) / sample.ori_shape[::-1]
            found.append(Detections((boxes[there] * np.tile(zoom, 2)).astype(np.float32), scores[there]))
        return found


def _usual_batch(of_config: int, device: torch.device) -> int:
    return of_config if device.type == "cuda" else min(max(torch.get_num_threads() // 2, 1), of_config)


def _drop_faint(rules: Any, least: float) -> None:
    """Raise the least score of what goes into NMS; greedy NMS leaves what is above as it would be."""
    for stage in (rules, rules.get("rcnn", {})):
        if "score_thr" in stage:
            stage["score_thr"] = max(stage["score_thr"], least)


def _ended(source: Source, found: Future[SceneDetections] | UserError) -> tuple[Source, SceneDetections | UserError]:
    return source, found if isinstance(found, UserError) else found.result()
