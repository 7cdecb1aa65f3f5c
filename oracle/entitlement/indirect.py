"""The clauses that follow words of the stacks: windows of INDIRECT_MEMORY."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..memory.intervals import RangeSet
from .cache import computed_once
from .flags import stack_of
from .pieces import Piece
from .stacks import readable_window
from .writers import Writing

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth

_BEFORE, _BEHIND = 256, 768
"""Bytes before and after such an address (docs/format/minidump-captured-memory.md#indirect-memory-window)."""


def words(data: memoryview | bytes, size: int) -> memoryview:
    """Consecutive words of ``size`` bytes, 4 or 8. Bytes behind the last whole word are left out."""
    return memoryview(bytes(data[: len(data) // size * size])).cast("Q" if size == 8 else "I")


def stack_words(truth: ProcessTruth) -> tuple[frozenset[int], ...]:
    """For each thread the values of the aligned words in its captured stack."""
    return computed_once(truth, "stack words", lambda: tuple(_stack_words(truth)))


def _stack_words(truth: ProcessTruth) -> Iterator[frozenset[int]]:
    size = truth.system.pointer_size
    for thread in truth.threads:
        found: set[int] = set()
        for address, data in truth.readable(*stack_of(truth, thread)):
            found.update(words(data[-address % size :], size))
        yield frozenset(found)


def windows(writing: Writing) -> Iterator[Piece]:
    """The windows of the stack words that point anywhere but into a listed image.

    The word itself may point at memory that cannot be read: the readable part of its window is taken all the same. Of a
    dump such a window is dropped, and the threads behind the first with a dropped window are not known to have any
    (docs/format/minidump-memory-ranges.md#dump-targets-windows).
    """
    for found, dropped in _windows(writing):
        yield from found
        if dropped:
            return


def windows_in_doubt(writing: Writing) -> Iterator[Piece]:
    """The windows of those other threads, by a writer that was not measured."""
    if writing.of_dump and not writing.writer.stops_at_dropped_window:
        for found, _ in _windows(writing):
            yield from found


def _windows(writing: Writing) -> Iterator[tuple[list[Piece], bool]]:
    """For each thread the windows that no earlier thread has, and whether a window was dropped."""
    truth, size = writing.truth, writing.truth.system.pointer_size
    listed = RangeSet((module.base, module.base + module.size) for module in truth.modules)
    seen: set[int] = set()
    for thread, pointing in zip(truth.threads, stack_words(truth), strict=True):
        found, dropped = [], False
        if writing.writer.unaligned_sp or stack_of(truth, thread)[0] % size == 0:
            for word in sorted(word for word in pointing - seen if word not in listed):
                window = Piece(max(word - _BEFORE, 0), word + _BEHIND, f"window of the stack word {word:#x}")
                taken = list(readable_window(writing, window))
                found += taken
                dropped = dropped or not taken
            seen |= pointing
        yield found, dropped
