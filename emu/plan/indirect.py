"""Selects the memory of INDIRECT_MEMORY: a window around each address in a stack word.

docs/format/minidump-captured-memory.md#indirect-memory-window
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from .process_view import ProcessView, WantedRange
from .reading import words

WINDOW_BEFORE = 256
WINDOW_AFTER = 768
"""Bytes of the window before the address, and from the address on."""
_REASON = "INDIRECT_MEMORY: words on stacks point here"


def indirect_memory(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the windows, clipped to readable memory. Windows that overlap or touch are joined. A word that points into
    the image of a listed module gets no window. Pointers in windows and registers are not followed
    (docs/format/minidump-captured-memory.md#indirect-memory-words).
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
    """Return the distinct pointer-aligned words of the captured stacks."""
    size = target.pointer_size
    found: set[int] = set()
    for start, end in set(target.stacks):
        data = target.reading.view(-(-start // size) * size, end // size * size)
        if data:
            found.update(words(data, size))
    return found
