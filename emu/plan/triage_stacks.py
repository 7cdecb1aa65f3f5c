"""What FILTER_TRIAGE knows, adds and filters of stacks, in the order in which the engine looks at threads.

docs/format/minidump-filters.md#filter-triage-stack-words
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..constants import MinidumpType
from ..snapshot.process import Thread
from .indirect import stack_words
from .memory import RangePlan, found_in_list, starts_bucket
from .process_view import ProcessView, WantedRange
from .ranges import Range, RangeSet, merge, subtract

INTEGER_REGISTERS = {
    "amd64": (
        "Rax", "Rcx", "Rdx", "Rbx", "Rbp", "Rsi", "Rdi", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
    ),
    "x86": ("Edi", "Esi", "Ebx", "Edx", "Ecx", "Eax"),
    "arm64": (),
}  # fmt: skip
"""Registers of a thread's context that the filter treats like stack words, by architecture.

docs/format/minidump-filters.md#filter-triage-contexts
"""
ADDED_REASON = "FILTER_TRIAGE: a kept word points here"


@dataclass(frozen=True, slots=True)
class Known:
    """Code and stacks, as the engine knows them.

    A stack goes up to its base, which counts as a part of it
    (docs/format/minidump-filters.md#filter-triage-stack-words).
    """

    code: RangeSet
    """The images and the dynamic function tables."""
    captured: tuple[Range, ...]
    """The stacks as captured: those of the thread that is looked at and of the threads before it."""
    later: tuple[Range, ...]
    """The stacks from SP on, wherever it is: those of the threads behind it."""

    @classmethod
    def of(cls, target: ProcessView) -> Known:
        """Return what the engine knows of a process."""
        threads = target.snapshot.threads
        tables = ((table.minimum_address, table.maximum_address) for table in target.snapshot.function_tables)
        return cls(
            RangeSet.of([*target.images.ranges, *tables]),
            tuple((start, end + 1) if end else (0, 0) for start, end in target.stacks),
            tuple((thread.context.stack_pointer, thread.stack_base + 1) for thread in threads),
        )

    def to(self, index: int) -> RangeSet:
        """Return code and stacks when the engine looks at the thread with that index."""
        return RangeSet.of([*self.code.ranges, *self.captured[: index + 1], *self.later[index + 1 :]])


def triage_additions(target: ProcessView, *, with_stacks: bool = False) -> list[WantedRange]:
    """Return the memory that FILTER_TRIAGE adds: where stack words and registers point, if a useful pointer is there.

    It is in the order of the engine, which adds the stack of a thread behind all that the thread points at.

    docs/format/minidump-filters.md#filter-triage-stack-words
    """
    known, size = Known.of(target), target.pointer_size
    added = []
    for index, thread in enumerate(target.snapshot.threads):
        useful = known.to(index)
        for word in registers_of(target, thread) | stack_words(target, [target.stacks[index]]):
            if word not in useful and target.reading.number(word, size) in useful:
                added.append(WantedRange(word, word + size, ADDED_REASON))
        if with_stacks:
            added.append(WantedRange(*target.stacks[index], f"stack of thread {thread.thread_id:#x}"))
    return added


def seams_of_additions(target: ProcessView) -> list[int]:
    """Return where memory that FILTER_TRIAGE adds, and stacks, stay apart from what they touch.

    It is where a range starts at the start of a bucket, and the range before it was there first
    (docs/format/minidump-memory-ranges.md#adjacent-ranges).
    """
    if not target.of_a_dump or not target.flags & MinidumpType.MiniDumpFilterTriage:
        return []
    ends, starts, seams = set[int](), set[int](), []
    for start, end, _ in triage_additions(target, with_stacks=True):
        if start in ends and start not in starts and starts_bucket(start, target.flags):
            seams.append(start)
        starts.add(start)
        ends.add(end)
    return seams


def filtered_parts(target: ProcessView, others: Sequence[WantedRange], ranges: Sequence[RangePlan]) -> RangeSet:
    """Return the parts of stacks that are filtered: what lies in no other memory that was asked for.

    A stack that starts between two words, and so does its range, is not filtered
    (docs/format/minidump-filters.md#filter-triage-captured-memory).
    """
    size = target.pointer_size
    asked = merge((item.start, item.end) for item in others if item.reason != ADDED_REASON)
    found = found_in_list(asked, target.flags)
    raw = list(_whole_words(found, size))
    parts: list[Range] = []
    for (start, end), contact in zip(target.stacks, _contacts(target), strict=True):
        start_of_range = max((plan.start for plan in ranges if plan.start <= start < plan.end), default=start)
        if start % size and start_of_range % size:
            continue
        stack = (-(-start // size) * size, end)
        if contact.joined and start in found:
            parts += [] if end - 1 in found else [stack]
        else:
            parts += subtract([stack], [*raw, (start, start + size if contact.lengthened else start)])
    return RangeSet.of(parts)


@dataclass(frozen=True, slots=True)
class _Contact:
    """How added memory touches a stack."""

    joined: bool
    """Whether memory that was there before the stack became one range with it."""
    lengthened: bool
    """Whether memory that came behind the stack made it start lower."""


def _contacts(target: ProcessView) -> Iterator[_Contact]:
    """Yield how memory that FILTER_TRIAGE adds touches each stack. Measured of dump targets alone."""
    order = triage_additions(target, with_stacks=True) if target.of_a_dump else []
    places = [index for index, item in enumerate(order) if item.reason != ADDED_REASON]
    for (start, end), place in zip(target.stacks, places or [0] * len(target.stacks), strict=True):
        below = not starts_bucket(start, target.flags)
        before = any((item.end == start and below) or item.start == end for item in order[:place])
        behind = any(item.end == start and below for item in order[place:])
        yield _Contact(before, behind and not before)


def _whole_words(addresses: RangeSet, size: int) -> Iterator[Range]:
    """Yield the words whose first byte is in ``addresses``."""
    for start, end in addresses.ranges:
        yield -(-start // size) * size, -(-end // size) * size


def registers_of(target: ProcessView, thread: Thread) -> dict[int, None]:
    """Return the distinct values of the registers of a thread that are filtered, in the order of the context."""
    names = INTEGER_REGISTERS[target.snapshot.system.architecture]
    return dict.fromkeys(value for name, value in thread.context.registers if name in names)
