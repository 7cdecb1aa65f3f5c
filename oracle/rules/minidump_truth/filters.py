"""Judges memory that FILTER_MEMORY or FILTER_TRIAGE filtered, against truth and request.

Both filters zero words of pointer size at addresses that are multiples of it. A filter may keep more words than it
must. It may not change a word into another value than 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ...case import Case
from ...entitlement.flags import Format, effective, stack_of
from ...entitlement.images import CODE, sections
from ...memory.intervals import RangeSet, inside, outside, union
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing
from ...model import Grade, Level, Source, Span
from ...rule import Check, Checks, bad, ok, rule
from ...truth.process import COMMIT

_FILTERS = (
    Source("docs/format/minidump-filters.md#filter-memory", Grade.DOCUMENTED),
    Source("docs/format/minidump-filters.md#filter-triage-stack-words", Grade.DOCUMENTED),
)
_CHUNK = 1 << 16


def _flags(case: Case) -> Format:
    return Format(0) if case.request is None else effective(case.request)


def _filtered(case: Case) -> bool:
    return case.truth is not None and bool(_flags(case) & (Format.FILTER_MEMORY | Format.FILTER_TRIAGE))


class _Filter:
    """The effect of a request's filters on the memory of a target."""

    def __init__(self, case: Case) -> None:
        truth = case.truth
        assert truth is not None
        flags = _flags(case)
        self.memory = bool(flags & Format.FILTER_MEMORY)
        self.triage = bool(flags & Format.FILTER_TRIAGE)
        self.size = truth.system.pointer_size
        self.stacks = union(stack_of(truth, thread) for thread in truth.threads)
        self.images = union((module.base, module.base + module.size) for module in truth.modules)
        code = [(start, end) for _, _, start, end in sections(truth, CODE)]
        headers = [(module.base, module.base + module.size_of_headers) for module in truth.modules]
        captured = case.dump.captured()
        self.is_captured = RangeSet(captured)
        self.is_stack, self.is_code = RangeSet(self.stacks), RangeSet(code)
        self.is_committed = RangeSet((region.base, region.end) for region in truth.regions if region.state == COMMIT)
        # Code and the headers that describe it stay unchanged, or the instruction windows would be lost.
        untouched = union([*code, *headers])
        triaged = list(outside(untouched, 0, 1 << 64)) if self.triage else []
        self.touched = union([*triaged, *(self.stacks if self.memory else [])])
        """Memory in which a filter may have zeroed words."""

    def must_keep(self, word: int, on_stack: bool) -> bool:
        """Whether the dump must still hold this word of the target."""
        by_memory = not self.memory or not on_stack or word in self.is_stack or word in self.is_code
        return by_memory and (not self.triage or word in self.is_captured)

    def must_zero(self, word: int, on_stack: bool, in_image: bool) -> bool:
        """Whether the dump must hold 0 in place of this word of the target."""
        if self.memory and on_stack and word not in self.is_committed:
            return True
        return self.triage and not in_image and word not in self.is_captured


