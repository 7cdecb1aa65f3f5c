"""Which of a snapshot's addresses can be read, and what is there, asked many times."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from ..constants import MEM_COMMIT, readable_protection
from ..snapshot.model import MemoryRun, ProcessSnapshot
from .ranges import Range, RangeSet, subtract

_WORDS = {4: "I", 8: "Q"}
"""struct's codes of unsigned numbers, by size."""


class Reading:
    """The memory of a snapshot with an index over its runs: every question costs a binary search."""

    def __init__(self, snapshot: ProcessSnapshot) -> None:
        self._runs = snapshot.memory
        self._starts = [run.start for run in snapshot.memory]
        self.readable = RangeSet(tuple((run.start, run.end) for run in snapshot.memory))
        """All that can be read; no two ranges touch."""
        accessible = (
            (region.base, region.end)
            for region in snapshot.regions
            if region.state == MEM_COMMIT and readable_protection(region.protect)
        )
        self.failing = RangeSet(tuple(subtract(accessible, self.readable.ranges)))
        """Committed pages whose protection allows a read that nevertheless fails."""

    def _from(self, address: int) -> int:
        """Index of the run that covers ``address``, or of the next one above it."""
        index = bisect_right(self._starts, address) - 1
        return index if index >= 0 and address < self._runs[index].end else index + 1

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) can be read; true of an empty range."""
        return start >= end or self.parts(start, end) == [(start, end)]

    def parts(self, start: int, end: int) -> list[Range]:
        """The readable parts of [start, end), in order."""
        return list(self.readable.parts(start, end))

    def view(self, start: int, end: int) -> memoryview | None:
        """The bytes of [start, end) without a copy; None when any of them cannot be read."""
        if start >= end:
            return memoryview(b"")
        for run in self._overlapping(start, end):
            if run.start <= start and end <= run.end:
                return memoryview(run.data)[start - run.start : end - run.start]
        return None

    def number(self, address: int, size: int) -> int | None:
        """The unsigned number of ``size`` bytes at ``address``; None when it cannot be read."""
        data = self.view(address, address + size)
        return None if data is None else int.from_bytes(data, "little")

    def _overlapping(self, start: int, end: int) -> Iterator[MemoryRun]:
        for index in range(self._from(start), len(self._runs)):
            if self._runs[index].start >= end:
                return
            yield self._runs[index]


def words(data: memoryview, size: int) -> array[int]:
    """The little-endian numbers of ``size`` bytes (4 or 8) that ``data``, a multiple of it long, is made of."""
    found = array(_WORDS[size])
    assert found.itemsize == size
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found
