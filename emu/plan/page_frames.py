"""Finds the page frames of an active dump by their state, as engine 29507 does.

docs/format/kernel-kinds.md#what-the-engine-takes-for-active, W29507.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..snapshot.kernel import KernelSnapshot
from .kernel_memory import VirtualMemory, pages
from .ranges import Range, merge, subtract

# MMPFN, 0x30 bytes (public symbols of x64 Windows; docs/format/kernel-kinds.md#page-frame-entries)
_SIZE = 0x30
_STATE = 0x1A  # u3.e1: PageLocation bits 0 to 2, CacheAttribute bits 6 and 7
_ORIGINAL_PTE = 0x20
_PROTOTYPE = 1 << 10  # OriginalPte.u.Soft.Prototype
_IDENTITY = 0x2F  # u4.PageIdentity: bits 4 to 6 of this byte
_CACHED = 1
_STANDBY, _MODIFIED, _ACTIVE = 2, 3, 6  # MMLISTS
_LEFT_OUT_IDENTITY = 1


def _kind(state: int) -> int:
    """Return 1 for an active entry, 2 for a standby or modified one, 0 for one that no active dump holds."""
    location, attribute = state & 7, state >> 6
    if attribute != _CACHED:
        return 0
    return 1 if location == _ACTIVE else 2 if location in (_STANDBY, _MODIFIED) else 0


_KINDS = bytes(map(_kind, range(256)))


def frames_in_use(snapshot: KernelSnapshot, memory: VirtualMemory, ram: Sequence[Range]) -> list[Range]:
    """Return the frames of ``ram`` that the PFN database says an active dump holds.

    A frame without a readable entry counts by the snapshot's lists: it is in use if it is on none.
    """
    database = memory.pointer(snapshot.symbols.mm_pfn_database) or 0
    known: list[Range] = []
    found: list[Range] = []
    for start, end in ram if database else ():
        for low, high in memory.readable(database + start * _SIZE, (end - start) * _SIZE):
            first, last = -(-(low - database) // _SIZE), (high - database) // _SIZE
            if first >= last:
                continue
            known.append((first, last))
            entries = memory.read(database + first * _SIZE, (last - first) * _SIZE) or b""
            found += [(first + index, first + index + 1) for index in _taken(entries)]
    listed = [*pages(snapshot.free_pages), *pages(snapshot.standby_pages)]
    return merge([*found, *subtract(subtract(ram, known), listed)])


def _taken(entries: bytes) -> Iterator[int]:
    """Yield the numbers of the entries whose pages an active dump holds."""
    for index, kind in enumerate(entries[_STATE::_SIZE].translate(_KINDS)):
        at = index * _SIZE
        if kind == 1 and entries[at + _IDENTITY] >> 4 & 7 != _LEFT_OUT_IDENTITY:
            yield index
        elif kind == 2 and not int.from_bytes(entries[at + _ORIGINAL_PTE : at + _ORIGINAL_PTE + 8], "little") & (
            _PROTOTYPE
        ):
            yield index
