"""Reads the memory of a process snapshot, with an index for many lookups."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from ..snapshot.process import MemoryRun, ProcessSnapshot
from ..snapshot.sparse import SparseBytes
from .ranges import Range, RangeSet

_WORDS = {4: "I", 8: "Q"}
"""Type codes of ``array`` for unsigned numbers, by size."""


class Reading:
    """The memory of a snapshot with an index over its runs. Each lookup is a binary search."""

    def __init__(self, snapshot: ProcessSnapshot) -> None:
        self._runs = snapshot.memory
        self._starts = [run.start for run in snapshot.memory]
        self.readable = RangeSet(tuple((run.start, run.end) for run in snapshot.memory))
        """All readable memory; no two ranges touch."""
        self._cuts = [region.base for region in snapshot.regions]

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) can be read. True for an empty range."""
        return start >= end or self.parts(start, end) == [(start, end)]

    def parts(self, start: int, end: int) -> list[Range]:
        """Return the readable parts of [start, end), in order."""
        return list(self.readable.parts(start, end))

    def in_one_range(self, start: int, end: int) -> bool:
        """Whether [start, end) can be read and lies in one region, as one range of a full dump does."""
        index = bisect_right(self._cuts, start)
        return self.covers(start, end) and (index == len(self._cuts) or end <= self._cuts[index])

    def view(self, start: int, end: int) -> memoryview | None:
        """Return the bytes of [start, end); None if any of them cannot be read. Dense memory is not copied."""
        if start >= end:
            return memoryview(b"")
        run = self._covering(start, end)
        if run is None:
            return None
        if isinstance(run.data, SparseBytes):
            return memoryview(run.data[start - run.start : end - run.start])
        return memoryview(run.data)[start - run.start : end - run.start]

    def pieces(self, start: int, end: int) -> Iterator[memoryview | int] | None:
        """Return the contents of [start, end) in order, without a copy: bytes, or a number of zeros of sparse memory.

        None if any byte cannot be read.
        """
        run = self._covering(start, end)
        if run is not None and isinstance(run.data, SparseBytes):
            return run.data.pieces(start - run.start, end - run.start)
        data = self.view(start, end)
        return None if data is None else iter((data,))

    def number(self, address: int, size: int) -> int | None:
        """Return the unsigned number of ``size`` bytes at ``address``; None if it cannot be read."""
        data = self.view(address, address + size)
        return None if data is None else int.from_bytes(data, "little")

    def _covering(self, start: int, end: int) -> MemoryRun | None:
        """Return the run that holds all of [start, end). Runs are never adjacent, so one run is enough."""
        index = bisect_right(self._starts, start) - 1
        return self._runs[index] if index >= 0 and end <= self._runs[index].end else None


def words(data: memoryview, size: int) -> array[int]:
    """Return ``data`` as little-endian numbers of ``size`` bytes, 4 or 8. Its length is a multiple of ``size``."""
    found = array(_WORDS[size])
    assert found.itemsize == size
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found
