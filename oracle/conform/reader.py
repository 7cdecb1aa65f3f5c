"""Judges the answer of a reader."""

from __future__ import annotations

from ..checking import check
from ..memory.source import ByteSource
from ..model import Outcome
from .cases import Dumped, Kind, ReaderCase
from .expecting import expected_facts
from .facts import compare
from .protocol import REJECTED, SKIPPED, Answer
from .results import CaseResult, Verdict


class UnsoundCaseError(Exception):
    """The dump of a valid or acceptable case does not conform, so it cannot test a reader. The text is one line."""


def judge_facts(case: ReaderCase, dumped: Dumped, answer: Answer, *, strict: bool) -> CaseResult:
    """The verdict on an answer. Raises FactsError if facts break the protocol, UnsoundCaseError for a bad case."""
    if answer.result == SKIPPED:
        return CaseResult(case.name, Verdict.SKIPPED, True, (answer.reason or "no reason given",), case.kind)
    if answer.result == REJECTED:
        return rejected(case, answer.reason.replace(str(dumped.file), dumped.file.name))
    if case.kind is Kind.INVALID:
        return accepted(case, strict=strict)
    with ByteSource.open(dumped.file) as source:
        _assure(case, dumped, source)
        expected = expected_facts(source, None if dumped.target is None else dumped.target.truth)
        found = compare(expected, answer.facts or {})
    verdict = Verdict.MISREADS if found.differences else Verdict.AGREES
    return CaseResult(
        case.name, verdict, not found.differences, found.differences, case.kind,
        compared=found.compared, facts=found.known, wrong=found.wrong,
    )  # fmt: skip


def rejected(case: ReaderCase, reason: str) -> CaseResult:
    said = reason or "no reason given"
    if case.kind is Kind.VALID:
        return CaseResult(case.name, Verdict.REFUSES, False, (f"rejected a sound dump: {said}",), case.kind)
    return CaseResult(case.name, Verdict.REFUSES, True, (said,), case.kind)


def accepted(case: ReaderCase, *, strict: bool) -> CaseResult:
    """The verdict on a reader that read the dump, if its facts are not compared."""
    if case.kind is not Kind.INVALID:
        return CaseResult(case.name, Verdict.AGREES, True, (), case.kind)
    why = case.note or "broken"
    broken = f"accepted a dump that breaks {case.rule}: {why}" if case.rule else f"accepted a broken dump: {why}"
    return CaseResult(case.name, Verdict.ACCEPTS, not (strict and case.visible), (broken,), case.kind)


def _assure(case: ReaderCase, dumped: Dumped, source: ByteSource) -> None:
    """Raises UnsoundCaseError unless the oracle judges the dump conformant: only then are its facts the right ones."""
    target = dumped.target
    report = check(source) if target is None else check(source, target.truth, target.request)
    if report.outcome is not Outcome.CONFORMANT:
        rules = ", ".join(result.rule for result in report.failing()) or report.reason
        raise UnsoundCaseError(f"{case.name}: the dump does not conform, so it cannot test a reader: {rules}")
