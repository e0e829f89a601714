"""Detection of boxes that do not match the objects in the image, from the pixels alone.

A tank is round, so the image gradient along the ellipse inscribed in its box points to or away from the centre.
:mod:`.roundness` measures this. It is high for correct boxes and close to chance for misplaced boxes. Each known fault
(:mod:`.faults`) is undone in turn, and a fault is detected if the boxes match much better afterwards. A small network
(:mod:`.box_error`) measures the error of boxes that still touch their tanks. :mod:`.evidence` collects these values for
a scene, and :mod:`.verdict` judges scenes and the data set.
"""

from oil_storage.audit.alignment.evidence import SceneEvidence, examine
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.roundness import GradientField

__all__ = ["Fault", "GradientField", "SceneEvidence", "examine"]
