"""Findings about data: where, what is wrong, and what was done about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial


class Severity(StrEnum):
    """How much a finding weighs."""

    REPAIR = "repair"
    """There was one safe way to mend it, which was taken."""
    WARNING = "warning"
    """A box was left out, or something is odd; training can go on."""
    ERROR = "error"
    """Training on it would be training on something wrong."""


@dataclass(frozen=True)
class Finding:
    """Something about the data that its owner should know.

    Attributes:
        severity: see :class:`Severity`.
        check: name of the check that found it, ``swapped-corners``.
        place: file and line, or the image.
        problem: what is wrong, with the value.
        action: what was done about it.
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
    """Sort repairs before warnings before errors: on a terminal, the gravest stand next to the summary."""
    return sorted(findings, key=lambda finding: list(Severity).index(finding.severity))
