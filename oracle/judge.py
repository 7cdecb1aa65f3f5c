"""The engine: reads a file, runs the rules that apply, and says what it found."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final, cast

from .case import Case, KernelCase, KernelReplayer, Replayer
from .model import Finding, Grade, Level, Outcome, Report, RuleResult, Verdict
from .readers.facts import Dump
from .readers.identify import KERNEL_DUMP, MINIDUMP, identify
from .readers.kernel import read_kernel
from .readers.kernel_dump import KernelDump
from .readers.minidump import read_minidump
from .rule import RULES, Check, Rule
from .source import ByteSource
from .truth import KernelTruth, ProcessTruth, RequestTruth, Truth

MAX_FINDINGS: Final = 20
"""Findings kept of one rule; ``RuleResult.failures`` has the total."""
PAGE: Final = 4096

_BEYOND_PAPER: Final = {Grade.DOCUMENTED, Grade.IMPLEMENTED, Grade.OBSERVED}
"""What may fail a file whose writer never heard of our profile: a rule that we only inferred may not."""


class SelectionError(ValueError):
    """A ``select`` or ``skip`` pattern matches no rule, or a truth comes without a request."""


def all_rules() -> dict[str, Rule]:
    """Every rule, by id."""
    importlib.import_module(".rules", __package__)
    return dict(sorted(RULES.items()))


def check(
    source: ByteSource,
    truth: Truth | None = None,
    request: RequestTruth | None = None,
    *,
    profile: str = "modern",
    select: Collection[str] = (),
    skip: Collection[str] = (),
    strict: bool = False,
    replay: Replayer | KernelReplayer | None = None,
) -> Report:
    """Judge ``source``: against ``truth`` and ``request`` when given, otherwise by the structural rules alone.

    ``select`` and ``skip`` are rule ids or patterns of them (``MDMP-*``). ``strict`` lets SHOULD rules, and without
    truth rules that are only inferred, fail the dump too. ``replay`` runs the dump in a machine of the caller's: a
    Replayer for a minidump, a KernelReplayer for a kernel dump. A dump of one mode cannot be judged against a truth of
    the other: outcome NOT_A_DUMP, with the reason.
    Never raises on content; a rule that does so itself ends as verdict ERROR. Raises SelectionError for arguments.
    """
    if (truth is None) != (request is None):
        raise SelectionError("a truth and the request of the dump go together: one was given without the other")
    rules = _selected(select, skip)
    identity = identify(source)
    report = Report(
        outcome=Outcome.NOT_A_DUMP,
        file=source.name,
        kind=identity.kind,
        size=source.size,
        profile=profile,
        strict=strict,
        own=truth is not None,
        qualifier=None if request is None else request.qualifier,
        results=(),
        claimed=0,
        unclaimed=0,
        pages=0,
        dont_care=0,
        reason=identity.description,
    )
    case: Case | KernelCase
    if identity.kind == MINIDUMP:
        if isinstance(truth, KernelTruth):
            return replace(report, reason=f"{identity.description}; the truth is that of a whole machine")
        case = Case(read_minidump(source), truth, request, cast("Replayer | None", replay), profile)
    elif identity.kind == KERNEL_DUMP:
        if isinstance(truth, ProcessTruth):
            return replace(report, reason=f"{identity.description}; the truth is that of a process")
        kernel_replay = cast("KernelReplayer | None", replay)
        case = KernelCase(read_kernel(source), truth, request, kernel_replay, profile)
    else:
        return report
    dump = case.dump
    results = tuple(_run(rule, case, strict) for rule in rules if rule.kind == dump.kind)
    outcome, reason = _outcome(results)
    return replace(
        report,
        outcome=outcome,
        results=results,
        claimed=dump.accounting.claimed,
        unclaimed=dump.accounting.unclaimed,
        pages=_pages(dump),
        dont_care=sum(len(item.span) for item in dump.dont_cares),
        reason=reason,
    )


def _pages(dump: Dump | KernelDump) -> int:
    """Pages of the target that the file has bytes of."""
    if isinstance(dump, KernelDump) and dump.paged:
        return min(dump.pages.total, max(dump.source.size - dump.pages.first, 0) // PAGE)
    return sum(-(-end // PAGE) - start // PAGE for start, end in dump.captured())


def _selected(select: Collection[str], skip: Collection[str]) -> list[Rule]:
    rules = all_rules()
    for pattern in (*select, *skip):
        if not any(fnmatchcase(id_, pattern) for id_ in rules):
            raise SelectionError(f"no rule matches {pattern!r}")
    return [
        rule
        for id_, rule in rules.items()
        if (not select or any(fnmatchcase(id_, pattern) for pattern in select))
        and not any(fnmatchcase(id_, pattern) for pattern in skip)
    ]


def _counts(rule: Rule, level: Level, own: bool, strict: bool) -> bool:
    if strict:
        return level is not Level.MAY
    return level is Level.MUST and (own or rule.grade in _BEYOND_PAPER)


def _run(rule: Rule, case: Case | KernelCase, strict: bool) -> RuleResult:
    own = case.truth is not None
    level = rule.level if own else rule.foreign_level
    counts = _counts(rule, level, own, strict)

    def result(verdict: Verdict, *, blocked_by: str | None = None, note: str | None = None) -> RuleResult:
        return RuleResult(rule.id, rule.title, level, rule.grade, verdict, 0, 0, (), blocked_by, note, counts)

    try:
        if not rule.applies(case):
            return result(Verdict.NOT_APPLICABLE)
        for fact in rule.needs:
            if fact in case.dump.broken:
                topic = case.dump.broken[fact]
                return result(Verdict.BLOCKED, blocked_by=_speaker(topic), note=f"{fact} cannot be relied on")
        missing = [fact for fact in rule.needs if fact not in case.dump.facts]
        if missing:
            return result(Verdict.NOT_APPLICABLE, note=f"the dump has no {', '.join(missing)}")
        return _tally(rule, case, level, counts)
    except Exception as error:  # a bug in a rule must not hide what the others found
        return result(Verdict.ERROR, note=f"{type(error).__name__}: {error}")


def _speaker(topic: str) -> str | None:
    return next((rule.id for rule in RULES.values() if topic in rule.reports), None)


def _checks(rule: Rule, case: Case | KernelCase) -> Iterator[Check]:
    for defect in case.dump.defects:
        if defect.topic in rule.reports:
            yield Check(defect.subject, False, defect.fault, defect.expected, defect.actual, defect.spans)
    yield from rule.check(case)


def _tally(rule: Rule, case: Case | KernelCase, level: Level, counts: bool) -> RuleResult:
    checks = failures = 0
    findings: list[Finding] = []
    for item in _checks(rule, case):
        checks += item.count
        if item.passed:
            continue
        failures += item.count
        if len(findings) < MAX_FINDINGS:
            findings.append(
                Finding(rule.id, item.subject, item.fault, item.expected, item.actual, item.spans, item.memory)
            )
    verdict = Verdict.FAIL if failures else Verdict.PASS if checks else Verdict.VACUOUS
    return RuleResult(
        rule.id, rule.title, level, rule.grade, verdict, checks, failures, tuple(findings), counts=counts
    )


def _outcome(results: tuple[RuleResult, ...]) -> tuple[Outcome, str | None]:
    for result in results:
        if result.verdict is Verdict.ERROR:
            return Outcome.INTERNAL_ERROR, f"{result.rule}: {result.note}"
    failed = any(result.verdict is Verdict.FAIL and result.counts for result in results)
    return (Outcome.NON_CONFORMANT if failed else Outcome.CONFORMANT), None
