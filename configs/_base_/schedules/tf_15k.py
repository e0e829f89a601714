"""Schedule of the TensorFlow recipe, 15,000 iterations with batch size 4: SGD, linear warm-up, cosine decay."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=15_000, val_interval=1_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.0025, momentum=0.9, weight_decay=4e-4),
    # TF only regularises kernels; bypass_duplicate skips kernels that the levels of a head share
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, bypass_duplicate=True),
)

param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=1_500),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=1_500, end=15_000),
]

auto_scale_lr = dict(enable=True, base_batch_size=4)
