"""Test-time augmentation: a tile is predicted as it is and turned by 180 degrees, and the predictions are merged."""

from mmengine.config import Config, ConfigDict

from oil_storage.errors import UserError

TURN = {"type": "RandomFlip", "prob": 1.0, "direction": "diagonal"}
"""The only further view: mirrored views added nothing to it on val (docs/experiments.md)."""
META_KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")
"""Meta data that merging and scoring need."""


def use_tta(cfg: Config) -> None:
    """Change a config's model and test pipeline; its own ``tta_pipeline`` replaces the two views made here.

    Raises:
        UserError: the config has no ``tta_model``.
    """
    if not cfg.get("tta_model"):
        raise UserError("--tta: the config has no tta_model; configs/_base_/default_runtime.py has one")
    dataset = cfg.test_dataloader.dataset
    if "tta_pipeline" in cfg:
        dataset.pipeline = cfg.tta_pipeline
    else:
        *steps, pack = dataset.pipeline
        views = [{**TURN, "prob": 0.0}, TURN]
        dataset.pipeline = [*steps, {"type": "TestTimeAug", "transforms": [views, [{**pack, "meta_keys": META_KEYS}]]}]
    # views are merged by the rule that merges one prediction's boxes, where the model has such a rule
    test_cfg = cfg.model.get("test_cfg") or {}
    cfg.tta_model.tta_cfg.update({key: test_cfg[key] for key in ("nms", "vote_iou", "max_per_img") if key in test_cfg})
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
