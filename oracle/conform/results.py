"""The results of a conformance run: a verdict on every case, and totals that include skipped cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from ..model import Finding
from .cases import Kind
from .catalog import catalog
from .protocol import PROTOCOL, VERSION

FORMAT: Final = f"{PROTOCOL}-report"


class Verdict(StrEnum):
    AGREES = "agrees"
    """The writer's dump conforms, or the writer rightly refused; all facts of the reader are right."""
    FAILS = "fails"
    """The writer's dump breaks rules, or the request had to be refused."""
    REFUSES = "refuses"
    """The command refused to write, or rejected the dump."""
    MISREADS = "misreads"
    """A fact of the reader is wrong."""
    ACCEPTS = "accepts"
    """The reader read a broken dump without a crash."""
    DIES = "dies"
    """The command crashed or exceeded a limit of time, memory or output. This is never a refusal."""
    BREAKS = "breaks"
    """The answer breaks the protocol."""
    SKIPPED = "skipped"
    """The command or the user skipped the case."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    case: str
    verdict: Verdict
    ok: bool
    """Whether the verdict is acceptable for the case."""
    details: tuple[str, ...] = ()
    """One line each; the first gives the reason of the verdict."""
    kind: Kind | None = None
    """The kind of the reader's case; None for a writer."""
    rules: tuple[str, ...] = ()
    """Rules that the writer's dump breaks."""
    findings: tuple[Finding, ...] = ()
    checks: int = 0
    """Number of checks of the writer's dump."""
    compared: tuple[str, ...] = ()
    """Facts of the reader that were compared: ``threads.teb``."""
    facts: tuple[str, ...] = ()
    """Facts that the reader's dump has."""
    wrong: tuple[str, ...] = ()
    """Facts that the reader misreads: ``threads.teb``."""
    known: str | None = None
    """The reason in the list of known failures; a known failure does not fail the run."""
    mended: bool = False
    """A known failure that no longer fails."""

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
    def compared(self) -> tuple[str, ...]:
        """Every fact that was compared in a case, in the order of the protocol."""
        return _ordered({name for result in self.results for name in result.compared})

    @property
    def facts(self) -> tuple[str, ...]:
        """Every fact that a dump of the cases has, in the order of the protocol."""
        return _ordered({name for result in self.results for name in result.facts})

    @property
    def exit_status(self) -> int:
        """0: no case fails. 1: a case fails. 2: no case was judged."""
        return 2 if not self.judged else 1 if self.failing else 0

    def verdicts(self) -> dict[Verdict, int]:
        """The number of cases for each verdict that occurs."""
        counted = Counter(result.verdict for result in self.results)
        return {verdict: counted[verdict] for verdict in Verdict if counted[verdict]}


def _ordered(names: Collection[str]) -> tuple[str, ...]:
    return tuple(path for fact in catalog().values() for path in fact.paths if path in names)


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
        "compared": list(summary.compared),
        "not_compared": [name for name in summary.facts if name not in summary.compared],
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
        "wrong": list(result.wrong),
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
