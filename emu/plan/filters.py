"""Filters what a dump discloses: FILTER_TRIAGE fills words of stacks and contexts, FILTER_PATHS cuts names.

Sizes do not change. FILTER_MEMORY sets its header bit and changes no byte (docs/format/minidump-filters.md).
"""

from __future__ import annotations

import re
import sys
from array import array
from dataclasses import dataclass

from ..constants import MinidumpType
from .indirect import stack_words
from .process_view import ProcessView, WantedRange
from .ranges import RangeSet
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
_CHUNK = 1 << 20
"""Bytes that are filtered in one step; a multiple of every pointer size."""
_DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class TriageFilter:
    """Fills every word of the stacks ``where`` that is not one of ``kept``.

    Each stack in ``where`` starts at a word.
    """

    where: RangeSet
    kept: frozenset[int]
    pointer_size: int

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

    def register(self, value: int) -> int:
        """Return the value that a thread's context holds for a register."""
        return value if value in self.kept else self.fill

    def _filter_words(self, data: memoryview) -> None:
        found = words(data, self.pointer_size)
        left = array(found.typecode, [word if word in self.kept else self.fill for word in found])
        if sys.byteorder == "big":
            left.byteswap()
        data[:] = left.tobytes()


def triage_filter(target: ProcessView) -> tuple[TriageFilter | None, list[WantedRange]]:
    """Return the filter of FILTER_TRIAGE, and the memory that it adds: what kept words of a stack point at.

    A stack that starts between two words is not filtered.
    """
    if not target.flags & MinidumpType.MiniDumpFilterTriage:
        return None, []
    size = target.pointer_size
    tables = ((table.minimum_address, table.maximum_address) for table in target.snapshot.function_tables)
    useful = RangeSet.of([*target.images.ranges, *target.stacks, *tables])
    kept, added = {0}, []
    integers = INTEGER_REGISTERS[target.snapshot.system.architecture]
    registers = {
        value for thread in target.snapshot.threads for name, value in thread.context.registers if name in integers
    }
    on_stacks = stack_words(target)
    for word in on_stacks | registers:
        if word in useful:
            kept.add(word)
            continue
        pointed = target.reading.number(word, size)
        if pointed is not None and pointed in useful:
            kept.add(word)
            if word in on_stacks:
                added.append(WantedRange(word, word + size, "FILTER_TRIAGE: a kept word points here"))
    where = RangeSet.of(stack for stack in target.stacks if stack[0] % size == 0)
    return TriageFilter(where, frozenset(kept), size), added


def base_name(path: str) -> str:
    """Return the path without directory and drive (docs/format/minidump-filters.md#filter-paths)."""
    name = path.replace("/", "\\").rpartition("\\")[2]
    return name[2:] if _DRIVE.match(name) else name
