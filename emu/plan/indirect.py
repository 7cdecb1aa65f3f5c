"""INDIRECT_MEMORY: a window around whatever a stack word points to (spec user-mode 2.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from .process_view import ProcessView, WantedRange
from .reading import words

WINDOW_BEFORE = 256
WINDOW_AFTER = 768
"""Bytes before and from the address on (1086 of 1091 words in 3 files)."""
_REASON = "INDIRECT_MEMORY: words on stacks point here"


def indirect_memory(target: ProcessView) -> Iterator[WantedRange]:
    """The windows, those that overlap or touch as one; clipped where the page before or after cannot be read.

    Words into the image of a listed module have none, and no pointer is followed from a window or a register.
    """
    pointers = sorted(_stack_words(target))
    for run_start, run_end in target.reading.readable.ranges:
        start = end = -1
        for word in pointers[bisect_left(pointers, run_start) : bisect_left(pointers, run_end)]:
            if word in target.images:
                continue
            low, high = max(word - WINDOW_BEFORE, run_start), min(word + WINDOW_AFTER, run_end)
            if low > end:
                if start < end:
                    yield WantedRange(start, end, _REASON)
                start = low
            end = high
        if start < end:
            yield WantedRange(start, end, _REASON)


def _stack_words(target: ProcessView) -> set[int]:
    """The distinct pointer-aligned words of what is captured of the stacks."""
    size = target.pointer_size
    found: set[int] = set()
    for start, end in set(target.stacks):
        data = target.reading.view(-(-start // size) * size, end // size * size)
        if data:
            found.update(words(data, size))
    return found
