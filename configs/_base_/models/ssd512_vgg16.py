"""mmdet's SSD512 with VGG-16, for one class, with anchors for tiles of 256 px that are enlarged to 512 px.

In the enlarged image, the smallest stride is 8 px, and the smallest anchor is 16 px (paper: 20 px). In the tile, these
are 4 px and 8 px.
"""

_base_ = ["mmdet::ssd/ssd512_coco.py"]

model = _base_.pop("model")
_base_.clear()  # drop data, schedule and runtime for COCO
model.backbone.init_cfg = None  # load_from loads the weights
model.bbox_head.update(type="PredictingSSDHead", num_classes=1)
model.bbox_head.anchor_generator.update(
    basesize_ratio_range=None,
    min_sizes=[16, 40, 80, 160, 240, 320, 400],
    max_sizes=[40, 80, 160, 240, 320, 400, 480],
)
model.test_cfg.update(nms=dict(type="nms", iou_threshold=0.2), score_thr=0.01, max_per_img=1000)
