"""Comparing gigabytes of pages at the speed of memory: whole chunks first, single pages only where a chunk differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .source import ByteSource

PAGE: Final = 0x1000
_CHUNK: Final = 1 << 18
"""Bytes. Small enough that what is copied stays in the processor's cache."""
_ZEROS: Final = bytearray(1 << 20)


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
    for start, end in source.data(offset, offset + pages * PAGE):
        first, stop = (start - offset) // PAGE, -(-(end - offset) // PAGE)
        for index in range(max(first, last + 1), stop, _CHUNK // PAGE):
            many = min(_CHUNK // PAGE, stop - index)
            view = source.view(offset + index * PAGE, many * PAGE)
            if _is_zero(view):
                continue
            for page in range(many):
                if not _is_zero(view[page * PAGE : (page + 1) * PAGE]):
                    yield index + page
        last = max(last, stop - 1)


def differing_pages(source: ByteSource, offset: int, expected: memoryview) -> Iterator[int]:
    """Indices of the pages of ``expected`` that the file does not hold byte for byte from ``offset`` on."""
    buffer = bytearray(min(_CHUNK, len(expected)))
    window = memoryview(buffer)
    for at in range(0, len(expected), _CHUNK):
        wanted = expected[at : at + _CHUNK]
        actual = source.view(offset + at, len(wanted))
        if len(actual) == len(buffer) == len(wanted):
            window[:] = wanted
            same = buffer == actual
        else:
            same = bytes(wanted) == bytes(actual)
        if same:
            continue
        for page in range(0, len(wanted), PAGE):
            if bytes(wanted[page : page + PAGE]) != bytes(actual[page : page + PAGE]):
                yield (at + page) // PAGE
