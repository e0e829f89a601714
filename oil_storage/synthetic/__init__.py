"""Synthetic satellite images of tank farms at 1.2 m per pixel, with exact labels.

``rendering.plan_scene`` plans a scene: sun, water, terminals with tanks, round distractors. The scene is then painted
in layers and converted to an image (``canvas``). Only the plan determines the labels.
"""

from oil_storage.synthetic.rendering import make_synthetic

__all__ = ["make_synthetic"]
