"""Selects the memory of FULL_MEMORY and PRIVATE_READ_WRITE_MEMORY: whole regions of the address space.

docs/format/minidump-captured-memory.md#full-memory
"""

from __future__ import annotations

from collections.abc import Iterator

from ..constants import MEM_COMMIT, MEM_PRIVATE, Hresult, MinidumpType, readable_protection
from ..request import DumpRefused
from .memory import RangePlan
from .process_view import ProcessView, WantedRange

_T = MinidumpType
_FULL = "FULL_MEMORY: committed and accessible"
_LOST = "FULL_MEMORY: a part of the region cannot be read"


def all_memory(target: ProcessView) -> Iterator[RangePlan]:
    """Yield one range for each accessible region, sorted (docs/format/minidump-memory-ranges.md).

    A region with a page that cannot be read becomes a range of size 0. SCAN_PARTIAL_PAGES keeps its readable head, and
    the range of size 0 follows. Raises DumpRefused when the request does not ignore inaccessible memory
    (docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory).
    """
    for region in target.snapshot.regions:
        if region.state != MEM_COMMIT or not readable_protection(region.protect):
            continue
        if target.reading.covers(region.base, region.end):
            yield RangePlan(region.base, region.end, (_FULL,))
            continue
        if not target.flags & _T.MiniDumpIgnoreInaccessibleMemory:
            raise DumpRefused(
                Hresult.ERROR_READ_FAULT, f"memory {region.base:#x}..{region.end:#x} cannot be read: FULL_MEMORY"
            )
        end = region.base
        if target.flags & _T.MiniDumpScanInaccessiblePartialPages:
            for head in target.head(region.base, region.end, _FULL):
                yield RangePlan(head.start, head.end, (_FULL,))
                end = head.end
        yield RangePlan(end, end, (_LOST,))


def private_read_write_memory(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the readable part of every committed private region with one of the engine's protections.

    docs/format/minidump-captured-memory.md#private-read-write-memory
    """
    for region in target.snapshot.regions:
        if region.state == MEM_COMMIT and region.type == MEM_PRIVATE and region.protect & 0xFF in target.engine.private:
            yield from target.readable(region.base, region.end, "PRIVATE_READ_WRITE_MEMORY: private and writable")
