"""Export detectors to ONNX, with the metadata that inference needs, and run them in ONNX Runtime."""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.dense_heads.yolox_head import YOLOXHead
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.models.utils import filter_scores_and_topk
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from pydantic import FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter
from torch import Tensor, nn

from oil_storage.checkpoints.checkpoint import F1ByGsd, Share
from oil_storage.errors import UserError
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.models.box_voting import voted

OPSET = 17
METADATA = "oil_storage"
"""Key in the metadata of an ONNX file; its value is :class:`Metadata` as JSON."""
WITH_NMS_INSIDE = ("DDQDETR",)
"""DETR-type detectors that run NMS inside the network, to select queries."""


@dataclass(frozen=True)
class Suppression:
    """Arguments of :func:`mmcv.ops.batched_nms`. It passes ``type`` to ``eval``, so only ``nms`` is allowed."""

    iou_threshold: Share
    type: Literal["nms"] = "nms"


@dataclass(frozen=True)
class Rules:
    """Post-processing parameters: the part of mmdet's ``test_cfg`` that exported detectors use.

    Attributes:
        score_thr: lowest score of a detection.
        nms_pre: maximum number of candidates on each level of the feature pyramid before NMS; -1 keeps all.
        min_bbox_size: boxes with a side of at most this many pixels are dropped; -1 keeps all.
        max_per_img: maximum number of detections in a tile; None keeps all.
        vote_iou: ``least_iou`` of :func:`oil_storage.models.box_voting.voted`; None for no box voting.
        nms: parameters of NMS; None for detectors without NMS.
    """

    score_thr: Share = 0.0
    nms_pre: int = -1
    min_bbox_size: float = -1.0
    max_per_img: PositiveInt | None = None
    vote_iou: Share | None = None
    nms: Suppression | None = None


@dataclass(frozen=True)
class Metadata:
    """Metadata of an exported detector.

    Attributes:
        size: height and width of tiles in pixels.
        padding: RGB colour with which smaller tiles are padded.
        clips: whether boxes are clipped to the tile.
        levels: number of candidates on each level of the feature pyramid; empty for detectors with queries.
        test_cfg: post-processing parameters.
        config: name of the config.
        checkpoint_sha256: SHA-256 of the exported checkpoint.
        score_threshold: threshold chosen on the val split; None if none was chosen.
        false_alarms: thresholds by false alarms per 100 square kilometres; see
            :class:`oil_storage.checkpoints.checkpoint.ChosenThreshold`.
        reading: bands and stretch of the training scenes.
        gsd: ground resolution of the training scenes, metres per pixel; None if it is not known.
        f1_by_gsd: see :class:`oil_storage.checkpoints.checkpoint.Meta`.
    """

    size: tuple[PositiveInt, PositiveInt]
    padding: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    clips: bool
    levels: list[NonNegativeInt]
    test_cfg: Rules
    config: str = ""
    checkpoint_sha256: str = ""
    score_threshold: Share | None = None
    false_alarms: dict[str, Share] = field(default_factory=dict)
    reading: Reading = DEFAULT_READING
    gsd: PositiveFloat | None = None
    f1_by_gsd: F1ByGsd = field(default_factory=dict)


