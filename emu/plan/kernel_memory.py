"""Reads a stopped machine's memory by page frame, and by virtual address through its page tables.

The page tables are those in the snapshot's physical memory (docs/format/kernel-structures.md#page-tables-of-x64).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable

from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .kernel_constants import PAGE_SHIFT
from .ranges import Range, intersect, merge, runs_of

_PRESENT = 1 << 0  # AMD64 Architecture Programmer's Manual vol. 2, 5.4
_LARGE = 1 << 7
# Software entries: docs/format/kernel-structures.md#entries-that-are-not-present
_PROTOTYPE = 1 << 10
_TRANSITION = 1 << 11
_FRAME = 0x000F_FFFF_FFFF_F000
_TABLE = struct.Struct("<512Q")
_ENTRY = struct.Struct("<Q")
_ZERO_PAGE = memoryview(bytes(PAGE_SIZE))
# Entries of a root page table: the first, and the one after the last.
KERNEL_ENTRIES = (256, 512)
USER_ENTRIES = (0, 256)


def pages(runs: Iterable[tuple[int, int]]) -> list[Range]:
    """Return runs of (first PFN, count) as sorted ranges of PFNs."""
    return merge((base, base + count) for base, count in runs)


class PhysicalMemory:
    """RAM by page frame number. Each lookup is a binary search."""

    def __init__(self, snapshot: KernelSnapshot) -> None:
        self.ram = pages(snapshot.physical_runs)
        self.unreadable = pages(snapshot.unreadable_pages)
        self._ram_starts = [start for start, _ in self.ram]
        self._runs = snapshot.memory
        self._starts = [run.base_page for run in snapshot.memory]
        self.levels = snapshot.paging_levels
        """Levels of the page tables: 4, or 5 with LA57."""

    def is_ram(self, pfn: int) -> bool:
        """Whether the frame is RAM."""
        index = bisect_right(self._ram_starts, pfn) - 1
        return index >= 0 and pfn < self.ram[index][1]

    def _touched(self, pfn: int) -> tuple[memoryview, int] | None:
        """Return the bytes of the run and the offset of the page in them; None for a page that was never touched."""
        index = bisect_right(self._starts, pfn) - 1
        if index < 0 or pfn >= self._runs[index].end_page:
            return None
        return memoryview(self._runs[index].data), (pfn - self._runs[index].base_page) * PAGE_SIZE

    def page(self, pfn: int) -> memoryview | None:
        """Return the 4096 bytes of a page; None if it is not RAM or cannot be read."""
        if not self.is_ram(pfn) or intersect(self.unreadable, [(pfn, pfn + 1)]):
            return None
        touched = self._touched(pfn)
        return _ZERO_PAGE if touched is None else touched[0][touched[1] : touched[1] + PAGE_SIZE]

    def table(self, pfn: int) -> tuple[int, ...]:
        """Return the 512 entries of a page table; an empty tuple if the page is not RAM or was never touched."""
        touched = self._touched(pfn) if self.is_ram(pfn) else None
        return () if touched is None else _TABLE.unpack_from(*touched)

    def entry(self, address: int) -> int:
        """Return the page-table entry at a physical address; 0 if the page is not RAM or was never touched."""
        pfn = address >> PAGE_SHIFT
        touched = self._touched(pfn) if self.is_ram(pfn) else None
        if touched is None:
            return 0
        value: int = _ENTRY.unpack_from(touched[0], touched[1] + address % PAGE_SIZE)[0]
        return value


class PageWalk:
    """Collects the frames of page tables and the frames that they map, over any number of roots.

    The self-map, an entry of a root that leads back to a root, is not followed: it maps the tables themselves. Tables
    that several roots share are walked once.

    With ``as_engine`` the frames are those that engine 29507 takes: transition entries count, pages of 1 GiB do not
    (docs/format/kernel-kinds.md#what-the-engine-takes-for-default, W29507). The engine also skips entry 511 of every
    page-directory-pointer table and of every page directory. That is an error of the engine, and is not copied.
    """

    def __init__(self, physical: PhysicalMemory, roots: Iterable[int], *, as_engine: bool = False) -> None:
        self._physical = physical
        self._as_engine = as_engine
        self._roots = frozenset(root >> PAGE_SHIFT for root in roots)
        self._seen: set[tuple[int, int]] = set()
        self._tables: set[int] = set()
        self._frames: list[int] = []
        self._large: list[Range] = []

    def add(self, root: int, entries: tuple[int, int]) -> None:
        """Walk the entries ``[first, last)`` of the root table at physical address ``root``."""
        pfn = root >> PAGE_SHIFT
        self._tables.add(pfn)
        self._walk(self._physical.table(pfn)[slice(*entries)], self._physical.levels)

    def _walk(self, entries: Iterable[int], level: int) -> None:
        for entry in entries:
            if not entry & _PRESENT:
                continue
            pfn = (entry & _FRAME) >> PAGE_SHIFT
            if entry & _LARGE and level in (2, 3):
                count = 1 << 9 * (level - 1)
                first = pfn & -count
                if level == 2 or not self._as_engine:
                    self._large.append((first, first + count))
                continue
            if pfn in self._roots or (pfn, level) in self._seen or not self._physical.is_ram(pfn):
                continue
            self._seen.add((pfn, level))
            self._tables.add(pfn)
            table = self._physical.table(pfn)
            if level == 2:
                self._frames += [(leaf & _FRAME) >> PAGE_SHIFT for leaf in table if self._is_leaf(leaf)]
            else:
                self._walk(table, level - 1)

    def _is_leaf(self, entry: int) -> bool:
        if entry & _PRESENT:
            return True
        return self._as_engine and entry & (_TRANSITION | _PROTOTYPE) == _TRANSITION

    @property
    def tables(self) -> list[Range]:
        """The frames of page tables that are RAM, with the roots."""
        return intersect(runs_of(self._tables), self._physical.ram)

    @property
    def leaves(self) -> list[Range]:
        """The frames of RAM that leaf entries map. A large page counts in full."""
        return intersect(merge([*runs_of(self._frames), *self._large]), self._physical.ram)


class VirtualMemory:
    """Virtual memory under one root page table."""

    def __init__(self, physical: PhysicalMemory, root: int) -> None:
        self._physical = physical
        self._root = root & _FRAME

    def translate(self, address: int) -> int | None:
        """Return the physical address; None if nothing is mapped there."""
        return self._lookup(address)[0]

    def _lookup(self, address: int) -> tuple[int | None, int]:
        """Return the physical address, and the shift of the level whose entry maps it or is not present."""
        table = self._root
        shift = PAGE_SHIFT
        for level in range(self._physical.levels, 0, -1):
            shift = PAGE_SHIFT + 9 * (level - 1)
            entry = self._physical.entry(table + 8 * (address >> shift & 0x1FF))
            if not entry & _PRESENT:
                break
            if level == 1 or (entry & _LARGE and level in (2, 3)):
                low = (1 << shift) - 1
                return (entry & _FRAME & ~low) | (address & low), shift
            table = entry & _FRAME
        return None, shift

    def self_map(self) -> int | None:
        """Return the index of the root's entry that leads back to the root; None if there is none."""
        for index, entry in enumerate(self._physical.table(self._root >> PAGE_SHIFT)):
            if entry & _PRESENT and entry & _FRAME == self._root:
                return index
        return None

    def _page(self, address: int) -> memoryview | None:
        if address != self._canonical(address):
            return None
        physical = self.translate(address)
        return None if physical is None else self._physical.page(physical >> PAGE_SHIFT)

    def read(self, address: int, size: int) -> bytes | None:
        """Return ``size`` bytes; None if any of them cannot be read."""
        found = bytearray()
        while len(found) < size:
            at = address + len(found)
            page = self._page(at)
            if page is None:
                return None
            start = at % PAGE_SIZE
            found += page[start : start + size - len(found)]
        return bytes(found)

    def pointer(self, address: int) -> int | None:
        """Return the 64-bit value at an address; None if it cannot be read."""
        data = self.read(address, 8)
        return None if data is None else int.from_bytes(data, "little")

    def readable(self, address: int, size: int) -> list[Range]:
        """Return the readable parts of [address, address + size)."""
        end = min(address + size, 1 << 64)
        found = []
        at = address
        while at < end:
            step = (at & -PAGE_SIZE) + PAGE_SIZE
            if self._page(at) is not None:
                found.append((at, min(step, end)))
            elif at == self._canonical(at):  # skip all that the absent entry would map
                physical, shift = self._lookup(at)
                step = step if physical is not None else (at >> shift) + 1 << shift
            at = step
        return merge(found)

    def _canonical(self, address: int) -> int:
        width = PAGE_SHIFT + 9 * self._physical.levels
        low = address & (1 << width) - 1
        return low | (1 << 64) - (1 << width) if low >> width - 1 else low
