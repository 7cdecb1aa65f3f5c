"""What FILTER_TRIAGE knows, adds and filters of stacks, in the order in which the engine looks at threads.

docs/format/minidump-filters.md#filter-triage-stack-words
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
class _Known:
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
    def of(cls, target: ProcessView) -> _Known:
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


@dataclass(frozen=True, slots=True)
class _Contact:
    """How added memory touches a stack."""

    union: Range
    """The stack and the memory that was there before it and became one range with it."""
    lengthened: bool
    """Whether memory that came behind the stack made it start lower."""


@dataclass(frozen=True, slots=True)
class TriageStacks:
    """What FILTER_TRIAGE finds when it looks at the threads of a process. Lists are by thread."""

    target: ProcessView
    code: RangeSet
    """The images and the dynamic function tables."""
    registers: tuple[frozenset[int], ...]
    """The values of registers that stay."""
    contacts: tuple[_Contact, ...]
    additions: tuple[WantedRange, ...]
    """The memory that the filter adds: where stack words and registers point, if a useful pointer is there
    (docs/format/minidump-filters.md#filter-triage-stack-words)."""
    seams: tuple[int, ...]
    """Where this memory, and stacks, stay apart from what they touch."""

    @classmethod
    def of(cls, target: ProcessView) -> TriageStacks:
        """Look at each thread once, in the order of the engine."""
        known, size = _Known.of(target), target.pointer_size
        registers, added = [], []
        for index, (thread, stack) in enumerate(zip(target.snapshot.threads, target.stacks, strict=True)):
            useful, held = known.to(index), _registers_of(target, thread)
            leading = [
                word
                for word in held | stack_words(target, [stack])
                if word not in useful and target.reading.number(word, size) in useful
            ]
            registers.append(frozenset(value for value in held if not value or value in useful or value in leading))
            added.append(leading)
        contacts, ranges = _contacts(target, added)
        return cls(
            target,
            known.code,
            tuple(registers),
            tuple(contacts),
            tuple(WantedRange(word, word + size, ADDED_REASON) for words in added for word in words),
            tuple(start for (_, end), (start, _) in pairwise(ranges) if start == end),
        )

    def filtered_parts(self, others: Sequence[WantedRange], ranges: Sequence[RangePlan]) -> RangeSet:
        """Return the parts of stacks that are filtered: what lies in no other memory that was asked for.

        A stack that starts between two words, and so does its range, is not filtered
        (docs/format/minidump-filters.md#filter-triage-captured-memory,
        docs/format/minidump-filters.md#filter-triage-stacks-touched-by-added-memory).
        """
        size = self.target.pointer_size
        asked = merge((item.start, item.end) for item in others if item.reason != ADDED_REASON)
        found = found_in_list(asked, self.target.flags)
        raw = list(_whole_words(found, size))
        parts: list[Range] = []
        for (start, end), contact in zip(self.target.stacks, self.contacts, strict=True):
            start_of_range = max((plan.start for plan in ranges if plan.start <= start < plan.end), default=start)
            if start % size and start_of_range % size:
                continue
            whole = (-(-start // size) * size, contact.union[1])
            if contact.union != (start, end) and start in found:
                parts += [] if end - 1 in found else [whole]
            else:
                parts += subtract([whole], [*raw, (start, start + size if contact.lengthened else start)])
        return RangeSet.of(parts)


@dataclass(slots=True)
class _Insertions:
    """The list of ranges while the engine adds words and stacks.

    A new range becomes one with those that it overlaps or touches. One that touches it from below is not found if the
    new range starts at the start of a bucket (docs/format/minidump-memory-ranges.md#adjacent-ranges).
    """

    flags: MinidumpType
    ranges: list[Range]
    """Sorted and disjoint; some may touch."""
    ends: set[int]
    """The ends of what was added."""

    def add(self, start: int, end: int) -> Range:
        """Add a range and return the range of the list that it is now a part of."""
        self.ends.add(end)
        first = bisect_right(self.ranges, (start, end))
        if first and self.ranges[first - 1][1] >= end:
            return self.ranges[first - 1]
        if first and self.ranges[first - 1][1] >= start + starts_bucket(start, self.flags):
            first -= 1
        last = first
        while last < len(self.ranges) and self.ranges[last][0] <= end:
            last += 1
        joined = [(start, end), *self.ranges[first:last]]
        union = min(low for low, _ in joined), max(high for _, high in joined)
        self.ranges[first:last] = [union]
        return union


def _contacts(target: ProcessView, added: Sequence[Sequence[int]]) -> tuple[list[_Contact], list[Range]]:
    """Return how memory that FILTER_TRIAGE adds touches each stack, and the list of ranges in the end.

    ``added``: the addresses of the added words, by thread. The engine adds the stack of a thread behind all that the
    thread points at. Of a live target nothing touches.
    """
    if not target.of_a_dump:
        return [_Contact(stack, False) for stack in target.stacks], []
    insertions = _Insertions(target.flags, [], set())
    unions: list[tuple[Range, bool]] = []
    for (start, end), words in zip(target.stacks, added, strict=True):
        for word in words:
            insertions.add(word, word + target.pointer_size)
        touched = start in insertions.ends
        unions.append((insertions.add(start, end), touched))
    contacts = [
        _Contact(union, not touched and stack[0] < stack[1] and stack[0] in insertions.ends)
        for stack, (union, touched) in zip(target.stacks, unions, strict=True)
    ]
    return contacts, insertions.ranges


def _whole_words(addresses: RangeSet, size: int) -> Iterator[Range]:
    """Yield the words whose first byte is in ``addresses``."""
    for start, end in addresses.ranges:
        yield -(-start // size) * size, -(-end // size) * size


def _registers_of(target: ProcessView, thread: Thread) -> dict[int, None]:
    """Return the distinct values of the registers of a thread that are filtered, in the order of the context."""
    names = INTEGER_REGISTERS[target.snapshot.system.architecture]
    return dict.fromkeys(value for name, value in thread.context.registers if name in names)
