"""Compares memory in two files, page by page, for files of many gigabytes.

Compares chunks of 256 KiB first, and single pages only where a chunk differs. Skips what is a hole in both files.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import Final

from .intervals import Range, joined
from .page import PAGE_SIZE
from .source import ByteSource

_CHUNK: Final = 1 << 18
"""Bytes. A copy of a chunk stays in the processor's cache."""
_ZEROS: Final = bytearray(1 << 20)


def _is_zero(view: memoryview) -> bool:
    size = len(_ZEROS)
    for at in range(0, len(view), size):
        piece = view[at : at + size]
        # A bytearray is compared by memcmp; two memoryviews would be compared element by element.
        if (_ZEROS if len(piece) == size else _ZEROS[: len(piece)]) != piece:
            return False
    return True


def nonzero_pages(source: ByteSource, offset: int, pages: int) -> Iterator[int]:
    """Indices of the pages that are not all zero, counted from file offset ``offset``. Skips holes of a sparse file."""
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


def differing(one: ByteSource, at: int, other: ByteSource, beside: int, size: int) -> Iterator[Range]:
    """The chunks of ``size`` bytes that differ between ``one`` at offset ``at`` and ``other`` at offset ``beside``.

    Yields ``[start, end)`` relative to the two offsets, ascending. No chunk crosses a multiple of 256 KiB.
    """
    for low, high in joined(merge(_data(one, at, size), _data(other, beside, size))):
        start = low
        while start < high:
            end = min(start - start % _CHUNK + _CHUNK, high)
            # Bytes are compared by memcmp, as above.
            if one.read(at + start, end - start) != other.read(beside + start, end - start):
                yield start, end
            start = end


def _data(source: ByteSource, at: int, size: int) -> Iterator[Range]:
    """The parts of ``size`` bytes from ``at`` on that are not holes, relative to ``at``. Bytes past the end count."""
    for start, end in source.data(at, at + size):
        yield start - at, end - at
    if source.size < at + size:
        yield max(source.size - at, 0), size


def differing_pages(one: ByteSource, at: int, other: ByteSource, beside: int, size: int) -> Iterator[int]:
    """Indices of the pages that differ, counted from ``at`` in ``one`` and ``beside`` in ``other``."""
    last = -1
    for low, high in differing(one, at, other, beside, size):
        for page in range(max(low // PAGE_SIZE, last + 1), -(-high // PAGE_SIZE)):
            length = min(PAGE_SIZE, size - page * PAGE_SIZE)
            if one.read(at + page * PAGE_SIZE, length) != other.read(beside + page * PAGE_SIZE, length):
                yield page
            last = page


def first_difference(one: bytes, other: bytes) -> int:
    """The index of the first byte that differs. The caller knows that ``one`` and ``other`` differ."""
    low, high = 0, max(len(one), len(other))
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
