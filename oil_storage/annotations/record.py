"""What an annotation file states, before anybody judged it."""

from dataclasses import dataclass, field
from pathlib import Path

from oil_storage.findings import Finding


@dataclass(frozen=True)
class Record:
    """One box as written.

    Attributes:
        image: :attr:`ImageRecord.name` of the image that the box belongs to.
        class_name: class as written.
        box: xyxy, pixels of the image, corners in the order in which they were written.
        place: file and line, or record, where it stands: ``airbus/annotations.csv:17``.
    """

    image: str
    class_name: str
    box: tuple[float, float, float, float]
    place: str


@dataclass(frozen=True)
class ImageRecord:
    """One image that is there, or that the annotations speak of.

    Attributes:
        name: how the records call it.
        path: its file; None where there is none.
        size: width and height in pixels as the annotations state them; None where they don't.
        place: where it is stated first; the image's own path where no annotation speaks of it.
    """

    name: str
    path: Path | None
    size: tuple[int, int] | None
    place: str


@dataclass(frozen=True)
class Annotations:
    """All that a source states.

    Invariant: every :attr:`Record.image` is the name of one of the images.

    Attributes:
        images: in the source's order.
        records: in the source's order.
        files: the annotation files that were read.
        findings: what is written and can neither be a box nor an image here; the audit passes them on.
    """

    images: list[ImageRecord]
    records: list[Record]
    files: list[Path]
    findings: list[Finding] = field(default_factory=list)
