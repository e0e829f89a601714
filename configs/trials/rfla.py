"""Anchors assigned by rank of their Kullback-Leibler divergence, three to a tank and then one more (RFLA)."""

_base_ = ["../oil/ssd_lite0_x15.py"]

model = dict(train_cfg=dict(assigner=dict(_delete_=True, type="HierarchicalAssigner", top=(3, 1), decay=0.9)))
