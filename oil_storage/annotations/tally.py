"""What would be said for every box of a file, said once with its number."""

from dataclasses import replace
from pathlib import Path

from oil_storage.findings import Finding, Severity


class Tally:
    """Counts what is lost of boxes that are kept: outlines, angles, flags.

    A box that is left out deserves a finding of its own and does not belong here.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Path], int] = {}
        self._firsts: dict[tuple[str, Path], Finding] = {}

    def add(self, file: Path, check: str, place: str, problem: str, action: str) -> None:
        """Count one case of ``check`` in ``file``; of several, the first is shown."""
        key = check, file
        self._firsts.setdefault(key, Finding(Severity.WARNING, check, place, problem, action))
        self._counts[key] = self._counts.get(key, 0) + 1

    def findings(self) -> list[Finding]:
        """One warning for each file and check, in the order in which they were met first."""
        return [
            first if (more := self._counts[key] - 1) == 0 else replace(first, problem=f"{first.problem}; {more} more")
            for key, first in self._firsts.items()
        ]