class RawDetector(nn.Module):
    """Detector in a form that can be exported: it converts pixels to boxes and scores, without NMS.

    Args:
        model: mmdet model in evaluation mode: a dense one-stage detector, or a detector of the DETR family.
        size: height and width of tiles in pixels.

    Attributes:
        clips: whether boxes are clipped to the tile; mmdet clips all boxes except YOLOX's.
        levels: number of boxes from each level of the feature pyramid; empty until the first call, and for detectors
            with queries.

    Raises:
        UserError: the detector runs NMS inside the network.
    """

    def __init__(self, model: Any, size: tuple[int, int]) -> None:
        super().__init__()
        kind = type(model).__name__
        head = getattr(model, "bbox_head", None)
        self.has_queries = isinstance(model, DetectionTransformer)
        if kind in WITH_NMS_INSIDE or not (self.has_queries or isinstance(head, BaseDenseHead)):
            raise UserError(f"{kind}: cannot be exported, as it runs NMS inside the network; use PyTorch")
        self.clips = not isinstance(head, YOLOXHead)
        self.model, self.size = model, size
        self.levels: list[int] = []
        preprocessor = model.data_preprocessor
        self.wants_bgr = not preprocessor._channel_conversion
        self.mean, self.std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        if preprocessor._enable_normalize:
            self.mean, self.std = preprocessor.mean, preprocessor.std

    def padding(self) -> tuple[float, float, float]:
        """Return the RGB colour with which mmdet pads small tiles."""
        colour = (self.mean + self.model.data_preprocessor.pad_value * self.std).flatten()
        red, green, blue = (colour.flip(0) if self.wants_bgr else colour).tolist()
        return red, green, blue

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Predict boxes and scores before NMS.

        Args:
            tiles: float32 RGB ``(N, 3, H, W)``, 0 to 255.

        Returns:
            tuple: boxes ``(N, M, 4)`` xyxy in pixels of the tile, and scores ``(N, M)`` in [0, 1].
        """
        pixels = tiles.flip(1) if self.wants_bgr else tiles
        features = self.model.extract_feat((pixels - self.mean) / self.std)
        boxes, scores = self._from_queries(features) if self.has_queries else self._from_priors(features)
        if not self.clips:
            return boxes, scores
        height, width = self.size
        x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
        return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1), scores

    def _from_queries(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        sample = DetDataSample(metainfo={"img_shape": self.size, "batch_input_shape": self.size})
        head = self.model.bbox_head
        classes, boxes = head(**self.model.forward_transformer(features, [sample]))
        height, width = self.size
        scale = boxes[-1].new_tensor([width, height, width, height])
        return bbox_cxcywh_to_xyxy(boxes[-1]) * scale, _scores(classes[-1], head.loss_cls.use_sigmoid)

    def _from_priors(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        head = self.model.bbox_head
        classes, deltas, *objectness = head(features)
        sizes = [tuple(int(side) for side in level.shape[-2:]) for level in classes]
        strides = {"with_stride": True} if objectness else {}  # only YOLOX predicts objectness
        levels = head.prior_generator.grid_priors(sizes, device=classes[0].device, **strides)
        self.levels = [len(priors) for priors in levels]
        scores = _scores(_flat(classes, head.cls_out_channels), getattr(head, "use_sigmoid_cls", True))
        deltas, priors = _flat(deltas, 4), torch.cat(levels)
        if objectness:
            return head._bbox_decode(priors, deltas), scores * _flat(objectness[0], 1).sigmoid()[..., 0]
        repeated = priors.repeat(deltas.shape[0], 1)
        return head.bbox_coder.decode(repeated, deltas.reshape(-1, 4)).reshape(deltas.shape), scores


def _scores(logits: Tensor, use_sigmoid: bool) -> Tensor:
    return logits.sigmoid()[..., 0] if use_sigmoid else logits.softmax(dim=-1)[..., 0]


def _flat(levels: Sequence[Tensor], channels: int) -> Tensor:
    """Concatenate levels ``(N, A * channels, H, W)`` to ``(N, M, channels)``, in the order of mmdet's priors."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels) for level in levels], dim=1)


def export(model: Any, size: tuple[int, int], about: Mapping[str, Any]) -> bytes:
    """Export a detector to ONNX.

    The exported input ``tiles`` and the outputs ``boxes`` and ``scores`` are those of :meth:`RawDetector.forward`. The
    number of tiles can vary.

    Args:
        model: mmdet model with its weights, in evaluation mode.
        size: height and width of tiles in pixels.
        about: values for the attributes of :class:`Metadata` that have a default.

    Returns:
        bytes: content of the ONNX file.

    Raises:
        UserError: the detector runs NMS inside the network.
    """
    import onnx

    raw = RawDetector(model, size).eval()
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.no_grad(),
        warnings.catch_warnings(action="ignore"),  # torch warns that sizes become constants
    ):
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            raw,
            (torch.zeros(2, 3, *size),),
            path,
            dynamo=False,  # torch.export rejects mmdet's loops over samples
            opset_version=OPSET,
            input_names=["tiles"],
            output_names=["boxes", "scores"],
            dynamic_axes={name: {0: "N"} for name in ("tiles", "boxes", "scores")},
        )
        graph = onnx.load(path)
    onnx.checker.check_model(graph)
    rules = TypeAdapter(Rules).validate_python(dict(model.test_cfg or {}))
    metadata = Metadata(size, raw.padding(), raw.clips, raw.levels, rules, **about)
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(asdict(metadata))})
    return bytes(graph.SerializeToString())


