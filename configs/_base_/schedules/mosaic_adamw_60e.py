"""RTMDet's schedule, 60 epochs with batch size 8: AdamW, cosine decay, EMA, no mosaics in the last 10 epochs."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=60, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
    clip_grad=dict(max_norm=35, norm_type=2),
)

param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=300),
    dict(
        type="CosineAnnealingLR", eta_min=2.5e-5, by_epoch=True, begin=30, end=60, T_max=30, convert_to_iter_based=True
    ),
]

# the hook disables mosaics in any pipeline; it also enables an L1 loss, which only YOLOX has
custom_hooks = [
    dict(type="YOLOXModeSwitchHook", num_last_epochs=10, priority=48),
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.001, gamma=200, update_buffers=True, priority=49),
]

auto_scale_lr = dict(enable=True, base_batch_size=8)
