"""Settings of every training run: packages, seeds, processes, hooks and logs."""

default_scope = "mmdet"
custom_imports = dict(
    imports=["oil_storage.datasets", "oil_storage.engine", "oil_storage.models"],
    allow_failed_imports=False,
)

randomness = dict(seed=0)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),  # gloo without CUDA: oil_storage/engine/distributed.py
)

# a dict, so that a config can change single hooks; custom_hooks is for schedules and configs
default_hooks = dict(
    seeds=dict(type="IterationSeedHook"),
    memory_format=dict(type="ChannelsLastHook"),
    pretrained=dict(type="PretrainedReportHook"),
    classes=dict(type="NumClassCheckHook"),
    finite_loss=dict(type="FiniteLossHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=10, log_metric_by_epoch=False),
    pictures=dict(type="ValidationPictureHook", tiles=4),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointAtValidationHook", max_keep_ckpts=2, save_best="coco/bbox_mAP", rule="greater"),
    interruption=dict(type="InterruptionHook"),
)

visualizer = dict(
    type="DetLocalVisualizer",
    vis_backends=[dict(type="TensorboardVisBackend"), dict(type="LocalVisBackend")],
    line_width=1,
)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=False)
log_level = "INFO"

# --tta: merge the detections of the original and the rotated tile
tta_model = dict(type="VotingTTAModel", tta_cfg=dict(nms=dict(type="nms", iou_threshold=0.6), max_per_img=1000))

load_from = None
resume = False
