"""Finds the page frames of an active dump by their state, as engine 29507 does.

docs/format/kernel-kinds.md#what-the-engine-takes-for-active, W29507.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..snapshot.kernel import KernelSnapshot
from .kernel_memory import VirtualMemory, pages
from .ranges import Range, intersect, merge, runs_of, subtract

# MMPFN, 0x30 bytes (docs/format/kernel-kinds.md#page-frame-entries)
_SIZE = 0x30
_STATE = 0x1A  # u3.e1: PageLocation bits 0 to 2, CacheAttribute bits 6 and 7
_ORIGINAL_PTE = 0x20
_PROTOTYPE = 1 << 10  # OriginalPte.u.Soft.Prototype
_IDENTITY = 0x2F  # u4.PageIdentity: bits 4 to 6 of this byte
_CACHED = 1 << 6
_LIST_AND_ATTRIBUTE = 0xC7  # the two fields in the low byte of u3.e1
_STANDBY, _MODIFIED, _ACTIVE = 2, 3, 6  # MMLISTS
_LEFT_OUT_IDENTITY = 1


def frames_in_use(snapshot: KernelSnapshot, memory: VirtualMemory, ram: Sequence[Range]) -> list[Range]:
    """Return the frames of ``ram`` that an active dump holds.

    The snapshot says which frames are on a list. Their entries in the target's PFN database say the rest: which
    standby and modified pages belong to the dump, and which active ones do not. Without an entry, an active page
    belongs to it, and a standby or modified one does not.
    """
    standby = pages(snapshot.standby_pages)
    active = subtract(ram, [*pages(snapshot.free_pages), *standby])
    left_out = runs_of(
        frame for frame, entry in _entries(snapshot, memory, active) if entry[_STATE] and not _is_active(entry)
    )
    kept = runs_of(frame for frame, entry in _entries(snapshot, memory, intersect(standby, ram)) if _is_kept(entry))
    return merge([*subtract(active, left_out), *kept])


def _is_active(entry: memoryview) -> bool:
    state, identity = entry[_STATE] & _LIST_AND_ATTRIBUTE, entry[_IDENTITY] >> 4 & 7
    return state == _ACTIVE | _CACHED and identity != _LEFT_OUT_IDENTITY


def _is_kept(entry: memoryview) -> bool:
    original = int.from_bytes(entry[_ORIGINAL_PTE : _ORIGINAL_PTE + 8], "little")
    return (
        entry[_STATE] & _LIST_AND_ATTRIBUTE in (_STANDBY | _CACHED, _MODIFIED | _CACHED) and not original & _PROTOTYPE
    )


def _entries(
    snapshot: KernelSnapshot, memory: VirtualMemory, frames: Sequence[Range]
) -> Iterator[tuple[int, memoryview]]:
    """Yield frames and their entries in the PFN database, as far as it can be read."""
    database = memory.pointer(snapshot.symbols.mm_pfn_database) or 0
    for start, end in frames if database else ():
        for low, high in memory.readable(database + start * _SIZE, (end - start) * _SIZE):
            first, last = -(-(low - database) // _SIZE), (high - database) // _SIZE
            entries = memoryview(memory.read(database + first * _SIZE, max(last - first, 0) * _SIZE) or b"")
            for index in range(len(entries) // _SIZE):
                yield first + index, entries[index * _SIZE : (index + 1) * _SIZE]
