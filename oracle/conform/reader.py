"""Judging what a reader said of a dump."""

from __future__ import annotations

from ..judge import check
from ..memory.source import ByteSource
from ..model import Outcome
from .cases import Dumped, Kind, ReaderCase
from .expected import expected_facts
from .facts import compare
from .protocol import REJECTED, SKIPPED, Answer
from .results import CaseResult, Verdict


class UnsoundCaseError(Exception):
    """A dump that is given out as sound is not. The text is one line."""


def judge_facts(case: ReaderCase, dumped: Dumped, answer: Answer, *, strict: bool) -> CaseResult:
    """The verdict on an answer. Raises FactsError for facts that are none, UnsoundCaseError for a case that is none."""
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
    if found.differences:
        return CaseResult(case.name, Verdict.MISREADS, False, found.differences, case.kind, compared=found.compared)
    return CaseResult(case.name, Verdict.AGREES, True, (), case.kind, compared=found.compared)


def rejected(case: ReaderCase, reason: str) -> CaseResult:
    said = reason or "no reason given"
    if case.kind is Kind.VALID:
        return CaseResult(case.name, Verdict.REFUSES, False, (f"rejected a sound dump: {said}",), case.kind)
    return CaseResult(case.name, Verdict.REFUSES, True, (said,), case.kind)


def accepted(case: ReaderCase, *, strict: bool) -> CaseResult:
    """A dump was read, and nothing is known of what was read in it."""
    if case.kind is not Kind.INVALID:
        return CaseResult(case.name, Verdict.AGREES, True, (), case.kind)
    why = case.note or "broken"
    broken = f"accepted a dump that breaks {case.rule}: {why}" if case.rule else f"accepted a broken dump: {why}"
    return CaseResult(case.name, Verdict.ACCEPTS, not (strict and case.visible), (broken,), case.kind)


def _assure(case: ReaderCase, dumped: Dumped, source: ByteSource) -> None:
    """What the reader is compared with is worth something only if the oracle itself finds nothing wrong in it."""
    target = dumped.target
    if target is None:
        report = check(source)
    else:
        report = check(source, target.truth, target.request, profile=target.request.profile)
    if report.outcome is not Outcome.CONFORMANT:
        rules = ", ".join(result.rule for result in report.failing()) or report.reason
        raise UnsoundCaseError(f"{case.name} is no sound dump, so no reader can be judged by it: {rules}")
