"""Filters what a dump discloses: FILTER_TRIAGE fills words of stacks and contexts, FILTER_PATHS cuts names.

Sizes do not change. FILTER_MEMORY sets its header bit and changes no byte (docs/format/minidump-filters.md).
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..constants import MinidumpType
from ..snapshot.process import Thread
from .indirect import stack_words
from .memory import RangePlan, found_in_list, starts_bucket
from .process_view import ProcessView, WantedRange
from .ranges import Range, RangeSet, merge, subtract
from .reading import words

FILL = 0xAA
"""What FILTER_TRIAGE puts in place of a byte (docs/format/minidump-filters.md#filter-triage-stack-words)."""
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
_CHUNK = 1 << 20
"""Bytes that are filtered in one step; a multiple of every pointer size."""
_DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class TriageFilter:
    """Fills the words of the stacks ``where`` that are not in ``kept``, and registers.

    The ranges of ``where`` consist of whole words.
    """

    where: RangeSet
    kept: frozenset[int]
    registers: tuple[frozenset[int], ...]
    """The registers that stay, by thread."""
    pointer_size: int
    fills_flags: bool = False
    """Whether it fills EFlags of x86."""

    @property
    def fill(self) -> int:
        """A word of fill bytes."""
        return int.from_bytes(bytes([FILL]) * self.pointer_size, "little")

    def apply(self, start: int, data: memoryview) -> memoryview:
        """Return the bytes ``data`` at address ``start``, filtered; ``data`` itself if it lies outside ``where``."""
        parts = list(self.where.parts(start, start + len(data)))
        if not parts:
            return data
        filtered = memoryview(bytearray(data))
        for low, high in parts:
            first = -(-low // self.pointer_size) * self.pointer_size - start
            last = high // self.pointer_size * self.pointer_size - start
            for at in range(first, last, _CHUNK):
                self._filter_words(filtered[at : min(at + _CHUNK, last)])
        return filtered.toreadonly()

    def register(self, thread: int, value: int) -> int:
        """Return the value that the context of the thread with that index holds for a register."""
        return value if value in self.registers[thread] else self.fill

    def _filter_words(self, data: memoryview) -> None:
        found = words(data, self.pointer_size)
        left = array(found.typecode, [word if word in self.kept else self.fill for word in found])
        if sys.byteorder == "big":
            left.byteswap()
        data[:] = left.tobytes()


def triage_additions(target: ProcessView, *, with_stacks: bool = False) -> list[WantedRange]:
    """Return the memory that FILTER_TRIAGE adds: where stack words and registers point, if a useful pointer is there.

    It is in the order of the engine, which adds the stack of a thread behind all that the thread points at.

    docs/format/minidump-filters.md#filter-triage-stack-words
    """
    known, size = _Known.of(target), target.pointer_size
    added = []
    for index, thread in enumerate(target.snapshot.threads):
        useful = known.to(index)
        for word in _registers(target, thread) | stack_words(target, [target.stacks[index]]):
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


def triage_filter(
    target: ProcessView, others: Sequence[WantedRange], ranges: Sequence[RangePlan]
) -> TriageFilter | None:
    """Return the filter of FILTER_TRIAGE for a dump that holds ``ranges``; None without the flag.

    ``others`` is the captured memory that is no stack. A stack is not filtered where it lies in it, and not at all if
    it starts between two words (docs/format/minidump-filters.md#filter-triage-captured-memory).
    """
    if not target.flags & MinidumpType.MiniDumpFilterTriage:
        return None
    size = target.pointer_size
    held = found_in_list([(plan.start, plan.end) for plan in ranges], target.flags)
    raw = merge((item.start, item.end) for item in others if item.reason != ADDED_REASON)
    stacks = [stack for stack in target.stacks if stack[0] % size == 0]
    known = _Known.of(target)
    registers = []
    for index, thread in enumerate(target.snapshot.threads):
        useful = known.to(index)
        stay = (
            value
            for value in _registers(target, thread)
            if not value or value in useful or target.reading.number(value, size) in useful
        )
        registers.append(frozenset(stay))
    kept = {
        word
        for word in stack_words(target, stacks)
        if not word or word in known.code or word in held or target.reading.number(word, size) in known.code
    }
    return TriageFilter(
        RangeSet.of(subtract(stacks, _whole_words(found_in_list(raw, target.flags), size))),
        frozenset(kept),
        tuple(registers),
        size,
        target.engine.triage_fills_flags,
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """Code and stacks, as the engine knows them.

    A stack goes up to its base, which counts as a part of it (docs/format/minidump-filters.md#filter-triage-stack-words).
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


def _whole_words(addresses: RangeSet, size: int) -> Iterator[Range]:
    """Yield the words whose first byte is in ``addresses``."""
    for start, end in addresses.ranges:
        yield -(-start // size) * size, -(-end // size) * size


def _registers(target: ProcessView, thread: Thread) -> dict[int, None]:
    """Return the distinct values of the registers of a thread that are filtered, in the order of the context."""
    names = INTEGER_REGISTERS[target.snapshot.system.architecture]
    return dict.fromkeys(value for name, value in thread.context.registers if name in names)


def base_name(path: str) -> str:
    """Return the path without directory and drive (docs/format/minidump-filters.md#filter-paths)."""
    name = path.replace("/", "\\").rpartition("\\")[2]
    return name[2:] if _DRIVE.match(name) else name
