"""What a reader has found so far."""

from pathlib import Path

from oil_storage.annotations.record import Annotations, ImageRecord
from oil_storage.annotations.tally import Tally


class Reading:
    """Annotations in the making.

    Attributes:
        found: images, records and findings so far.
        tally: what is said once a file; :meth:`finish` adds it to the findings.
    """

    def __init__(self, files: list[Path]) -> None:
        self.found = Annotations([], [], files)
        self.tally = Tally()
        self._names: set[str] = set()

    def add_image(self, name: str, path: Path | None, size: tuple[int, int] | None, place: str) -> str:
        """Add an image; returns how records call it: ``name``, or, where an image has it already, one with the place.

        Whether two images may be called the same is the audit's to judge; till then, each keeps its own boxes.
        """
        unique = name if name not in self._names else f"{name} ({place})"
        self._names.add(unique)
        self.found.images.append(ImageRecord(unique, path, size, place))
        return unique

    def finish(self) -> Annotations:
        """All that was found."""
        self.found.findings.extend(self.tally.findings())
        return self.found
