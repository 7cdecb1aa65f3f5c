"""Which of a snapshot's addresses can be read, asked many times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from ..snapshot.model import MemoryRun, ProcessSnapshot
from .ranges import Range


class Reading:
    """The memory of a snapshot with an index over its runs: every question costs a binary search."""

    def __init__(self, snapshot: ProcessSnapshot) -> None:
        self._runs = snapshot.memory
        self._starts = [run.start for run in snapshot.memory]

    def _from(self, address: int) -> int:
        """Index of the run that covers ``address``, or of the next one above it."""
        index = bisect_right(self._starts, address) - 1
        return index if index >= 0 and address < self._runs[index].end else index + 1

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) can be read; true of an empty range."""
        return start >= end or self.parts(start, end) == [(start, end)]

    def parts(self, start: int, end: int) -> list[Range]:
        """The readable parts of [start, end), in order."""
        found = []
        for run in self._overlapping(start, end):
            found.append((max(start, run.start), min(end, run.end)))
        return found

    def view(self, start: int, end: int) -> memoryview | None:
        """The bytes of [start, end) without a copy; None when any of them cannot be read."""
        if start >= end:
            return memoryview(b"")
        for run in self._overlapping(start, end):
            if run.start <= start and end <= run.end:
                return memoryview(run.data)[start - run.start : end - run.start]
        return None

    def _overlapping(self, start: int, end: int) -> Iterator[MemoryRun]:
        for index in range(self._from(start), len(self._runs)):
            if self._runs[index].start >= end:
                return
            yield self._runs[index]
