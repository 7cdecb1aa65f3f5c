"""Adds memory of any size to a snapshot. It takes space only for the pages that are not zero."""

from __future__ import annotations

from dataclasses import replace

from ..constants import MEM_COMMIT, MEM_FREE, MEM_PRIVATE, PAGE_READWRITE
from ..snapshot.process import MemoryRun, ProcessSnapshot, Region
from ..snapshot.sparse import SparseBytes


def with_private_region(snapshot: ProcessSnapshot, base: int, data: SparseBytes) -> ProcessSnapshot:
    """Return the process with one more allocation: private, readable, writable, as long as ``data``.

    ``base`` is a multiple of 64 KiB. Raises ValueError when the addresses are not free.
    """
    size = len(data)
    around = snapshot.region_at(base)
    if around is None or around.state != MEM_FREE or not around.base <= base < base + size <= around.end:
        raise ValueError(f"memory {base:#x}..{base + size:#x}: expected free addresses")
    parts = [
        replace(around, size=base - around.base),
        Region(base, size, base, PAGE_READWRITE, MEM_COMMIT, PAGE_READWRITE, MEM_PRIVATE),
        replace(around, base=base + size, size=around.end - base - size),
    ]
    regions = [region for region in snapshot.regions if region != around] + [part for part in parts if part.size]
    return replace(
        snapshot,
        regions=tuple(sorted(regions, key=lambda region: region.base)),
        memory=tuple(sorted([*snapshot.memory, MemoryRun(base, data)], key=lambda run: run.start)),
    )
