"""Synthetic satellite images of tank farms at 1.2 m per pixel, with exact labels.

``rendering.plan_scene`` places water, terminals with tanks, and round objects that are not tanks.
``rendering.render_scene`` paints this plan and converts it to an image. The labels depend only on the plan.
"""

from oil_storage.synthetic.rendering import make_synthetic

__all__ = ["make_synthetic"]
