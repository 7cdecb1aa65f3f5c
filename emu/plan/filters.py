"""Filters what a dump discloses: FILTER_TRIAGE fills words of stacks and contexts, FILTER_PATHS cuts names.

Sizes do not change. FILTER_MEMORY sets its header bit and changes no byte (docs/format/minidump-filters.md).
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from .indirect import stack_words
from .memory import RangePlan, found_in_list
from .process_view import WantedRange
from .ranges import RangeSet
from .reading import words
from .triage_stacks import TriageStacks

FILL = 0xAA
"""What FILTER_TRIAGE puts in place of a byte (docs/format/minidump-filters.md#filter-triage-stack-words)."""
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


def triage_filter(stacks: TriageStacks, others: Sequence[WantedRange], ranges: Sequence[RangePlan]) -> TriageFilter:
    """Return the filter of FILTER_TRIAGE for a dump that holds ``ranges``.

    ``others`` is the captured memory that is no stack.
    """
    target, code = stacks.target, stacks.code
    size = target.pointer_size
    held = found_in_list([(plan.start, plan.end) for plan in ranges], target.flags)
    where = stacks.filtered_parts(others, ranges)
    kept = {
        word
        for word in stack_words(target, where.ranges)
        if not word or word in code or word in held or target.reading.number(word, size) in code
    }
    return TriageFilter(where, frozenset(kept), stacks.registers, size, target.engine.triage_fills_flags)


def base_name(path: str) -> str:
    """Return the path without directory and drive (docs/format/minidump-filters.md#filter-paths)."""
    name = path.replace("/", "\\").rpartition("\\")[2]
    return name[2:] if _DRIVE.match(name) else name
