"""Maps the PFN database, so that it is readable for every frame of RAM.

An entry of zeros describes a page on the zeroed list. So every page of the database without another entry is the same
read-only zero page, and 2 MiB of them share one leaf table: a machine with 512 GiB needs a few pages.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..machine.paging import ENTRIES, FRAME, LARGE_PAGE_SIZE, NO_EXECUTE, PRESENT, WRITABLE
from ..machine.ram import PAGE_SIZE
from .boot_block import MMPFN_SIZE
from .system_space import PFN_DATABASE, SystemSpace, pte_address


class FrameDatabase:
    """The mapping of MmPfnDatabase for the frames of ``runs``, all zero at first. Raises RamExhausted."""

    def __init__(self, space: SystemSpace, runs: Iterable[tuple[int, int]]) -> None:
        self._space, self._memory = space, space.memory
        self._zero = self._memory.allocate_pages(1)
        self._shared = 0
        self._private: set[int] = set()
        for base, count in runs:
            first = (PFN_DATABASE + base * MMPFN_SIZE) // LARGE_PAGE_SIZE
            last = (PFN_DATABASE + (base + count) * MMPFN_SIZE - 1) // LARGE_PAGE_SIZE
            for number in range(first, last + 1):
                self._map_zeros(number * LARGE_PAGE_SIZE)

    def own(self, pages: Iterable[int]) -> bool:
        """Give each of the database's pages, counted from its start, a frame of its own.

        Returns False if all had one.
        """
        new = [page for page in pages if page not in self._private]
        for page in new:
            va = PFN_DATABASE + page * PAGE_SIZE
            directory_entry = self._entry_of(va, 1)
            if self._memory.read_u64(directory_entry) & FRAME == self._shared:
                table = self._memory.allocate_pages(1)
                self._memory.write(table, self._memory.read(self._shared, PAGE_SIZE))
                self._memory.write_u64(directory_entry, self._table_entry(table))
            frame = self._memory.allocate_pages(1)
            self._memory.write_u64(self._entry_of(va, 0), frame | PRESENT | WRITABLE | NO_EXECUTE)
        self._private.update(new)
        return bool(new)

    def _map_zeros(self, va: int) -> None:
        """Map 2 MiB of zeros with the shared leaf table."""
        tables = self._space.tables
        if tables.translate(pte_address(pte_address(va))) is not None:
            self._memory.write_u64(self._entry_of(va, 1), self._table_entry(self._shared))
            return
        tables.map(va, self._zero, 1, write=False, user=False, execute=False)  # makes the tables
        leaf = self._memory.read_u64(self._entry_of(va, 1)) & FRAME
        for index in range(ENTRIES):
            self._memory.write_u64(leaf + 8 * index, self._zero | PRESENT | NO_EXECUTE)
        self._shared = self._shared or leaf

    def _entry_of(self, va: int, level: int) -> int:
        """Physical address of the entry for ``va`` in its leaf table (0) or page directory (1)."""
        for _ in range(level + 1):
            va = pte_address(va)
        entry = self._space.tables.translate(va)
        if entry is None:
            raise AssertionError(f"no page table for {va:#x}")
        return entry.pa

    @staticmethod
    def _table_entry(table: int) -> int:
        return table | PRESENT | WRITABLE
