"""Against truth and request: memory of which FILTER_MEMORY or FILTER_TRIAGE zeroed the words that they do not let pass.

Both work on words of pointer size at addresses that are multiples of it. What a filter keeps beyond the words that it
must keep is its own affair; what it must not do is to change a word into another than 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from ..case import Case
from ..entitle.flags import Format, effective, stack_of
from ..entitle.images import CODE, sections
from ..entitle.user import outside
from ..model import Grade, Level, Source, Span
from ..rule import Checks, bad, ok, rule
from ..truth_model import COMMIT, PAGE
from .truth_fields import TRUTH

_FILTER = Source("learn.microsoft.com DEBUG_FORMAT_XXX: FILTER_XXX; spec user-mode 2.4", Grade.DOCUMENTED)
_USEFUL = Source("spec user-mode 2.4, 6: what a stack walk needs", Grade.INFERRED)
_CHUNK = 1 << 16

Runs = list[tuple[int, int]]


def _flags(case: Case) -> Format:
    return Format(0) if case.request is None else effective(case.request)


def _filtered(case: Case) -> bool:
    return case.truth is not None and bool(_flags(case) & (Format.FILTER_MEMORY | Format.FILTER_TRIAGE))


def _union(spans: Iterable[tuple[int, int]]) -> Runs:
    union: Runs = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def _common(runs: Sequence[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of ``[start, end)`` in the sorted, disjoint ``runs``."""
    index = max(bisect_right(runs, (start, 1 << 64)) - 1, 0)
    while index < len(runs) and runs[index][0] < end:
        low, high = max(start, runs[index][0]), min(end, runs[index][1])
        if low < high:
            yield low, high
        index += 1


class _Points:
    """Whether an address lies in one of many runs."""

    def __init__(self, runs: Sequence[tuple[int, int]]) -> None:
        self._runs = runs
        self._starts = [start for start, _ in runs]

    def __contains__(self, address: int) -> bool:
        index = bisect_right(self._starts, address) - 1
        return index >= 0 and address < self._runs[index][1]


class _Filter:
    """What the filters of one request do to the memory of one target."""

    def __init__(self, case: Case) -> None:
        truth = case.truth
        assert truth is not None
        flags = _flags(case)
        self.memory = bool(flags & Format.FILTER_MEMORY)
        self.triage = bool(flags & Format.FILTER_TRIAGE)
        self.size = truth.system.pointer_size
        self.stacks = _union(stack_of(truth, thread) for thread in truth.threads)
        self.is_image = _Points(_union((module.base, module.base + module.size) for module in truth.modules))
        code = [(start, end) for _, _, start, end in sections(truth, CODE)]
        headers = [(module.base, module.base + module.size_of_headers) for module in truth.modules]
        captured = case.dump.captured()
        self.is_captured = _Points(captured)
        self.is_stack, self.is_code = _Points(self.stacks), _Points(_union(code))
        self.is_committed = _Points(
            _union((region.base, region.end) for region in truth.regions if region.state == COMMIT)
        )
        # Code, and headers, which describe it, stay as they are: the windows of instructions would be gone else.
        untouched = _union([*code, *headers])
        triaged = list(outside(untouched, 0, 1 << 64)) if self.triage else []
        self.touched = _union([*triaged, *(self.stacks if self.memory else [])])
        """Where a word may have become 0."""

    def must_keep(self, word: int, address: int) -> bool:
        """Whether a word of the target at ``address`` has to be there still."""
        walks = word in self.is_stack or word in self.is_code
        by_memory = not self.memory or walks or not self._on_stack(address)
        return by_memory and (not self.triage or word in self.is_captured)

    def must_zero(self, word: int, address: int) -> bool:
        """Whether a word of the target at ``address`` has to be gone."""
        if self.memory and self._on_stack(address) and word not in self.is_committed:
            return True
        return self.triage and address not in self.is_image and word not in self.is_captured

    def _on_stack(self, address: int) -> bool:
        return address in self.is_stack


@rule(
    "PAGE-FILTER-001",
    "Filtered memory holds the target's words, or zeros in their place",
    Level.MUST,
    _FILTER,
    TRUTH,
    needs=("memory",),
    applies=_filtered,
)
def filtered_bytes(case: Case) -> Checks:
    """The size of a dump does not change by a filter, and no byte but those of the words that it takes out: of stacks
    with FILTER_MEMORY, of anything but code with FILTER_TRIAGE.
    """
    assert case.truth is not None
    view = _Filter(case)
    for start, end, offset in case.dump.pieces():
        for address, held in case.truth.readable(start, end):
            found = case.dump.source.view(offset + address - start, len(held))
            yield from _compare(view, address, held, found, offset + address - start)


