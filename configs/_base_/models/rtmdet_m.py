"""mmdet's RTMDet-m, for one class and without SyncBN. It returns up to 1,000 boxes."""

_base_ = ["mmdet::rtmdet/rtmdet_m_8xb32-300e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # drop data, schedule and runtime for COCO
model.use_syncbn = False
model.backbone.norm_cfg.type = "BN"
model.neck.norm_cfg.type = "BN"
model.bbox_head.norm_cfg.type = "BN"
model.bbox_head.num_classes = 1
model.test_cfg.update(nms=dict(type="nms", iou_threshold=0.2), score_thr=0.01, max_per_img=1000)
