"""Judges the answer of a reader."""

from __future__ import annotations

from ..checking import check
from ..memory.source import ByteSource
from ..model import Outcome
from .cases import Dumped, Duty, Kind, ReaderCase
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
    if case.must is Duty.MUST_REJECT:
        return accepted(case, strict=strict)
    with ByteSource.open(dumped.file) as source:
        failing = _failing(dumped, source)
        if failing is not None and case.kind is Kind.INVALID:
            return accepted(case, strict=strict)
        if failing is not None:
            raise UnsoundCaseError(f"{case.name}: the dump does not conform, so it cannot test a reader: {failing}")
        expected = expected_facts(source, None if dumped.target is None else dumped.target.truth)
        found = compare(expected, answer.facts or {})
    verdict = Verdict.MISREADS if found.misread else Verdict.AGREES
    return CaseResult(
        case.name, verdict, not found.misread, (), case.kind,
        compared=found.compared, facts=found.known, misread=found.misread,
    )  # fmt: skip


def rejected(case: ReaderCase, reason: str) -> CaseResult:
    said = reason or "no reason given"
    if case.must is Duty.MUST_READ:
        return CaseResult(case.name, Verdict.REFUSES, False, (f"rejected a sound dump: {said}",), case.kind)
    return CaseResult(case.name, Verdict.REFUSES, True, (said,), case.kind)


def accepted(case: ReaderCase, *, strict: bool) -> CaseResult:
    """The verdict on a reader that read the dump, if its facts are not compared."""
    if case.kind is not Kind.INVALID:
        return CaseResult(case.name, Verdict.AGREES, True, (), case.kind)
    why = case.note or "broken"
    broken = f"accepted a dump that breaks {case.rule}: {why}" if case.rule else f"accepted a broken dump: {why}"
    return CaseResult(case.name, Verdict.ACCEPTS, not (strict and case.must is Duty.MUST_REJECT), (broken,), case.kind)


def _failing(dumped: Dumped, source: ByteSource) -> str | None:
    """The rules that the dump breaks. None if it conforms: only then are the facts of the oracle the right ones."""
    target = dumped.target
    report = check(source) if target is None else check(source, target.truth, target.request)
    if report.outcome is Outcome.CONFORMANT:
        return None
    return ", ".join(result.rule for result in report.failing()) or report.reason
