"""Models that mmdet lacks; importing this registers them."""

from oil_storage.models.efficientnet_lite import EfficientNetLite

__all__ = ["EfficientNetLite"]
