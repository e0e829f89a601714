"""Detects the tanks of whole scenes."""

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from numpy.typing import NDArray

from oil_storage.engine import provenance, score_threshold
from oil_storage.engine.bf16 import compute_in_bf16
from oil_storage.engine.channels_last import to_channels_last
from oil_storage.engine.checkpoints import check_whole
from oil_storage.errors import UserError
from oil_storage.georeference import Georeference
from oil_storage.inference.fusing import fuse
from oil_storage.inference.scene_image import SceneImage, open_scene
from oil_storage.tiling import Detections, merge_tiles, tile_grid

OVERLAP = 128
"""Pixels that neighbouring tiles share: larger than nearly all tanks, so that some tile sees each whole."""
AHEAD = 4
"""Batches that are read and decoded before their turn."""

Source = Path | NDArray[np.uint8]


@dataclass(frozen=True)
class SceneDetections:
    """The tanks of a scene, best scores first.

    ``supervision.Detections(xyxy=found.boxes, confidence=found.scores)`` takes them.

    Attributes:
        name: of the scene: its file's, without suffix.
        width: of the scene, pixels.
        height: of the scene, pixels.
        boxes: ``(N, 4)`` float32 xyxy, pixels of the scene.
        scores: ``(N,)`` float32.
        georeference: where the scene lies; None where it does not say.
    """

    name: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    georeference: Georeference | None


