"""YOLOX's schedule, 60 epochs with batch size 8: SGD, warm-up, cosine decay, EMA, no mosaics in the last 10 epochs."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=60, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.00125, momentum=0.9, weight_decay=5e-4, nesterov=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=35, norm_type=2),
)

param_scheduler = [
    dict(type="QuadraticWarmupLR", by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=6e-5, by_epoch=True, begin=3, end=50, T_max=47, convert_to_iter_based=True),
    dict(type="ConstantLR", factor=1, by_epoch=True, begin=50, end=60),
]

custom_hooks = [
    dict(type="YOLOXModeSwitchHook", num_last_epochs=10, priority=48),
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.001, gamma=200, update_buffers=True, priority=49),
]

auto_scale_lr = dict(enable=True, base_batch_size=8)
