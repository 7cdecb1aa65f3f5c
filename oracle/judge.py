"""Reads a file, runs the rules that apply, and builds the report."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, cast

from .case import AnyCase, CabinetCase, Case, FileCase, KernelCase, KernelReplayer, Replayer, UserdumpCase
from .diagnosis.cause import Results, with_causes
from .known_errors import recognised
from .memory.intervals import union
from .memory.page import PAGE_SIZE
from .memory.source import ByteSource
from .model import Finding, Grade, Level, MemberReport, Outcome, Report, RuleResult, Verdict
from .readers.cab import read_cabinet
from .readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, Identity, identify
from .readers.kernel import read_kernel
from .readers.kernel_dump import KernelDump
from .readers.minidump import read_minidump
from .readers.userdump import read_userdump
from .rule import RULES, Check, Rule
from .truth.load import RequestTruth, Truth

MAX_FINDINGS: Final = 20
"""How many findings of one rule are kept. ``RuleResult.failures`` counts all."""
_FILE: Final = "file"
"""The kind of the rules that judge the file itself."""
MAX_EXPANSION: Final = 2
"""A cabinet may expand to this many times the target's memory: it may hold images and symbols, too."""
_DumpCase = Case | KernelCase | UserdumpCase

GRADES_THAT_FAIL_FOREIGN: Final = frozenset(Grade) - {Grade.INFERRED}
"""Grades of the rules that can fail a dump without a truth. Rules that are only inferred cannot."""


class SelectionError(ValueError):
    """A ``select`` or ``skip`` pattern matches no rule, or a truth is given without a request."""


def all_rules() -> dict[str, Rule]:
    """Every rule, by id."""
    importlib.import_module(".rules", __package__)
    return dict(sorted(RULES.items()))


def judge(
    source: ByteSource,
    truth: Truth | None = None,
    request: RequestTruth | None = None,
    *,
    profile: str | None = None,
    select: Collection[str] = (),
    skip: Collection[str] = (),
    strict: bool = False,
    replay: Replayer | KernelReplayer | None = None,
) -> Report:
    """Judge ``source``. The parameters are those of ``checking.check``, already loaded or open.

    Never raises on content; a rule that raises ends as verdict ERROR. Raises SelectionError for arguments.
    """
    if (truth is None) != (request is None):
        raise SelectionError("expected both a truth and the request of the dump, found only one of them")
    rules = _selected(select, skip)
    identity = identify(source)
    report = Report(
        outcome=Outcome.NOT_A_DUMP,
        file=source.name,
        kind=identity.kind,
        size=source.size,
        profile=profile or _default_profile(identity.kind),
        strict=strict,
        own=truth is not None,
        qualifier=None if request is None else request.qualifier,
        results=(),
        claimed=0,
        unclaimed=0,
        pages=0,
        reason=identity.description,
    )
    judged = _Judged(truth, request, replay, profile)
    if identity.kind == CABINET:
        return _judge_cabinet(source, report, rules, judged)
    case, why = judged.case(source, identity)
    if case is None:
        return replace(report, reason=why)
    results = _results(rules, {identity.kind: case, _FILE: FileCase(case.dump, truth, request)}, strict)
    return _concluded(report, case, _diagnosed(case, results, rules, judged, strict))


def _diagnosed(case: _DumpCase, results: Results, rules: list[Rule], judged: _Judged, strict: bool) -> Results:
    """The results of a dump, sorted by cause. The trials run no dump: a replay takes long."""
    without_replay = replace(judged, replay=None)

    def again(source: ByteSource) -> tuple[AnyCase, Results] | None:
        identity = identify(source)
        edited, _ = without_replay.case(source, identity)
        if edited is None or identity.kind != case.dump.kind:
            return None
        cases = {identity.kind: edited, _FILE: FileCase(edited.dump, judged.truth, judged.request)}
        return edited, _results(rules, cases, strict)

    return with_causes(case, results, again)


def _default_profile(kind: str) -> str:
    """The profile of a dump without a request."""
    return "portable" if kind == KERNEL_DUMP else "modern"


