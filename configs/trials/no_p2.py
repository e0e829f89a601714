"""Anchors of the same sides from stride 8 on: no stride 4."""

_base_ = ["../oil/ssd_lite0_x15.py"]

model = dict(
    neck=dict(start_level=1, add_extra_convs="on_output"),
    bbox_head=dict(anchor_generator=dict(octave_base_scale=1, strides=[8, 16, 32, 64])),
)
