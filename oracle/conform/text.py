"""The results of a conformance run as lines of text, without colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..shown import shown
from .results import Summary, Verdict

_COMMON = 12
"""Rules or facts that the totals name."""


def render(summary: Summary, *, everything: bool = False) -> Iterator[str]:
    """The failing cases with the first finding of each rule or fact (or ``everything``), then the totals.

    What the command said is escaped.
    """
    yield from map(shown, _lines(summary, everything=everything))


def _lines(summary: Summary, *, everything: bool) -> Iterator[str]:
    left = 0
    for result in summary.results:
        if result.fails:
            first, *more = list(result.lines(everything=everything)) or [""]
            yield f"FAIL {result.case}: {result.verdict}: {first}"
            yield from (f"     {line}" for line in more)
            left += sum(problem.total - 1 for problem in result.problems)
    for result in summary.known:
        yield f"known {result.case}: {result.verdict}: {result.known}"
    for reason, cases in summary.skipped().items():
        yield f"skipped {len(cases)} {'case' if len(cases) == 1 else 'cases'}: {reason} ({_few(cases)})"
    if left and not everything:
        yield f"{left} more {'finding' if left == 1 else 'findings'} of the same rules or facts: --all-findings"
    yield from _totals(summary)


def _few(cases: tuple[str, ...]) -> str:
    return f"{cases[0]}, ..." if len(cases) > 1 else cases[0]


def _totals(summary: Summary) -> Iterator[str]:
    if by_name := summary.problems():
        named = list(by_name.items())[:_COMMON]
        more = f", {len(by_name) - _COMMON} more" if len(by_name) > _COMMON else ""
        what = "broken" if summary.role == "writer" else "misread"
        yield f"{what}: {', '.join(f'{name} (in {_cases(len(cases))})' for name, cases in named)}{more}"
    skipped = sum(result.verdict is Verdict.SKIPPED for result in summary.results)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in summary.verdicts().items())
    unit = "checks" if summary.role == "writer" else "facts and checks"
    yield f"{len(summary.results)} cases, {summary.judged} judged, {skipped} skipped; {counts}; {summary.checks} {unit}"
    if summary.facts:
        yield from _coverage(summary)
    known = f", {len(summary.known)} known" if summary.known else ""
    yield f"{summary.outcome.upper()}: {len(summary.failing)} failing{known}"


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def _coverage(summary: Summary) -> Iterator[str]:
    """How many facts the reader reported, and which it left out."""
    held, compared = (Counter(path.partition(".")[0] for path in paths) for paths in (summary.facts, summary.compared))
    yield f"compares {len(summary.compared)} of {len(summary.facts)} facts"
    partly = [f"{name} ({compared[name]} of {held[name]})" for name in held if 0 < compared[name] < held[name]]
    lacking = [name for name in held if not compared[name]]
    if partly:
        yield f"  partly reported: {', '.join(partly)}"
    if lacking:
        yield f"  not reported: {', '.join(lacking)}"
