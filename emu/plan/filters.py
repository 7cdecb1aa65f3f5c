"""Filters what a dump discloses: FILTER_MEMORY and FILTER_TRIAGE zero words, FILTER_PATHS cuts names.

Sizes do not change. Which words a stack walk needs is not documented; here these are words that point into a module's
image or into a captured stack. Writers differ: docs/format/minidump-filters.md.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..constants import MinidumpType
from .process_view import ProcessView
from .ranges import Range, RangeSet, subtract
from .reading import words

_CHUNK = 1 << 20
"""Bytes that are filtered in one step; a multiple of every pointer size."""
_DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class WordFilter:
    """Sets every pointer-aligned word in ``where`` to 0 unless it is an address in ``keeps``.

    If only a part of a word lies in ``where``, or in the range of the file, that part becomes 0.
    """

    flag: MinidumpType
    where: RangeSet
    keeps: RangeSet
    pointer_size: int

    def apply(self, start: int, data: memoryview) -> memoryview:
        """Return the bytes ``data`` at address ``start``, filtered; ``data`` itself if it lies outside ``where``."""
        parts = list(self.where.parts(start, start + len(data)))
        if not parts:
            return data
        filtered = memoryview(bytearray(data))
        for low, high in parts:
            first = min(-(-low // self.pointer_size) * self.pointer_size, high)
            last = max(high // self.pointer_size * self.pointer_size, first)
            filtered[low - start : first - start] = bytes(first - low)
            filtered[last - start : high - start] = bytes(high - last)
            for at in range(first - start, last - start, _CHUNK):
                self._filter_words(filtered[at : min(at + _CHUNK, last - start)])
        return filtered.toreadonly()

    def _filter_words(self, data: memoryview) -> None:
        found = words(data, self.pointer_size)
        distinct = set(found)
        kept = {word for word in distinct if word in self.keeps}
        if len(kept) == len(distinct):
            return
        left = array(found.typecode, [word if word in kept else 0 for word in found])
        if sys.byteorder == "big":
            left.byteswap()
        data[:] = left.tobytes()


def word_filters(target: ProcessView, captured: Sequence[Range]) -> Iterator[WordFilter]:
    """Yield the filters of the request. ``captured`` are the ranges of the file."""
    if target.flags & MinidumpType.MiniDumpFilterMemory:
        stacks = RangeSet.of(target.stacks)
        useful = RangeSet.of([*target.images.ranges, *stacks.ranges])
        yield WordFilter(MinidumpType.MiniDumpFilterMemory, stacks, useful, target.pointer_size)
    if target.flags & MinidumpType.MiniDumpFilterTriage:
        data = RangeSet(tuple(subtract(captured, target.images.ranges)))
        yield WordFilter(MinidumpType.MiniDumpFilterTriage, data, RangeSet.of(captured), target.pointer_size)


def filtered(filters: Sequence[WordFilter], start: int, data: memoryview) -> memoryview:
    """Return the bytes ``data`` at address ``start``, after every filter."""
    for word_filter in filters:
        data = word_filter.apply(start, data)
    return data


def base_name(path: str) -> str:
    """Return the path without directory and drive (docs/format/minidump-filters.md#filter-paths)."""
    name = path.replace("/", "\\").rpartition("\\")[2]
    return name[2:] if _DRIVE.match(name) else name
