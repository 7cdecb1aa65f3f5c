"""The report for people: plain lines, no colour, no terminal library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from textwrap import wrap

from ..model import Finding, Report, RuleResult, Verdict

MAX_SHOWN = 5
"""Findings printed of one rule."""


def render(report: Report) -> str:
    """Lines, each ended by a line feed: what failed, then the denominators and the outcome."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    if not report.results and report.reason is not None:
        yield f"{report.file}: {report.outcome}: {report.reason}"
        return
    for result in report.results:
        yield from _result_lines(result)
    yield from _blocked_lines(report.results)
    verdicts = Counter(result.verdict for result in report.results)
    ran = sum(verdicts[verdict] for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.VACUOUS))
    others = ", ".join(
        f"{verdicts[verdict]} {verdict.lower().replace('_', ' ')}"
        for verdict in (Verdict.FAIL, Verdict.VACUOUS, Verdict.NOT_APPLICABLE, Verdict.BLOCKED, Verdict.ERROR)
        if verdicts[verdict]
    )
    yield f"{ran} rules run, {report.checks} checks" + (f" ({others})" if others else "")
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
    yield f"{report.file}: {report.outcome}{tail}"


def _result_lines(result: RuleResult) -> Iterator[str]:
    if result.verdict is Verdict.ERROR:
        yield f"ERROR {result.rule} {result.title}: {result.note}"
    if result.verdict is not Verdict.FAIL:
        return
    word = "FAIL" if result.counts else "note"
    yield f"{word} {result.rule} [{result.level}, {result.grade}] {result.title}"
    for finding in result.findings[:MAX_SHOWN]:
        yield f"  {finding_text(finding, result.inside)}"
    if result.failures > MAX_SHOWN:
        yield f"  ... {result.failures} failures of {result.checks} checks"


def _blocked_lines(results: Iterable[RuleResult]) -> Iterator[str]:
    """One line for each rule that blocked others: one broken pointer must not look like forty failures."""
    blocked: dict[str | None, list[str]] = {}
    for result in results:
        if result.verdict is Verdict.BLOCKED:
            blocked.setdefault(result.blocked_by, []).append(result.rule)
    for by, rules in blocked.items():
        line = f"not judged because of {by}: {', '.join(rules)}"
        yield from wrap(line, 116, subsequent_indent="  ", break_on_hyphens=False)


def finding_text(finding: Finding, inside: str | None = None) -> str:
    """``inside``: the member of a cabinet that the finding's spans are offsets in."""
    where = f" at {', '.join(str(span) for span in finding.spans)}" if finding.spans else ""
    if where and inside is not None:
        where += f" of {inside}"
    expected = " or ".join(finding.expected)
    return f"{finding.subject}: {finding.fault}: expected {expected}; actual {finding.actual}{where}"
