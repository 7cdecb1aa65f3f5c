"""Ranges of integers: unites them, subtracts them, and finds the range that holds a number.

A range is a pair ``(start, end)`` and holds ``start <= n < end``. The unit is the caller's: bytes of an address space,
bytes of a file, page frame numbers. ``Ranges`` are sorted and disjoint, as ``union`` returns them. The cost depends on
the number of ranges, never on their length.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Final

Range = tuple[int, int]
Ranges = Sequence[Range]

_FAR: Final = 16
"""Ranges that ``minus`` steps over one by one. Beyond, a bisection is faster."""


def joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """Join the ranges that overlap or touch. ``ranges`` ascend by start; they are read one at a time.

    An empty range stays, unless it touches another.
    """
    rest = iter(ranges)
    first = next(rest, None)
    if first is None:
        return
    low, high = first
    for start, end in rest:
        if start <= high:
            high = max(high, end)
        else:
            yield low, high
            low, high = start, end
    yield low, high


def union(ranges: Iterable[Range]) -> list[Range]:
    """The same integers as sorted ranges that neither overlap nor touch. Drops empty ranges."""
    return list(joined(item for item in sorted(ranges) if item[0] < item[1]))


def minus(ranges: Iterable[Range], others: Ranges) -> Iterator[Range]:
    """The parts of ``ranges`` outside ``others``, ascending. Both are sorted and disjoint; ranges may touch."""
    index, count = 0, len(others)
    for start, end in ranges:
        if index + _FAR < count and others[index + _FAR][1] <= start:
            index = bisect_right(others, (start, inf), index + _FAR) - 1
        while index < count and others[index][1] <= start:
            index += 1
        at, look = start, index
        while look < count and others[look][0] < end:
            low, high = others[look]
            if low > at:
                yield at, low
            at = max(at, high)
            look += 1
        if at < end:
            yield at, end


def outside(ranges: Ranges, start: int, end: int) -> Iterator[Range]:
    """The parts of ``[start, end)`` that no range holds, ascending."""
    return minus(((start, end),), ranges)


def inside(ranges: Ranges, start: int, end: int) -> Iterator[Range]:
    """The parts of ``[start, end)`` that the ranges hold, ascending."""
    for index in range(max(bisect_right(ranges, (start, inf)) - 1, 0), len(ranges)):
        low, high = max(ranges[index][0], start), min(ranges[index][1], end)
        if low < high:
            yield low, high
        if ranges[index][1] >= end:
            break


def holding(ranges: Ranges, number: int) -> Range | None:
    """The range that holds ``number``; None when no range does."""
    index = bisect_right(ranges, (number, inf)) - 1
    return ranges[index] if index >= 0 and number < ranges[index][1] else None


class RangeSet:
    """An immutable set of integers for many lookups. Each lookup is one bisection of plain integers."""

    __slots__ = ("_starts", "runs")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """``ranges`` may be unsorted, overlapping or empty."""
        self.runs = union(ranges)
        """Sorted, neither overlapping nor touching."""
        self._starts = [start for start, _ in self.runs]

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number < self.runs[index][1]

    def covers(self, start: int, end: int) -> bool:
        """Whether the set holds all of ``[start, end)``, which is not empty."""
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and end <= self.runs[index][1]
