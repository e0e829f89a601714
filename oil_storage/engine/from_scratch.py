"""Change a config to train without a checkpoint."""

import inspect
from collections.abc import Mapping
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config

LOADING = ("Pretrained", "Packaged")
"""Types of ``init_cfg`` that load weights: the first is of mmengine, the second of EfficientNetLite."""


def from_scratch(cfg: Config) -> None:
    """Change a config so that it loads no checkpoint, freezes no layers and trains batch norms.

    Without pretrained weights, frozen layers would stay random.

    Args:
        cfg: MMDetection config; changed in place.
    """
    cfg.load_from = None
    _thaw(cfg.model)


def _thaw(node: Any) -> None:
    if isinstance(node, list | tuple):
        for item in node:
            _thaw(item)
    if not isinstance(node, dict):
        return
    if "init_cfg" in node:
        node["init_cfg"] = _without_pretrained(node["init_cfg"])
    if node.get("pretrained"):
        node["pretrained"] = None if isinstance(node["pretrained"], str) else False
    if node.get("requires_grad") is False:
        node["requires_grad"] = True
    if "frozen_stages" in node:
        # other backbones use -1 for no frozen stages, mmdet's EfficientNet uses 0
        node["frozen_stages"] = 0 if default(node, "frozen_stages") == 0 else -1
    if "norm_eval" in node or default(node, "norm_eval"):  # the default of ResNet is True
        node["norm_eval"] = False
    for value in list(node.values()):
        _thaw(value)


def _without_pretrained(init_cfg: Any) -> Any:
    if isinstance(init_cfg, list | tuple):
        return [item for item in init_cfg if item["type"] not in LOADING] or None
    return None if init_cfg and init_cfg["type"] in LOADING else init_cfg


def default(node: Mapping[str, Any], argument: str) -> Any:
    """Return the default of an argument in the constructor of ``node["type"]``; None if there is no such argument."""
    kind = node.get("type")
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    for base in kind.__mro__ if inspect.isclass(kind) else ():
        parameter = inspect.signature(base).parameters.get(argument) if base is not object else None
        if parameter is not None:
            return parameter.default
    return None
