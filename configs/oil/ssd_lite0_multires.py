"""SSD for training on CPUs: ``ssd_lite0_x15`` fine-tuned on images of varied resolution and without tanks.

    python tools/train.py configs/oil/ssd_lite0_multires.py
    python tools/test.py configs/oil/ssd_lite0_multires.py work_dirs/ssd_lite0_multires/iter_600.pth --split val

The tank-free images are in data/usgs-land-use, or in the folder set by OIL_STORAGE_BACKGROUNDS.

2 CPU cores with AMX, 94 minutes beside other work, seed 0. Airbus data, val (11 scenes) and test (12): tile AP 0.579
and 0.593, tile AP50 0.918 and 0.926; scene AP50 0.935 and 0.936, scene F1 0.912 and 0.913 (with a second look at
uncertain detections and lower scores of isolated ones).
"""

_base_ = [
    "../_base_/datasets/tiles_640_64_multires.py",
    "../_base_/models/ssd_lite0.py",
    "../_base_/schedules/cpu_600.py",
    "../_base_/default_runtime.py",
]

load_from = "weights/ssd_lite0_x15.safetensors"

model = dict(bbox_head=dict(type="VotingRetinaSepBNHead"), test_cfg=dict(vote_iou=0.6))
