"""``cpu_1k.py`` with 600 iterations, half the learning rate and a slow average, for fine-tuning."""

_base_ = ["cpu_1k.py"]

train_cfg = dict(max_iters=600, val_interval=300)

optim_wrapper = dict(optimizer=dict(lr=1e-3))

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=30, end=600),
]

# slow average: the initial weights contribute about half (0.9988**600 = 0.49), so their abilities are kept
custom_hooks = [
    dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=0.0012, update_buffers=True, priority=49),
]
