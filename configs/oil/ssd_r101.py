"""SSD ResNet-101 v1 FPN, 1024 x 1024: a port of the TensorFlow Object Detection API recipe, its anchors from 32 px.

    python tools/prepare_dataset.py SOURCE data/oil_storage --tile 1280 --overlap 0
    python tools/train.py configs/oil/ssd_r101.py          # add --amp for bf16 on CUDA
    python tools/test.py configs/oil/ssd_r101.py work_dirs/ssd_r101/iter_15000.pth --split val

Hardware, time, result: not yet run.

Starts from MMDetection's RetinaNet-R101 of COCO: backbone and FPN are restored, the head is fresh, and so is P6, which
reads P5 here and the backbone there. What MMDetection's parts cannot express:

- ReLU where TF has ReLU6.
- TF smooths P4 before passing it down to P3, leaves P5 as it is, and has BN and ReLU6 after the smoothing and after P6
  and P7; here P3 to P5 are smoothed on the way out, by convolutions alone.
- Mean and std of the checkpoint's backbone; TF subtracts the mean alone.
- A tile without boxes counts as one match in the losses' normaliser; TF takes at least one a batch.
- TF's NMS stops at 100 boxes; MMDetection's goes through all 131,000 anchors, but for the least certain of each level,
  which its ``[:-1]`` drops; on a CPU two minutes an image, or ``--cfg-options model.test_cfg.nms_pre=1000``.
- bfloat16 is autocast on CUDA (``--amp``); TF honours it on TPUs only.
"""

_base_ = [
    "../_base_/models/ssd_r101.py",
    "../_base_/datasets/tiles_1280_0.py",
    "../_base_/schedules/tf_15k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://retinanet_r101_fpn_2x_coco"
