"""Detector that ONNX Runtime runs in place of one of mmdet's."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from pydantic import TypeAdapter
from torch import Tensor

from oil_storage.errors import UserError
from oil_storage.inference.onnx_export import METADATA, Metadata
from oil_storage.models.box_voting import voted


class OnnxModel:
    """Exported detector with the ``test_step`` of mmengine's models.

    Args:
        path: file that ``tools/export.py`` wrote.
        device: ``cpu``, or ``cuda`` where ONNX Runtime is built for it.

    Attributes:
        about: the file's metadata.
        rules: :class:`~oil_storage.inference.onnx_export.Rules` as a dict, like mmdet's ``test_cfg``.

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
            self.rules = asdict(self.about.test_cfg)
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
        levels = self.about.levels or [len(scores)]
        if sum(levels) != len(scores):
            raise UserError(f"{self.path}: its metadata tell of {sum(levels)} candidates, it gives {len(scores)}")
        kept = []
        starts = np.cumsum([0, *levels[:-1]]).tolist()
        for start, level_scores in zip(starts, torch.split(scores, levels), strict=True):
            above = (level_scores > rules["score_thr"]).nonzero()[:, 0]
            number = min(rules["nms_pre"], len(above)) if rules["nms_pre"] > 0 else len(above)
            kept.append(start + above[level_scores[above].topk(number).indices])
        index = torch.cat(kept)
        boxes, scores = boxes[index], scores[index]
        if self.about.clips:
            height, width = sample.img_shape
            boxes = torch.minimum(boxes, boxes.new_tensor([width, height, width, height]))
        boxes = boxes / boxes.new_tensor(sample.scale_factor).repeat(2)
        boxes = voted(boxes, scores, rules["vote_iou"])
        if rules["min_bbox_size"] >= 0:
            large = (boxes[:, 2:] - boxes[:, :2] > rules["min_bbox_size"]).all(dim=1)
            boxes, scores = boxes[large], scores[large]
        if rules["nms"] and len(boxes):
            rated, index = batched_nms(boxes, scores, torch.zeros_like(scores, dtype=torch.long), rules["nms"])
            boxes, scores = boxes[index], rated[:, 4]
        order = scores.argsort(descending=True, stable=True)[: rules["max_per_img"]]
        return InstanceData(bboxes=boxes[order], scores=scores[order])
