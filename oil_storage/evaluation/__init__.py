"""Scores of tiles and scenes. No module imports torch or a package of OpenMMLab."""
