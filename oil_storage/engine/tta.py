"""Test-time augmentation: detect in each tile and in the tile rotated by 180 degrees, and merge the detections."""

from mmengine.config import Config, ConfigDict

from oil_storage.errors import UserError

TURN = {"type": "RandomFlip", "prob": 1.0, "direction": "diagonal"}
"""The additional view. Mirrored views did not improve the results on val (docs/experiments.md)."""
META_KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")
"""Metadata that merging and scoring need from each view."""


def use_tta(cfg: Config) -> None:
    """Add test-time augmentation to a config. Its ``tta_pipeline``, if present, replaces the default views.

    Raises:
        UserError: the config has no ``tta_model``.
    """
    if not cfg.get("tta_model"):
        raise UserError(f"{cfg.filename}: has no tta_model for --tta; copy it from configs/_base_/default_runtime.py")
    dataset = cfg.test_dataloader.dataset
    if "tta_pipeline" in cfg:
        dataset.pipeline = cfg.tta_pipeline
    else:
        *steps, pack = dataset.pipeline
        views = [{**TURN, "prob": 0.0}, TURN]
        dataset.pipeline = [*steps, {"type": "TestTimeAug", "transforms": [views, [{**pack, "meta_keys": META_KEYS}]]}]
    # views are merged with the NMS settings of the model, if it has any
    test_cfg = cfg.model.get("test_cfg") or {}
    cfg.tta_model.tta_cfg.update({key: test_cfg[key] for key in ("nms", "vote_iou", "max_per_img") if key in test_cfg})
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