def _compare(view: _Filter, address: int, held: memoryview, found: memoryview, offset: int) -> Checks:
    for at in range(0, len(held), _CHUNK):
        expected, actual = bytes(held[at : at + _CHUNK]), bytes(found[at : at + _CHUNK])
        where = address + at
        wrong = None if expected == actual else _first_wrong(view, where, expected, actual)
        if wrong is None:
            yield ok(f"memory {where:#x}", count=-(-len(expected) // PAGE))
            continue
        start, end, zeroable = wrong
        shown = expected[start - where : end - where].hex(" ")
        acceptable = (shown, "zeros") if zeroable else (shown,)
        span = Span(offset + start - address, offset + end - address)
        yield bad(f"memory {start:#x}", acceptable, actual[start - where : end - where].hex(" "), span)


def _first_wrong(view: _Filter, where: int, expected: bytes, actual: bytes) -> tuple[int, int, bool] | None:
    """The first word that is neither the target's nor zero: its start and end, and whether it might have been zero."""
    end = where + len(expected)
    for low, high in outside(view.touched, where, end):
        one, other = expected[low - where : high - where], actual[low - where : high - where]
        if one != other:
            at = next(index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
            return low + at, min(low + at + 16, high), False
    for low, high in _common(view.touched, where, end):
        for start, stop in _words(low, high, view.size):
            word = actual[start - where : stop - where]
            if any(word) and word != expected[start - where : stop - where]:
                return start, stop, True
    return None


def _words(low: int, high: int, size: int) -> Iterator[tuple[int, int]]:
    """``[low, high)`` cut at multiples of ``size``; the first and the last part may be shorter."""
    at = low
    while at < high:
        stop = min(at - at % size + size, high)
        yield at, stop
        at = stop


def _whole_words(case: Case, view: _Filter) -> Iterator[tuple[int, int, int, int]]:
    """Every aligned word of the target, not 0, that a filter may have taken out: address, value, value in the dump, and
    its place in the file.
    """
    assert case.truth is not None
    for start, end, offset in case.dump.pieces():
        for low, high in _common(view.touched, start, end):
            first, last = low + -low % view.size, high - high % view.size
            for address, held in case.truth.readable(first, last):
                for at in range(0, len(held), _CHUNK):
                    chunk = bytes(held[at : at + _CHUNK])
                    if not any(chunk):
                        continue
                    place = offset + address + at - start
                    found = bytes(case.dump.source.view(place, len(chunk)))
                    pairs = zip(_numbers(chunk, view.size), _numbers(found, view.size), strict=True)
                    for index, (word, actual) in enumerate(pairs):
                        if word:
                            step = index * view.size
                            yield address + at + step, word, actual, place + step


def _numbers(data: bytes, size: int) -> memoryview[int]:
    return memoryview(data).cast("Q") if size == 8 else memoryview(data).cast("I")


@rule(
    "PAGE-FILTER-002",
    "The words that a filter has to let pass are there",
    Level.MUST,
    _USEFUL,
    TRUTH,
    needs=("memory",),
    applies=_filtered,
)
def kept_words(case: Case) -> Checks:
    """On a stack the addresses of code and of captured stacks: return addresses and frame pointers, without which it
    cannot be walked. With FILTER_TRIAGE whatever points into captured memory; with both what both let pass.
    """
    view = _Filter(case)
    kept = 0
    for address, word, actual, place in _whole_words(case, view):
        if not view.must_keep(word, address):
            continue
        if actual == 0:
            span = Span(place, place + view.size)
            yield bad(f"memory {address:#x}", f"{word:#x}, which a debugger needs", "0", span)
        else:
            kept += 1
    if kept:
        yield ok("words", count=kept)


@rule(
    "PAGE-FILTER-003",
    "The words that a filter has to take out are gone",
    Level.MUST,
    _FILTER,
    TRUTH,
    needs=("memory",),
    applies=_filtered,
)
def removed_words(case: Case) -> Checks:
    """Of a stack whatever is no address at all: counters, characters, keys. With FILTER_TRIAGE also addresses of memory
    that the dump does not hold, wherever they stand, images aside. Whoever asks for a filter sends the dump to others.
    """
    view = _Filter(case)
    gone = 0
    for address, word, actual, place in _whole_words(case, view):
        if not view.must_zero(word, address):
            continue
        if actual:
            span = Span(place, place + view.size)
            yield bad(f"memory {address:#x}", "0: the filter does not let it pass", f"{actual:#x}", span)
        else:
            gone += 1
    if gone:
        yield ok("words", count=gone)
