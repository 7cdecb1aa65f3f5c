"""Builds the kernel half of the address space, which every process shares, and defines its layout.

The addresses resemble those of a real system but are not random. Regions share upper page tables, so that a machine
with 1 MiB has enough memory.
"""

from __future__ import annotations

from ..machine.paging import ENTRIES, LARGE_PAGE_SIZE, PRESENT, USER, PageTables
from ..machine.ram import PAGE_SIZE
from .boot_block import IST_STACK_SIZE, KERNEL_STACK_SIZE, KPROCESSOR_PAGES, KUSER_KERNEL, SELF_MAP_INDEX
from .physical_memory import PhysicalMemory

KERNEL_IMAGES = 0xFFFFF80140000000
"""Start of the area for kernel, HAL and drivers, which ends at PROCESSOR_AREAS."""
PROCESSOR_AREAS = 0xFFFFF80178000000
KERNEL_STACKS = 0xFFFFC58E10000000
"""A root entry of its own: MemProcFS demands six in the kernel half (docs/format/engine.md#what-memprocfs-needs)."""
BOOT_BLOCK = 0xFFFFF8017A000000
NON_PAGED_POOL_SEAM = 0xFFFF9C0E40200000
"""Nonpaged pool has 4 KiB pages below this address and 2 MiB pages from here on.

No region lies below entry 511 of a page directory or a directory-pointer table. Engine 29507 leaves such pages out of
kernel dumps (docs/format/engine.md#errors-of-the-engine).
"""
PAGED_POOL = 0xFFFFD38F20000000
PFN_DATABASE = 0xFFFFFA8000000000

PTE_BASE = 0xFFFF << 48 | SELF_MAP_INDEX << 39
_KERNEL_HALF = ENTRIES // 2
ROOT_AREA, SMALL_ROOT_AREA = (0x1AA, 0x2A0), (0x30, 0xA0)
"""PFNs for root page tables, which volatility3 searches for a self map.

See docs/format/kernel-readers.md#page-tables-that-volatility3-looks-for. The second range is for small machines, whose
memory allocates other pages in the first.
"""


def pte_address(va: int) -> int:
    """The address of the page-table entry of ``va`` in the self map."""
    return PTE_BASE + (va >> 9 & 0x7F_FFFF_FFF8)


def pages_of(size: int) -> int:
    """Number of pages for ``size`` bytes."""
    return -(-size // PAGE_SIZE)


class SystemSpace:
    """The page tables of the System process on ``memory``. At first only KUSER_SHARED_DATA is mapped."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.tables = self.new_root()
        self.shared_user_data = self.map_new(KUSER_KERNEL, 1)

    def new_root(self) -> PageTables:
        """An empty root page table with a self map."""
        first, end = ROOT_AREA if self.memory.first >= ROOT_AREA[1] else SMALL_ROOT_AREA
        tables = PageTables(self.memory, self.memory.allocate_within(1, first=first, end=end))
        tables.set_self_map(SELF_MAP_INDEX)
        return tables

    def map_new(self, va: int, count: int, *, write: bool = True) -> int:
        """Map ``count`` new zeroed 4 KiB pages, physically contiguous, no execute. Returns the physical address."""
        pa = self.memory.allocate_pages(count)
        self.tables.map(va, pa, count, write=write, user=False, execute=False)
        return pa

    def map_new_large(self, va: int, count: int) -> None:
        """Map ``count`` new zeroed 2 MiB pages. Raises RamExhausted if no aligned range is free."""
        pages = LARGE_PAGE_SIZE // PAGE_SIZE
        for number in range(count):
            pa = self.memory.allocate_within(pages, first=0, end=self.memory.size // PAGE_SIZE, alignment=pages)
            self.tables.map_large(va + number * LARGE_PAGE_SIZE, pa, 1, write=True, user=False, execute=False)

    def map_stack(self, lowest: int, size: int) -> int:
        """Map a kernel stack of ``size`` bytes above one unmapped page at ``lowest``. Returns the stack's end."""
        self.map_new(lowest + PAGE_SIZE, size // PAGE_SIZE)
        return lowest + PAGE_SIZE + size

    def close(self) -> None:
        """Clear the U/S bit in the root's kernel half, so that user code cannot access any of it."""
        root = self.tables.root
        for index in range(_KERNEL_HALF, ENTRIES):
            entry = self.memory.read_u64(root + 8 * index)
            if entry & PRESENT:
                self.memory.write_u64(root + 8 * index, entry & ~USER)

    def share_with(self, root: int) -> None:
        """Copy the current kernel half into the root page table at ``root``."""
        for index in range(_KERNEL_HALF, ENTRIES):
            if index != SELF_MAP_INDEX:
                self.memory.write_u64(root + 8 * index, self.memory.read_u64(self.tables.root + 8 * index))


class ProcessorArea:
    """The KPCR pages and the stacks of a processor. The attribute of a stack is the address of its end."""

    PAGES = KPROCESSOR_PAGES + 1 + 2 * (pages_of(KERNEL_STACK_SIZE) + 1) + 2 * (pages_of(IST_STACK_SIZE) + 1)

    def __init__(self, space: SystemSpace, number: int) -> None:
        self.area = at = PROCESSOR_AREAS + number * self.PAGES * PAGE_SIZE
        space.map_new(at, KPROCESSOR_PAGES)
        at += KPROCESSOR_PAGES * PAGE_SIZE
        self.idle_stack = at = space.map_stack(at, KERNEL_STACK_SIZE)
        self.dpc_stack = at = space.map_stack(at, KERNEL_STACK_SIZE)
        self.double_fault_stack = at = space.map_stack(at, IST_STACK_SIZE)
        self.nmi_stack = space.map_stack(at, IST_STACK_SIZE)

    def stacks(self) -> tuple[tuple[int, int], ...]:
        """(limit, base) of each stack."""
        ends = (
            (self.idle_stack, KERNEL_STACK_SIZE),
            (self.dpc_stack, KERNEL_STACK_SIZE),
            (self.double_fault_stack, IST_STACK_SIZE),
            (self.nmi_stack, IST_STACK_SIZE),
        )
        return tuple((end - size, end) for end, size in ends)
