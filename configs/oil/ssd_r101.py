"""SSD ResNet-101 v1 FPN, 1024 x 1024: a port of the TensorFlow Object Detection API recipe.

    python tools/prepare_dataset.py SOURCE data/oil_storage --tile 1280 --overlap 0
    python tools/train.py configs/oil/ssd_r101.py          # add --amp for bf16 on CUDA
    python tools/test.py configs/oil/ssd_r101.py work_dirs/ssd_r101/iter_15000.pth --split val

Hardware, time, result: not yet run.

Training starts from MMDetection's RetinaNet-R101 for COCO. Backbone and FPN are loaded. The head and P6 are new: here,
the input of P6 is P5, but in RetinaNet it is C5 of the backbone. MMDetection's modules cause these differences from
TensorFlow:

- ReLU instead of ReLU6.
- TF adds the smoothed P4 to P3, and does not smooth P5. Here the unsmoothed P4 is added, and P3 to P5 are smoothed.
- TF applies BN and ReLU6 after smoothing, and in P6 and P7. Here these convolutions have neither.
- Mean and std are those of the checkpoint's backbone. TF only subtracts the mean.
- The losses are divided by the number of matched anchors in the batch. Here, a tile without matches counts as 1 anchor.
  In TF, only a batch without matches counts as 1 anchor.
- TF's NMS stops at 100 boxes. MMDetection's NMS processes all 131,000 anchors, except one of each level, which has the
  lowest score. On a CPU this takes two minutes per image. ``--cfg-options model.test_cfg.nms_pre=1000`` avoids it.
- ``--amp`` uses bfloat16 on CUDA. TF supports bfloat16 only on TPUs.
"""

_base_ = [
    "../_base_/models/ssd_r101.py",
    "../_base_/datasets/tiles_1280_0.py",
    "../_base_/schedules/tf_15k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://retinanet_r101_fpn_2x_coco"
