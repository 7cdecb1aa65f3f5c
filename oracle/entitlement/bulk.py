"""Memory that flags ask for by what it is: all of it, or the private part. And what a failed read may cost."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from ..truth.process import PRIVATE, READWRITE, ProcessTruth, RegionTruth
from .flags import Format, ignores_inaccessible
from .pieces import Piece

EXECUTE_READWRITE = 0x40
"""winnt.h PAGE_EXECUTE_READWRITE."""
_READ_BLOCK = 0x10000
"""The engine reads memory in blocks of 64 KiB and drops a failing one whole. Spec user-mode 2.4."""


def full_memory(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for region in truth.regions:
        if region.readable:
            yield Piece(region.base, region.end, f"readable region {region.base:#x}")


def _private(truth: ProcessTruth) -> Iterator[RegionTruth]:
    return (region for region in truth.regions if region.readable and region.type == PRIVATE)


def private_read_write(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for region in _private(truth):
        if region.protect == READWRITE:
            yield Piece(region.base, region.end, f"private read-write region {region.base:#x}")


def private_writable(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """What no page names: executable memory that can be written, and memory with PAGE_NOCACHE or PAGE_WRITECOMBINE."""
    for region in _private(truth):
        if region.protect & 0xFF in (READWRITE, EXECUTE_READWRITE) and region.protect != READWRITE:
            yield Piece(region.base, region.end, f"private writable region {region.base:#x}")


class Losses:
    """Which readable pages a writer may lose because one beside them cannot be read."""

    def __init__(self, truth: ProcessTruth, flags: Format) -> None:
        lossy = ignores_inaccessible(flags) and not flags & Format.SCAN_PARTIAL_PAGES
        self._holes = [(hole.start, hole.end) for hole in truth.unreadable] if lossy else []
        self._ends = [end for _, end in self._holes]

    def __bool__(self) -> bool:
        return bool(self._holes)

    def of(self, piece: Piece) -> list[tuple[int, int]]:
        """The blocks of ``piece`` with an unreadable page in them, sorted and disjoint. Whether blocks count from the
        start of what is read or lie at multiples of their size is not known: both.
        """
        blocks: set[int] = set()
        index = bisect_left(self._ends, piece.start + 1)
        while index < len(self._holes) and self._holes[index][0] < piece.end:
            low, high = max(self._holes[index][0], piece.start), min(self._holes[index][1], piece.end)
            for origin in (0, piece.start % _READ_BLOCK):
                first = low - (low - origin) % _READ_BLOCK
                blocks.update(range(first, high, _READ_BLOCK))
            index += 1
        merged: list[tuple[int, int]] = []
        for start in sorted(blocks):
            low, high = max(start, piece.start), min(start + _READ_BLOCK, piece.end)
            if merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return merged
