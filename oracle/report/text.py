"""The report as text: plain lines without colour.

A rule that fails is printed as

    FAIL RULE  title
      subject at offsets: actual, expected ...
        known error of the engine VERSION: what it does [ID]
      see: the rule's first source

and as ``note RULE  title [level, grade]`` when its failure does not fail the dump. A rule that fails because of another
one's finding is printed after it, with ``follows from``. At the end come the rules that were not judged, and what
blocked them, and what the limits on work left unjudged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap

from ..model import Finding, Report, RuleResult, Verdict
from ..selection import rule_of
from .numbers import numbers

MAX_SHOWN = 5
"""Findings printed for one rule."""


def render(report: Report) -> str:
    """Lines, each with a line feed: the rules that fail, then counts of rules, checks and bytes, then the outcome."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    if not report.results and report.reason is not None:
        yield f"{report.file}: {report.outcome}: {report.reason}"
        return
    for result in report.results:
        yield from _result_lines(result)
    yield from _blocked_lines(report.results)
    yield from _unjudged_lines(report)
    count = numbers(report)
    named = {
        "fail": count.failed,
        "noted": count.noted,
        "vacuous": count.vacuous,
        "not applicable": count.not_applicable,
        "blocked": count.blocked,
        "incomplete": count.incomplete,
        "error": count.errors,
    }
    others = ", ".join(f"{number} {name}" for name, number in named.items() if number)
    yield f"{count.run} rules run, {count.checks} checks" + (f" ({others})" if others else "")
    yield (
        f"{report.size} bytes: {report.claimed} claimed, {report.unclaimed} unclaimed, "
        f"{report.dont_care} don't care; {report.pages} pages captured"
    )
    if (member := report.member) is not None:
        yield (
            f"{member.name} inside, {member.size} bytes: {member.claimed} claimed, {member.unclaimed} unclaimed, "
            f"{member.dont_care} don't care"
        )
    strict = ", strict" if report.strict else ""
    if report.own:
        asked = f" ({report.qualifier})" if report.qualifier else ""
        yield f"judged against truth and request{asked}, profile {report.profile}{strict}"
    else:
        yield f"no truth given: only structural rules ran{strict}"
    tail = f": {report.reason}" if report.reason else ""
    if report.only_known_errors:
        tail = ": every failure is a known error of the vendor's engine"
    yield f"{report.file}: {report.outcome}{tail}"


def _result_lines(result: RuleResult) -> Iterator[str]:
    if result.verdict is Verdict.ERROR:
        yield f"ERROR {result.rule} {result.title}: {result.note}"
    if result.verdict is not Verdict.FAIL:
        return
    head = f"{result.rule}  {result.title}"
    yield f"FAIL {head}" if result.counts else f"note {head} [{result.level}, {result.grade}]"
    shown = result.findings[:MAX_SHOWN]
    if result.follows is not None:
        yield f"  follows from {result.follows}: {_failures(result)}"
        shown = shown[:1]
    for finding in shown:
        yield f"  {_finding_line(finding, result.inside)}"
        if finding.known is not None:
            yield f"    {finding.known}"
    if result.follows is None and result.failures > MAX_SHOWN:
        ended = "" if result.note is None else f"; {result.note}"
        yield f"  ... {result.failures} failures of {result.checks} checks{ended}"
    if result.follows is not None:
        return
    rule = rule_of(result.rule)
    if rule is not None:
        yield f"  see: {rule.sources[0].where}"


def _failures(result: RuleResult) -> str:
    """``3 failures``, and how many of them have another cause."""
    counted = f"{result.failures} {'failure' if result.failures == 1 else 'failures'}"
    return counted if result.note is None else f"{counted}; {result.note}"


def _blocked_lines(results: Iterable[RuleResult]) -> Iterator[str]:
    """The rules that were not judged, by what blocked them: one broken pointer must not look like forty failures."""
    blocked: dict[tuple[str, str | None], list[RuleResult]] = {}
    for result in results:
        if result.verdict is Verdict.BLOCKED:
            blocked.setdefault((blocker(result), result.follows), []).append(result)
    for (by, follows), rules in blocked.items():
        cause = "" if follows is None else f", which follows from {follows}"
        yield from wrap(f"not judged because of {by}{cause}:", 116, subsequent_indent="  ", break_on_hyphens=False)
        listed = ", ".join(result.rule for result in rules)
        yield from wrap(listed, 116, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _unjudged_lines(report: Report) -> Iterator[str]:
    """What was not judged because the budget of work ended, and the rules that it ended."""
    if not report.unjudged:
        return
    yield "not judged whole, because the judge limits its work:"
    for item in report.unjudged:
        yield f"  {item}"
    rules = ", ".join(result.rule for result in report.results if result.verdict is Verdict.INCOMPLETE)
    if rules:
        yield from wrap(
            f"rules without a verdict: {rules}", 116, initial_indent="  ", subsequent_indent="    ",
            break_on_hyphens=False,
        )  # fmt: skip


def blocker(result: RuleResult) -> str:
    """What blocks a rule: the rule that reports the damage, or else the fact, and the finding."""
    damage = (result.note or "").removeprefix(f"{result.fact} is damaged").removeprefix(": ")
    named = result.blocked_by or f"the fact {result.fact}"
    return f"{named} ({damage})" if damage else named


def _finding_line(finding: Finding, inside: str | None) -> str:
    expected = " or ".join(finding.expected)
    return f"{finding.subject}{_offsets(finding, inside)}: {finding.actual}, expected {expected}"


def finding_text(finding: Finding, inside: str | None = None) -> str:
    """A finding in one line, for the JUnit and SARIF reports.

    ``inside``: the member of a cabinet that the finding's offsets are in; None: the file itself.
    """
    expected = " or ".join(finding.expected)
    offsets = _offsets(finding, inside)
    known = "" if finding.known is None else f"; {finding.known}"
    return f"{finding.subject}: {finding.fault}: expected {expected}; actual {finding.actual}{offsets}{known}"


def _offsets(finding: Finding, inside: str | None) -> str:
    """``" at 0x4..0x8 of a.dmp"``; empty for a finding without spans."""
    if not finding.spans:
        return ""
    member = "" if inside is None else f" of {inside}"
    return f" at {', '.join(map(str, finding.spans))}{member}"
