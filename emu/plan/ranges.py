"""Set operations on addresses or page frame numbers, as half-open ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

Range = tuple[int, int]
"""[start, end)."""


@dataclass(frozen=True, slots=True)
class RangeSet:
    """A set of addresses with fast lookups. ``ranges`` are sorted and disjoint."""

    ranges: tuple[Range, ...]
    _starts: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", [start for start, _ in self.ranges])

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> RangeSet:
        """Return the union of the ranges."""
        return cls(tuple(merge(ranges)))

    def __contains__(self, address: int | None) -> bool:
        if address is None:
            return False
        index = bisect_right(self._starts, address) - 1
        return index >= 0 and address < self.ranges[index][1]

    def parts(self, start: int, end: int) -> Iterator[Range]:
        """Yield the parts of [start, end) that are in the set, in order."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        while index < len(self.ranges) and self.ranges[index][0] < end:
            low, high = max(start, self.ranges[index][0]), min(end, self.ranges[index][1])
            if low < high:
                yield low, high
            index += 1


def merge(ranges: Iterable[Range]) -> list[Range]:
    """Return the union: sorted, without empty ranges; ranges that overlap or touch are joined."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def subtract(ranges: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    """Return the parts of ``ranges`` outside of ``holes``, merged."""
    left: list[Range] = []
    cut = merge(holes)
    index = 0
    for start, end in merge(ranges):
        at = start
        while index < len(cut) and cut[index][1] <= at:
            index += 1
        probe = index
        while probe < len(cut) and cut[probe][0] < end:
            if cut[probe][0] > at:
                left.append((at, cut[probe][0]))
            at = max(at, cut[probe][1])
            probe += 1
        if at < end:
            left.append((at, end))
    return left


def intersect(left: Iterable[Range], right: Iterable[Range]) -> list[Range]:
    """Return the addresses in both, sorted and disjoint."""
    found: list[Range] = []
    first, second = merge(left), merge(right)
    one = two = 0
    while one < len(first) and two < len(second):
        start, end = max(first[one][0], second[two][0]), min(first[one][1], second[two][1])
        if start < end:
            found.append((start, end))
        if first[one][1] < second[two][1]:
            one += 1
        else:
            two += 1
    return found


def split(ranges: Iterable[Range], cuts: Sequence[int]) -> list[Range]:
    """Return the same addresses with every range split at the cuts. ``ranges`` and ``cuts`` are sorted."""
    found: list[Range] = []
    for start, end in ranges:
        at = start
        for cut in cuts[bisect_right(cuts, start) : bisect_right(cuts, end - 1)]:
            found.append((at, cut))
            at = cut
        found.append((at, end))
    return found


def runs_of(numbers: Iterable[int]) -> list[Range]:
    """Return the numbers as ranges. They may be unsorted and repeated."""
    found: list[Range] = []
    start = end = -1
    for number in sorted(set(numbers)):
        if number != end:
            if end > start:
                found.append((start, end))
            start = number
        end = number + 1
    if end > start:
        found.append((start, end))
    return found
