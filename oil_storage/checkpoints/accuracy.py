"""Score thresholds and accuracy that checkpoints and exported detectors store."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0, le=1)]
F1ByGsd = dict[Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")], Share]
"""F1 by ground resolution in metres per pixel."""


@dataclass(frozen=True)
class ChosenThreshold:
    """Score threshold that maximises F1 on the val split.

    Attributes:
        threshold: detections with lower scores are discarded.
        f1: F1 at the threshold.
        data: SHA-256 of the data on which the threshold was chosen.
        false_alarms: lowest threshold for each limit on the false alarms per 100 square kilometres. The keys are the
            limits. Empty if the ground resolution of the data is not known.
    """

    threshold: Share
    f1: Share
    data: str
    false_alarms: dict[str, Share] = field(default_factory=dict)
