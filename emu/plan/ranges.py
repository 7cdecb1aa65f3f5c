"""Sets of addresses or page frame numbers as sorted, disjoint, half-open ranges."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]
"""[start, end)."""


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The union: sorted, empty ones dropped, those that overlap or touch joined."""
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
    """What of ``ranges`` lies in none of ``holes``. Both are merged first; the result is merged."""
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
    """What lies in both. Both are merged first; the result is sorted and disjoint."""
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


def runs_of(numbers: Iterable[int]) -> list[Range]:
    """The numbers, in any order and with repetitions, as ranges."""
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
