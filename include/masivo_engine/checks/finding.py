"""
What a check has found: one line for people, worst first.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from masivo_engine.model.rows import Entity


class Severity(StrEnum):
    """
    A *blocker* keeps a whole entity or run from working, a *warning* some rows; a *note* is good to
    know.
    """

    BLOCKER = "blocker"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was found: *where* (an entity, or what a connection is called), its stable
    *code*, what is the *matter* and what to *do*. *rows* is how many rows it is about, 0 where that
    is not a number of rows.
    """

    severity: Severity
    where: str
    code: str
    matter: str
    do: str = ""
    rows: int = 0

    @property
    def sentence(self) -> str:
        """What is the matter and what to do."""
        return f"{self.matter}; {self.do}" if self.do else self.matter


def blocker(where: str, code: str, matter: str, do: str = "", *, rows: int = 0) -> Finding:
    """Return a finding that keeps an entity or a run from working."""
    return Finding(Severity.BLOCKER, where, code, matter, do, rows)


def warning(where: str, code: str, matter: str, do: str = "", *, rows: int = 0) -> Finding:
    """Return a finding that keeps rows from going, or lets them go wrong."""
    return Finding(Severity.WARNING, where, code, matter, do, rows)


def note(where: str, code: str, matter: str, do: str = "", *, rows: int = 0) -> Finding:
    """Return a finding that is good to know."""
    return Finding(Severity.NOTE, where, code, matter, do, rows)


def several(number: int, noun: str) -> str:
    """Return ``1 row``, ``1,200 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Order *findings*: by severity, then by entity in the order of the migration, then by rows."""
    severities, places = list(Severity), [entity.value for entity in Entity]
    return sorted(
        findings,
        key=lambda found: (
            severities.index(found.severity),
            places.index(found.where) if found.where in places else len(places),
            -found.rows,
            found.code,
        ),
    )


def as_lines(findings: Iterable[Finding], *, width: int = 0) -> Iterator[str]:
    """
    Yield a line for each finding, aligned; with *width*, wrapped below its sentence for a terminal.
    """
    ordered = worst_first(findings)
    place = max((len(found.where) for found in ordered), default=0)
    code = max((len(found.code) for found in ordered), default=0)
    for found in ordered:
        head = f"{found.severity:<8} {found.where:<{place}}  {found.code:<{code}}  "
        if width > len(head) + 30:
            yield textwrap.fill(
                found.sentence,
                width,
                initial_indent=head,
                subsequent_indent=" " * len(head),
                break_long_words=False,
                break_on_hyphens=False,
            )
        else:
            yield head + found.sentence


def counted(findings: Iterable[Finding]) -> str:
    """Sum up: ``1 blocker, 12 warnings, 5 notes``."""
    of = [found.severity for found in findings]
    parts = [several(of.count(kind), kind) for kind in Severity if kind in of]
    return ", ".join(parts) or "nothing found"
