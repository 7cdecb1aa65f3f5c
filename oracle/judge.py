"""Reads a file, runs the rules that apply, and builds the report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, filterfalse, islice, repeat
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from .budget import MAX_EXPANSION, Work
from .case import AnyCase, CabinetCase, Case, FileCase, KernelCase, KernelReplayer, Replayer, UserdumpCase
from .known_errors import recognised
from .memory.source import ByteSource
from .model import Fault, Finding, MemberReport, Outcome, Report, RuleResult, Span, Unjudged, Verdict
from .readers.dump import read_dump
from .readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, Identity, identify
from .readers.reading import MAX_DEFECTS
from .rule import PASSED, RULES, Check, Rule
from .rules import FILE, KINDS
from .selection import Selected, SelectionError, selection, without_facts, without_failure

if TYPE_CHECKING:
    from .diagnosis.cause import Results
    from .readers.cab_facts import Cabinet
    from .readers.facts import Dump
    from .readers.kernel_dump import KernelDump
    from .readers.userdump_facts import UserDump
    from .truth.load import RequestTruth, Truth

MAX_FINDINGS: Final = 20
"""How many findings of one rule are kept. ``RuleResult.failures`` counts all."""
_FEW: Final = 32
"""Checks of a rule that are looked at together."""
_FAIL, _ERROR = Verdict.FAIL, Verdict.ERROR
_CHECKS, _FAILURES = Work.CHECKS, Work.FAILURES
"""Kept here, since Enum looks a member up each time."""
_DumpCase = Case | KernelCase | UserdumpCase


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
    max_expansion: int = MAX_EXPANSION,
) -> Report:
    """Judge ``source``. The parameters are those of ``checking.check``, already loaded or open.

    Never raises on content; a rule that raises ends as verdict ERROR. Raises SelectionError for arguments, MemoryError,
    and OSError for a file that cannot be read or that changes meanwhile.
    """
    if (truth is None) != (request is None):
        raise SelectionError("expected both a truth and the request of the dump, found only one of them")
    judged = _Judged(truth, request, replay, profile, strict, tuple(select), tuple(skip))
    identity = identify(source)
    rules = judged.rules(identity.kind)
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
    if identity.kind == CABINET:
        from .readers.cab import read_cabinet  # noqa: PLC0415 - as the readers of dumps

        return _judge_cabinet(read_cabinet(source, max_expansion), report, judged)
    case, why = judged.case(source, identity)
    if case is None:
        return replace(report, reason=why)
    results = _results(rules, {identity.kind: case, FILE: FileCase(case.dump, truth, request)})
    return _concluded(report, case, _diagnosed(case, results, rules, judged))


def _diagnosed(case: _DumpCase, results: Results, rules: Iterable[Selected], judged: _Judged) -> Results:
    """The results of a dump, sorted by cause. The trials run no dump: a replay takes long."""
    if _FAIL not in _verdicts(results):
        return results
    from .diagnosis.cause import with_causes  # noqa: PLC0415 - sound dumps do not need it

    without_replay = judged._replace(replay=None)

    def again(source: ByteSource) -> tuple[AnyCase, Results] | None:
        identity = identify(source)
        edited, _ = without_replay.case(source, identity)
        if edited is None or identity.kind != case.dump.kind:
            return None
        cases = {identity.kind: edited, FILE: FileCase(edited.dump, judged.truth, judged.request)}
        return edited, _results(rules, cases)

    return with_causes(case, results, again)


def _default_profile(kind: str) -> str:
    """The profile of a dump without a request."""
    return "portable" if kind == KERNEL_DUMP else "modern"


class _Judged(NamedTuple):
    """The arguments that a dump is judged with."""

    truth: Truth | None
    request: RequestTruth | None
    replay: Replayer | KernelReplayer | None
    profile: str | None
    strict: bool
    select: tuple[str, ...]
    skip: tuple[str, ...]

    def rules(self, *kinds: str) -> tuple[Selected, ...]:
        """The rules for a file of ``kinds``, by id. Raises SelectionError for a pattern that matches no rule."""
        known = tuple(kind for kind in (FILE, *kinds) if kind in KINDS)
        return selection(known, self.select, self.skip, self.truth is not None, self.strict)

    def case(self, source: ByteSource, identity: Identity) -> tuple[_DumpCase | None, str]:
        """The case of a dump; or None, and why ``source`` cannot be judged."""
        machine = self.truth if self.truth is not None and self.truth.mode == "kernel" else None
        process = self.truth if self.truth is not None and self.truth.mode == "user" else None
        if identity.kind == KERNEL_DUMP and process is not None:
            return None, f"{identity.description}; the truth describes a process"
        if identity.kind in (MINIDUMP, USERDUMP) and machine is not None:
            return None, f"{identity.description}; the truth describes a whole machine"
        dump = read_dump(identity.kind, source)
        # The kind of a reading is compared, not its class: a reader is imported for a file of its kind only.
        if identity.kind == KERNEL_DUMP:
            replay = cast("KernelReplayer | None", self.replay)
            return KernelCase(cast("KernelDump", dump), machine, self.request, replay), ""
        if identity.kind == MINIDUMP:
            return Case(cast("Dump", dump), process, self.request, cast("Replayer | None", self.replay)), ""
        if identity.kind == USERDUMP:
            return UserdumpCase(cast("UserDump", dump), process, self.request), ""
        return None, identity.description


def _judge_cabinet(cabinet: Cabinet, report: Report, judged: _Judged) -> Report:
    """Judge the cabinet by the rules of cabinets, and the first dump inside by its own rules."""
    wrapper = CabinetCase(cabinet, judged.truth, judged.request)
    cases: dict[str, AnyCase] = {FILE: FileCase(cabinet, judged.truth, judged.request), CABINET: wrapper}
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
    rules = judged.rules(*cases)
    results = _results(rules, cases, None if member is None else member.name)
    if member is not None and case is not None:
        inner = [selected for selected in rules if selected.rule.kind == kind]
        mine = tuple(result for result in results if result.inside == member.name)
        others = tuple(result for result in results if result.inside != member.name)
        results = others + _diagnosed(case, mine, inner, judged)
    concluded = _concluded(report, wrapper, results, case)
    if case is None and concluded.outcome is Outcome.CONFORMANT:
        return replace(concluded, outcome=Outcome.NOT_A_DUMP, reason=why)
    return concluded


def _results(
    rules: Iterable[Selected], cases: Mapping[str, AnyCase], member: str | None = None
) -> tuple[RuleResult, ...]:
    """The results of the rules that have a case in ``cases``. ``member`` names the cabinet member that is a dump."""
    if member is None:
        return tuple([selected.fixed or _run(selected, cases[selected.rule.kind]) for selected in rules])
    return tuple(
        result if selected.rule.kind in (FILE, CABINET) else replace(result, inside=member)
        for selected, result in zip(rules, _results(rules, cases), strict=True)
    )


def _concluded(
    report: Report, case: _DumpCase | CabinetCase, results: tuple[RuleResult, ...], dump: _DumpCase | None = None
) -> Report:
    """``report`` with the outcome and the byte counts of ``case``. ``dump`` is the case of the dump in a cabinet."""
    readings = [each.dump for each in (case, dump) if each is not None]
    unjudged = tuple(item for each in readings for item in each.budget.unjudged)
    outcome, reason = _outcome(results, unjudged)
    reading, held = case.dump, case if dump is None else dump
    if outcome is Outcome.NON_CONFORMANT:
        reason = _other_architecture(held)
    return replace(
        report,
        outcome=outcome,
        results=results,
        claimed=reading.accounting.claimed,
        unclaimed=reading.accounting.unclaimed,
        pages=0 if isinstance(held, CabinetCase) else held.dump.pages_held(),
        dont_cares=tuple(reading.dont_cares),
        reason=reason,
        unjudged=unjudged,
    )


def _other_architecture(case: AnyCase) -> str | None:
    """In one line, what explains the findings of a dump that was judged against the truth of another target."""
    if not isinstance(case, Case | UserdumpCase) or case.truth is None:
        return None
    found, expected = case.dump.architecture, case.truth.system.architecture
    return None if found in (None, expected) else f"a dump of {found}; the truth describes a process of {expected}"


def _run(selected: Selected, case: AnyCase) -> RuleResult:
    try:
        if not selected.always and not selected.rule.applies(case):
            return selected.not_applicable
        if not selected.needs <= case.dump.facts:
            return _not_run(selected, case)
        return _judged(selected, case)
    except (OSError, MemoryError):  # trouble of the host says nothing about the dump
        raise
    except Exception as error:  # a bug in one rule must not hide what the others found
        return selected.result(Verdict.ERROR, note=f"{type(error).__name__}: {error}")


def _not_run(selected: Selected, case: AnyCase) -> RuleResult:
    """The result of a rule that needs a fact that is damaged, was not read whole, or that the dump does not have."""
    needs, dump = selected.rule.needs, case.dump
    for fact in needs if dump.broken or dump.unread else ():
        if fact in dump.broken:
            note = _damage(case, fact)
            return selected.result(Verdict.BLOCKED, blocked_by=reporting_rule(dump.broken[fact]), note=note, fact=fact)
        if fact in dump.unread:
            return selected.result(Verdict.INCOMPLETE, note=f"{fact} was not read whole", fact=fact)
    return without_facts(selected, tuple(filterfalse(dump.facts.__contains__, needs)))


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


def _reported(rule: Rule, case: AnyCase) -> Iterator[Check]:
    for defect in case.dump.defects:
        if defect.topic in rule.reports:
            yield Check(defect.subject, False, defect.fault, defect.expected, defect.actual, defect.spans)
    for topic in rule.reports:
        hidden = case.dump.defects_of(topic) - MAX_DEFECTS
        if hidden > 0:
            yield Check("further entries", False, Fault.WRONG, ("none",), f"{hidden} more", count=hidden)


def _judged(selected: Selected, case: AnyCase) -> RuleResult:
    """The result of a rule that applies. Most rules make a few equal checks, which need no look at each."""
    rule, dump = selected.rule, case.dump
    budget = dump.budget
    notes = budget.notes
    items: Iterator[Check] = rule.check(case)
    if rule.reports and dump.defects:
        items = chain(_reported(rule, case), items)
    few = list(islice(items, _FEW))
    made = len(few)
    if not (made < _FEW and all(map(is_, few, repeat(PASSED))) and made <= budget.left(_CHECKS)):
        return _tally(selected, case, chain(few, items), notes)
    budget.spend(_CHECKS, made)
    return without_failure(selected, made) if made or budget.notes == notes else _unavailable(selected)


def _unavailable(selected: Selected) -> RuleResult:
    return selected.result(Verdict.INCOMPLETE, note="what the rule judges was not available")


def _tally(selected: Selected, case: AnyCase, items: Iterator[Check], notes: int) -> RuleResult:
    """The result of a rule that makes the checks ``items``. ``notes`` is the number of the budget's before it ran."""
    rule, dump = selected.rule, case.dump
    checks = failures = known = made = 0
    findings: list[Finding] = []
    budget, note = dump.budget, None
    checks_left, failures_left = budget.left(_CHECKS), max(budget.left(_FAILURES), 1)
    for item in items:
        if made == checks_left:
            note = "the limit on checks ended the rule"
            break
        if failures >= failures_left:  # what follows cannot change the verdict
            note = "the limit on failures ended the rule: there may be more"
            break
        made += 1
        checks += item.count
        if item.passed:
            continue
        failures += item.count
        error = recognised(rule.id, case, item)
        known += item.count if error is not None else 0
        if len(findings) < MAX_FINDINGS:
            spans = tuple(_clipped(span, dump.source.size) for span in item.spans)
            findings.append(
                Finding(rule.id, item.subject, item.fault, item.expected, item.actual, spans, item.memory, error)
            )
    budget.spend(_CHECKS, made)
    if failures:
        budget.spend(_FAILURES, failures)
        told = 0 if note is not None else known
        return selected.result(Verdict.FAIL, checks, failures, tuple(findings), known=told, note=note)
    if note is not None:
        budget.leave(rule.id, budget.limit(_CHECKS), checks, None)
        return selected.result(Verdict.INCOMPLETE, checks, note=note)
    if not checks and budget.notes > notes:
        return _unavailable(selected)
    return without_failure(selected, checks)


def _clipped(span: Span, size: int) -> Span:
    """The part of ``span`` inside the file. A damaged file names more bytes than readers of reports can count."""
    return span if span.end <= size else Span(min(span.start, size), size)


def _outcome(results: tuple[RuleResult, ...], unjudged: tuple[Unjudged, ...]) -> tuple[Outcome, str | None]:
    verdicts = _verdicts(results)
    if _ERROR in verdicts:
        error = next(result for result in results if result.verdict is _ERROR)
        return Outcome.INTERNAL_ERROR, f"{error.rule}: {error.note}"
    failed = _FAIL in verdicts and any(result.counts for result in results if result.verdict is _FAIL)
    if failed or not unjudged:
        return (Outcome.NON_CONFORMANT if failed else Outcome.CONFORMANT), None
    more = f"; and {len(unjudged) - 1} more" if len(unjudged) > 1 else ""
    return Outcome.INCOMPLETE, f"{unjudged[0]}{more}"


def _verdicts(results: Results) -> set[Verdict]:
    return set(map(attrgetter("verdict"), results))
