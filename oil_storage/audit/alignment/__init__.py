"""Do the boxes sit on the objects? Answered from the image alone, against the ways in which boxes go wrong.

A tank is round, so along the ellipse inscribed in its box the image's gradient points to the centre or away from it.
How far it does (:mod:`.roundness`) is high where a box is right and falls to that of chance where it is not; so every
way to go wrong (:mod:`.faults`) is undone in turn, and where the undone boxes fit much better than those as written,
that fault is named. By how much boxes that still touch their tanks are off is measured by a small network
(:mod:`.box_error`). :mod:`.evidence` gathers what one scene shows, :mod:`.verdict` judges it and the data set.
"""

from oil_storage.audit.alignment.evidence import SceneEvidence, examine
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.roundness import GradientField

__all__ = ["Fault", "GradientField", "SceneEvidence", "examine"]
