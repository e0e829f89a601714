"""1,000 iterations with batch size 8 (30 to 45 minutes on 2 CPU cores): AdamW, warm-up, cosine decay, EMA, bfloat16."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=1000, val_interval=500)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="Bf16OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True, custom_keys=dict(backbone=dict(lr_mult=0.3))
    ),
    clip_grad=dict(max_norm=35, norm_type=2),
)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=60),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=60, end=1000),
]

# average over about 250 iterations; gamma reduces the weight of the first iterations
custom_hooks = [
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.004, gamma=200, update_buffers=True, priority=49),
]

auto_scale_lr = dict(enable=True, base_batch_size=8)
