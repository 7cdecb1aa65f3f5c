"""From an address of the target to bytes of the file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol

from ..memory.source import ByteSource


class Extent(Protocol):
    """``[start, end)`` of the target's addresses, in the file from ``offset`` on."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Lookup:
    """Address -> file offset over ranges that may come unsorted and overlapping: one sweep, then bisection."""

    def __init__(self, ranges: Iterable[Extent]) -> None:
        self.pieces: list[tuple[int, int, int]] = []
        """Sorted, disjoint ``(start, end, offset)``; where ranges overlap, the one that starts lower owns the bytes."""
        self.union: list[tuple[int, int]] = []
        top = 0
        for item in sorted(ranges, key=lambda item: (item.start, -item.end)):
            start = max(item.start, top)
            if item.end <= start:
                continue
            self.pieces.append((start, item.end, item.offset + start - item.start))
            if self.union and self.union[-1][1] >= start:
                self.union[-1] = (self.union[-1][0], item.end)
            else:
                self.union.append((start, item.end))
            top = item.end
        self._starts = [piece[0] for piece in self.pieces]
        self._union_starts = [piece[0] for piece in self.union]

    def covered(self, start: int, end: int) -> bool:
        index = bisect_right(self._union_starts, start) - 1
        return end <= start or (index >= 0 and end <= self.union[index][1])

    def read(self, source: ByteSource, address: int, size: int) -> bytes | None:
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
