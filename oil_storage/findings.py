"""Findings of the audit of a data set: location, problem and action taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial


class Severity(StrEnum):
    """Severity of a finding."""

    REPAIR = "repair"
    """A problem with only one safe fix, which was applied."""
    WARNING = "warning"
    """A box was dropped, or something is unusual; the data can still be used."""
    ERROR = "error"
    """The data must not be used for training."""


@dataclass(frozen=True)
class Finding:
    """Problem in a data set.

    Attributes:
        severity: see :class:`Severity`.
        check: name of the check (``swapped-corners``).
        place: file and line, or image.
        problem: description of the problem, with the wrong value.
        action: action taken.
    """

    severity: Severity
    check: str
    place: str
    problem: str
    action: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.place}: {self.problem} -> {self.action}"


repair = partial(Finding, Severity.REPAIR)
warning = partial(Finding, Severity.WARNING)
error = partial(Finding, Severity.ERROR)


def gravest_last(findings: Sequence[Finding]) -> list[Finding]:
    """Sort findings by increasing severity, so that a terminal shows errors next to the summary."""
    return sorted(findings, key=lambda finding: list(Severity).index(finding.severity))
