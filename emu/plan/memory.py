"""Which memory a user-mode dump holds, range by range, each with the reasons it is there.

"spec 2.3" and the like are sections of the user-mode specification, V21 and the like its rules (section 4).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..constants import MEM_COMMIT, Hresult, readable_protection
from ..snapshot.model import ProcessSnapshot, Thread
from .ranges import Range, merge, subtract
from .reading import Reading
from .request import DumpRefused

WINDOW_BEFORE = 0x80
WINDOW_AFTER = 0x80
"""Bytes before and after an instruction pointer (spec 2.3, 461 of 461 threads)."""


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


def stack_range(thread: Thread) -> Range:
    """[Rsp, StackBase), the whole committed stack when Rsp lies outside the TEB's bounds (spec 2.3, the clamp)."""
    rsp = thread.context["Rsp"]
    low = rsp if thread.stack_limit <= rsp <= thread.stack_base else thread.stack_limit
    return min(low, thread.stack_base), thread.stack_base


def stack_ranges(snapshot: ProcessSnapshot, reading: Reading) -> list[Range]:
    """Every thread's stack. Raises DumpRefused with ERROR_PARTIAL_COPY: a stack is never left out (spec 2.3)."""
    stacks = [stack_range(thread) for thread in snapshot.threads]
    for thread, (start, end) in zip(snapshot.threads, stacks, strict=True):
        if not reading.covers(start, end):
            raise DumpRefused(
                Hresult.ERROR_PARTIAL_COPY,
                f"thread {thread.thread_id:#x}: not all of its stack {start:#x}..{end:#x} can be read",
            )
    return stacks


def _windows(snapshot: ProcessSnapshot, reading: Reading) -> Iterator[tuple[Range, str]]:
    """The instruction windows, cut down to what can be read."""
    pointers = [
        (thread.context["Rip"], f"instruction window of thread {thread.thread_id:#x}")
        for thread in snapshot.threads
    ]
    if snapshot.exception:  # its context's pointer, not ExceptionAddress, which may be 0 (spec 2.3)
        pointers.append((snapshot.exception.context["Rip"], "instruction window of the exception"))
    for pointer, reason in pointers:
        for part in reading.parts(max(pointer - WINDOW_BEFORE, 0), pointer + WINDOW_AFTER):
            yield part, reason


def small_memory(
    snapshot: ProcessSnapshot, reading: Reading, stacks: Sequence[Range]
) -> tuple[tuple[RangePlan, ...], tuple[StackPlan, ...]]:
    """The ranges of a dump without flags by address, and the threads' stack descriptors.

    No two ranges overlap (V15: Breakpad drops the whole list), and windows that overlap or touch are one range (V51).
    A stack stays a range of its own, because a thread's descriptor must be an entry of the list (V21) and start at Rsp
    (V23): of a window that reaches into a stack only what lies outside is a range, and that one touches the stack. The
    duties V21 and V23 outweigh the habit V51. Threads with the same stack share the entry; should stacks overlap
    otherwise, they become one range, and the descriptors that are not that range carry no RVA (V21, second form).
    """
    wanted = [
        (stack, f"stack of thread {thread.thread_id:#x}")
        for thread, stack in zip(snapshot.threads, stacks, strict=True)
    ]
    windows = list(_windows(snapshot, reading))
    whole: list[Range] = []
    for start, end in sorted({stack for stack in stacks if stack[0] < stack[1]}):
        if whole and start < whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    ranges = sorted(whole + subtract(merge(window for window, _ in windows), whole))
    reasons: list[dict[str, None]] = [{} for _ in ranges]
    starts = [start for start, _ in ranges]
    for (start, end), reason in wanted + windows:
        index = max(bisect_right(starts, start) - 1, 0)
        while index < len(ranges) and ranges[index][0] < end:
            if start < ranges[index][1]:
                reasons[index][reason] = None
            index += 1
    listed = set(whole)
    return (
        tuple(RangePlan(start, end, tuple(why)) for (start, end), why in zip(ranges, reasons, strict=True)),
        tuple(StackPlan(start, end, (start, end) in listed) for start, end in stacks),
    )


def all_memory(snapshot: ProcessSnapshot, reading: Reading) -> Iterator[RangePlan]:
    """One range per region that a debugger can read; each starts at a MemoryInfo BaseAddress (V38, udmp-parser).

    Raises DumpRefused with ERROR_PARTIAL_COPY when not all of such a region can be read (spec 2.4, neither flag).
    """
    for region in snapshot.regions:
        if region.state == MEM_COMMIT and readable_protection(region.protect):
            if not reading.covers(region.base, region.end):
                raise DumpRefused(
                    Hresult.ERROR_PARTIAL_COPY,
                    f"region {region.base:#x}..{region.end:#x}: accessible, but not all of it can be read",
                )
            yield RangePlan(region.base, region.end, ("FULL_MEMORY: committed and accessible",))
