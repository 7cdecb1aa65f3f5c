"""Judges memory that FILTER_MEMORY or FILTER_TRIAGE filtered, against truth and request.

A filter replaces words of captured stacks by its fill. It may not change them into other values, and no other memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from ...case import Case
from ...entitlement.duty import Duty
from ...entitlement.flags import Format, active_filter, effective, stack_of
from ...memory.intervals import RangeSet, inside, outside
from ...model import Grade, Level, Source, Span
from ...rule import Check, Checks, bad, ok, rule
from ..asserts import of_a_dump
from .pages import compared
from .triage import FILL

if TYPE_CHECKING:
    from ...entitlement.survival import Survival
    from ...truth.process import ProcessTruth, RequestTruth

_ENGINES = ("15063", "29507")
_TRIAGE = Source("docs/format/minidump-filters.md#filter-triage-stack-words", Grade.WITNESSED, versions=_ENGINES)
_MEMORY = Source("docs/format/minidump-filters.md#filter-memory", Grade.OBSERVED)
_CAPTURED = Source(
    "docs/format/minidump-filters.md#filter-triage-captured-memory", Grade.WITNESSED, versions=("15063",)
)
_BUCKET, _WIDE_BUCKET = 0x800, 0x1_0000
"""Bytes of a bucket of the engine's list of ranges; the second with PRIVATE_READ_WRITE_MEMORY
(docs/format/minidump-memory-ranges.md#order-of-memory-ranges)."""
_STACKS = ("stacks", "stacks with a part of the TEB", "bridged gaps")
"""The clauses whose memory a filter changes, or may."""
_FOLLOWING_WORDS = Format.INDIRECT_MEMORY | Format.FILTER_TRIAGE
"""Flags that add memory to which words of stacks point."""
_CHUNK = 1 << 16


def _filter_of(case: Case) -> Format:
    return Format(0) if case.request is None else active_filter(case.request)


def _filtered(case: Case) -> bool:
    return case.truth is not None and bool(_filter_of(case))


def _triaged(case: Case) -> bool:
    return case.truth is not None and _filter_of(case) is Format.FILTER_TRIAGE


class _Filter:
    """The effect of a request's filter on the memory of a target."""

    def __init__(self, case: Case) -> None:
        from ...entitlement.survival import survival_of  # noqa: PLC0415 - only dumps with a truth need it

        truth, request = case.truth, case.request
        assert truth is not None
        assert request is not None
        triage = _filter_of(case) is Format.FILTER_TRIAGE
        self.size = truth.system.pointer_size
        self.fill = int.from_bytes(bytes([FILL if triage else 0]) * self.size, "little")
        found = ((*stack_of(truth, thread), index) for index, thread in enumerate(truth.threads))
        # FILTER_TRIAGE leaves a stack alone that does not begin at a word.
        owned = list(_disjoint(each for each in found if not triage or not each[0] % self.size))
        self.owned = [(start, end) for start, end, _ in owned]
        """Memory in which a filter may have replaced words, by the thread whose stack it is."""
        self._owners = [thread for _, _, thread in owned]
        self._survival: Survival | RangeSet = survival_of(truth, request) if triage else _pointers(truth)
        self._stacks = RangeSet(stack_of(truth, thread) for thread in truth.threads)
        self._captured = _Captured(case.dump.captured(), request)
        others = [grant for grant in case.entitlement.grants if grant.clause.name not in _STACKS]
        self.others = _Captured((span for grant in others for span in grant.union), request)
        """Other memory that the dump may hold. FILTER_TRIAGE of engine 15063 leaves the stack words in it alone."""
        self._exact = triage and request.contract == "e15063" and of_a_dump(case)
        """Whether it was measured what becomes of words in other memory, and of words that point at it."""
        due = [grant for grant in others if grant.duty is Duty.MUST and not grant.clause.flags & _FOLLOWING_WORDS]
        self.untouched = RangeSet(span for grant in due for span in grant.union) if self._exact else None
        """Memory whose words no filter replaces, though they lie in stacks. None if that was not measured."""

    def owner(self, address: int) -> int:
        """The index of the thread whose stack holds the address."""
        return self._owners[bisect_right(self.owned, (address, inf)) - 1]

    def keeps(self, word: int, thread: int) -> bool | None:
        """Whether the word survives in the stack of that thread for what it points at; None if nothing tells."""
        if isinstance(self._survival, RangeSet):
            return word in self._survival
        kept = self._survival.keeps_word(word, thread)
        if kept is not True and word in self._captured:
            return True if self._exact or word in self._stacks else None
        return kept


class _Captured:
    """Captured ranges as the engine finds them. The end of a range counts as a part of it, unless the address is the
    first of a bucket (docs/format/minidump-filters.md#filter-triage-captured-memory).
    """

    def __init__(self, ranges: Iterable[tuple[int, int]], request: RequestTruth) -> None:
        found = list(ranges)
        self._held = RangeSet(found)
        self._ends = frozenset(end for _, end in found)
        wide = effective(request) & Format.PRIVATE_READ_WRITE_MEMORY
        self._bucket = _WIDE_BUCKET if wide else _BUCKET

    def __contains__(self, address: int) -> bool:
        return address in self._held or (address in self._ends and address % self._bucket != 0)


def _disjoint(stacks: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """``(start, end, thread)``, ascending. A part of two stacks belongs to the one that begins first."""
    at = 0
    for start, end, index in sorted(stacks):
        if max(start, at) < end:
            yield max(start, at), end, index
            at = end


def _pointers(truth: ProcessTruth) -> RangeSet:
    """Addresses that dbghelp 6.12 keeps: of listed images and captured stacks."""
    modules = ((module.base, module.base + module.size) for module in truth.modules)
    return RangeSet([*modules, *(stack_of(truth, thread) for thread in truth.threads)])


@dataclass(frozen=True, slots=True)
class _Words:
    """Consecutive aligned words of a stack: the target's (``held``) and the dump's (``found``)."""

    thread: int
    """Index of the thread whose stack it is."""
    address: int
    place: int
    """File offset."""
    held: memoryview
    found: memoryview


def _words_of(case: Case, view: _Filter) -> Iterator[_Words]:
    from ...entitlement.indirect import words  # noqa: PLC0415 - only dumps with a truth need it

    assert case.truth is not None
    for start, end, offset in case.dump.pieces():
        for low, high in inside(view.owned, start, end):
            first, last, thread = low + -low % view.size, high - high % view.size, view.owner(low)
            for address, size, there in case.truth.readable_runs(first, last):
                for at in range(0, size, _CHUNK):
                    length = min(_CHUNK, size - at)
                    place = offset + address + at - start
                    held = words(case.truth.contents.read(there + at, length), view.size)
                    found = words(case.dump.source.read(place, length), view.size)
                    yield _Words(thread, address + at, place, held, found)


def _judged(
    case: Case,
    view: _Filter,
    wrong: Callable[[int, int, int], str | None],
    spared: Callable[[int, int, int], bool] = lambda _thread, _word, _address: False,
) -> Iterator[Check]:
    """One check for each word of the captured stacks. ``wrong`` takes the index of a thread, the target's word and the
    dump's, and says what is expected in place of a wrong word. ``spared`` takes thread, word and address, and tells
    where such a word is right all the same.
    """
    right = 0
    for run in _words_of(case, view):
        for (word, actual), count in Counter(zip(run.held, run.found, strict=True)).items():
            expected = wrong(run.thread, word, actual)
            if expected is None:
                right += count
                continue
            for index, pair in enumerate(zip(run.held, run.found, strict=True)):
                at = index * view.size
                if pair != (word, actual):
                    continue
                if spared(run.thread, word, run.address + at):
                    right += 1
                else:
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
        for low, high in outside(view.owned, start, end):
            for run in case.truth.readable_runs(low, high):
                yield from compared(case.dump.source, offset + run[0] - start, case.truth.contents, run)

    def wrong(_thread: int, word: int, actual: int) -> str | None:
        return None if actual in (word, view.fill) else f"{word:#x}, or {view.fill:#x} in its place"

    yield from _judged(case, view, wrong)


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

    view = _Filter(case)

    def wrong(thread: int, word: int, actual: int) -> str | None:
        lost = actual == view.fill != word and (view.untouched is not None or view.keeps(word, thread))
        return f"{word:#x}, which a debugger needs" if lost else None

    def spared(thread: int, word: int, address: int) -> bool:
        return not view.keeps(word, thread) and (view.untouched is None or address not in view.untouched)

    yield from _judged(case, view, wrong, spared)


@rule(
    "PAGE-FILTER-003",
    "The words that FILTER_TRIAGE must remove are not in the dump",
    Level.MUST,
    _TRIAGE,
    _CAPTURED,
    needs=("memory",),
    applies=_triaged,
)
def removed_words(case: Case) -> Checks:
    """FILTER_TRIAGE removes the words of a stack that do not lead to an image or to memory in the dump: counters,
    characters, keys. Users request a filter because they send the dump to others. Words of a stack that lie in other
    memory of the dump too, such as a window of INDIRECT_MEMORY, may stay.
    """
    view = _Filter(case)

    def wrong(thread: int, word: int, actual: int) -> str | None:
        kept = actual != view.fill and view.keeps(word, thread) is False
        return f"{view.fill:#x}: the filter removes {word:#x}" if kept else None

    yield from _judged(case, view, wrong, lambda _thread, _word, address: address in view.others)
