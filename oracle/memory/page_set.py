"""Sets of page frame numbers as sorted runs: a machine of 64 GiB has 16 million pages and a few dozen runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class PageSet:
    """An immutable set of PFNs, held as sorted ``[start, end)`` runs that neither overlap nor touch."""

    __slots__ = ("_starts", "runs")

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self.runs: list[tuple[int, int]] = []
        for start, end in sorted(runs):
            if end <= start:
                continue
            if self.runs and start <= self.runs[-1][1]:
                self.runs[-1] = (self.runs[-1][0], max(self.runs[-1][1], end))
            else:
                self.runs.append((start, end))
        self._starts = [run[0] for run in self.runs]

    def __contains__(self, pfn: int) -> bool:
        index = bisect_right(self._starts, pfn) - 1
        return index >= 0 and pfn < self.runs[index][1]

    @property
    def total(self) -> int:
        """Pages. No ``len``: that has 63 bits, and what a dump may name has more."""
        return sum(end - start for start, end in self.runs)

    def __bool__(self) -> bool:
        return bool(self.runs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PageSet) and self.runs == other.runs

    def __hash__(self) -> int:
        return hash(tuple(self.runs))

    def __repr__(self) -> str:
        shown = ", ".join(f"{start:#x}..{end:#x}" for start, end in self.runs[:4])
        return f"<PageSet {shown}{' ...' if len(self.runs) > 4 else ''}>"

    def __or__(self, other: PageSet) -> PageSet:
        return PageSet([*self.runs, *other.runs])

    def __and__(self, other: PageSet) -> PageSet:
        return PageSet(
            (max(start, low), min(end, high)) for start, end in self.runs for low, high in other.overlapping(start, end)
        )

    def __sub__(self, other: PageSet) -> PageSet:
        return PageSet(self._without(other))

    def _without(self, other: PageSet) -> Iterator[tuple[int, int]]:
        for start, end in self.runs:
            at = start
            for low, high in other.overlapping(start, end):
                if at < low:
                    yield at, low
                at = high
            if at < end:
                yield at, end

    def overlapping(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The runs that have pages in ``[start, end)``, whole."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        while index < len(self.runs) and self.runs[index][0] < end:
            if self.runs[index][1] > start:
                yield self.runs[index]
            index += 1
