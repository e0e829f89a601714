"""Detect boxes that do not match the objects in the image, from the pixels alone.

A tank is round, so the image gradient along the ellipse inscribed in its box points to the centre or away from it.
:mod:`.roundness` measures this. Correct boxes have a high roundness, and misplaced boxes are about as round as boxes at
random places. Each known fault (:mod:`.faults`) is undone in turn. A fault is detected if the boxes are much rounder
afterwards. A small network (:mod:`.box_error`) measures the error of boxes that still touch their tanks.
:mod:`.evidence` collects these values for a scene, and :mod:`.verdict` judges scenes and the data set.
"""

from oil_storage.audit.alignment.evidence import SceneEvidence, examine
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.roundness import GradientField

__all__ = ["Fault", "GradientField", "SceneEvidence", "examine"]
