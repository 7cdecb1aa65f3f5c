"""Merges wanted memory into the ranges of a minidump (docs/format/minidump-memory-ranges.md)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ..constants import MinidumpType
from .process_view import ProcessView, WantedRange
from .ranges import Range, RangeSet, merge, split

_BRIDGED = 16
"""The longest gap between two ranges that is captured with them.

docs/format/minidump-memory-ranges.md#bridged-gaps
"""
_BUCKETS = 919
_BUCKET_SHIFT, _BUCKET_SHIFT_PRIVATE = 11, 16
"""The engine's hash of an address (docs/format/minidump-memory-ranges.md#order-of-memory-ranges)."""


@dataclass(frozen=True, slots=True)
class RangePlan:
    """One range of the file's memory. ``reasons`` has every reason for a part of it."""

    start: int
    end: int
    reasons: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the range; 0 for memory of a Memory64List that could not be read."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class StackPlan:
    """A thread's Stack descriptor: [start, end). ``listed``: it is exactly one range of MemoryList."""

    start: int
    end: int
    listed: bool

    @property
    def size(self) -> int:
        """Bytes of the stack."""
        return self.end - self.start


def memory_list(target: ProcessView, wanted: Sequence[WantedRange], seams: Sequence[int] = ()) -> tuple[RangePlan, ...]:
    """Return the ranges of a MemoryList in the engine's order. No two overlap; small gaps are bridged.

    FILTER_TRIAGE bridges no gap, since the bytes in it are in no range that was asked for. Ranges that touch at one of
    ``seams`` stay apart.
    """
    gap = 0 if target.flags & MinidumpType.MiniDumpFilterTriage else _BRIDGED
    cuts = sorted(seam for seam in set(seams) if not any(item.start < seam < item.end for item in wanted))
    ranges: list[Range] = []
    for start, end in split(merge((item.start, item.end) for item in wanted), cuts):
        near = ranges and start not in cuts and start <= ranges[-1][1] + gap
        if near and target.reading.covers(ranges[-1][1], start):
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    shift = _bucket_shift(target.flags)
    plans = range_plans(ranges, wanted)
    return tuple(sorted(plans, key=lambda plan: (_bucket(plan, shift), plan.start)))


def found_in_list(ranges: Sequence[Range], flags: MinidumpType) -> RangeSet:
    """Return the addresses for which the engine finds a range of its list: those in a range, and most ends.

    It looks in the bucket of the address, and takes the end of a range for a part of it. The end is not found if it is
    the first address of the next bucket (docs/format/minidump-filters.md#filter-triage-captured-memory).
    """
    return RangeSet.of((start, end + (not starts_bucket(end, flags))) for start, end in ranges)


def starts_bucket(address: int, flags: MinidumpType) -> bool:
    """Whether the address is the first of a bucket."""
    return address % (1 << _bucket_shift(flags)) == 0


def _bucket_shift(flags: MinidumpType) -> int:
    return _BUCKET_SHIFT_PRIVATE if flags & MinidumpType.MiniDumpWithPrivateReadWriteMemory else _BUCKET_SHIFT


def _bucket(plan: RangePlan, shift: int) -> int:
    """Return the lowest of the hash buckets that the range lies in."""
    first, last = plan.start >> shift, (plan.end - 1) >> shift
    return 0 if first // _BUCKETS != last // _BUCKETS else first % _BUCKETS


def range_plans(ranges: Sequence[Range], wanted: Sequence[WantedRange]) -> tuple[RangePlan, ...]:
    """Return ``ranges``, sorted and disjoint, with the reasons of the wanted memory in them."""
    reasons: list[dict[str, None]] = [{} for _ in ranges]
    starts = [start for start, _ in ranges]
    for start, end, reason in wanted:
        index = max(bisect_right(starts, start) - 1, 0)
        while index < len(ranges) and ranges[index][0] < end:
            if start < ranges[index][1]:
                reasons[index][reason] = None
            index += 1
    return tuple(RangePlan(start, end, tuple(why)) for (start, end), why in zip(ranges, reasons, strict=True))
