"""``ssd_lite0.py`` on magnified tiles and three times as long.

python tools/train.py configs/oil/ssd_lite0_x15.py
"""

_base_ = [
    "../_base_/datasets/tiles_640_64_x15.py",
    "../_base_/models/ssd_lite0.py",
    "../_base_/schedules/cpu_2500.py",
    "../_base_/default_runtime.py",
]
