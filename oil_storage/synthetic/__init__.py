"""Synthetic scenes: what a satellite sees of tank farms at 1.2 m per pixel, labelled exactly.

A scene is planned (``rendering.plan_scene``: sun, water, terminals with their tanks, round distractors), painted in
layers and exposed (``canvas``). The plan alone decides the labels.
"""

from oil_storage.synthetic.rendering import make_synthetic

__all__ = ["make_synthetic"]
