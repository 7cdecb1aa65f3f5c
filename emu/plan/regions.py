"""Whole regions of the address space: FULL_MEMORY and PRIVATE_READ_WRITE_MEMORY (spec user-mode 2.4).

What happens to memory that is accessible by its protection and yet cannot be read is the request's to say:
NO_IGNORE_INACCESSIBLE_MEM makes it fatal, and for FULL_MEMORY it is fatal by itself; IGNORE_INACCESSIBLE_MEM leaves out
the read block that it is in, with SCAN_PARTIAL_PAGES only the pages themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..constants import MEM_COMMIT, MEM_PRIVATE, PAGE_READWRITE, MinidumpType, readable_protection
from ..snapshot.process import Region
from .process_view import ProcessView, WantedRange, unreadable
from .ranges import Range, subtract

READ_BLOCK = 0x10000
"""Bytes of one read: a block that fails is lost whole (spec 2.4, transcript)."""

_T = MinidumpType


def all_memory(target: ProcessView) -> Iterator[WantedRange]:
    """FULL_MEMORY: every accessible region. Raises DumpRefused when one cannot be read and that is not ignored."""
    ignored = target.flags & _T.MiniDumpIgnoreInaccessibleMemory
    for region in _accessible(target):
        if not ignored and not target.reading.covers(region.base, region.end):
            raise unreadable(region.base, region.end, "FULL_MEMORY, accessible region")
        yield from _region(target, region, "FULL_MEMORY: committed and accessible")


def private_read_write_memory(target: ProcessView) -> Iterator[WantedRange]:
    """PRIVATE_READ_WRITE_MEMORY: every accessible region that is private and PAGE_READWRITE."""
    for region in _accessible(target):
        if region.type == MEM_PRIVATE and region.protect & 0xFF == PAGE_READWRITE:
            yield from _region(target, region, "PRIVATE_READ_WRITE_MEMORY: private and PAGE_READWRITE")


def _accessible(target: ProcessView) -> Iterator[Region]:
    for region in target.snapshot.regions:
        if region.state == MEM_COMMIT and readable_protection(region.protect):
            yield region


def _region(target: ProcessView, region: Region, reason: str) -> Iterator[WantedRange]:
    """What can be read of it, in blocks or in pages."""
    wanted = target.require_readable(region.base, region.end, reason)
    ignore, scan = _T.MiniDumpIgnoreInaccessibleMemory, _T.MiniDumpScanInaccessiblePartialPages
    if target.flags & (ignore | scan) == ignore:
        whole = [(region.base, region.end)]
        lost = [_blocks(region, hole) for hole in subtract(whole, ((wish.start, wish.end) for wish in wanted))]
        return (WantedRange(start, end, reason) for start, end in subtract(whole, lost))
    return wanted


def _blocks(region: Region, hole: Range) -> Range:
    """The read blocks of the region that fail because of the hole.

    Whether blocks are counted from the start of the region or of the address space is not known (spec 6 row 6). A
    block ends here at both, so that a byte is lost only if it is in the failing block by either count.
    """
    first, last = hole[0], hole[1] - 1
    start = max(first - first % READ_BLOCK, first - (first - region.base) % READ_BLOCK)
    end = last + READ_BLOCK - max(last % READ_BLOCK, (last - region.base) % READ_BLOCK)
    return start, min(end, region.end)
