"""From wanted for memory to the ranges of the file, each with the reasons it is there.

V21 and the like are rules of the user-mode specification (section 4).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from .process_view import WantedRange
from .ranges import Range, merge, split, subtract


@dataclass(frozen=True, slots=True)
class RangePlan:
    """Memory that the file holds, as one range. ``reasons``: every rule that asks for a part of it."""

    start: int
    end: int
    reasons: tuple[str, ...]

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class StackPlan:
    """A thread's Stack descriptor: [start, end). ``listed``: it is a range of the file's MemoryList by itself."""

    start: int
    end: int
    listed: bool

    @property
    def size(self) -> int:
        return self.end - self.start


def apart_from_stacks(wanted: Sequence[WantedRange], stacks: Sequence[Range]) -> list[Range]:
    """The ranges of a MemoryList in which every stack is a range of its own.

    No two ranges overlap (V15: Breakpad drops the whole list), and those that touch are one (V51). A stack stays apart,
    because a thread's descriptor must be an entry of the list (V21) and start at the stack pointer (V23): of a range
    that reaches into a stack only what lies outside is listed, and that one touches the stack. The duties V21 and V23
    outweigh the habit V51. Threads with the same stack share the entry; should stacks overlap otherwise, they become
    one range, and the descriptors that are not that range carry no RVA.
    """
    whole: list[Range] = []
    for start, end in sorted({stack for stack in stacks if stack[0] < stack[1]}):
        if whole and start < whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    return sorted(whole + subtract(((wish.start, wish.end) for wish in wanted), whole))


def with_stacks(wanted: Sequence[WantedRange]) -> list[Range]:
    """The ranges of a MemoryList in which a stack may be part of a longer range (V21, second form; V51)."""
    return merge((wish.start, wish.end) for wish in wanted)


def by_region(wanted: Sequence[WantedRange], regions: Sequence[int]) -> list[Range]:
    """The ranges of a Memory64List: none reaches across the start of a region (V38, udmp-parser)."""
    return split(with_stacks(wanted), regions)


def range_plans(ranges: Sequence[Range], wanted: Sequence[WantedRange]) -> tuple[RangePlan, ...]:
    """``ranges``, sorted and disjoint, with the reasons of the wanted that lie in them."""
    reasons: list[dict[str, None]] = [{} for _ in ranges]
    starts = [start for start, _ in ranges]
    for start, end, reason in wanted:
        index = max(bisect_right(starts, start) - 1, 0)
        while index < len(ranges) and ranges[index][0] < end:
            if start < ranges[index][1]:
                reasons[index][reason] = None
            index += 1
    return tuple(RangePlan(start, end, tuple(why)) for (start, end), why in zip(ranges, reasons, strict=True))
