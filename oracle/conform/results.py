"""The results of a conformance run: a verdict on every case, and totals that include skipped cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from ..model import Finding, RuleResult
from ..report.text import finding_text
from .cases import Kind
from .catalog import catalog
from .facts import WrongFact
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
    """The reader read a broken dump without a crash. A failure if it must reject the dump and the run is strict."""
    DIES = "dies"
    """The command crashed or exceeded a limit of time, memory or output. This is never a refusal."""
    BREAKS = "breaks"
    """The answer breaks the protocol."""
    UNJUDGED = "unjudged"
    """The host lacked memory, room or processes, so nothing is known about the command."""
    SKIPPED = "skipped"
    """The command or the user skipped the case."""


DEATHS: Final = (Verdict.DIES, Verdict.BREAKS)
"""Verdicts on the command itself, and not on what it wrote or read."""
NO_VERDICTS: Final = (Verdict.UNJUDGED, Verdict.SKIPPED)
"""The command was not judged."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that the writer's dump breaks, or a fact that the reader misreads, in one case."""

    name: str
    """``MDMP-THREAD-001`` or ``threads.teb``."""
    lines: tuple[str, ...]
    """One line for each failed check or difference, the first ones only."""
    total: int

    @property
    def first(self) -> str:
        """The first line, and how many there are beside it."""
        return f"{self.lines[0]} ({self.total - 1} more)" if self.total > 1 else self.lines[0]


@dataclass(frozen=True, slots=True)
class CaseResult:
    case: str
    verdict: Verdict
    ok: bool
    """Whether the verdict is acceptable for the case."""
    details: tuple[str, ...] = ()
    """The reason of the verdict, one line each. Empty if ``problems`` say it."""
    kind: Kind | None = None
    """The kind of the reader's case; None for a writer."""
    broken: tuple[RuleResult, ...] = ()
    """Rules that the writer's dump breaks."""
    checks: int = 0
    """Number of checks of the writer's dump."""
    compared: tuple[str, ...] = ()
    """Facts of the reader that were compared: ``threads.teb``."""
    facts: tuple[str, ...] = ()
    """Facts that the reader's dump has."""
    misread: tuple[WrongFact, ...] = ()
    """Facts that the reader misreads."""
    known: str | None = None
    """The reason in the list of known failures; a known failure does not fail the run."""
    mended: bool = False
    """A known failure that no longer fails."""

    def but(self, **changes: Any) -> CaseResult:
        return replace(self, **changes)

    @property
    def fails(self) -> bool:
        return not self.ok and self.known is None

    @property
    def wrong(self) -> tuple[str, ...]:
        """The names of the facts that the reader misreads."""
        return tuple(fact.name for fact in self.misread)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings of the writer's dump."""
        return tuple(finding for rule in self.broken for finding in rule.findings)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, by rule or by fact."""
        rules = (
            Problem(
                rule.rule,
                tuple(f"{rule.rule} {finding_text(one, rule.inside)}" for one in rule.findings),
                rule.failures,
            )
            for rule in self.broken
            if rule.findings
        )
        facts = (Problem(fact.name, fact.lines, fact.total) for fact in self.misread)
        return (*rules, *facts)

    def lines(self, *, everything: bool = False) -> Iterator[str]:
        """The reason of the verdict, then the first finding of each rule or fact, or ``everything`` that is kept."""
        yield from self.details
        for problem in self.problems:
            if not everything:
                yield problem.first
                continue
            yield from problem.lines
            if problem.total > len(problem.lines):
                yield f"{problem.name}: {problem.total - len(problem.lines)} more"


@dataclass(frozen=True, slots=True)
class Summary:
    role: str
    """``writer`` or ``reader``."""
    results: tuple[CaseResult, ...]

    @property
    def judged(self) -> int:
        return sum(result.verdict not in NO_VERDICTS for result in self.results)

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

    def sometimes(self) -> dict[str, tuple[int, int]]:
        """Each fact that the reader reports of some dumps and leaves out of others: of how many, and how many hold it.

        Only dumps of which it reports anything count.
        """
        said, held = Counter[str](), Counter[str]()
        for result in self.results:
            if result.compared:
                said.update({path.partition(".")[0] for path in result.compared})
                held.update({path.partition(".")[0] for path in result.facts})
        return {name: (said[name], count) for name, count in held.items() if 0 < said[name] < count}

    @property
    def exit_status(self) -> int:
        """0: no case fails. 1: a case fails. 2: no case was judged, or the host could not judge one."""
        unjudged = any(result.verdict is Verdict.UNJUDGED for result in self.results)
        return 2 if unjudged or not self.judged else 1 if self.failing else 0

    @property
    def outcome(self) -> str:
        """``conformant``, ``not conformant``, ``not all judged`` or ``nothing judged``."""
        words = ("conformant", "not conformant", "not all judged" if self.judged else "nothing judged")
        return words[self.exit_status]

    def problems(self) -> dict[str, tuple[str, ...]]:
        """The failing cases of each broken rule or misread fact, the most common first."""
        found: dict[str, list[str]] = {}
        for result in self.failing:
            for problem in result.problems:
                found.setdefault(problem.name, []).append(result.case)
        return {name: tuple(cases) for name, cases in sorted(found.items(), key=lambda item: -len(item[1]))}

    def skipped(self) -> dict[str, tuple[str, ...]]:
        """The skipped cases of each reason, the most common first."""
        found: dict[str, list[str]] = {}
        for result in self.results:
            if result.verdict is Verdict.SKIPPED:
                found.setdefault(result.details[0], []).append(result.case)
        return {reason: tuple(cases) for reason, cases in sorted(found.items(), key=lambda item: -len(item[1]))}

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
        "results": [result_object(result) for result in summary.results],
    }


def result_object(result: CaseResult) -> dict[str, Any]:
    """The result of one case as a JSON value."""
    return {
        "case": result.case,
        "kind": None if result.kind is None else str(result.kind),
        "verdict": str(result.verdict),
        "ok": result.ok,
        "known": result.known,
        "mended": result.mended,
        "details": list(result.lines()),
        "rules": [rule.rule for rule in result.broken],
        "checks": result.checks,
        "compared": list(result.compared),
        "wrong": list(result.wrong),
        "differences": [{"fact": fact.name, "total": fact.total, "lines": list(fact.lines)} for fact in result.misread],
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
