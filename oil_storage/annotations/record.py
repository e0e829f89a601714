"""Records: what annotation files state, before the audit judges it."""

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path

from oil_storage.errors import UserError
from oil_storage.findings import Finding, Severity

LEFT_OUT = "-"


@dataclass(frozen=True)
class Record:
    """One box as written.

    Attributes:
        image: :attr:`ImageRecord.name` of the image that the box belongs to.
        class_name: class as written.
        box: xyxy, pixels of the image, corners in the order in which they were written.
        place: file and line, or entry, that states the box: ``airbus/annotations.csv:17``.
    """

    image: str
    class_name: str
    box: tuple[float, float, float, float]
    place: str


@dataclass(frozen=True)
class ImageRecord:
    """One image that exists, or that the annotations name.

    Attributes:
        name: name by which the records refer to it.
        path: image file; None where there is none.
        size: width and height in pixels as the annotations state them; None where they do not.
        place: file and line, or entry, that states it first; the image's own path where no annotation names it.
    """

    name: str
    path: Path | None
    size: tuple[int, int] | None
    place: str


@dataclass(frozen=True)
class Annotations:
    """Everything that a source states; its reader fills the lists.

    Invariant: every :attr:`Record.image` is the name of one of the images.

    Attributes:
        images: in the source's order.
        records: in the source's order.
        files: annotation files that were read.
        findings: statements that are neither a box nor an image here; the audit passes them on.
    """

    images: list[ImageRecord]
    records: list[Record]
    files: list[Path]
    findings: list[Finding] = field(default_factory=list)
    _names: set[str] = field(default_factory=set, compare=False)
    _cases: dict[tuple[Path, str], tuple[int, Finding, int]] = field(default_factory=dict, compare=False)

    def add_image(self, name: str, path: Path | None, size: tuple[int, int] | None, place: str) -> str:
        """Add an image and return the name for its records, which includes the place if the name is taken.

        The audit judges whether two images may have one name; until then, each keeps its own boxes.
        """
        unique = name if name not in self._names else f"{name} ({place})"
        self._names.add(unique)
        self.images.append(ImageRecord(unique, path, size, place))
        return unique

    def report(self, check: str, place: str, problem: str, action: str, severity: Severity = Severity.WARNING) -> None:
        """Add a finding, about a box that is left out or a statement that cannot be right."""
        self.findings.append(Finding(severity, check, place, problem, action))

    def report_once(self, file: Path, check: str, place: str, problem: str, action: str) -> None:
        """Add a warning about a box that is kept; one for each file and check shows the first box and their number."""
        finding = Finding(Severity.WARNING, check, place, problem, action)
        index, first, count = self._cases.get((file, check), (len(self.findings), finding, 0))
        self._cases[file, check] = index, first, count + 1
        shown = replace(first, problem=f"{first.problem}; {count} more") if count else first
        self.findings[index : index + 1] = [shown]


def parse_class_map(text: str | None) -> dict[str, str | None]:
    """Read ``--class-map``: ``Storage Tank=oil-storage-tank,ship=-``.

    Args:
        text: pairs ``NAME=oil-storage-tank`` for tanks and ``NAME=-`` for classes that are left out, separated by
            commas; a pair whose name has a comma stands in double quotes. None where the option is not given.

    Returns:
        dict: class names of the source to :data:`~oil_storage.scene.CLASS_NAME`, or None for those left out. Our own
            name maps to itself unless ``text`` leaves it out.

    Raises:
        UserError: not such pairs, another class than ours, or a name given twice with different meanings.
    """
    from oil_storage.scene import CLASS_NAME

    class_map: dict[str, str | None] = {}
    for pair in next(csv.reader([text or ""], skipinitialspace=True), []):
        name, equals, target = (part.strip() for part in pair.rpartition("="))
        if not equals or not name or target not in (CLASS_NAME, LEFT_OUT):
            meanings = f"NAME={CLASS_NAME}, nor NAME={LEFT_OUT} to leave NAME out"
            raise UserError(f"--class-map {text}: {pair!r} is not {meanings}")
        meaning = CLASS_NAME if target == CLASS_NAME else None
        if class_map.setdefault(name, meaning) != meaning:
            raise UserError(f"--class-map {text}: {name!r} is both a tank and left out; give it once")
    return {CLASS_NAME: CLASS_NAME, **class_map}
