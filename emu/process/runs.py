"""The list of runs of an address space: adjacent pages of one allocation with one protection."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """One reservation, view or image, with its AllocationBase and AllocationProtect. Compared by identity."""

    base: int
    protect: int
    type: int


@dataclass(frozen=True, slots=True)
class Run:
    """Adjacent pages of one allocation with the same protection. ``protect`` is 0 for reserved pages."""

    start: int
    end: int
    allocation: Allocation
    protect: int


class RunList:
    """Runs sorted by start that never overlap. Equal neighbours of one allocation are merged by ``set``."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._starts: list[int] = []

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def from_address(self, address: int) -> Iterator[Run]:
        """The run that starts at or below ``address``, and every run above it."""
        for index in range(max(bisect_right(self._starts, address) - 1, 0), len(self._runs)):
            yield self._runs[index]

    def next_start(self, address: int) -> int | None:
        """Where the first run above ``address`` starts; None if there is none."""
        following = bisect_right(self._starts, address)
        return self._starts[following] if following < len(self._starts) else None

    def at(self, address: int) -> Run | None:
        """The run that holds ``address``; None if the address is free."""
        index = bisect_right(self._starts, address) - 1
        return self._runs[index] if index >= 0 and address < self._runs[index].end else None

    def of(self, allocation: Allocation) -> list[Run]:
        """Every run of an allocation, ascending; empty if it was released."""
        index = bisect_right(self._starts, allocation.base) - 1
        found = []
        while 0 <= index < len(self._runs) and self._runs[index].allocation is allocation:
            found.append(self._runs[index])
            index += 1
        return found

    def overlapping(self, start: int, end: int) -> list[Run]:
        """Every run with a byte in ``[start, end)``, whole."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        found = []
        while index < len(self._runs) and self._runs[index].start < end:
            if self._runs[index].end > start:
                found.append(self._runs[index])
            index += 1
        return found

    def clipped(self, start: int, end: int) -> list[Run]:
        """The same runs, cut to ``[start, end)``."""
        found = self.overlapping(start, end)
        return [replace(run, start=max(run.start, start), end=min(run.end, end)) for run in found]

    def insert(self, run: Run) -> None:
        """Add a run in a free range."""
        at = bisect_right(self._starts, run.start)
        self._runs.insert(at, run)
        self._starts.insert(at, run.start)

    def cut(self, start: int, end: int) -> None:
        """Remove ``[start, end)``. Splits runs that cross its bounds."""
        pieces = self.overlapping(start, end)
        if not pieces:
            return
        first = bisect_right(self._starts, pieces[0].start) - 1
        rest = [replace(run, end=start) for run in pieces[:1] if run.start < start]
        rest += [replace(run, start=end) for run in pieces[-1:] if run.end > end]
        self._runs[first : first + len(pieces)] = rest
        self._starts[first : first + len(pieces)] = [run.start for run in rest]

    def set(self, start: int, end: int, allocation: Allocation, protect: int) -> None:
        """Set the protection of ``[start, end)``, which lies in ``allocation``. Merges equal neighbours."""
        self.cut(start, end)
        before, after = self.at(start - 1), self.at(end)
        if before is not None and before.allocation is allocation and before.protect == protect:
            start = before.start
            self.cut(before.start, before.end)
        if after is not None and after.allocation is allocation and after.protect == protect:
            end = after.end
            self.cut(after.start, after.end)
        self.insert(Run(start, end, allocation, protect))

    def remove(self, start: int, end: int, allocation: Allocation) -> None:
        """Release all or a part of an allocation. The rest above the part becomes a new allocation, as its VAD does."""
        self.cut(start, end)
        above = Allocation(end, allocation.protect, allocation.type)
        index = bisect_left(self._starts, end)
        while index < len(self._runs) and self._runs[index].allocation is allocation:
            self._runs[index] = replace(self._runs[index], allocation=above)
            index += 1
