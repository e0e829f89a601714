"""Content of annotation files as written, before the audit."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from oil_storage.errors import UserError
from oil_storage.findings import Finding, Severity

NO_CLASS = "unnamed"
"""Class of a label without a class."""
LEFT_OUT = "-"
OTHERS = "*"
"""Stands in a class map for all classes that it does not name."""
SPELLINGS = ("oiltank", "storagetank", "oilstoragetank")
"""Usual names of the class in public data sets, in lower case and without other characters than letters."""


@dataclass(frozen=True)
class Record:
    """Box as written.

    Attributes:
        image: :attr:`ImageRecord.name` of the image of the box.
        class_name: class as written.
        box: xyxy in pixels of the image, with the corners in the order in which they were written.
        place: location in the source, as file and line or entry: ``airbus/annotations.csv:17``.
    """

    image: str
    class_name: str
    box: tuple[float, float, float, float]
    place: str


@dataclass(frozen=True)
class ImageRecord:
    """Image that exists or that the annotations mention.

    Attributes:
        name: name by which records refer to the image.
        path: image file; None if it does not exist.
        size: width and height in pixels according to the annotations; None if they state no size.
        place: location for messages: the file and line or entry that mentions the image, or the path of the image.
        gsd: ground resolution in metres per pixel according to the annotations; None if they state none.
    """

    name: str
    path: Path | None
    size: tuple[int, int] | None
    place: str
    gsd: float | None = None


@dataclass(frozen=True)
class Annotations:
    """Annotations of a data set; the reader of the format fills the lists.

    Each :attr:`Record.image` is the name of one of the images.

    Attributes:
        images: images in the order of the source.
        records: boxes in the order of the source.
        files: annotation files that were read.
        findings: findings of the reader, which the audit adds to its own.
        left_out: labels that the reader left out, with the reasons; see :meth:`leave_out`.
        unnamed: why the class of the first label with the class :data:`NO_CLASS` is not known; empty if there is none.
    """

    images: list[ImageRecord]
    records: list[Record]
    files: list[Path]
    findings: list[Finding] = field(default_factory=list)
    left_out: list[tuple[Record, str]] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    _names: set[str] = field(default_factory=set, compare=False)
    _cases: dict[tuple[Path, str], tuple[int, Finding, int]] = field(default_factory=dict, compare=False)

    def add_image(
        self, name: str, path: Path | None, size: tuple[int, int] | None, place: str, gsd: float | None = None
    ) -> str:
        """Add an image and return its unique name for records.

        If the name is already used, the location is added to it. This keeps the boxes of the two images apart until the
        audit reports the duplicate.
        """
        unique = name if name not in self._names else f"{name} ({place})"
        self._names.add(unique)
        self.images.append(ImageRecord(unique, path, size, place, gsd))
        return unique

    def report(self, check: str, place: str, problem: str, action: str, severity: Severity = Severity.WARNING) -> None:
        """Add a finding that is always listed, for example about a box that is left out or an invalid entry."""
        self.findings.append(Finding(severity, check, place, problem, action))

    def leave_out(self, record: Record, check: str, problem: str) -> None:
        """Report a label that is left out. The audit reports an error for an image that loses all its labels."""
        self.report(check, record.place, problem, "left out")
        self.left_out.append((record, problem))

    def report_once(self, file: Path, check: str, place: str, problem: str, action: str) -> None:
        """Add a warning. Further warnings of this check in this file or folder are only counted."""
        finding = Finding(Severity.WARNING, check, place, problem, action)
        index, first, count = self._cases.get((file, check), (len(self.findings), finding, 0))
        self._cases[file, check] = index, first, count + 1
        shown = replace(first, problem=f"{first.problem}; {count} more") if count else first
        self.findings[index : index + 1] = [shown]


def with_usual_spellings(class_map: Mapping[str, str | None], names: Iterable[str]) -> dict[str, str | None]:
    """Add to a class map the usual spellings of the class among ``names``, such as ``Oil_Tanks``.

    Names that the class map contains keep their meaning. Other names get that of :data:`OTHERS`, if it has one.
    """
    from oil_storage.scene import CLASS_NAME

    letters = {name: re.sub("[^a-z]", "", name.lower()).removesuffix("s") for name in names if name not in class_map}
    spelled = {name: CLASS_NAME for name, spelling in letters.items() if spelling in SPELLINGS}
    others = dict.fromkeys(letters, class_map[OTHERS]) if OTHERS in class_map else {}
    return {**class_map, **others, **spelled}


def parse_class_map(text: str | None) -> dict[str, str | None]:
    """Parse ``--class-map``: ``Storage Tank=oil-storage-tank,ship=-``.

    Args:
        text: comma-separated pairs, ``NAME=oil-storage-tank`` for tanks and ``NAME=-`` for classes to leave out. A pair
            whose name contains a comma must be in double quotes. None if the option is not given.

    Returns:
        dict: maps class names of the source to :data:`~oil_storage.scene.CLASS_NAME`, or to None for classes to leave
            out. ``oil-storage-tank`` maps to itself unless ``text`` leaves it out. The name ``*`` stands for all other
            classes.

    Raises:
        UserError: ``text`` is invalid, or a name has two meanings.
    """
    from oil_storage.scene import CLASS_NAME

    class_map: dict[str, str | None] = {}
    for pair in next(csv.reader([text or ""], skipinitialspace=True), []):
        name, equals, target = (part.strip() for part in pair.rpartition("="))
        if not equals or not name or target not in (CLASS_NAME, LEFT_OUT):
            expected = f"NAME={CLASS_NAME}, or NAME={LEFT_OUT} to leave a class out"
            raise UserError(f"--class-map {text}: invalid pair {pair!r}; give {expected}")
        meaning = CLASS_NAME if target == CLASS_NAME else None
        if class_map.setdefault(name, meaning) != meaning:
            raise UserError(f"--class-map {text}: {name!r} has two meanings; give it once")
    return {CLASS_NAME: CLASS_NAME, **class_map}
