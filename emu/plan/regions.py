"""Selects the memory of FULL_MEMORY and PRIVATE_READ_WRITE_MEMORY: whole regions of the address space.

docs/format/minidump-captured-memory.md#full-memory. Memory that is accessible by its protection and still cannot be
read is handled by flags:

- NO_IGNORE_INACCESSIBLE_MEM refuses the dump. FULL_MEMORY alone refuses it, too.
- IGNORE_INACCESSIBLE_MEM leaves out the 64 KiB read block of the page; with SCAN_PARTIAL_PAGES, the page only.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..constants import MEM_COMMIT, MEM_PRIVATE, PAGE_READWRITE, MinidumpType, readable_protection
from ..snapshot.process import Region
from .process_view import ProcessView, WantedRange, unreadable
from .ranges import Range, subtract

READ_BLOCK = 0x10000
"""Bytes of one read. A block with an unreadable page is left out whole.

docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory
"""

_T = MinidumpType


def all_memory(target: ProcessView) -> Iterator[WantedRange]:
    """Yield every accessible region. Raises DumpRefused when one cannot be read and the request does not ignore it."""
    ignored = target.flags & _T.MiniDumpIgnoreInaccessibleMemory
    for region in _accessible(target):
        if not ignored and not target.reading.covers(region.base, region.end):
            raise unreadable(region.base, region.end, "FULL_MEMORY, accessible region")
        yield from _region(target, region, "FULL_MEMORY: committed and accessible")


def private_read_write_memory(target: ProcessView) -> Iterator[WantedRange]:
    """Yield every accessible region that is private and PAGE_READWRITE.

    docs/format/minidump-captured-memory.md#private-read-write-memory
    """
    for region in _accessible(target):
        if region.type == MEM_PRIVATE and region.protect & 0xFF == PAGE_READWRITE:
            yield from _region(target, region, "PRIVATE_READ_WRITE_MEMORY: private and PAGE_READWRITE")


def _accessible(target: ProcessView) -> Iterator[Region]:
    for region in target.snapshot.regions:
        if region.state == MEM_COMMIT and readable_protection(region.protect):
            yield region


def _region(target: ProcessView, region: Region, reason: str) -> Iterator[WantedRange]:
    """Return the readable parts of the region, in blocks or in pages."""
    wanted = target.require_readable(region.base, region.end, reason)
    ignore, scan = _T.MiniDumpIgnoreInaccessibleMemory, _T.MiniDumpScanInaccessiblePartialPages
    if target.flags & (ignore | scan) == ignore:
        whole = [(region.base, region.end)]
        lost = [_blocks(region, hole) for hole in subtract(whole, ((item.start, item.end) for item in wanted))]
        return (WantedRange(start, end, reason) for start, end in subtract(whole, lost))
    return wanted


def _blocks(region: Region, hole: Range) -> Range:
    """Return the part of the region that is left out because of the hole.

    It is not known whether blocks count from the start of the region or from address 0. Here a block ends at the
    boundaries of both counts, so a byte is left out only if it is in the failing block by both.
    """
    first, last = hole[0], hole[1] - 1
    start = max(first - first % READ_BLOCK, first - (first - region.base) % READ_BLOCK)
    end = last + READ_BLOCK - max(last % READ_BLOCK, (last - region.base) % READ_BLOCK)
    return start, min(end, region.end)
