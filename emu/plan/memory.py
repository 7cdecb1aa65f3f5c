"""Merges wanted memory into the ranges of a minidump (docs/format/minidump-memory-ranges.md)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from .process_view import WantedRange
from .ranges import Range, merge, split, subtract


@dataclass(frozen=True, slots=True)
class RangePlan:
    """One range of the file's memory. ``reasons`` has every reason for a part of it."""

    start: int
    end: int
    reasons: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the range."""
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


def apart_from_stacks(wanted: Sequence[WantedRange], stacks: Sequence[Range]) -> list[Range]:
    """Return the ranges of a MemoryList in which every stack is a range of its own.

    - No two ranges overlap: Breakpad drops a list with an overlap
      (docs/format/minidump-memory-ranges.md#overlapping-ranges).
    - Ranges that touch are joined (docs/format/minidump-memory-ranges.md#adjacent-ranges), but not with a stack. A
      thread's descriptor must be an entry of the list and start at the stack pointer
      (docs/format/minidump-memory-ranges.md#stack-descriptor-and-its-range). If a range reaches into a stack, only the
      part outside the stack becomes a range.
    - Threads with the same stack share the entry. Other stacks that overlap become one range. A descriptor that is not
      exactly that range has no RVA.
    """
    whole: list[Range] = []
    for start, end in sorted({stack for stack in stacks if stack[0] < stack[1]}):
        if whole and start < whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    return sorted(whole + subtract(((item.start, item.end) for item in wanted), whole))


def with_stacks(wanted: Sequence[WantedRange]) -> list[Range]:
    """Return the ranges of a MemoryList in which a stack may be part of a longer range.

    docs/format/minidump-memory-ranges.md#stack-descriptor-and-its-range
    """
    return merge((item.start, item.end) for item in wanted)


def by_region(wanted: Sequence[WantedRange], regions: Sequence[int]) -> list[Range]:
    """Return the ranges of a Memory64List: none crosses the start of a region, since udmp-parser refuses that.

    docs/format/minidump-memory-ranges.md#start-of-full-memory-ranges
    """
    return split(with_stacks(wanted), regions)


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