class OnnxModel:
    """Exported detector in ONNX Runtime, with the ``test_step`` method of mmengine models.

    Args:
        path: ONNX file that ``tools/export.py`` wrote.
        device: ``cpu``, or ``cuda`` if ONNX Runtime is built with CUDA.

    Attributes:
        about: metadata of the file.
        rules: ``about.test_cfg`` as an mmengine config.

    Raises:
        UserError: ``tools/export.py`` did not write the file, or ONNX Runtime lacks CUDA.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        import onnxruntime

        self.path = path
        providers = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
        if (provider := providers[device.type]) not in onnxruntime.get_available_providers():
            raise UserError("--device cuda: this ONNX Runtime is built without CUDA; give --device cpu")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors only; hides warnings about unused initializers
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=[provider])
            metadata = self.session.get_modelmeta().custom_metadata_map[METADATA]
            self.about = TypeAdapter(Metadata).validate_json(metadata, strict=True)
            self.rules = ConfigDict(asdict(self.about.test_cfg))
        except Exception as error:  # ONNX Runtime's exceptions have no public base class
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{path}: not a detector that tools/export.py wrote ({reason}); export it again") from error

    def test_step(self, data: Mapping[str, Sequence[Any]]) -> list[DetDataSample]:
        """Detect tanks in tiles, as :meth:`mmengine.model.BaseModel.test_step` does.

        Args:
            data: batch with the keys ``inputs`` (tiles, uint8 BGR ``(3, H, W)``, at most as large as the exported tile
                size) and ``data_samples``.
        """
        height, width = self.about.size
        tiles = np.empty((len(data["inputs"]), 3, height, width), np.float32)
        tiles[:] = np.reshape(self.about.padding, (3, 1, 1))
        for tile, pixels in zip(tiles, data["inputs"], strict=True):
            if pixels.shape[1] > height or pixels.shape[2] > width:
                raise UserError(f"{self.path}: takes tiles of at most {width} x {height} px; give a smaller --tile")
            tile[:, : pixels.shape[1], : pixels.shape[2]] = pixels.flip(0).numpy()
        boxes, scores = self.session.run(None, {"tiles": tiles})
        if not np.isfinite(scores).all():
            raise UserError(f"{self.path}: predicts scores that are not finite; export an earlier checkpoint")
        samples = list(data["data_samples"])
        for sample, tile_boxes, tile_scores in zip(samples, torch.tensor(boxes), torch.tensor(scores), strict=True):
            sample.pred_instances = self._select(tile_boxes, tile_scores, sample)
        return samples

    def _select(self, boxes: Tensor, scores: Tensor, sample: DetDataSample) -> InstanceData:
        """Apply mmdet's post-processing to the boxes ``(M, 4)`` and scores ``(M,)`` of a tile."""
        rules = self.rules
        levels = torch.split(scores, self.about.levels or [len(scores)])
        starts = np.cumsum([0, *map(len, levels[:-1])]).tolist()
        indices = []
        for start, level in zip(starts, levels, strict=True):
            most = rules.nms_pre if rules.nms_pre > 0 else len(level)
            indices.append(start + filter_scores_and_topk(level[:, None], rules.score_thr, most)[2])
        boxes, scores = boxes[torch.cat(indices)], scores[torch.cat(indices)]
        if self.about.clips:
            height, width = sample.img_shape
            boxes = torch.minimum(boxes, boxes.new_tensor([width, height, width, height]))
        boxes = voted(boxes, scores, rules.vote_iou)
        candidates = InstanceData(bboxes=boxes, scores=scores, labels=torch.zeros_like(scores, dtype=torch.long))
        selected: InstanceData = BaseDenseHead._bbox_post_process(
            self, candidates, rules, rescale=True, with_nms=rules.nms is not None, img_meta=sample.metainfo
        )
        return selected[selected.scores.argsort(descending=True, stable=True)][: rules.max_per_img]
