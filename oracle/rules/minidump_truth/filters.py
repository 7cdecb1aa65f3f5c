"""Judges memory that FILTER_MEMORY or FILTER_TRIAGE filtered, against truth and request.

A filter replaces words of captured stacks by its fill. It may not change them into other values, and no other memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...case import Case
from ...entitlement.flags import Format, active_filter, stack_of
from ...entitlement.indirect import Survivors, survivors_of, words
from ...memory.intervals import RangeSet, inside, outside, union
from ...model import Grade, Level, Source, Span
from ...rule import Check, Checks, bad, ok, rule
from ...truth.process import ProcessTruth
from .pages import compared

_ENGINES = ("15063", "29507")
_TRIAGE = Source("docs/format/minidump-filters.md#filter-triage-stack-words", Grade.WITNESSED, versions=_ENGINES)
_MEMORY = Source("docs/format/minidump-filters.md#filter-memory", Grade.OBSERVED)
_CHUNK = 1 << 16
_FILL = 0xAA
"""The byte that FILTER_TRIAGE writes. FILTER_MEMORY writes zeros."""


def _filter_of(case: Case) -> Format:
    return Format(0) if case.request is None else active_filter(case.request)


def _filtered(case: Case) -> bool:
    return case.truth is not None and bool(_filter_of(case))


def _triaged(case: Case) -> bool:
    return case.truth is not None and _filter_of(case) is Format.FILTER_TRIAGE


class _Filter:
    """The effect of a request's filter on the memory of a target."""

    def __init__(self, case: Case) -> None:
        truth = case.truth
        assert truth is not None
        triage = _filter_of(case) is Format.FILTER_TRIAGE
        self.size = truth.system.pointer_size
        self.fill = int.from_bytes(bytes([_FILL if triage else 0]) * self.size, "little")
        stacks = [stack_of(truth, thread) for thread in truth.threads]
        # FILTER_TRIAGE leaves a stack alone that does not begin at a word.
        self.stacks = union(stack for stack in stacks if not triage or not stack[0] % self.size)
        """Memory in which a filter may have replaced words."""
        ranges = {(found.start, found.end) for found in case.dump.memory}
        self.merged = [stack for stack in self.stacks if stack not in ranges]
        """The stacks that are no ranges of their own. Engine 15063 does not filter them."""
        self.kept: Survivors | RangeSet = survivors_of(truth) if triage else _pointers(truth)
        self.captured = RangeSet(case.dump.captured())
        """Engine 15063 keeps the addresses of all that it captures."""


def _pointers(truth: ProcessTruth) -> RangeSet:
    """Addresses that dbghelp 6.12 keeps: of listed images and captured stacks."""
    modules = ((module.base, module.base + module.size) for module in truth.modules)
    return RangeSet([*modules, *(stack_of(truth, thread) for thread in truth.threads)])


@dataclass(frozen=True, slots=True)
class _Words:
    """Consecutive aligned words of a stack: the target's (``held``) and the dump's (``found``)."""

    address: int
    place: int
    """File offset."""
    held: memoryview
    found: memoryview


def _words_of(case: Case, view: _Filter, stacks: list[tuple[int, int]]) -> Iterator[_Words]:
    assert case.truth is not None
    for start, end, offset in case.dump.pieces():
        for low, high in inside(stacks, start, end):
            first, last = low + -low % view.size, high - high % view.size
            for address, size, there in case.truth.readable_runs(first, last):
                for at in range(0, size, _CHUNK):
                    length = min(_CHUNK, size - at)
                    place = offset + address + at - start
                    held = words(case.truth.contents.read(there + at, length), view.size)
                    yield _Words(address + at, place, held, words(case.dump.source.read(place, length), view.size))


def _untouched(case: Case, view: _Filter, stack: tuple[int, int]) -> bool:
    """Whether no word of a stack was filtered."""
    pairs = (pair for run in _words_of(case, view, [stack]) for pair in zip(run.held, run.found, strict=True))
    return not any(actual == view.fill != word for word, actual in pairs)


def _judged(
    case: Case, wrong: Callable[[_Filter, int, int], str | None], *, merged_too: bool = True
) -> Iterator[Check]:
    """One check for each word of the captured stacks. ``wrong`` says what is expected in place of a wrong word. Without
    ``merged_too`` a stack that is merged with another range and not filtered is left out.
    """
    view = _Filter(case)
    left_out = [] if merged_too else [stack for stack in view.merged if _untouched(case, view, stack)]
    right = 0
    for run in _words_of(case, view, [stack for stack in view.stacks if stack not in left_out]):
        for (word, actual), count in Counter(zip(run.held, run.found, strict=True)).items():
            expected = wrong(view, word, actual)
            if expected is None:
                right += count
                continue
            for index, pair in enumerate(zip(run.held, run.found, strict=True)):
                if pair == (word, actual):
                    at = index * view.size
                    span = Span(run.place + at, run.place + at + view.size)
                    yield bad(f"memory {run.address + at:#x}", expected, f"{actual:#x}", span)
    if right:
        yield ok("words", count=right)


@rule(
    "PAGE-FILTER-001",
    "Filtered memory holds the target's bytes, or the filter's fill in place of words of stacks",
    Level.MUST,
    _TRIAGE,
    _MEMORY,
    needs=("memory",),
    applies=_filtered,
)
def filtered_bytes(case: Case) -> Checks:
    """A filter does not change the size of a dump, and changes only words of captured stacks. FILTER_TRIAGE fills with
    0xAA, FILTER_MEMORY of dbghelp 6.12 with zeros. The vendor's engine changes no byte for FILTER_MEMORY.
    """
    assert case.truth is not None
    view = _Filter(case)
    for start, end, offset in case.dump.pieces():
        for low, high in outside(view.stacks, start, end):
            for run in case.truth.readable_runs(low, high):
                yield from compared(case.dump.source, offset + run[0] - start, case.truth.contents, run)

    def wrong(view: _Filter, word: int, actual: int) -> str | None:
        return None if actual in (word, view.fill) else f"{word:#x}, or {view.fill:#x} in its place"

    yield from _judged(case, wrong)


@rule(
    "PAGE-FILTER-002",
    "The words that a filter must keep are in the dump",
    Level.MUST,
    _TRIAGE,
    _MEMORY,
    needs=("memory",),
    applies=_filtered,
)
def kept_words(case: Case) -> Checks:
    """A filter must keep the words of a stack that are addresses of images or of captured stacks. They are return
    addresses and frame pointers, without which nobody can walk the stack. FILTER_TRIAGE also keeps addresses of words
    that are such addresses.
    """

    def wrong(view: _Filter, word: int, actual: int) -> str | None:
        lost = actual == view.fill != word and word in view.kept
        return f"{word:#x}, which a debugger needs" if lost else None

    yield from _judged(case, wrong)


@rule(
    "PAGE-FILTER-003",
    "The words that FILTER_TRIAGE must remove are not in the dump",
    Level.MUST,
    _TRIAGE,
    needs=("memory",),
    applies=_triaged,
)
def removed_words(case: Case) -> Checks:
    """FILTER_TRIAGE removes the words of a stack that do not lead to an image or to memory in the dump: counters,
    characters, keys. Users request a filter because they send the dump to others. A stack that is merged with another
    range, such as a window of INDIRECT_MEMORY, may stay as it is, but then as a whole.
    """

    def wrong(view: _Filter, word: int, actual: int) -> str | None:
        kept = actual != view.fill and word not in view.kept and word not in view.captured
        return f"{view.fill:#x}: the filter removes {word:#x}" if kept else None

    yield from _judged(case, wrong, merged_too=False)
