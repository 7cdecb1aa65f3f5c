"""Builds the user processes that exist at boot: root page table, program, stacks, TEBs and private pages."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ..constants import IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE
from ..machine.paging import PageTables
from ..machine.ram import PAGE_SIZE, RamExhausted
from ..process.layouts import PEB, TEB, Layout
from .boot_block import KUSER_USER, PageState, Program
from .images import LoadedImage
from .page_states import Frames
from .physical_memory import PhysicalMemory
from .system_space import SystemSpace, pages_of, pte_address

PEB_ADDRESS = 0x6B_5F20_0000
TEBS = PEB_ADDRESS + 0x1000
TEB_PAGES = 2
STACKS = PEB_ADDRESS + 0x4_0000
STACK_PAGES = 2
STACK_RESERVE = 0x1_0000
PRIVATE_MEMORY = 0x6B_5F40_0000

# Software page-table entry of a page on the standby or modified list: MMPTE_TRANSITION with protection MM_READWRITE
# (docs/format/kernel-structures.md#entries-that-are-not-present).
_PTE_TRANSITION = 1 << 11
_MM_READWRITE = 4 << 5
_FOUR_GIB = 1 << 20  # in pages


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """The plan of a process. ``programs`` has the action of each thread.

    ``private_pages`` is the number of committed pages. ``transition_pages`` is the number of pages that were trimmed
    from the working set.
    """

    name: str
    process_id: int
    parent_id: int
    programs: tuple[Program, ...]
    critical: bool = False
    private_pages: int = 2
    transition_pages: int = 2


@dataclass(frozen=True, slots=True)
class UserThread:
    """A thread at its first instruction: TEB, stack pointer and action."""

    teb: int
    rsp: int
    program: Program


@dataclass(slots=True)
class UserProcess:
    """A process that was built. ``root`` is the physical address of its root page table."""

    plan: ProcessPlan
    root: int
    threads: list[UserThread] = field(default_factory=list)
    transition: list[Frames] = field(default_factory=list)


class ProgramImage:
    """One program that several processes run. They share the frames of its read-only pages."""

    def __init__(self, space: SystemSpace, loaded: LoadedImage) -> None:
        self.loaded = loaded
        self._space = space
        self._mapped = bytes(loaded.image.mapped_at(loaded.base))
        shared = space.memory.allocate_pages(pages_of(len(self._mapped)))
        space.memory.write(shared, self._mapped)
        self._shared = shared
        self._first = True

    def map_into(self, tables: PageTables) -> None:
        """Map the program. The first process uses the original writable pages; the others get copies."""
        memory, image, base = self._space.memory, self.loaded.image, self.loaded.base
        tables.map(base, self._shared, pages_of(image.size_of_headers), write=False, user=True, execute=False)
        for section in image.sections:
            rva, count = section.virtual_address, pages_of(section.virtual_size)
            write = bool(section.characteristics & IMAGE_SCN_MEM_WRITE)
            pa = self._shared + rva
            if write and not self._first:
                pa = memory.allocate_pages(count)
                memory.write(pa, self._mapped[rva : rva + count * PAGE_SIZE])
            execute = bool(section.characteristics & IMAGE_SCN_MEM_EXECUTE)
            tables.map(base + rva, pa, count, write=write, user=True, execute=execute)
        self._first = False


def create_process(space: SystemSpace, plan: ProcessPlan, program: ProgramImage) -> UserProcess:
    """Build the user half of a process. ``SystemSpace.share_with`` adds the kernel half. Raises RamExhausted."""
    tables = space.new_root()
    process = UserProcess(plan, tables.root)
    program.map_into(tables)
    tables.map(KUSER_USER, space.shared_user_data, 1, write=False, user=True, execute=False)
    _map_new(space, tables, PEB_ADDRESS, 1)
    _set(tables, PEB_ADDRESS, PEB, {"ImageBaseAddress": program.loaded.base})
    for number, what in enumerate(plan.programs):
        process.threads.append(_create_thread(space, tables, number, what))
    if plan.private_pages:
        number = 0
        for pa, count in _allocate_high(space.memory, plan.private_pages):
            va = PRIVATE_MEMORY + number * PAGE_SIZE
            tables.map(va, pa, count, write=True, user=True, execute=False)
            for page in range(count):
                space.memory.write(pa + page * PAGE_SIZE, private_page(plan.process_id, number + page))
            number += count
    if plan.transition_pages:
        process.transition.append(_trim(space, tables, plan))
    return process


def private_page(process_id: int, number: int) -> bytes:
    """Content of a private page: text with its process and number, so that a leak into a dump is easy to see."""
    text = b"user memory of process %08d, page %08d. " % (process_id, number)
    return (text * (PAGE_SIZE // len(text) + 1))[:PAGE_SIZE]


def _create_thread(space: SystemSpace, tables: PageTables, number: int, program: Program) -> UserThread:
    teb = TEBS + number * TEB_PAGES * PAGE_SIZE
    _map_new(space, tables, teb, TEB_PAGES)
    base = STACKS + (number + 1) * STACK_RESERVE
    limit = base - STACK_PAGES * PAGE_SIZE
    _map_new(space, tables, limit, STACK_PAGES)
    _set(
        tables,
        teb,
        TEB,
        {
            "NtTib.StackBase": base,
            "NtTib.StackLimit": limit,
            "NtTib.Self": teb,
            "ProcessEnvironmentBlock": PEB_ADDRESS,
            "DeallocationStack": base - STACK_RESERVE,
        },
    )
    return UserThread(teb, base - 0x28, program)


def _trim(space: SystemSpace, tables: PageTables, plan: ProcessPlan) -> Frames:
    """Create pages that the system trimmed from the working set. They keep their contents."""
    va, count = PRIVATE_MEMORY + plan.private_pages * PAGE_SIZE, plan.transition_pages
    pa = _map_new(space, tables, va, count)
    for page in range(count):
        space.memory.write(pa + page * PAGE_SIZE, private_page(plan.process_id, plan.private_pages + page))
        entry = tables.translate(pte_address(va + page * PAGE_SIZE))
        assert entry is not None  # the page was mapped above, and the self map shows its table
        space.memory.write_u64(entry.pa, pa + page * PAGE_SIZE | _PTE_TRANSITION | _MM_READWRITE)
    state = PageState.MODIFIED if plan.critical else PageState.STANDBY
    return Frames(pa // PAGE_SIZE, count, pte_address(va), state)


def _map_new(space: SystemSpace, tables: PageTables, va: int, count: int) -> int:
    pa = space.memory.allocate_pages(count)
    tables.map(va, pa, count, write=True, user=True, execute=False)
    return pa


def _allocate_high(memory: PhysicalMemory, count: int) -> list[tuple[int, int]]:
    """Allocate ``count`` pages as runs of (physical address, pages).

    Uses memory above 4 GiB first and the pages below ``memory.first`` last. Raises RamExhausted.
    """
    found = []
    for first, size in sorted(memory.free_runs(), key=lambda run: (run[0] < _FOUR_GIB, run[0] < memory.first, run[0])):
        taken = min(size, count)
        if taken:
            found.append((memory.allocate_within(taken, first=first, end=first + taken), taken))
            count -= taken
    if count:
        raise RamExhausted(f"fewer than {count} free pages are left")
    return found


def _set(tables: PageTables, address: int, layout: Layout, values: dict[str, int]) -> None:
    for name, value in values.items():
        offset, size = layout[name]
        if size != 8:
            raise ValueError(f"{name}: expected a field of 8 bytes")
        tables.write(address + offset, struct.pack("<Q", value))