class SceneDetector:
    """A trained detector for scenes of any size.

    Args:
        config: of the detector.
        checkpoint: that ``tools/train.py`` wrote.
        score_thr: detections below are left out; None takes the threshold that ``tools/test.py --split val`` has
            chosen and kept in the checkpoint.
        device: ``cpu`` or ``cuda``; None takes CUDA if there.
        batch_size: tiles at a time; None takes the config's.
        tile: pixels a side; None takes the config's, on which it was trained.
        overlap: pixels that neighbouring tiles share.
        fast: fold batch norms into convolutions; without, figures are those of ``tools/test.py`` to the last digits.
        bands: see :class:`oil_storage.inference.scene_image.RasterImage`.
        stretch: see there.

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
        fast: bool = True,
        bands: Sequence[int] | None = None,
        stretch: tuple[float, float] | None = None,
    ) -> None:
        cfg = config if isinstance(config, Config) else Config.fromfile(config)
        checkpoint = Path(checkpoint)
        if not checkpoint.is_file():
            raise UserError(f"{checkpoint}: no such checkpoint file")
        import_modules_from_strings(**cfg.custom_imports)
        init_default_scope(cfg.default_scope)
        check_whole(checkpoint)
        content = provenance.read(checkpoint)
        chosen = score_threshold.stored(content) if score_thr is None else score_thr
        if chosen is None:
            raise UserError(
                f"{checkpoint}: has no score threshold yet; give --score-thr, or choose one: tools/test.py --split val"
            )
        loader = cfg.test_dataloader
        self.tile, self.overlap = tile or int(loader.dataset.tile), overlap
        if not 0 <= overlap < self.tile:
            raise UserError(f"--overlap {overlap}: must be 0 to {self.tile - 1}, less than a tile of {self.tile} px")
        self.threshold = chosen
        self.batch_size = batch_size or int(loader.batch_size)
        self.bands, self.stretch = bands, stretch
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = _load(cfg, content, checkpoint).to(self.device)
        if fast:
            fuse(self.model)
        to_channels_last(self.model)
        if cfg.optim_wrapper.type == "Bf16OptimWrapper":
            compute_in_bf16(self.model)
        self.pipeline = _for_arrays(loader.dataset.pipeline)

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
        for source, image, batches in self._read_ahead(scenes):
            windows: list[NDArray[np.int64]] = []
            tiles: list[Detections] = []
            fault: UserError | None = image if isinstance(image, UserError) else None
            for batch in batches:
                if isinstance(batch, UserError):
                    fault = batch
                elif fault is None:
                    windows += batch[0]
                    tiles += self._predict(batch[1])
            if fault is not None:
                yield source, fault
            elif not isinstance(image, UserError):
                yield source, self._merged(image, windows, tiles)

    def _merged(
        self, image: SceneImage, windows: Sequence[NDArray[np.int64]], tiles: Sequence[Detections]
    ) -> SceneDetections:
        none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        found = merge_tiles(np.stack(windows), tiles, image.width, image.height) if tiles else none
        kept = found.scores >= self.threshold
        return SceneDetections(
            image.name, image.width, image.height, found.boxes[kept], found.scores[kept], image.georeference
        )

    def _predict(self, tiles: Sequence[dict[str, Any]]) -> list[Detections]:
        data = {key: [tile[key] for tile in tiles] for key in ("inputs", "data_samples")}
        with torch.no_grad():
            samples = self.model.test_step(data)  # type: ignore[operator]  # mmengine's
        found = []
        for sample in samples:
            boxes, scores = (sample.pred_instances[key].float().cpu().numpy() for key in ("bboxes", "scores"))
            there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # what was clipped to nothing is nowhere
            found.append(Detections(boxes[there], scores[there]))
        return found

    def _read_ahead(self, scenes: Iterable[Source]) -> Iterator[tuple[Source, SceneImage | UserError, Iterator[Any]]]:
        """Each scene with an iterator over its batches, which must be used up before the next is asked for."""
        read: queue.Queue[Any] = queue.Queue(maxsize=AHEAD)
        stopped = threading.Event()

        def put(item: Any) -> None:
            while not stopped.is_set():
                try:
                    read.put(item, timeout=0.1)
                except queue.Full:
                    continue
                return

        def work() -> None:
            try:
                for source in scenes:
                    if stopped.is_set():
                        return
                    self._read_scene(source, put)
                put(None)
            except BaseException as error:  # it is raised where it is waited for
                put(error)

        def get() -> Any:
            item = read.get()
            if isinstance(item, BaseException) and not isinstance(item, UserError):
                raise item
            return item

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (head := get()) is not None:
                source, image = head
                yield source, image, iter(get, None)
        finally:
            stopped.set()
            thread.join()

    def _read_scene(self, source: Source, put: Any) -> None:
        """Put what there is of a scene: its source and image, its batches, and None."""
        try:
            image = open_scene(source, self.bands, self.stretch)
        except (UserError, OSError) as error:
            put((source, error if isinstance(error, UserError) else UserError(f"{source}: {error.strerror or error}")))
            put(None)
            return
        put((source, image))
        try:
            windows = tile_grid(image.width, image.height, self.tile, self.overlap)
            shown = (window for window in windows if image.shows(window))
            while batch := [window for _, window in zip(range(self.batch_size), shown, strict=False)]:
                put((batch, [self.pipeline({"img": image.read(window)[..., ::-1]}) for window in batch]))
        except UserError as error:
            put(error)
        put(None)


def _load(cfg: Config, content: dict[str, Any], checkpoint: Path) -> torch.nn.Module:
    """The model with the weights of a checkpoint, for prediction."""
    model: torch.nn.Module = MODELS.build(cfg.model)
    weights = {name.removeprefix("module."): value for name, value in content["state_dict"].items()}
    own = model.state_dict()
    if faulty := [name for name in own if name not in weights or weights[name].shape != own[name].shape]:
        raise UserError(
            f"{checkpoint}: not of this config: {len(faulty)} of {len(own)} weights are absent or of another shape, "
            f"{faulty[0]} first"
        )
    model.load_state_dict(weights, strict=False)
    return model.eval()


def _for_arrays(pipeline: Sequence[dict[str, Any]]) -> Compose:
    """A test pipeline that is given pixels, BGR as OpenCV reads them, in place of a file and its boxes."""
    steps = [dict(step) for step in pipeline if step["type"] not in ("LoadImageFromFile", "LoadAnnotations")]
    for step in steps:
        if step["type"] == "PackDetInputs":
            step["meta_keys"] = [key for key in step.get("meta_keys", META_KEYS) if key in META_KEYS]
    return Compose([TRANSFORMS.build(step) for step in [{"type": "LoadImageFromNDArray"}, *steps]])


META_KEYS = ("ori_shape", "img_shape", "scale_factor")
