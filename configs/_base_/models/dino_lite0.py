"""Slim DINO on EfficientNet-Lite0: 128 channels, strides 8 to 32, two encoder and three decoder layers, 500 queries."""

_base_ = ["lite0_fpn.py"]

attention = dict(embed_dims=128, num_levels=3, dropout=0.0)
feedforward = dict(embed_dims=128, feedforward_channels=512, ffn_drop=0.0)

model = dict(
    type="DINO",
    num_queries=500,
    with_box_refine=True,
    as_two_stage=True,
    neck=dict(
        _delete_=True,
        type="ChannelMapper",
        in_channels=[40, 112, 320],
        kernel_size=1,
        out_channels=128,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
        num_outs=3,
    ),
    backbone=dict(out_stages=(2, 4, 6)),
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=feedforward)),
    decoder=dict(
        num_layers=3,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=128, num_heads=8, dropout=0.0),
            cross_attn_cfg=attention,
            ffn_cfg=feedforward,
        ),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=64, normalize=True, offset=0.0, temperature=20),
    bbox_head=dict(
        type="DINOHead",
        num_classes=1,
        embed_dims=128,
        sync_cls_avg_factor=True,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=5.0),
        loss_iou=dict(type="GIoULoss", loss_weight=2.0),
    ),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100),
    ),
    train_cfg=dict(
        assigner=dict(
            type="HungarianAssigner",
            match_costs=[
                dict(type="FocalLossCost", weight=2.0),
                dict(type="BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="IoUCost", iou_mode="giou", weight=2.0),
            ],
        ),
    ),
    test_cfg=dict(_delete_=True, max_per_img=500),
)
del attention, feedforward
