"""mmdet's YOLOX-s, for one class. Batches are resized by at most a fifth, to keep small tanks visible."""

_base_ = ["mmdet::yolox/yolox_s_8xb8-300e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # drop data, schedule and runtime for COCO
model.data_preprocessor.batch_augments[0].random_size_range = (512, 768)
model.bbox_head.num_classes = 1
