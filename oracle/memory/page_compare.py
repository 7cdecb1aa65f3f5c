"""Comparing gigabytes of pages at the speed of memory: whole chunks first, single pages only where a chunk differs.
What is a hole in both files is the same, and is not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Final

from .page import PAGE_SIZE
from .source import ByteSource

_CHUNK: Final = 1 << 18
"""Bytes. Small enough that what is copied stays in the processor's cache."""
_ZEROS: Final = bytearray(1 << 20)

Range = tuple[int, int]


def _is_zero(view: memoryview) -> bool:
    size = len(_ZEROS)
    for at in range(0, len(view), size):
        piece = view[at : at + size]
        # A bytearray compares itself with any buffer by memcmp; two memoryviews would go element by element.
        if (_ZEROS if len(piece) == size else _ZEROS[: len(piece)]) != piece:
            return False
    return True


def nonzero_pages(source: ByteSource, offset: int, pages: int) -> Iterator[int]:
    """Indices of the pages from ``offset`` on that are not zero. Holes of a sparse file are not read."""
    last = -1
    for start, end in source.data(offset, offset + pages * PAGE_SIZE):
        first, stop = (start - offset) // PAGE_SIZE, -(-(end - offset) // PAGE_SIZE)
        for index in range(max(first, last + 1), stop, _CHUNK // PAGE_SIZE):
            many = min(_CHUNK // PAGE_SIZE, stop - index)
            view = source.view(offset + index * PAGE_SIZE, many * PAGE_SIZE)
            if _is_zero(view):
                continue
            for page in range(many):
                if not _is_zero(view[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]):
                    yield index + page
        last = max(last, stop - 1)


def joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """Ranges in ascending order of their starts, those that overlap or touch made one."""
    last: Range | None = None
    for start, end in ranges:
        if last is not None and start <= last[1]:
            last = last[0], max(last[1], end)
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last


def differing(one: ByteSource, at: int, other: ByteSource, beside: int, size: int) -> Iterator[Range]:
    """Where ``size`` bytes of two files, from the offsets ``at`` and ``beside`` on, are not the same: chunks with a
    difference in them, relative to their start, in order. None of them crosses a multiple of 256 KiB.
    """
    buffer = bytearray(min(_CHUNK, size))
    window = memoryview(buffer)
    for low, high in joined(merge(_data(one, at, size), _data(other, beside, size))):
        start = low
        while start < high:
            end = min(start - start % _CHUNK + _CHUNK, high)
            mine, theirs = one.view(at + start, end - start), other.view(beside + start, end - start)
            if len(mine) == len(theirs) == len(buffer):
                window[:] = mine
                same = buffer == theirs  # a bytearray by memcmp, as above
            else:
                same = bytes(mine) == bytes(theirs)
            if not same:
                yield start, end
            start = end


def _data(source: ByteSource, at: int, size: int) -> Iterator[Range]:
    """The parts of ``size`` bytes from ``at`` on that are no holes, relative to ``at``. Behind the end is no hole."""
    for start, end in source.data(at, at + size):
        yield start - at, end - at
    if source.size < at + size:
        yield max(source.size - at, 0), size


def differing_pages(one: ByteSource, at: int, other: ByteSource, beside: int, size: int) -> Iterator[int]:
    """Indices of the pages, counted from ``at`` and ``beside``, that are not the same in both files."""
    last = -1
    for low, high in differing(one, at, other, beside, size):
        for page in range(max(low // PAGE_SIZE, last + 1), -(-high // PAGE_SIZE)):
            length = min(PAGE_SIZE, size - page * PAGE_SIZE)
            if one.read(at + page * PAGE_SIZE, length) != other.read(beside + page * PAGE_SIZE, length):
                yield page
            last = page


def first_difference(one: bytes, other: bytes) -> int:
    """The index of the first byte that is not the same; there is one."""
    low, high = 0, max(len(one), len(other))
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
