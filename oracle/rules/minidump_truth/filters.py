"""Against truth and request: memory of which FILTER_MEMORY or FILTER_TRIAGE zeroed the words that they do not let pass.

Both work on words of pointer size at addresses that are multiples of it. What a filter keeps beyond the words that it
must keep is its own affair; what it must not do is to change a word into another than 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...case import Case
from ...entitlement.flags import Format, effective, stack_of
from ...entitlement.images import CODE, sections
from ...entitlement.user import outside
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing
from ...model import Grade, Level, Source, Span
from ...rule import Check, Checks, bad, ok, rule
from ...truth.process import COMMIT
from ..asserts import TRUTH

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
        self.images = _union((module.base, module.base + module.size) for module in truth.modules)
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

    def must_keep(self, word: int, on_stack: bool) -> bool:
        """Whether a word of the target has to be there still."""
        by_memory = not self.memory or not on_stack or word in self.is_stack or word in self.is_code
        return by_memory and (not self.triage or word in self.is_captured)

    def must_zero(self, word: int, on_stack: bool, in_image: bool) -> bool:
        """Whether a word of the target has to be gone."""
        if self.memory and on_stack and word not in self.is_committed:
            return True
        return self.triage and not in_image and word not in self.is_captured


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
    """``size`` bytes cut at the multiples of ``_CHUNK``: those pieces that the ascending ``parts`` touch, each once."""
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
    """The first word that is neither the target's nor zero: its start and end, and whether it might have been zero."""
    end = where + len(expected)
    for low, high in outside(view.touched, where, end):
        one, other = expected[low - where : high - where], actual[low - where : high - where]
        if one != other:
            at = next(index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
            return low + at, min(low + at + 16, high), False
    for low, high in _common(view.touched, where, end):
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
    """Aligned words of the target that a filter may have taken out, one behind the other, and the dump's."""

    address: int
    place: int
    """File offset."""
    on_stack: bool
    in_image: bool
    held: memoryview[int]
    found: memoryview[int]


def _words_of(case: Case, view: _Filter) -> Iterator[_Words]:
    """Every aligned word of the touched memory, in runs of which all lie on a stack or none, in an image or none."""
    assert case.truth is not None
    for start, end, offset in case.dump.pieces():
        for low, high, on_stack, in_image in _segments(view, start, end):
            first, last = low + -low % view.size, high - high % view.size
            for address, size, there in case.truth.readable_runs(first, last):
                # A word that is 0 in the target is nobody's to judge: its holes are not looked at.
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
    for low, high in _common(view.touched, start, end):
        cuts = {low, high}
        for runs in (view.stacks, view.images):
            cuts.update(edge for run in _common(runs, low, high) for edge in run)
        for one, other in pairwise(sorted(cuts)):
            yield one, other, one in view.is_stack, any(_common(view.images, one, one + 1))


def _numbers(data: bytes, size: int) -> memoryview[int]:
    return memoryview(data).cast("Q") if size == 8 else memoryview(data).cast("I")


def _judged(case: Case, due: Callable[[_Filter, int, _Words], bool], wrong: Callable[[int], bool]) -> Iterator[Check]:
    """Of the words that are ``due`` a check each; those are bad of which the dump's value is ``wrong``."""
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
                    expected = f"{word:#x}, which a debugger needs" if actual == 0 else "0: the filter takes it out"
                    yield bad(f"memory {words.address + at:#x}", expected, f"{actual:#x}", span)
    if right:
        yield ok("words", count=right)


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
    yield from _judged(case, lambda view, word, at: view.must_keep(word, at.on_stack), lambda actual: actual == 0)


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
    yield from _judged(
        case, lambda view, word, at: view.must_zero(word, at.on_stack, at.in_image), lambda actual: actual != 0
    )
