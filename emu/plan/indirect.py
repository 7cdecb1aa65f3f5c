"""Selects the memory of INDIRECT_MEMORY: a window around each address in a stack word.

docs/format/minidump-captured-memory.md#indirect-memory-window
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from .process_view import ProcessView, WantedRange
from .ranges import Range, merge
from .reading import words

WINDOW_BEFORE = 256
WINDOW_AFTER = 768
"""Bytes of the window before the address, and from the address on."""
INDIRECT_REASON = "INDIRECT_MEMORY: words on stacks point here"


def indirect_memory(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the windows, clipped to readable memory. A word that points into the image of a listed module gets none.

    Pointers in windows and registers are not followed
    (docs/format/minidump-captured-memory.md#indirect-memory-words).
    """
    for start, end in merge(chain.from_iterable(windows_by_thread(target))):
        yield from target.readable(start, end, INDIRECT_REASON)


def windows_by_thread(target: ProcessView) -> Iterator[list[Range]]:
    """Yield the windows of each thread that is followed. Of a dump target those that are dropped are missing.

    docs/format/minidump-memory-ranges.md#dump-targets-windows
    """
    for stack in target.stacks:
        pointers = (word for word in stack_words(target, [stack]) if word not in target.images)
        windows = [(max(word - WINDOW_BEFORE, 0), word + WINDOW_AFTER) for word in pointers]
        if not target.of_a_dump:
            yield windows
            continue
        kept = [window for window in windows if target.reading.in_one_range(*window)]
        yield kept
        if target.engine.dropped_window_ends and len(kept) < len(windows):
            return


def stack_words(target: ProcessView, stacks: Iterable[Range]) -> dict[int, None]:
    """Return the distinct words of captured stacks, in order. A stack that starts between two words has none."""
    size = target.pointer_size
    found: dict[int, None] = {}
    for start, end in dict.fromkeys(stacks):
        if start % size:
            continue
        for low, high in target.reading.parts(start, end):
            data = target.reading.view(low, high // size * size)
            if data:
                found.update(dict.fromkeys(words(data, size)))
    return found