@dataclass(frozen=True, slots=True)
class _Judged:
    """The arguments that a dump is judged with."""

    truth: Truth | None
    request: RequestTruth | None
    replay: Replayer | KernelReplayer | None
    profile: str | None

    @property
    def memory(self) -> int:
        """The size of the target's memory, in bytes; 0 if there is no truth."""
        if self.truth is None:
            return 0
        if self.truth.mode == "kernel":
            return PAGE_SIZE * sum(run.page_count for run in self.truth.physical_runs)
        return self.truth.contents.size

    def case(self, source: ByteSource, identity: Identity) -> tuple[_DumpCase | None, str]:
        """The case of a dump; or None, and why ``source`` cannot be judged."""
        machine = self.truth if self.truth is not None and self.truth.mode == "kernel" else None
        process = self.truth if self.truth is not None and self.truth.mode == "user" else None
        if identity.kind == KERNEL_DUMP:
            if process is not None:
                return None, f"{identity.description}; the truth describes a process"
            replay = cast("KernelReplayer | None", self.replay)
            return KernelCase(read_kernel(source), machine, self.request, replay), ""
        if identity.kind in (MINIDUMP, USERDUMP) and machine is not None:
            return None, f"{identity.description}; the truth describes a whole machine"
        if identity.kind == MINIDUMP:
            return Case(read_minidump(source), process, self.request, cast("Replayer | None", self.replay)), ""
        if identity.kind == USERDUMP:
            return UserdumpCase(read_userdump(source), process, self.request), ""
        return None, identity.description


def _judge_cabinet(source: ByteSource, report: Report, rules: list[Rule], judged: _Judged) -> Report:
    """Judge the cabinet by the rules of cabinets, and the first dump inside by its own rules."""
    cabinet = read_cabinet(source, MAX_EXPANSION * judged.memory)
    cases: dict[str, AnyCase] = {
        _FILE: FileCase(cabinet, judged.truth, judged.request),
        CABINET: CabinetCase(cabinet, judged.truth, judged.request),
    }
    case, why = None, f"{report.reason}: no dump that can be read is"
    member, kind = next(iter(cabinet.dumps()), (None, ""))
    if member is not None:
        assert member.source is not None
        case, why = judged.case(member.source, identify(member.source))
        if case is None:
            return replace(report, reason=f"{member.name} in a cabinet: {why}")
        cases[kind] = case
        report = replace(report, profile=judged.profile or _default_profile(kind), member=MemberReport(
            member.name, kind, member.source.size, case.dump.accounting.claimed, case.dump.accounting.unclaimed,
            sum(len(item.span) for item in case.dump.dont_cares),
        ))  # fmt: skip
    results = _results(rules, cases, report.strict, None if member is None else member.name)
    if member is not None and case is not None:
        inner = [rule for rule in rules if rule.kind == kind]
        mine = tuple(result for result in results if result.inside == member.name)
        others = tuple(result for result in results if result.inside != member.name)
        results = others + _diagnosed(case, mine, inner, judged, report.strict)
    concluded = _concluded(report, cases[CABINET], results, case)
    if case is None and concluded.outcome is Outcome.CONFORMANT:
        return replace(concluded, outcome=Outcome.NOT_A_DUMP, reason=why)
    return concluded


def _results(
    rules: list[Rule], cases: Mapping[str, AnyCase], strict: bool, member: str | None = None
) -> tuple[RuleResult, ...]:
    """The results of the rules that have a case in ``cases``. ``member`` names the cabinet member that is a dump."""
    results = []
    for rule in rules:
        if rule.kind in cases:
            result = _run(rule, cases[rule.kind], strict)
            whole = member is None or rule.kind in (_FILE, CABINET)
            results.append(result if whole else replace(result, inside=member))
    return tuple(results)


def _concluded(report: Report, case: AnyCase, results: tuple[RuleResult, ...], dump: _DumpCase | None = None) -> Report:
    """``report`` with the outcome and the byte counts of ``case``. ``dump`` is the case of the dump in a cabinet."""
    outcome, reason = _outcome(results)
    reading, pages = case.dump, case if dump is None else dump
    if outcome is Outcome.NON_CONFORMANT:
        reason = _other_architecture(pages)
    return replace(
        report,
        outcome=outcome,
        results=results,
        claimed=reading.accounting.claimed,
        unclaimed=reading.accounting.unclaimed,
        pages=_pages(pages),
        dont_cares=tuple(reading.dont_cares),
        reason=reason,
    )


def _other_architecture(case: AnyCase) -> str | None:
    """In one line, what explains the findings of a dump that was judged against the truth of another target."""
    if not isinstance(case, Case | UserdumpCase) or case.truth is None:
        return None
    found, expected = case.dump.architecture, case.truth.system.architecture
    return None if found in (None, expected) else f"a dump of {found}; the truth describes a process of {expected}"


