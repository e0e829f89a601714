"""4,000 iterations with batch size 8, about 40 epochs of 55 scenes: SGD, warm-up, cosine decay, EMA."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=4_000, val_interval=500)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, bypass_duplicate=True),
    clip_grad=dict(max_norm=35, norm_type=2),
)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=300),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=300, end=4_000),
]

custom_hooks = [
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.001, gamma=200, update_buffers=True, priority=49),
]

auto_scale_lr = dict(enable=True, base_batch_size=8)
