"""6,000 iterations with batch size 8, about 60 epochs of 55 scenes: DETR's AdamW with one decay step."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=6_000, val_interval=1_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        custom_keys=dict(
            backbone=dict(lr_mult=0.1), sampling_offsets=dict(lr_mult=0.1), reference_points=dict(lr_mult=0.1)
        )
    ),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=6_000, milestones=[5_000], gamma=0.1),
]

auto_scale_lr = dict(enable=True, base_batch_size=8)