def _pages(case: AnyCase) -> int:
    """How many of the target's pages the file holds bytes of. Each page counts once."""
    if isinstance(case, CabinetCase | FileCase):
        return 0
    dump = case.dump
    if isinstance(dump, KernelDump) and dump.paged:
        return dump.pages.held(dump.source.size)
    # Two ranges may share a page.
    pages = union((start // PAGE_SIZE, -(-end // PAGE_SIZE)) for start, end in dump.captured())
    return sum(end - start for start, end in pages)


def _selected(select: Collection[str], skip: Collection[str]) -> list[Rule]:
    rules = all_rules()
    chosen = _matching(rules, select) if select else set(rules)
    left = _matching(rules, skip)
    return [rule for id_, rule in rules.items() if id_ in chosen and id_ not in left]


def _matching(rules: Mapping[str, Rule], patterns: Collection[str]) -> set[str]:
    """The ids that match any of the patterns. Raises SelectionError for a pattern that matches none."""
    found: set[str] = set()
    for pattern in patterns:
        here = {pattern} if pattern in rules else {id_ for id_ in rules if fnmatchcase(id_, pattern)}
        if not here:
            raise SelectionError(f"no rule matches {pattern!r}")
        found |= here
    return found


def _counts(rule: Rule, level: Level, own: bool, strict: bool) -> bool:
    if strict:
        return level is not Level.MAY
    return level is Level.MUST and (own or rule.grade in GRADES_THAT_FAIL_FOREIGN)


def _run(rule: Rule, case: AnyCase, strict: bool) -> RuleResult:
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
                blocked = result(Verdict.BLOCKED, blocked_by=reporting_rule(topic), note=_damage(case, fact))
                return replace(blocked, fact=fact)
        missing = [fact for fact in rule.needs if fact not in case.dump.facts]
        if missing:
            return result(Verdict.NOT_APPLICABLE, note=f"the dump has no {', '.join(missing)}")
        return _tally(rule, case, level, counts)
    except Exception as error:  # a bug in one rule must not hide what the others found
        return result(Verdict.ERROR, note=f"{type(error).__name__}: {error}")


def _damage(case: AnyCase, fact: str) -> str:
    """The finding that broke ``fact``, in one line."""
    topic = case.dump.broken[fact]
    defect = next((defect for defect in case.dump.defects if defect.topic == topic), None)
    if defect is None:
        return f"{fact} is damaged"
    return f"{fact} is damaged: {defect.subject}: {defect.actual}, expected {' or '.join(defect.expected)}"


def reporting_rule(topic: str) -> str | None:
    """The id of the rule that reports defects of ``topic``; None if no rule does."""
    return next((rule.id for rule in RULES.values() if topic in rule.reports), None)


def _checks(rule: Rule, case: AnyCase) -> Iterator[Check]:
    for defect in case.dump.defects:
        if defect.topic in rule.reports:
            yield Check(defect.subject, False, defect.fault, defect.expected, defect.actual, defect.spans)
    yield from rule.check(case)


def _tally(rule: Rule, case: AnyCase, level: Level, counts: bool) -> RuleResult:
    checks = failures = known = 0
    findings: list[Finding] = []
    for item in _checks(rule, case):
        checks += item.count
        if item.passed:
            continue
        failures += item.count
        error = recognised(rule.id, case, item)
        known += item.count if error is not None else 0
        if len(findings) < MAX_FINDINGS:
            findings.append(
                Finding(rule.id, item.subject, item.fault, item.expected, item.actual, item.spans, item.memory, error)
            )
    verdict = Verdict.FAIL if failures else Verdict.PASS if checks else Verdict.VACUOUS
    return RuleResult(
        rule.id, rule.title, level, rule.grade, verdict, checks, failures, tuple(findings), counts=counts, known=known
    )


def _outcome(results: tuple[RuleResult, ...]) -> tuple[Outcome, str | None]:
    for result in results:
        if result.verdict is Verdict.ERROR:
            return Outcome.INTERNAL_ERROR, f"{result.rule}: {result.note}"
    failed = any(result.verdict is Verdict.FAIL and result.counts for result in results)
    return (Outcome.NON_CONFORMANT if failed else Outcome.CONFORMANT), None
