"""Detector of the tanks of whole scenes."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.model_weights import build_model
from oil_storage.engine.bf16 import compute_as_configured
from oil_storage.engine.channels_last import to_channels_last
from oil_storage.errors import UserError
from oil_storage.imagery import DEFAULT_READING, Reading, SceneImage
from oil_storage.inference.onnx_model import OnnxModel
from oil_storage.inference.output_folder import OVERLAP
from oil_storage.inference.scene_detections import SceneDetections
from oil_storage.inference.tile_reader import Batch, Source, TileReader
from oil_storage.inference.tta import use_tta
from oil_storage.merging import Detections, merge_tiles

FAINT = 0.5
"""Share of the score threshold below which a tile's detections play no part in merging, in the fast mode."""


class SceneDetector:
    """A trained detector for scenes of any size.

    Args:
        config: config of the detector.
        checkpoint: file that ``tools/train.py`` wrote, or weights in safetensors; for the backend ``onnx`` the ONNX
            file of ``tools/export.py``.
        score_thr: detections below are left out; None takes the threshold that ``tools/test.py --split val`` has
            chosen and kept in the checkpoint.
        device: ``cpu`` or ``cuda``; None takes CUDA if there.
        batch_size: tiles at a time; None takes the config's on CUDA, one for two cores on a CPU: more take memory and
            save no time (docs/detection.md).
        tile: side of what the detector gets, pixels; None takes the config's, on which it was trained.
        overlap: pixels of the scene that neighbouring tiles share.
        scale: magnification of scenes: a tile shows less of them, and tanks are larger in it.
        tta: look at each tile as it is and turned by 180 degrees, or as the config's ``tta_pipeline`` says, and merge
            the detections: twice the work or more.
        backend: ``torch``, or ``onnx`` for ONNX Runtime.
        fast: fold batch norms into convolutions, and drop faint detections of tiles before NMS; without, figures are
            those of ``tools/test.py`` to the last digits.
        bands: see :class:`oil_storage.imagery.Reading`; None takes those of the training, ``()`` those that the file
            names.
        stretch: see there; None takes that of the training, ``()`` the default.

    Attributes:
        threshold: least score of detections.
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
        if tta and backend == "onnx":
            raise UserError("--tta: goes with PyTorch alone, without --backend onnx")
        if backend == "torch" and checkpoint.suffix.lower() == ".onnx":
            raise UserError(f"{checkpoint}: runs with --backend onnx")
        import_modules_from_strings(**cfg.custom_imports)
        init_default_scope(cfg.default_scope)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.made_with: str | None
        if tta:
            use_tta(cfg)
        if backend == "onnx":
            self.model: Any = OnnxModel(checkpoint, self.device)
            about = self.model.about
            self.made_with, stored_threshold, trained_reading = about.config, about.score_threshold, about.reading
            if cfg.filename and Path(cfg.filename).stem != self.made_with:  # its tiles may be made otherwise
                name = Path(cfg.filename).stem
                raise UserError(f"{checkpoint}: made with the config {self.made_with}, not {name}; give that")
        else:
            loaded = Checkpoint.read(checkpoint)
            trained = loaded.meta.trained
            stored_threshold = loaded.threshold(tta)
            self.made_with = trained.config if trained else None
            trained_reading = trained.reading if trained else DEFAULT_READING
        threshold = stored_threshold if score_thr is None else score_thr
        if threshold is None:
            for_tta, flag = (" for --tta", " --tta") if tta else ("", "")
            raise UserError(
                f"{checkpoint}: has no score threshold yet{for_tta}; give --score-thr, or choose one: "
                f"tools/test.py --split val{flag}"
            )
        self.threshold: float = threshold
        if fast and not tta:  # views are merged by all that they show
            rules = self.model.rules if backend == "onnx" else cfg.model.get("test_cfg")
            _drop_faint(rules or {}, FAINT * threshold)
        if backend == "torch":
            self.model = build_model(cfg, loaded).to(self.device)
            if fast:
                fuse_batch_norms(self.model)
            to_channels_last(self.model)
            compute_as_configured(self.model, cfg)
        loader = cfg.test_dataloader
        self.reader = TileReader(
            loader.dataset.pipeline,
            tile or int(loader.dataset.tile),
            overlap,
            scale,
            batch_size or _usual_batch_size(int(loader.batch_size), self.device),
            Reading(
                trained_reading.bands if bands is None else (bands or None),
                trained_reading.stretch if stretch is None else (stretch or None),
            ),
        )
        if not 0 <= overlap < self.reader.shown:
            raise UserError(
                f"--overlap {overlap}: must be 0 to {self.reader.shown - 1}, less than the {self.reader.shown} px of a "
                "scene that a tile shows; a larger --tile shows more"
            )

    def detect(self, scene: str | Source) -> SceneDetections:
        """Detect the tanks of one scene.

        Args:
            scene: an image file, or ``(H, W, 3)`` RGB uint8.

        Raises:
            UserError: not an image, or a damaged one.
        """
        ((_, detections),) = self.detect_all([Path(scene) if isinstance(scene, str) else scene])
        if isinstance(detections, UserError):
            raise detections
        return detections

    def detect_all(self, scenes: Iterable[Source]) -> Iterator[tuple[Source, SceneDetections | UserError]]:
        """Detect the tanks of many scenes; tiles are read ahead, and merged beside the detection in the next scene.

        Yields:
            tuple: each scene as given, and its detections, or why it could not be read; in order.
        """
        windows: list[NDArray[np.int64]] = []
        tiles: list[Detections] = []
        merging: tuple[Source, Future[SceneDetections | UserError]] | None = None
        with ThreadPoolExecutor(1) as merger:
            for item in self.reader.read(scenes):
                if isinstance(item, Batch):
                    windows += item.windows
                    tiles += self._predict(item)
                    continue
                if merging is not None:
                    yield merging[0], merging[1].result()
                merging = item.source, merger.submit(self._merge, item.image, windows, tiles)
                windows, tiles = [], []
            if merging is not None:
                yield merging[0], merging[1].result()

    def _merge(
        self, image: SceneImage | UserError, windows: Sequence[NDArray[np.int64]], tiles: Sequence[Detections]
    ) -> SceneDetections | UserError:
        if isinstance(image, UserError):
            return image
        boxes, scores = merge_tiles(np.reshape(windows, (-1, 4)), tiles, image.width, image.height)
        kept = scores >= self.threshold
        return SceneDetections(
            image.file_name,
            image.width,
            image.height,
            boxes[kept],
            scores[kept],
            image.georeference,
            image.notes,
        )

    def _predict(self, batch: Batch) -> list[Detections]:
        """Detect in tiles; boxes are in pixels of the scene, counted from the tile's corner."""
        with torch.no_grad():
            samples = self.model.test_step(pseudo_collate(batch.inputs))
        detections = []
        for window, sample in zip(batch.windows, samples, strict=True):
            boxes, scores = (sample.pred_instances[key].float().cpu().numpy() for key in ("bboxes", "scores"))
            has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # a box outside the tile is clipped to none
            zoom = (window[2:] - window[:2]) / sample.ori_shape[::-1]
            detections.append(Detections((boxes[has_area] * np.tile(zoom, 2)).astype(np.float32), scores[has_area]))
        return detections


