"""One box as an annotation file states it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One box as written, before anybody judged it.

    Attributes:
        image: name of the image that the box belongs to, as the file gives it.
        class_name: class as written.
        box: xyxy, pixels of the image, corners in the order in which they were written.
        place: file and line where it stands, ``airbus/annotations.csv:17``.
    """

    image: str
    class_name: str
    box: tuple[float, float, float, float]
    place: str
