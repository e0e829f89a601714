"""``cpu_1k.py`` with 2,500 iterations: 72 minutes on 2 CPU cores with AMX."""

_base_ = ["cpu_1k.py"]

train_cfg = dict(max_iters=2500, val_interval=1250)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=100, end=2500),
]
