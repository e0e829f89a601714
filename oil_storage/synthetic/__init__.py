"""Synthetic satellite images of tank farms with exact labels, by default at 1.2 m per pixel.

``rendering.plan_scene`` places water, terminals with tanks, and round objects that are not tanks.
``rendering.render_scene`` paints this plan and converts it to an image. The labels depend only on the plan.
"""

from oil_storage.synthetic.rendering import make_synthetic

__all__ = ["make_synthetic"]
