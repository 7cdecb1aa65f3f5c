"""Tries each possible cause: undo it, judge again, and keep it if failures disappear with it.

The failures that disappear follow from the cause. One finding, the first of the first such rule, names the amount.
Each trial judges the dump once. So their number is limited, and a detector proposes only what many places of the file
agree on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from ..budget import Work
from ..case import AnyCase, Case, KernelCase, UserdumpCase
from ..memory.edited import EditedSource
from ..memory.source import ByteSource
from ..model import Fault, Finding, RuleResult, Span, Verdict
from .addresses import shifted_addresses
from .kernel_pages import shifted_pages
from .lists import shifted_lists
from .memory import shifted_memory, shifted_userdump_memory
from .neighbours import exchanged_entries
from .placement import shifted_streams
from .pointers import shifted_pointers
from .proposal import Proposal

MAX_CAUSES = 4
"""Causes that are looked for in one dump, one after the other."""
MAX_TRIALS = 32
"""Proposals that are tried for one dump."""
_WORK = 150_000
"""The work of all trials of a dump: thrice its rows and ten times its records. A dump with long lists has none."""
_OF_ONE_DETECTOR = 8

Results = tuple[RuleResult, ...]
Again = Callable[[ByteSource], "tuple[AnyCase, Results] | None"]
"""Judges an edited file: its case and its results; None if it cannot be judged."""

_PASSED = (Verdict.PASS, Verdict.VACUOUS)
_NOT_JUDGED = (Verdict.BLOCKED, Verdict.INCOMPLETE)
_MINIDUMP = (
    shifted_streams, shifted_pointers, shifted_lists, exchanged_entries, shifted_addresses, shifted_memory,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Trial:
    proposal: Proposal
    source: EditedSource
    case: AnyCase
    results: Results
    score: tuple[int, int]


def with_causes(case: AnyCase, results: Results, again: Again) -> Results:
    """``results`` with the causes that were found, sorted by cause."""
    found: dict[str, Finding] = {}
    follows: dict[str, str] = {}
    left: dict[str, int] = {}
    origins: list[EditedSource] = []
    now, budget = results, [_trials(case)]
    while budget[0] and len(found) < MAX_CAUSES and any(result.verdict is Verdict.FAIL for result in now):
        trial = _best(case, now, again, budget)
        if trial is None:
            break
        after = {result.rule: result for result in trial.results}
        explained = [result for result in now if _explained(result, after.get(result.rule))]
        carrier = _carrier(explained, found)
        found[carrier] = _finding(carrier, trial.proposal, origins)
        for result in explained:
            follows.setdefault(result.rule, carrier)
            if result.verdict is Verdict.FAIL:
                left[result.rule] = after[result.rule].failures
        case, now = trial.case, trial.results
        origins.append(trial.source)
    causes, blockers = list(found), {result.blocked_by for result in results}
    told = _told(results, found, follows, left)
    return tuple(sorted(told, key=lambda result: _place(result, causes, blockers)))


def _trials(case: AnyCase) -> int:
    """How many proposals may be tried. A dump that was not judged whole has none: its failures cannot be compared."""
    budget = case.dump.budget
    done = 10 * budget.spent(Work.RECORDS) + 3 * budget.spent(Work.ROWS) + 3 * budget.spent(Work.RANGES)
    return 0 if budget.ended else min(MAX_TRIALS, _WORK // (done + 1))


def _best(case: AnyCase, results: Results, again: Again, budget: list[int]) -> _Trial | None:
    """The proposal that explains most failures. The search ends when one explains nearly all."""
    before = {result.rule: result for result in results}
    wrong = sum(result.verdict is Verdict.FAIL for result in results)
    best: _Trial | None = None
    for detector in _detectors(case):
        for proposal in islice(detector, min(_OF_ONE_DETECTOR, budget[0])):
            budget[0] -= 1
            source = EditedSource(case.dump.source, proposal.edits)
            judged = again(source)
            if judged is None:
                continue
            score = _score(before, judged[1])
            if score[0] > 0 and (best is None or score > best.score):
                best = _Trial(proposal, source, judged[0], judged[1], score)
                if not any(result.verdict is Verdict.FAIL for result in judged[1]):
                    return best
        if best is not None and 4 * sum(result.verdict is Verdict.FAIL for result in best.results) <= wrong:
            return best
    return best


def _detectors(case: AnyCase) -> Iterator[Iterator[Proposal]]:
    if isinstance(case, Case):
        yield from (detector(case) for detector in _MINIDUMP)
    elif isinstance(case, KernelCase):
        yield shifted_pages(case)
    elif isinstance(case, UserdumpCase):
        yield shifted_userdump_memory(case)


def _score(before: Mapping[str, RuleResult], results: Results) -> tuple[int, int]:
    """How many rules more are right than before, and how many failures less there are."""
    rules = failures = 0
    for after in results:
        was = before[after.rule]
        failures += was.failures - after.failures
        if was.verdict is Verdict.FAIL and after.verdict in _PASSED:
            rules += 2
        elif was.verdict is Verdict.FAIL and after.verdict is Verdict.FAIL:
            rules += _explained(was, after)
        elif after.verdict is Verdict.FAIL and was.verdict is not Verdict.FAIL:
            rules -= 1  # also one that was blocked: what the edits uncover must be sound
        elif after.verdict in _NOT_JUDGED and was.verdict not in _NOT_JUDGED:
            rules -= 2
    return rules, failures


def _explained(was: RuleResult, after: RuleResult | None) -> bool:
    """Whether a failure or a block disappears with the cause, at least for the most part."""
    if after is None:
        return False
    if was.verdict is Verdict.BLOCKED:
        return after.verdict not in _NOT_JUDGED
    if was.verdict is not Verdict.FAIL:
        return False
    return after.verdict in (*_PASSED, Verdict.NOT_APPLICABLE) or (
        after.verdict is Verdict.FAIL and 2 * after.failures <= was.failures
    )


def _carrier(explained: list[RuleResult], found: Mapping[str, Finding]) -> str:
    """The rule whose finding names the cause: one that fails the dump, if there is one."""
    failing = [result for result in explained if result.verdict is Verdict.FAIL]
    free = [result for result in failing if result.rule not in found] or failing
    return min(free, key=lambda result: (not result.counts, result.rule)).rule


def _finding(rule: str, proposal: Proposal, origins: list[EditedSource]) -> Finding:
    spans = []
    for span in proposal.spans:
        start, end = span.start, span.end
        for source in reversed(origins):
            start, end = source.origin(start), source.origin(end - 1) + 1
        spans.append(Span(start, end))
    return Finding(
        rule, proposal.subject, Fault.WRONG, (proposal.expected,), proposal.actual, tuple(spans), shift=proposal.shift
    )


def _told(
    results: Results, found: Mapping[str, Finding], follows: Mapping[str, str], left: Mapping[str, int]
) -> Iterator[RuleResult]:
    """The results, each with its cause. What follows from a cause keeps one finding."""
    for result in results:
        cause = follows.get(result.rule)
        if cause is None:
            yield result
            continue
        remain = left.get(result.rule, 0)
        findings = result.findings if remain else result.findings[:1]
        note = f"{remain} of the failures have another cause" if remain else result.note
        if result.rule in found:
            findings = (found[result.rule], *findings)
        yield replace(result, findings=findings, note=note, follows=None if cause == result.rule else cause)


def _place(result: RuleResult, causes: list[str], blockers: set[str | None]) -> tuple[int, int]:
    """The place of a result in the report: each cause, what fails because of it; rules that block others; the others
    that fail; the rest.
    """
    if result.verdict is not Verdict.FAIL:
        return len(causes) + 2, 0
    if result.rule in causes:
        return causes.index(result.rule), 0
    if result.follows in causes:
        return causes.index(result.follows), 1
    return len(causes) + (result.rule not in blockers), 0
