"""Builds the user processes that exist at boot: root page table, program, PEB, stacks, TEBs and private pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..constants import IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE
from ..machine.paging import PageTables
from ..machine.ram import PAGE_SIZE, RamExhausted
from ..process.layouts import TEB
from .boot_block import BOOT_REGION_IMAGE, BOOT_REGION_PRIVATE, KUSER_USER, PageState, Program
from .images import LoadedImage
from .page_states import Frames
from .physical_memory import PhysicalMemory
from .process_data import UserWriter, write_process_data
from .system_space import SystemSpace, pages_of, pte_address

PEB_ADDRESS = 0x6B_5F20_0000
TEBS = PEB_ADDRESS + 0x1000
TEB_PAGES = 2
PROCESS_DATA = PEB_ADDRESS + 0x3_F000
"""The page of PEB_LDR_DATA and the process parameters."""
STACKS = PEB_ADDRESS + 0x4_0000
STACK_PAGES = 2
STACK_RESERVE = 0x1_0000
PRIVATE_MEMORY = 0x6B_5F40_0000

# Software page-table entry of a page on the standby or modified list: MMPTE_TRANSITION with protection MM_READWRITE
# (docs/format/kernel-structures.md#entries-that-are-not-present).
_PTE_TRANSITION = 1 << 11
_MM_READWRITE = 4 << 5
_PROTECT_READ_ONLY, _PROTECT_READ_WRITE, _PROTECT_EXECUTE_WRITE_COPY = 1, 4, 7
"""MM_READONLY, MM_READWRITE and MM_EXECUTE_WRITECOPY, as VADs hold them."""
_FOUR_GIB = 1 << 20  # in pages


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """The plan of a process. ``programs`` has the action of each thread.

    ``folder`` is the directory of its program on the system volume. ``age`` is the time from boot to its start, in
    seconds. ``private_pages`` is the number of committed pages. ``transition_pages`` is the number of pages that were
    trimmed from the working set.
    """

    name: str
    process_id: int
    parent_id: int
    programs: tuple[Program, ...]
    folder: str = r"\Windows\System32"
    age: int = 10
    session: int = 0
    critical: bool = False
    private_pages: int = 2
    transition_pages: int = 2

    @property
    def path(self) -> str:
        """The path of the program from the root of its volume."""
        return f"{self.folder}\\{self.name}"


@dataclass(frozen=True, slots=True)
class Region:
    """A range of the user half, for the VAD tree. ``kind`` is BOOT_REGION_*, ``protection`` MM_*."""

    start: int
    end: int
    kind: int
    protection: int


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
    created: int
    """FILETIME."""
    threads: list[UserThread] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
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


def create_process(space: SystemSpace, plan: ProcessPlan, program: ProgramImage, created: int) -> UserProcess:
    """Build the user half of a process. ``SystemSpace.share_with`` adds the kernel half. Raises RamExhausted.

    ``created`` is the FILETIME of its start.
    """
    tables = space.new_root()
    process = UserProcess(plan, tables.root, created)
    program.map_into(tables)
    tables.map(KUSER_USER, space.shared_user_data, 1, write=False, user=True, execute=False)
    _map_new(space, tables, PEB_ADDRESS, 1)
    _map_new(space, tables, PROCESS_DATA, 1)
    write_process_data(
        tables,
        PEB_ADDRESS,
        PROCESS_DATA,
        program=program.loaded,
        path=f"C:{plan.path}",
        session=plan.session,
        created=created,
    )
    for number, what in enumerate(plan.programs):
        process.threads.append(_create_thread(space, tables, plan.process_id, number, what))
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
    process.regions = _regions(plan, program.loaded)
    return process


def _regions(plan: ProcessPlan, program: LoadedImage) -> list[Region]:
    """The ranges of the user half, ascending."""

    def private(start: int, pages: int) -> Region:
        return Region(start, start + pages * PAGE_SIZE, BOOT_REGION_PRIVATE, _PROTECT_READ_WRITE)

    stacks = [
        Region(base, base + STACK_RESERVE, BOOT_REGION_PRIVATE, _PROTECT_READ_WRITE)
        for base in range(STACKS, STACKS + len(plan.programs) * STACK_RESERVE, STACK_RESERVE)
    ]
    pages = plan.private_pages + plan.transition_pages
    return [
        Region(KUSER_USER, KUSER_USER + PAGE_SIZE, BOOT_REGION_PRIVATE, _PROTECT_READ_ONLY),
        Region(program.base, program.end, BOOT_REGION_IMAGE, _PROTECT_EXECUTE_WRITE_COPY),
        private(PEB_ADDRESS, 1 + TEB_PAGES * len(plan.programs)),
        private(PROCESS_DATA, 1),
        *stacks,
        *([private(PRIVATE_MEMORY, pages)] if pages else []),
    ]


def private_page(process_id: int, number: int) -> bytes:
    """Content of a private page: text with its process and number, so that a leak into a dump is easy to see."""
    text = b"user memory of process %08d, page %08d. " % (process_id, number)
    return (text * (PAGE_SIZE // len(text) + 1))[:PAGE_SIZE]


def _create_thread(
    space: SystemSpace, tables: PageTables, process_id: int, number: int, program: Program
) -> UserThread:
    teb = TEBS + number * TEB_PAGES * PAGE_SIZE
    _map_new(space, tables, teb, TEB_PAGES)
    base = STACKS + (number + 1) * STACK_RESERVE
    limit = base - STACK_PAGES * PAGE_SIZE
    _map_new(space, tables, limit, STACK_PAGES)
    UserWriter(tables).set(
        teb,
        TEB,
        {
            "NtTib.ExceptionList": 0,  # not 0: a debugger takes the thread for a WOW64 one
            "ClientId.UniqueProcess": process_id,
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
