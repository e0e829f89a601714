"""Run mmdet detectors up to the boxes and scores before NMS, in PyTorch or for export to ONNX."""

from collections.abc import Sequence
from typing import Any

import mmcv.ops
import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.dense_heads.yolox_head import YOLOXHead
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.models.detectors.two_stage import TwoStageDetector
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn

from oil_storage.engine.bf16 import precision_of
from oil_storage.errors import UserError


class RawDetector(nn.Module):
    """Detector that returns boxes and scores before NMS. Two-stage detectors still run NMS on their proposals.

    Args:
        model: mmdet model in evaluation mode: a dense one-stage detector, a two-stage detector with an RPN, or a
            detector of the DETR family.

    Attributes:
        clips: whether boxes are clipped to the tile; mmdet clips all boxes except YOLOX's.
        levels: number of boxes from each level of the feature pyramid; empty until the first call, and for detectors
            with queries or proposals.

    Raises:
        UserError: the detector is of another kind.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        head = getattr(model, "bbox_head", None)
        if isinstance(model, DetectionTransformer):
            self._predict = self._from_queries
        elif isinstance(model, TwoStageDetector) and model.with_rpn:
            self._predict = self._from_proposals
        elif isinstance(head, BaseDenseHead):
            self._predict = self._from_priors
        else:
            raise UserError(f"{type(model).__name__}: detection in scenes does not support this type of detector")
        self.clips = not isinstance(head, YOLOXHead)
        self.model = model
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
        """Predict boxes and scores before NMS, in the form that is exported.

        Args:
            tiles: float32 RGB ``(N, 3, H, W)``, 0 to 255.

        Returns:
            tuple: see :meth:`predict`.
        """
        pixels = tiles.flip(1) if self.wants_bgr else tiles
        size = tuple(int(side) for side in tiles.shape[-2:])
        sample = DetDataSample(metainfo={"img_shape": size, "batch_input_shape": size})
        return self.predict((pixels - self.mean) / self.std, [sample])

    def predict(self, pixels: Tensor, samples: Sequence[DetDataSample]) -> tuple[Tensor, Tensor]:
        """Predict boxes and scores before NMS.

        Args:
            pixels: output of mmdet's preprocessor, ``(N, 3, H, W)``.
            samples: metadata of each tile, or one sample for all tiles.

        Returns:
            tuple: boxes ``(N, M, 4)`` xyxy in pixels of ``pixels``, and scores ``(N, M)`` in [0, 1].
        """
        shapes = [sample.img_shape[::-1] for sample in samples]
        limits = torch.tensor([shape + shape for shape in shapes], dtype=torch.float32, device=pixels.device)[:, None]
        with precision_of(self.model):
            features = self.model.extract_feat(pixels)
            boxes, scores = self._predict(features, samples, limits)
        return _clipped(boxes, limits) if self.clips else boxes, scores

    def _from_queries(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample], limits: Tensor
    ) -> tuple[Tensor, Tensor]:
        head = self.model.bbox_head
        classes, boxes = head(**self.model.forward_transformer(features, samples))
        scores = _scores(classes[-1].float(), head.loss_cls.use_sigmoid)
        if masks := getattr(head, "cache_dict", {}).get("distinct_query_mask"):  # DDQ drops similar queries
            heads: int = head.cache_dict["num_heads"]
            scores = scores * masks[-1][::heads, 0]
        return bbox_cxcywh_to_xyxy(boxes[-1].float()) * limits, scores

    def _from_priors(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample], limits: Tensor
    ) -> tuple[Tensor, Tensor]:
        head = self.model.bbox_head
        classes, deltas, *factors = head(features)
        strides = {"with_stride": True} if isinstance(head, YOLOXHead) else {}
        levels = head.prior_generator.grid_priors(_sizes(classes), device=classes[0].device, **strides)
        self.levels = [len(priors) for priors in levels]
        scores = _scores(_flat(classes, head.cls_out_channels), getattr(head, "use_sigmoid_cls", True))
        if factors:
            scores = scores * _flat(factors[0], 1).sigmoid()[..., 0]
        deltas, priors = _flat(deltas, 4), torch.cat(levels)
        if isinstance(head, YOLOXHead):
            return head._bbox_decode(priors, deltas), scores
        return _decoded(head, priors.expand(deltas.shape[0], *priors.shape), deltas), scores

    def _from_proposals(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample], limits: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the second stage, or the stages of a cascade, on the proposals of the RPN."""
        head = self.model.roi_head
        boxes, is_proposal = self._proposals(features, limits)
        number, most = boxes.shape[:2]
        stages = [head.bbox_head] if not isinstance(head.bbox_head, nn.ModuleList) else list(head.bbox_head)
        extractors = head.bbox_roi_extractor
        tile = torch.arange(number, device=boxes.device, dtype=boxes.dtype)[:, None, None].expand(number, most, 1)
        logits = []
        for index, stage in enumerate(stages):
            extractor: Any = extractors[index] if isinstance(extractors, nn.ModuleList) else extractors
            rois = torch.cat([tile, boxes], dim=2).reshape(-1, 5)
            pooled = _pooled(extractor, [level.float() for level in features[: extractor.num_inputs]], rois)
            if head.with_shared_head:
                pooled = head.shared_head(pooled)
            classes, deltas = stage(pooled)
            logits.append(classes.float())
            boxes = _clipped(_decoded(stage, boxes, deltas.float().reshape(number, most, 4)), limits)
        scores = (sum(logits) / len(logits)).softmax(dim=-1)[..., 0].reshape(number, most)
        return boxes, scores * is_proposal

    def _proposals(self, features: Sequence[Tensor], limits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the boxes ``(N, P, 4)`` of the RPN after NMS on each level, and whether each is a proposal ``(N, P)``.

        Tiles have different numbers of proposals; the others of the P boxes are no proposals.
        """
        head = self.model.rpn_head
        rules = head.test_cfg
        if rules.nms.get("type", "nms") != "nms":
            raise UserError(f"rpn.nms: detection in scenes supports the type nms, not {rules.nms.type}")
        classes, deltas = head(features)
        parts = []
        for level, priors in enumerate(head.prior_generator.grid_priors(_sizes(classes), device=classes[0].device)):
            scores = _scores(_flat(classes[level : level + 1], head.cls_out_channels), head.use_sigmoid_cls)
            offsets = _flat(deltas[level : level + 1], 4)
            priors = priors.expand(offsets.shape[0], *priors.shape)
            if 0 < rules.nms_pre < priors.shape[1]:
                scores, best = scores.topk(rules.nms_pre)
                priors, offsets = _gathered(priors, best), _gathered(offsets, best)
            parts.append((_decoded(head, priors, offsets), scores, torch.full_like(scores, level)))
        boxes, scores, levels = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        boxes = _clipped(boxes, limits)
        if rules.get("min_bbox_size", -1) >= 0:
            is_large = (boxes[..., 2:] - boxes[..., :2] > rules.min_bbox_size).all(dim=2)
            scores = torch.where(is_large, scores, torch.full_like(scores, -1))
        apart = levels * (boxes.amax(dim=(1, 2)) + 1)[:, None]  # boxes of different levels do not overlap
        boxes_apart, least = boxes + apart[..., None], rules.nms.iou_threshold
        chosen = _Nms.apply(boxes_apart, scores, least, rules.max_per_img)  # type: ignore[no-untyped-call]
        is_kept = torch.zeros_like(scores).index_put((chosen[:, 0], chosen[:, 2]), scores.new_tensor(1.0))
        ranks = torch.where(is_kept > 0, scores, torch.full_like(scores, -1))
        ranks, best = ranks.topk(min(rules.max_per_img, int(ranks.shape[1])))
        return _gathered(boxes, best), ranks >= 0


class _Nms(torch.autograd.Function):
    """NMS in each tile; exported as the operator NonMaxSuppression.

    The arguments are boxes ``(N, M, 4)``, scores ``(N, M)``, of which negative ones are left out, the IoU threshold,
    and the maximum number of boxes in a tile. The result ``(K, 3)`` has the index of the tile, 0, and the index of the
    box, as in ONNX.
    """

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
        chosen = []
        for index, valid in enumerate(scores >= 0):
            candidates = valid.nonzero()[:, 0]
            _, kept = mmcv.ops.nms(boxes[index, candidates], scores[index, candidates], iou_threshold)
            box = candidates[kept[:most]]
            chosen.append(torch.stack([torch.full_like(box, index), torch.zeros_like(box), box], dim=1))
        return torch.cat(chosen)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, iou_threshold: float, most: int) -> Any:
        classes = g.op("Unsqueeze", scores, g.op("Constant", value_t=torch.tensor([1])))
        limits = [torch.tensor([most]), torch.tensor([iou_threshold]), torch.tensor([-0.5])]
        return g.op("NonMaxSuppression", boxes, classes, *(g.op("Constant", value_t=limit) for limit in limits))


class _RoIAlign(torch.autograd.Function):
    """RoIAlign of a layer of mmcv; exported as the operator of ONNX.

    mmcv's own export shifts the boxes by half a pixel, which the operator already does since opset 16.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, rois: Tensor, layer: Any) -> Tensor:
        sampling = layer.sampling_ratio, layer.pool_mode, layer.aligned
        pooled: Tensor = mmcv.ops.roi_align(
            features.contiguous(), rois, layer.output_size, layer.spatial_scale, *sampling
        )
        return pooled

    @staticmethod
    def symbolic(g: Any, features: Any, rois: Any, layer: Any) -> Any:
        def columns(*numbers: int) -> Any:
            return g.op("Gather", rois, g.op("Constant", value_t=torch.tensor(numbers)), axis_i=1)

        tile = g.op("Squeeze", columns(0), g.op("Constant", value_t=torch.tensor([1])))
        return g.op(
            "RoiAlign",
            features,
            columns(1, 2, 3, 4),
            g.op("Cast", tile, to_i=7),  # int64
            coordinate_transformation_mode_s="half_pixel" if layer.aligned else "output_half_pixel",
            output_height_i=layer.output_size[0],
            output_width_i=layer.output_size[1],
            spatial_scale_f=layer.spatial_scale,
            sampling_ratio_i=layer.sampling_ratio,
            mode_s=layer.pool_mode,
        )


def _pooled(extractor: Any, features: Sequence[Tensor], rois: Tensor) -> Tensor:
    """Pool features in ``rois`` ``(K, 5)`` as mmdet's extractor does, but without a branch that depends on the data."""
    levels = extractor.map_roi_levels(rois, len(features))
    size = extractor.roi_layers[0].output_size
    pooled = rois.new_zeros(rois.shape[0], extractor.out_channels, *size)
    for level, layer in enumerate(extractor.roi_layers):
        at = (levels == level).nonzero()[:, 0]
        values = _RoIAlign.apply(features[level], rois[at], layer)  # type: ignore[no-untyped-call]
        pooled = pooled.index_put((at,), values)
    return pooled


def _clipped(boxes: Tensor, limits: Tensor) -> Tensor:
    return torch.minimum(boxes.clamp(min=0), limits)


def _decoded(head: Any, priors: Tensor, deltas: Tensor) -> Tensor:
    """Decode ``deltas`` ``(N, M, 4)`` relative to ``priors`` ``(N, M, P)``."""
    boxes: Tensor = head.bbox_coder.decode(priors.reshape(-1, priors.shape[-1]), deltas.reshape(-1, 4))
    return boxes.reshape(deltas.shape)


def _gathered(values: Tensor, indices: Tensor) -> Tensor:
    """Select rows ``indices`` ``(N, K)`` of ``values`` ``(N, M, C)``."""
    return values.gather(1, indices[..., None].expand(-1, -1, values.shape[-1]))


def _scores(logits: Tensor, use_sigmoid: bool) -> Tensor:
    return logits.sigmoid()[..., 0] if use_sigmoid else logits.softmax(dim=-1)[..., 0]


def _sizes(levels: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(int(side) for side in level.shape[-2:]) for level in levels]


def _flat(levels: Sequence[Tensor], channels: int) -> Tensor:
    """Concatenate levels ``(N, A * channels, H, W)`` to float32 ``(N, M, channels)``, in the order of the priors."""
    flat = [level.float().permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels) for level in levels]
    return torch.cat(flat, dim=1)
