"""Anchors assigned by the Wasserstein distance instead of IoU."""

_base_ = ["../oil/ssd_lite0_x15.py"]

# the constant is the paper's for AI-TOD; boxes of 27 px, the mean of magnified ones, match as far apart as by IoU
model = dict(train_cfg=dict(assigner=dict(iou_calculator=dict(type="NormalisedWasserstein", constant=12.8))))