@rule(
    "PAGE-FILTER-001",
    "Filtered memory holds the target's words, or zeros in their place",
    Level.MUST,
    *_FILTERS,
    needs=("memory",),
    applies=_filtered,
)
def filtered_bytes(case: Case) -> Checks:
    """A filter does not change the size of a dump. FILTER_MEMORY changes only words of stacks, FILTER_TRIAGE only words
    outside code.
    """
    assert case.truth is not None
    view = _Filter(case)
    for start, end, offset in case.dump.pieces():
        for address, size, there in case.truth.readable_runs(start, end):
            place = offset + address - start
            wrong = differing(case.truth.contents, there, case.dump.source, place, size)
            done = 0
            for at, stop in _chunks(wrong, size):
                expected = case.truth.contents.read(there + at, stop - at)
                actual = case.dump.source.read(place + at, stop - at)
                first = _first_wrong(view, address + at, expected, actual)
                if first is not None:
                    yield _wrong_word(first, address + at, expected, actual, place + at)
                    if done < at:
                        yield ok(f"memory {address + done:#x}", count=-(-(at - done) // PAGE_SIZE))
                    done = stop
            if done < size:
                yield ok(f"memory {address + done:#x}", count=-(-(size - done) // PAGE_SIZE))


def _chunks(parts: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """``size`` bytes cut at multiples of ``_CHUNK``: the pieces that the ascending ``parts`` touch, each once."""
    end = 0
    for low, high in parts:
        for start in range(max(low - low % _CHUNK, end), high, _CHUNK):
            end = min(start + _CHUNK, size)
            yield start, end


def _wrong_word(found: tuple[int, int, bool], where: int, expected: bytes, actual: bytes, place: int) -> Check:
    start, end, zeroable = found
    part = slice(start - where, end - where)
    shown = expected[part].hex(" ")
    acceptable = (shown, "zeros") if zeroable else (shown,)
    return bad(f"memory {start:#x}", acceptable, actual[part].hex(" "), Span(place + part.start, place + part.stop))


def _first_wrong(view: _Filter, where: int, expected: bytes, actual: bytes) -> tuple[int, int, bool] | None:
    """The first word that is neither the target's nor zero: start, end, and whether zero would be right."""
    end = where + len(expected)
    for low, high in outside(view.touched, where, end):
        one, other = expected[low - where : high - where], actual[low - where : high - where]
        if one != other:
            at = next(index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
            return low + at, min(low + at + 16, high), False
    for low, high in inside(view.touched, where, end):
        first, last = low + -low % view.size, high - high % view.size
        middle = slice(first - where, last - where)
        if first < last and _all_right(expected[middle], actual[middle], view):
            parts = [(low, min(first, high)), (max(last, low), high)]
        else:
            parts = list(_words(low, high, view.size))
        for start, stop in parts:
            word = actual[start - where : stop - where]
            if any(word) and word != expected[start - where : stop - where]:
                return start, stop, True
    return None


def _all_right(expected: bytes, actual: bytes, view: _Filter) -> bool:
    """Whether every whole word is the target's or 0."""
    pairs = set(zip(_numbers(expected, view.size), _numbers(actual, view.size), strict=True))
    return all(found in (0, held) for held, found in pairs)


def _words(low: int, high: int, size: int) -> Iterator[tuple[int, int]]:
    """``[low, high)`` cut at multiples of ``size``; the first and the last part may be shorter."""
    at = low
    while at < high:
        stop = min(at - at % size + size, high)
        yield at, stop
        at = stop


@dataclass(frozen=True, slots=True)
class _Words:
    """Consecutive aligned words that a filter may have zeroed: the target's (``held``) and the dump's (``found``)."""

    address: int
    place: int
    """File offset."""
    on_stack: bool
    in_image: bool
    held: memoryview[int]
    found: memoryview[int]


def _words_of(case: Case, view: _Filter) -> Iterator[_Words]:
    """Every aligned word of the touched memory. A run lies wholly on or off a stack, and in or out of an image."""
    assert case.truth is not None
    for start, end, offset in case.dump.pieces():
        for low, high, on_stack, in_image in _segments(view, start, end):
            first, last = low + -low % view.size, high - high % view.size
            for address, size, there in case.truth.readable_runs(first, last):
                # A filter leaves a word that is 0 at 0, so holes of the truth are skipped.
                data = case.truth.contents.data(there, there + size)
                for at, stop in _chunks(((low - there, high - there) for low, high in data), size):
                    chunk = case.truth.contents.read(there + at, stop - at)
                    if not any(chunk):
                        continue
                    place = offset + address + at - start
                    found = case.dump.source.read(place, len(chunk))
                    numbers = (_numbers(chunk, view.size), _numbers(found, view.size))
                    yield _Words(address + at, place, on_stack, in_image, *numbers)


def _segments(view: _Filter, start: int, end: int) -> Iterator[tuple[int, int, bool, bool]]:
    for low, high in inside(view.touched, start, end):
        cuts = {low, high}
        for runs in (view.stacks, view.images):
            cuts.update(edge for run in inside(runs, low, high) for edge in run)
        for one, other in pairwise(sorted(cuts)):
            yield one, other, one in view.is_stack, any(inside(view.images, one, one + 1))


def _numbers(data: bytes, size: int) -> memoryview[int]:
    return memoryview(data).cast("Q") if size == 8 else memoryview(data).cast("I")


def _judged(case: Case, due: Callable[[_Filter, int, _Words], bool], wrong: Callable[[int], bool]) -> Iterator[Check]:
    """One check for each word that is ``due``; it fails if the dump's value is ``wrong``."""
    view = _Filter(case)
    right = 0
    for words in _words_of(case, view):
        for (word, actual), count in Counter(zip(words.held, words.found, strict=True)).items():
            if not word or not due(view, word, words):
                continue
            if not wrong(actual):
                right += count
                continue
            for index, pair in enumerate(zip(words.held, words.found, strict=True)):
                if pair == (word, actual):
                    at = index * view.size
                    span = Span(words.place + at, words.place + at + view.size)
                    expected = f"{word:#x}, which a debugger needs" if actual == 0 else "0: the filter removes it"
                    yield bad(f"memory {words.address + at:#x}", expected, f"{actual:#x}", span)
    if right:
        yield ok("words", count=right)


@rule(
    "PAGE-FILTER-002",
    "The words that a filter must keep are in the dump",
    Level.MUST,
    *_FILTERS,
    needs=("memory",),
    applies=_filtered,
)
def kept_words(case: Case) -> Checks:
    """A filter must keep the words of a stack that are addresses of code or of captured stacks. They are return
    addresses and frame pointers, without which nobody can walk the stack. FILTER_TRIAGE keeps all words that point into
    captured memory. With both filters only the words that meet both conditions stay.
    """
    yield from _judged(case, lambda view, word, at: view.must_keep(word, at.on_stack), lambda actual: actual == 0)


@rule(
    "PAGE-FILTER-003",
    "The words that a filter must remove are not in the dump",
    Level.MUST,
    *_FILTERS,
    needs=("memory",),
    applies=_filtered,
)
def removed_words(case: Case) -> Checks:
    """FILTER_MEMORY removes the words of a stack that are no address of the target: counters, characters, keys.
    FILTER_TRIAGE also removes addresses of memory that the dump does not hold, everywhere except in images. Users
    request a filter because they send the dump to others.
    """
    yield from _judged(
        case, lambda view, word, at: view.must_zero(word, at.on_stack, at.in_image), lambda actual: actual != 0
    )
