"""The address spaces of the system: kernel memory that every process shares, and where everything in it lies.

Addresses are of the shape that a real system shows, without its randomness; regions share upper page tables so that a
machine of 1 MiB still has room.
"""

from __future__ import annotations

from ..machine.paging import ENTRIES, LARGE_PAGE_SIZE, PRESENT, USER, PageTables
from ..machine.ram import PAGE_SIZE
from .boot_block import IST_STACK_SIZE, KERNEL_STACK_SIZE, KPROCESSOR_PAGES, KUSER_KERNEL, SELF_MAP_INDEX
from .physical_memory import PhysicalMemory

KERNEL_IMAGES = 0xFFFFF80140000000
"""From here to the processors' areas: kernel, HAL and drivers, at the bases that they prefer where that can be."""
PROCESSOR_AREAS = 0xFFFFF80178000000
KERNEL_STACKS = 0xFFFFF80179000000
BOOT_BLOCK = 0xFFFFF8017A000000
NON_PAGED_POOL_SEAM = 0xFFFF9C0E40000000
"""Below it nonpaged pool is mapped by 4 KiB pages, from it on by 2 MiB pages."""
PAGED_POOL = 0xFFFFD38F20000000
PFN_DATABASE = 0xFFFFFA8000000000

PTE_BASE = 0xFFFF << 48 | SELF_MAP_INDEX << 39
_KERNEL_HALF = ENTRIES // 2
ROOT_AREA, SMALL_ROOT_AREA = (0x1AA, 0x2A0), (0x30, 0xA0)
"""PFNs for page table roots: where a scan for a self map looks first (spec kernel-mode 7.2, volatility3). The second is
for memory that hands out pages within the first."""


def pte_address(va: int) -> int:
    """Where the self map shows the page-table entry of ``va``."""
    return PTE_BASE + (va >> 9 & 0x7F_FFFF_FFF8)


def pages_of(size: int) -> int:
    """Pages that ``size`` bytes take."""
    return -(-size // PAGE_SIZE)


class SystemSpace:
    """The System process's page tables on ``memory``, with KUSER_SHARED_DATA and nothing else mapped yet."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.tables = self.new_root()
        self.shared_user_data = self.map_new(KUSER_KERNEL, 1)

    def new_root(self) -> PageTables:
        """An empty root page table with its own self map."""
        first, end = ROOT_AREA if self.memory.first >= ROOT_AREA[1] else SMALL_ROOT_AREA
        tables = PageTables(self.memory, self.memory.allocate_within(1, first=first, end=end))
        tables.set_self_map(SELF_MAP_INDEX)
        return tables

    def map_new(self, va: int, count: int, *, write: bool = True) -> int:
        """Maps ``count`` new zeroed 4 KiB pages, contiguous in memory, no execute; returns their physical address."""
        pa = self.memory.allocate_pages(count)
        self.tables.map(va, pa, count, write=write, user=False, execute=False)
        return pa

    def map_new_large(self, va: int, count: int) -> None:
        """Maps ``count`` new zeroed 2 MiB pages. Raises RamExhausted when no aligned stretch is free."""
        pages = LARGE_PAGE_SIZE // PAGE_SIZE
        for number in range(count):
            pa = self.memory.allocate_within(pages, first=0, end=self.memory.size // PAGE_SIZE, alignment=pages)
            self.tables.map_large(va + number * LARGE_PAGE_SIZE, pa, 1, write=True, user=False, execute=False)

    def map_stack(self, lowest: int, size: int) -> int:
        """A kernel stack behind one unmapped page at ``lowest``; returns its end, the address above its last byte."""
        self.map_new(lowest + PAGE_SIZE, size // PAGE_SIZE)
        return lowest + PAGE_SIZE + size

    def close(self) -> None:
        """Takes the U/S bit from the kernel's upper tables: user code reaches no table of the kernel half."""
        root = self.tables.root
        for index in range(_KERNEL_HALF, ENTRIES):
            entry = self.memory.read_u64(root + 8 * index)
            if entry & PRESENT:
                self.memory.write_u64(root + 8 * index, entry & ~USER)

    def share_with(self, root: int) -> None:
        """Gives the root page table at ``root`` the kernel half as it is now."""
        for index in range(_KERNEL_HALF, ENTRIES):
            if index != SELF_MAP_INDEX:
                self.memory.write_u64(root + 8 * index, self.memory.read_u64(self.tables.root + 8 * index))


class ProcessorArea:
    """What one processor needs before its first instruction: KPCR pages and stacks, each named by its end."""

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
