"""Makes an address space: turns ranges of pages into the regions and the memory of a snapshot."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..constants import (
    MEM_COMMIT,
    MEM_FREE,
    MEM_PRIVATE,
    MEM_RESERVE,
    PAGE_NOACCESS,
    PAGE_READWRITE,
    readable_protection,
)
from ..snapshot.process import PAGE_SIZE, MemoryRun, Region

MAXIMUM_USER_ADDRESS = 0x7FFFFFFEFFFF  # SYSTEM_INFO.lpMaximumApplicationAddress, amd64


@dataclass(frozen=True, slots=True)
class Pages:
    """A range of whole pages with one state. ``data`` has ``size`` bytes; None: the pattern of ``pattern``."""

    base: int
    size: int
    state: int = MEM_COMMIT
    protect: int = PAGE_READWRITE
    type: int = MEM_PRIVATE
    allocation_base: int | None = None
    """None: a separate allocation that starts at ``base``."""
    allocation_protect: int | None = None
    """None: the same as ``protect``."""
    data: bytes | None = None
    unreadable: bool = False
    """Committed and readable by its protection, but every read fails."""

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.base + self.size


def pattern(base: int, size: int) -> bytes:
    """Return contents that identify each page: every 8 bytes hold the address of the page plus 1."""
    return b"".join(struct.pack("<Q", page | 1) * (PAGE_SIZE // 8) for page in range(base, base + size, PAGE_SIZE))


def address_space(
    pages: Sequence[Pages], *, end: int = MAXIMUM_USER_ADDRESS + 1
) -> tuple[tuple[Region, ...], tuple[MemoryRun, ...], tuple[tuple[int, int], ...]]:
    """Return the regions, memory runs and unreadable ranges of ``pages``, given in any order.

    The rest of the address space is free. Adjacent pages of one allocation with equal attributes become one region, as
    VirtualQuery reports them. Raises ValueError when two entries overlap, when one has no whole pages, or when ``data``
    has a wrong size.
    """
    regions: list[Region] = []
    runs: list[tuple[int, list[bytes]]] = []
    unreadable: list[tuple[int, int]] = []
    at = run_end = 0
    for item in sorted(pages, key=lambda item: item.base):
        if item.base % PAGE_SIZE or item.size % PAGE_SIZE or item.size <= 0 or item.end > end:
            raise ValueError(f"pages at {item.base:#x}: {item.size:#x} bytes, expected whole pages below {end:#x}")
        if item.base < at:
            raise ValueError(f"pages at {item.base:#x}: overlap pages that end at {at:#x}")
        if item.base > at:
            regions.append(_free(at, item.base))
        region = _region(item)
        if regions and _one_region(regions[-1], region):
            regions[-1] = replace(regions[-1], size=regions[-1].size + region.size)
        else:
            regions.append(region)
        at = item.end
        if item.state != MEM_COMMIT or not readable_protection(item.protect):
            continue
        if item.unreadable:
            start = unreadable.pop()[0] if unreadable and sum(unreadable[-1]) == item.base else item.base
            unreadable.append((start, item.end - start))
            continue
        data = pattern(item.base, item.size) if item.data is None else item.data
        if len(data) != item.size:
            raise ValueError(f"pages at {item.base:#x}: {len(data):#x} bytes of data, expected {item.size:#x}")
        if runs and run_end == item.base:
            runs[-1][1].append(data)
        else:
            runs.append((item.base, [data]))
        run_end = item.end
    if at < end:
        regions.append(_free(at, end))
    memory = tuple(MemoryRun(start, data[0] if len(data) == 1 else b"".join(data)) for start, data in runs)
    return tuple(regions), memory, tuple(unreadable)


def _free(start: int, end: int) -> Region:
    return Region(start, end - start, 0, 0, MEM_FREE, PAGE_NOACCESS, 0)


def _region(item: Pages) -> Region:
    if item.state == MEM_FREE:
        return _free(item.base, item.end)
    base = item.base if item.allocation_base is None else item.allocation_base
    protect = 0 if item.state == MEM_RESERVE else item.protect
    allocation_protect = item.protect if item.allocation_protect is None else item.allocation_protect
    return Region(item.base, item.size, base, allocation_protect, item.state, protect, item.type)


def _one_region(left: Region, right: Region) -> bool:
    return left.end == right.base and replace(left, base=right.base, size=right.size) == right
