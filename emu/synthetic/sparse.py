"""Memory of any size in a snapshot, at the cost of the pages in it that are not zero."""

from __future__ import annotations

from dataclasses import replace

from ..constants import MEM_COMMIT, MEM_FREE, MEM_PRIVATE, PAGE_READWRITE
from ..snapshot.process import MemoryRun, ProcessSnapshot, Region
from ..snapshot.sparse import SparseBytes


def with_private_region(snapshot: ProcessSnapshot, base: int, data: SparseBytes) -> ProcessSnapshot:
    """The process with one allocation more: private, readable and writable, as long as ``data``. ``base`` is a multiple
    of 64 KiB. Raises ValueError when memory there is not free.
    """
    size = len(data)
    around = snapshot.region_at(base)
    if around is None or around.state != MEM_FREE or not around.base <= base < base + size <= around.end:
        raise ValueError(f"memory {base:#x}..{base + size:#x}: expected to be free")
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
