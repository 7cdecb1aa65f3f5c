"""What came of a conformance run: a verdict on every case, and totals that count what was not judged too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from ..model import Finding
from .cases import Kind
from .protocol import PROTOCOL, VERSION

FORMAT: Final = f"{PROTOCOL}-report"


class Verdict(StrEnum):
    AGREES = "agrees"
    """A writer wrote what was asked, or refused what has to be refused; of a reader, all that it says is right."""
    FAILS = "fails"
    """A writer's dump breaks rules, or is there where a refusal was due."""
    REFUSES = "refuses"
    """It would not write, or read."""
    MISREADS = "misreads"
    """Something that the reader says is not so."""
    ACCEPTS = "accepts"
    """A reader read a broken dump, without harm."""
    DIES = "dies"
    """It crashed, or took more time, memory or output than it was given. Never a refusal."""
    BREAKS = "breaks"
    """It answered against the protocol."""
    SKIPPED = "skipped"
    """By the command's own word, or by the user's."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    case: str
    verdict: Verdict
    ok: bool
    """Whether this is as it should be."""
    details: tuple[str, ...] = ()
    """One line each; the first says why."""
    kind: Kind | None = None
    """Of a dump that was read."""
    rules: tuple[str, ...] = ()
    """Rules that the dump breaks which the writer wrote."""
    findings: tuple[Finding, ...] = ()
    checks: int = 0
    """Single checks of the writer's dump."""
    compared: tuple[str, ...] = ()
    """Facts of the reader that were compared."""
    known: str | None = None
    """Why this failure is known; a known failure fails no run."""
    mended: bool = False
    """A known failure that fails no more."""

    def but(self, **changes: Any) -> CaseResult:
        return replace(self, **changes)

    @property
    def fails(self) -> bool:
        return not self.ok and self.known is None


@dataclass(frozen=True, slots=True)
class Summary:
    role: str
    """``writer`` or ``reader``."""
    results: tuple[CaseResult, ...]

    @property
    def judged(self) -> int:
        return sum(result.verdict is not Verdict.SKIPPED for result in self.results)

    @property
    def failing(self) -> tuple[CaseResult, ...]:
        return tuple(result for result in self.results if result.fails)

    @property
    def known(self) -> tuple[CaseResult, ...]:
        return tuple(result for result in self.results if result.known is not None)

    @property
    def checks(self) -> int:
        return sum(result.checks + len(result.compared) for result in self.results)

    @property
    def exit_status(self) -> int:
        """0 all is as it should be, 1 something is not, 2 nothing was judged: no verdict either way."""
        return 2 if not self.judged else 1 if self.failing else 0

    def verdicts(self) -> dict[Verdict, int]:
        """How many cases ended with each verdict that occurs."""
        counted = Counter(result.verdict for result in self.results)
        return {verdict: counted[verdict] for verdict in Verdict if counted[verdict]}


def as_object(summary: Summary, command: Sequence[str]) -> dict[str, Any]:
    """The run as a JSON value (schemas/conform-1.json)."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "role": summary.role,
        "command": list(command),
        "cases": len(summary.results),
        "judged": summary.judged,
        "failing": len(summary.failing),
        "known": len(summary.known),
        "checks": summary.checks,
        "verdicts": {str(verdict): count for verdict, count in summary.verdicts().items()},
        "results": [_result(result) for result in summary.results],
    }


def _result(result: CaseResult) -> dict[str, Any]:
    return {
        "case": result.case,
        "kind": None if result.kind is None else str(result.kind),
        "verdict": str(result.verdict),
        "ok": result.ok,
        "known": result.known,
        "mended": result.mended,
        "details": list(result.details),
        "rules": list(result.rules),
        "checks": result.checks,
        "compared": list(result.compared),
        "findings": [
            {
                "rule": finding.rule,
                "subject": finding.subject,
                "fault": str(finding.fault),
                "expected": list(finding.expected),
                "actual": finding.actual,
                "spans": [[span.start, span.end] for span in finding.spans],
            }
            for finding in result.findings
        ],
    }
