"""``cpu_1k.py`` with 1,850 iterations: what ``faster_rcnn_lite0_x15`` does in 90 minutes on 2 CPU cores with AMX."""

_base_ = ["cpu_1k.py"]

train_cfg = dict(max_iters=1850, val_interval=370)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=100, end=1850),
]
