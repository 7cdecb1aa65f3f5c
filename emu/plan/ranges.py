"""Sets of addresses as sorted, disjoint, half-open ranges."""

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