def fuse_batch_norms(model: nn.Module) -> int:
    """Fold batch norms into the convolutions before them, in place; returns how many were folded.

    A norm follows the convolution that its module names before it, as in MMCV's and torch's modules. Where several
    norms share a convolution, as in RTMDet's head, each gets its own copy, which :func:`mmcv.cnn.fuse_conv_bn` does not
    give it.

    Args:
        model: in evaluation mode.
    """
    number = 0
    for module in model.modules():
        previous: tuple[str, nn.Module | None] = ("", None)
        for name, child in list(module._modules.items()):
            convolution = previous[1]
            if (
                isinstance(child, nn.BatchNorm2d)
                and isinstance(convolution, nn.Conv2d)
                and convolution.out_channels == child.num_features
            ):
                module._modules[previous[0]] = fuse_conv_bn_eval(convolution, child)
                module._modules[name] = nn.Identity()
                number += 1
            if child is not None:
                previous = name, child
    return number


def _usual_batch_size(configured: int, device: torch.device) -> int:
    return configured if device.type == "cuda" else min(max(torch.get_num_threads() // 2, 1), configured)


def _drop_faint(test_cfg: Any, least: float) -> None:
    """Raise the least score of what goes into NMS; greedy NMS leaves what is above as it would be."""
    for stage in (test_cfg, test_cfg.get("rcnn", {})):
        if "score_thr" in stage:
            stage["score_thr"] = max(stage["score_thr"], least)
