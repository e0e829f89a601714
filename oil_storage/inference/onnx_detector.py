"""Trained detectors as ONNX files: export, with metadata on how they are used, and detection by ONNX Runtime."""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
from pydantic import FiniteFloat, NonNegativeInt, PositiveInt, TypeAdapter
from torch import Tensor, nn

from oil_storage.checkpoints.checkpoint import Share
from oil_storage.errors import UserError
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.models.box_voting import voted

OPSET = 17
METADATA = "oil_storage"
"""Key of the file's metadata: JSON of :class:`Metadata`."""
WITH_NMS_INSIDE = ("DDQDETR",)
"""Detectors that choose their queries by NMS."""


@dataclass(frozen=True)
class Suppression:
    """Arguments of :func:`mmcv.ops.batched_nms`, which evaluates ``type`` as Python: only known names may reach it."""

    iou_threshold: Share
    type: Literal["nms"] = "nms"


@dataclass(frozen=True)
class Rules:
    """Rules that turn raw output into detections: mmdet's ``test_cfg``.

    Attributes:
        score_thr: detections with lower scores are dropped.
        nms_pre: best candidates of each level that are kept; -1 keeps all.
        min_bbox_size: boxes must have longer sides, pixels; -1 keeps all.
        max_per_img: best detections of a tile that are kept; None keeps all.
        vote_iou: see :func:`oil_storage.models.box_voting.voted`.
        nms: None where the detector needs none.
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
        size: height and width of tiles, pixels.
        padding: RGB of what a smaller tile is filled up with.
        clips: whether boxes are clipped to the tile.
        levels: number of candidates on each level of the head; empty where there is one.
        test_cfg: how the raw output becomes detections.
        config: name of the config.
        checkpoint_sha256: of the checkpoint that was exported.
        score_threshold: chosen on the val split; None if none was chosen.
        reading: how the bands of the training's scenes became colours.
    """

    size: tuple[PositiveInt, PositiveInt]
    padding: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    clips: bool
    levels: list[NonNegativeInt]
    test_cfg: Rules
    config: str = ""
    checkpoint_sha256: str = ""
    score_threshold: Share | None = None
    reading: Reading = DEFAULT_READING


class RawDetector(nn.Module):
    """Detector as one function of pixels, without the loops that no other runtime has.

    Args:
        model: mmdet's, in evaluation mode: a dense detector of one stage, or one of the DETR family.
        size: height and width of tiles, pixels.

    Attributes:
        clips: whether boxes are clipped to the tile, as mmdet clips all but YOLOX's.
        levels: number of boxes of each level of a feature pyramid, in order, after a call; empty with queries.

    Raises:
        UserError: a detector that needs NMS before its last step.
    """

    def __init__(self, model: Any, size: tuple[int, int]) -> None:
        super().__init__()
        kind = type(model).__name__
        head = getattr(model, "bbox_head", None)
        self.has_queries = isinstance(model, DetectionTransformer)
        if kind in WITH_NMS_INSIDE or not (self.has_queries or isinstance(head, BaseDenseHead)):
            raise UserError(f"{kind} cannot be exported: it has NMS inside, which runs in PyTorch alone")
        self.clips = not isinstance(head, YOLOXHead)
        self.model, self.size = model, size
        self.levels: list[int] = []
        preprocessor = model.data_preprocessor
        normalises = getattr(preprocessor, "_enable_normalize", False)
        self.wants_bgr = not preprocessor._channel_conversion
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", preprocessor.mean.clone() if normalises else torch.zeros(3, 1, 1))
        self.register_buffer("std", preprocessor.std.clone() if normalises else torch.ones(3, 1, 1))

    def padding(self) -> tuple[float, float, float]:
        """Return the RGB with which mmdet fills up a tile that is too small."""
        colour = (self.mean + self.model.data_preprocessor.pad_value * self.std).flatten()
        red, green, blue = (colour.flip(0) if self.wants_bgr else colour).tolist()
        return red, green, blue

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            tiles: ``(N, 3, H, W)`` float32 RGB, 0 to 255.

        Returns:
            tuple: boxes ``(N, M, 4)`` xyxy, pixels of the tile, and scores ``(N, M)`` in [0, 1], before NMS.
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
        strides = {"with_stride": True} if objectness else {}  # YOLOX alone has a score beside the class's
        levels = head.prior_generator.grid_priors(sizes, device=classes[0].device, **strides)
        self.levels = [len(priors) for priors in levels]
        scores = _scores(_flat(classes, head.cls_out_channels), getattr(head, "use_sigmoid_cls", True))
        deltas, priors = _flat(deltas, 4), torch.cat(levels)
        if objectness:
            return head._bbox_decode(priors, deltas), scores * _flat(objectness[0], 1).sigmoid()[..., 0]
        number = deltas.shape[0]
        repeated = priors[None].expand(number, -1, -1).reshape(-1, priors.shape[-1])
        return head.bbox_coder.decode(repeated, deltas.reshape(-1, 4)).reshape(number, -1, 4), scores


