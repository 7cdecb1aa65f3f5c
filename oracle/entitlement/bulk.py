"""The clauses for full memory and private memory, and the memory that a writer may lose after a failed read."""

from __future__ import annotations

from collections.abc import Iterator

from ..memory.intervals import Range, inside, union
from ..truth.process import PRIVATE, READWRITE, ProcessTruth, RegionTruth
from .flags import Format, ignores_inaccessible
from .pieces import Piece

EXECUTE_READWRITE = 0x40
"""winnt.h PAGE_EXECUTE_READWRITE."""
_READ_BLOCK = 0x10000
"""Bytes. An engine reads memory in such blocks and drops a block that fails
(docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory)."""


def full_memory(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """All readable regions."""
    for region in truth.regions:
        if region.readable:
            yield Piece(region.base, region.end, f"readable region {region.base:#x}")


def _private(truth: ProcessTruth) -> Iterator[RegionTruth]:
    return (region for region in truth.regions if region.readable and region.type == PRIVATE)


def private_read_write(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """Private regions with protection PAGE_READWRITE."""
    for region in _private(truth):
        if region.protect == READWRITE:
            yield Piece(region.base, region.end, f"private read-write region {region.base:#x}")


def private_writable(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """Private memory that no document names: writable and executable, PAGE_NOCACHE, PAGE_WRITECOMBINE."""
    for region in _private(truth):
        if region.protect & 0xFF in (READWRITE, EXECUTE_READWRITE) and region.protect != READWRITE:
            yield Piece(region.base, region.end, f"private writable region {region.base:#x}")


class Losses:
    """The readable memory that a writer may lose because a page next to it cannot be read."""

    def __init__(self, truth: ProcessTruth, flags: Format) -> None:
        lossy = ignores_inaccessible(flags) and not flags & Format.SCAN_PARTIAL_PAGES
        self._holes = [(hole.start, hole.end) for hole in truth.unreadable] if lossy else []

    def __bool__(self) -> bool:
        return bool(self._holes)

    def of(self, piece: Piece) -> list[Range]:
        """The blocks of ``piece`` that contain an unreadable page, sorted and disjoint.

        Blocks may begin at multiples of 64 KiB, or count from the start of the piece. No source says which, so the
        result has both.
        """
        blocks: list[Range] = []
        for low, high in inside(self._holes, piece.start, piece.end):
            for origin in (0, piece.start):
                start, end = low - (low - origin) % _READ_BLOCK, high + (origin - high) % _READ_BLOCK
                blocks.append((max(start, piece.start), min(end, piece.end)))
        return union(blocks)
