"""``cpu_1k.py`` for 3,200 iterations."""

_base_ = ["cpu_1k.py"]

train_cfg = dict(max_iters=3200, val_interval=1600)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=100, end=3200),
]