def _scores(logits: Tensor, use_sigmoid: bool) -> Tensor:
    return logits.sigmoid()[..., 0] if use_sigmoid else logits.softmax(dim=-1)[..., 0]


def _flat(levels: Sequence[Tensor], channels: int) -> Tensor:
    """Turn levels of ``(N, A * channels, H, W)`` into ``(N, all positions * A, channels)``, in the order of priors."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels) for level in levels], dim=1)


def export(model: Any, size: tuple[int, int], about: Mapping[str, Any]) -> bytes:
    """Export a detector: ``tiles`` in, ``boxes`` and ``scores`` before NMS out, for any number of tiles.

    Args:
        model: mmdet's, with its weights, in evaluation mode.
        size: height and width of tiles, pixels.
        about: the attributes of :class:`Metadata` that have a default.

    Returns:
        bytes: content of the file; see :class:`RawDetector` for what it computes.

    Raises:
        UserError: a detector that needs NMS before its last step.
    """
    import onnx

    raw = RawDetector(model, size).eval()
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.no_grad(),
        warnings.catch_warnings(action="ignore"),  # of constants, which sizes are meant to be
    ):
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            raw,
            (torch.zeros(2, 3, *size),),
            path,
            dynamo=False,  # torch.export refuses mmdet's loops over lists of samples
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
    exported: bytes = graph.SerializeToString()
    return exported


class OnnxModel:
    """Exported detector, run by ONNX Runtime, with the ``test_step`` of mmengine's models.

    Args:
        path: file that ``tools/export.py`` wrote.
        device: ``cpu``, or ``cuda`` where ONNX Runtime is built for it.

    Attributes:
        about: the file's metadata.
        rules: :class:`Rules` in the form of mmdet's ``test_cfg``.

    Raises:
        UserError: another file.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        import onnxruntime

        self.path = path
        providers = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
        if (provider := providers[device.type]) not in onnxruntime.get_available_providers():
            raise UserError("--backend onnx: ONNX Runtime is built without CUDA here; use --device cpu")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # it warns of initializers that nothing reads
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=[provider])
            metadata = self.session.get_modelmeta().custom_metadata_map[METADATA]
            self.about = TypeAdapter(Metadata).validate_json(metadata, strict=True)
            self.rules = ConfigDict(asdict(self.about.test_cfg))
        except Exception as error:  # its classes of errors have no public base
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{path}: no detector that tools/export.py CONFIG CHECKPOINT wrote ({reason})") from error

    def test_step(self, data: Mapping[str, Sequence[Any]]) -> list[DetDataSample]:
        """Predict tiles, as :meth:`mmengine.model.BaseModel.test_step` does.

        Args:
            data: ``inputs``, each ``(3, H, W)`` uint8 BGR, no larger than the exported size, and ``data_samples``.
        """
        height, width = self.about.size
        tiles = np.empty((len(data["inputs"]), 3, height, width), np.float32)
        tiles[:] = np.reshape(self.about.padding, (3, 1, 1))
        for tile, pixels in zip(tiles, data["inputs"], strict=True):
            if pixels.shape[1] > height or pixels.shape[2] > width:
                raise UserError(f"--tile: the exported detector takes {width} x {height} px")
            tile[:, : pixels.shape[1], : pixels.shape[2]] = pixels.flip(0).numpy()
        boxes, scores = self.session.run(None, {"tiles": tiles})
        if not np.isfinite(scores).all():
            raise UserError(f"{self.path}: its scores are not finite; export an earlier checkpoint")
        samples = list(data["data_samples"])
        for sample, tile_boxes, tile_scores in zip(samples, torch.tensor(boxes), torch.tensor(scores), strict=True):
            sample.pred_instances = self._select(tile_boxes, tile_scores, sample)
        return samples

    def _select(self, boxes: Tensor, scores: Tensor, sample: DetDataSample) -> InstanceData:
        """Select the detections of a tile as mmdet's heads do."""
        rules = self.rules
        levels = torch.split(scores, self.about.levels or [len(scores)])
        starts = np.cumsum([0, *map(len, levels[:-1])]).tolist()
        kept = []
        for start, level in zip(starts, levels, strict=True):
            most = rules.nms_pre if rules.nms_pre > 0 else len(level)
            kept.append(start + filter_scores_and_topk(level[:, None], rules.score_thr, most)[2])
        boxes, scores = boxes[torch.cat(kept)], scores[torch.cat(kept)]
        if self.about.clips:
            height, width = sample.img_shape
            boxes = torch.minimum(boxes, boxes.new_tensor([width, height, width, height]))
        boxes = voted(boxes, scores, rules.vote_iou)
        candidates = InstanceData(bboxes=boxes, scores=scores, labels=torch.zeros_like(scores, dtype=torch.long))
        selected: InstanceData = BaseDenseHead._bbox_post_process(
            self, candidates, rules, rescale=True, with_nms=rules.nms is not None, img_meta=sample.metainfo
        )
        return selected[selected.scores.argsort(descending=True, stable=True)][: rules.max_per_img]
