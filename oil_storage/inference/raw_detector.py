"""A detector as one function of pixels, without the loops that no other runtime has: what is exported."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.dense_heads.yolox_head import YOLOXHead
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn

from oil_storage.errors import UserError

WITH_NMS_INSIDE = ("DDQDETR",)
"""Detectors that choose their queries by NMS."""


class RawDetector(nn.Module):
    """Pixels of tiles in, every box and its score before NMS out.

    Args:
        model: of mmdet, in evaluation mode: a dense detector of one stage, or one of the DETR family.
        size: height and width of tiles, pixels.

    Attributes:
        clips: whether boxes end at the tile's border, as mmdet lets all but YOLOX's.
        levels: how many of the boxes are of each level of a feature pyramid, in order, after a call.

    Raises:
        UserError: a detector with NMS in its middle.
    """

    def __init__(self, model: Any, size: tuple[int, int]) -> None:
        super().__init__()
        kind = type(model).__name__
        head = getattr(model, "bbox_head", None)
        self.has_queries = isinstance(model, DetectionTransformer)
        if kind in WITH_NMS_INSIDE or not (self.has_queries or isinstance(head, BaseDenseHead)):
            raise UserError(f"{kind} cannot be exported: it has NMS inside, which runs in PyTorch alone")
        self.clips = not isinstance(head, YOLOXHead)
        self.model, self.size, self.levels = model, size, [0]
        pixels = model.data_preprocessor
        normalised = getattr(pixels, "_enable_normalize", False)
        self.wants_bgr = not pixels._channel_conversion
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", pixels.mean.clone() if normalised else torch.zeros(3, 1, 1))
        self.register_buffer("std", pixels.std.clone() if normalised else torch.ones(3, 1, 1))

    def padding(self) -> tuple[float, float, float]:
        """Red, green and blue with which mmdet fills up a tile that is too small."""
        colour = (self.mean + self.model.data_preprocessor.pad_value * self.std).flatten()
        red, green, blue = (colour.flip(0) if self.wants_bgr else colour).tolist()
        return red, green, blue

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            tiles: ``(N, 3, H, W)`` float32, red, green and blue of 0 to 255.

        Returns:
            tuple: boxes ``(N, M, 4)`` xyxy, pixels of the tile, and scores ``(N, M)`` in [0, 1].
        """
        pixels = tiles.flip(1) if self.wants_bgr else tiles
        features = self.model.extract_feat((pixels - self.mean) / self.std)
        boxes, scores = self._of_queries(features) if self.has_queries else self._of_priors(features)
        if not self.clips:
            return boxes, scores
        height, width = self.size
        x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
        return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1), scores

    def _of_queries(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        whole = DetDataSample(metainfo={"img_shape": self.size, "batch_input_shape": self.size})
        head = self.model.bbox_head
        classes, boxes = head(**self.model.forward_transformer(features, [whole]))
        logits = classes[-1]
        scores = logits.sigmoid()[..., 0] if head.loss_cls.use_sigmoid else logits.softmax(dim=-1)[..., 0]
        height, width = self.size
        return bbox_cxcywh_to_xyxy(boxes[-1]) * boxes[-1].new_tensor([width, height, width, height]), scores

    def _of_priors(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        head = self.model.bbox_head
        classes, deltas, *objectness = head(features)
        sizes = [tuple(int(side) for side in one.shape[-2:]) for one in classes]
        strides = {"with_stride": True} if objectness else {}  # YOLOX alone has a score beside the class's
        priors = head.prior_generator.grid_priors(sizes, device=classes[0].device, **strides)
        self.levels = [len(one) for one in priors]
        logits = _flat(classes, head.cls_out_channels)
        scores = logits.sigmoid()[..., 0] if getattr(head, "use_sigmoid_cls", True) else logits.softmax(dim=-1)[..., 0]
        moves, places = _flat(deltas, 4), torch.cat(priors)
        if objectness:
            return head._bbox_decode(places, moves), scores * _flat(objectness[0], 1).sigmoid()[..., 0]
        number = moves.shape[0]
        every = places[None].expand(number, -1, -1).reshape(-1, places.shape[-1])
        return head.bbox_coder.decode(every, moves.reshape(-1, 4)).reshape(number, -1, 4), scores


def _flat(maps: Sequence[Tensor], channels: int) -> Tensor:
    """Levels of ``(N, A * channels, H, W)`` as ``(N, all positions * A, channels)``, in the order of priors."""
    return torch.cat([one.permute(0, 2, 3, 1).reshape(one.shape[0], -1, channels) for one in maps], dim=1)
