"""The frozen state of a whole machine in kernel mode: the only input of a kernel dump writer.

A snapshot is a value, like ``process.ProcessSnapshot``: frozen, ordered, comparable. Physical memory is sparse:
``memory`` holds the pages that were touched, and every other page of ``physical_runs`` is zero. Virtual addresses are
resolved by the page tables in that memory only, as a debugger does it.

Units: addresses and sizes in bytes; PFNs are physical addresses >> 12; times are FILETIMEs, durations 100 ns units.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from .process import PAGE_SIZE, Context
from .stack import KernelStack

CR4_LA57 = 1 << 12
"""Five levels of page tables (AMD64 Architecture Programmer's Manual vol. 2, 5.3)."""


@dataclass(frozen=True, slots=True)
class KernelSystem:
    """The operating system (KUSER_SHARED_DATA, KdVersionBlock)."""

    architecture: str
    """``amd64``."""
    build_number: int
    """MinorVersion of the dump header: 9600, 19041, 26100."""
    major_version: int
    """0xF for a free build, 0xC for a checked build."""
    product_type: int
    suite_mask: int
    nt_build_lab: str


@dataclass(frozen=True, slots=True)
class Processor:
    """One processor, as KPRCB.ProcessorState and KPRCB.Context hold it after the machine stopped."""

    number: int
    kpcr: int
    kprcb: int
    current_thread: int
    """Address of the ETHREAD."""
    context: Context
    """The CONTEXT that KPRCB.Context points at. On the crashing processor: the context of the bug check."""
    special_registers: tuple[tuple[str, int], ...]
    """KSPECIAL_REGISTERS by field name: Cr0, Cr2, Cr3, Cr4, Cr8, KernelDr0, Gdtr.Base, Gdtr.Limit, Idtr.Base, Tr,
    MxCsr, Msr* and so on."""
    stack_limit: int
    stack_base: int
    """``stack_limit`` and ``stack_base``: bounds of the stack that the processor runs on."""


@dataclass(frozen=True, slots=True)
class BugCheck:
    """Code and parameters of KeBugCheckEx."""

    code: int
    parameters: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class KernelThread:
    """A thread, as its ETHREAD describes it."""

    thread: int
    """Address of the ETHREAD."""
    thread_id: int
    teb: int
    """0 for a system thread."""
    stack_limit: int
    stack_base: int
    """``stack_limit`` and ``stack_base``: bounds of the kernel stack."""


@dataclass(frozen=True, slots=True)
class KernelProcess:
    """A process, as its EPROCESS describes it."""

    process: int
    """Address of the EPROCESS."""
    process_id: int
    image_file_name: str
    """At most 15 characters."""
    directory_table_base: int
    """Physical address of its root page table."""
    peb: int
    threads: tuple[KernelThread, ...]


@dataclass(frozen=True, slots=True)
class Driver:
    """An entry of PsLoadedModuleList (KLDR_DATA_TABLE_ENTRY)."""

    entry: int
    """Address of the list entry."""
    base: int
    size: int
    entry_point: int
    checksum: int
    time_date_stamp: int
    full_name: str
    base_name: str
    flags: int
    load_count: int
    read_only_sections: tuple[tuple[int, int], ...]
    """(address, size) of each section that is not writable."""


@dataclass(frozen=True, slots=True)
class UnloadedDriver:
    """An entry of MmUnloadedDrivers."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Symbols:
    """Addresses of the kernel's own structures, from which the dump header and a debugger start."""

    kernel_base: int
    kd_debugger_data_block: int
    kd_version_block: int
    ps_loaded_module_list: int
    ps_active_process_head: int
    mm_pfn_database: int
    """Address of the variable; its value is in ``memory``."""
    ki_bugcheck_data: int
    ki_processor_block: int
    mm_unloaded_drivers: int
    mm_physical_memory_block: int


@dataclass(frozen=True, slots=True)
class DataBlob:
    """Tagged data that a KbCallbackSecondaryDumpData callback added (docs/format/kernel-secondary-data.md)."""

    tag: bytes
    """A GUID: 16 bytes, in memory order."""
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PhysicalRun:
    """Consecutive touched pages. ``data`` holds whole pages, starting with PFN ``base_page``."""

    base_page: int
    data: bytes | memoryview = field(repr=False)

    @property
    def page_count(self) -> int:
        """Number of pages."""
        return len(self.data) // PAGE_SIZE

    @property
    def end_page(self) -> int:
        """The PFN after the last page."""
        return self.base_page + self.page_count


@dataclass(frozen=True)
class KernelSnapshot:
    """A stopped machine, as a kernel debugger or the dump code of the kernel sees it."""

    mode: ClassVar[Literal["kernel"]] = "kernel"
    system: KernelSystem
    time: int
    up_time: int
    processors: tuple[Processor, ...]
    crashing_processor: int
    """Index into ``processors``."""
    directory_table_base: int
    """Physical address of the root page table in use on the crashing processor, page aligned."""
    system_directory_table_base: int
    """Physical address of the System process's root page table. Its kernel half maps all kernel memory."""
    bug_check: BugCheck
    """Code 0x161 for a manual live dump."""
    exception: tuple[int, int, int] | None
    """(code, flags, address) for the header's exception record. None: the record of a bug check, 0x80000003 at the
    instruction pointer of the context."""
    symbols: Symbols
    processes: tuple[KernelProcess, ...]
    """In the order of PsActiveProcessHead, System first."""
    drivers: tuple[Driver, ...]
    """In the order of PsLoadedModuleList, the kernel first."""
    unloaded_drivers: tuple[UnloadedDriver, ...]
    physical_runs: tuple[tuple[int, int], ...]
    """(first PFN, count) of each run of RAM, as in MmPhysicalMemoryBlock. Sorted, disjoint, not adjacent."""
    memory: tuple[PhysicalRun, ...]
    """Touched pages of RAM, sorted; two runs are never adjacent. The rest of RAM is zero."""
    free_pages: tuple[tuple[int, int], ...]
    """(first PFN, count) of RAM on the free and zeroed lists."""
    standby_pages: tuple[tuple[int, int], ...]
    """(first PFN, count) of RAM on the standby and modified lists (pages in transition)."""
    unreadable_pages: tuple[tuple[int, int], ...]
    """(first PFN, count) of RAM that cannot be read."""
    added_pages: tuple[tuple[int, int], ...]
    """(first PFN, count) that KbCallbackAddPages callbacks add to the dump."""
    triage_data: tuple[tuple[int, int], ...]
    """(address, size) that KbCallbackTriageDumpData callbacks add to a small dump."""
    blobs: tuple[DataBlob, ...]
    stacks: tuple[KernelStack, ...] = ()
    """The call stacks of threads, those of the processors first; empty if they were not recorded."""

    @property
    def paging_levels(self) -> int:
        """Levels of the page tables: 5 with bit 12 of CR4, else 4.

        docs/format/kernel-header-fields.md#paging-levels
        """
        control = dict(self.processors[self.crashing_processor].special_registers)
        return 5 if control.get("Cr4", 0) & CR4_LA57 else 4

    @cached_property
    def _starts(self) -> list[int]:
        return [run.base_page for run in self.memory]

    def page(self, pfn: int) -> bytes | memoryview | None:
        """Return the 4096 bytes of a page of RAM; None for a PFN outside RAM."""
        if not any(base <= pfn < base + count for base, count in self.physical_runs):
            return None
        index = bisect_right(self._starts, pfn) - 1
        if index >= 0 and pfn < self.memory[index].end_page:
            at = (pfn - self.memory[index].base_page) * PAGE_SIZE
            return self.memory[index].data[at : at + PAGE_SIZE]
        return bytes(PAGE_SIZE)

    def touched(self, base_page: int, page_count: int) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield the touched parts of a run of PFNs, in order, as (first PFN, bytes). The rest of the run is zero."""
        end = base_page + page_count
        for run in self.memory:
            low, high = max(base_page, run.base_page), min(end, run.end_page)
            if low < high:
                yield low, run.data[(low - run.base_page) * PAGE_SIZE : (high - run.base_page) * PAGE_SIZE]
