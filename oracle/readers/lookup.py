"""Maps addresses of the target to offsets in the file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol

from ..memory.intervals import RangeSet
from ..memory.page import PAGE_SIZE
from ..memory.source import ByteSource


class Extent(Protocol):
    """Memory ``[start, end)`` of the target, in the file at ``offset``."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Lookup:
    """Finds the captured bytes at an address. The ranges may be unsorted and may overlap."""

    def __init__(self, ranges: Iterable[Extent]) -> None:
        self.pieces: list[tuple[int, int, int]] = []
        """Sorted, disjoint ``(start, end, file offset)``. Where ranges overlap, the lower start owns the bytes."""
        top = 0
        # Of ranges with the same start the longest comes first, then the first in the file.
        rows = [(item.start, -item.end, index, item.offset) for index, item in enumerate(ranges)]
        for start, below, _, offset in sorted(rows):
            end = -below
            if end <= start:
                continue
            if start >= top:
                self.pieces.append((start, end, offset))
            elif end > top:
                self.pieces.append((top, end, offset + top - start))
            top = max(top, end)
        self._starts = [piece[0] for piece in self.pieces]
        self._held = RangeSet((start, end) for start, end, _ in self.pieces)
        self.union = self._held.runs
        """Sorted ``[start, end)`` that neither overlap nor touch."""

    def pages(self) -> int:
        """How many pages the ranges hold bytes of. Two ranges may share a page."""
        count = end = 0
        for low, high in self.union:
            first, end = max(low // PAGE_SIZE, end), -(-high // PAGE_SIZE)
            count += end - first
        return count

    def covered(self, start: int, end: int) -> bool:
        """Whether the ranges hold every byte of ``[start, end)``."""
        return end <= start or self._held.covers(start, end)

    def read(self, source: ByteSource, address: int, size: int) -> bytes | None:
        """``size`` bytes at ``address``; None unless the ranges hold all of them."""
        if size <= 0 or not self.covered(address, address + size):
            return None
        index = bisect_right(self._starts, address) - 1
        parts = []
        while size:
            start, end, offset = self.pieces[index]
            length = min(end - address, size)
            parts.append(source.view(offset + address - start, length))
            address += length
            size -= length
            index += 1
        return b"".join(parts)


def kept_lookup(source: ByteSource, ranges: Iterable[Extent]) -> Lookup:
    """The lookup of the memory of a dump. It is made once for a source; ``ranges`` are those of its only dump."""
    kept = source.kept.get("memory")
    if not isinstance(kept, Lookup):
        kept = source.kept["memory"] = Lookup(ranges)
    return kept
