"""``cpu_1k.py`` three times as long: up to 90 minutes on 2 CPU cores with AVX-512."""

_base_ = ["cpu_1k.py"]

train_cfg = dict(max_iters=3000, val_interval=1500)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=100, end=3000),
]
