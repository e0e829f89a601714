"""SSD for training on CPUs, on tiles magnified 1.5 times, with half of the crops placed on a tank.

    python tools/train.py configs/oil/ssd_lite0_x15.py
    python tools/test.py configs/oil/ssd_lite0_x15.py work_dirs/ssd_lite0_x15/iter_2500.pth --split val

2 CPU cores with AMX, 72 minutes, seed 0. Airbus data, val (11 scenes) and test (12): tile AP 0.576 and 0.592, tile AP50
0.917 and 0.929; scene AP50 0.930 and 0.932, scene F1 0.904 and 0.908. With --tta: AP 0.593 and 0.603.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64_x15.py",
    "../_base_/models/ssd_lite0.py",
    "../_base_/schedules/cpu_2500.py",
    "../_base_/default_runtime.py",
]

# box voting, added after training: averaged boxes are more accurate than the best box (docs/experiments.md)
model = dict(bbox_head=dict(type="VotingRetinaSepBNHead"), test_cfg=dict(vote_iou=0.6))
