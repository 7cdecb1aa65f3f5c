"""The frozen state of a whole machine in kernel mode: all that a kernel dump writer may know.

Like ``model.ProcessSnapshot`` a value: frozen, ordered, comparable. Physical memory is sparse: ``memory`` has the pages
that were ever touched, every other page of ``physical_runs`` is zero. Virtual addresses are resolved by the page
tables inside that memory, never by a side table, so that a dump can be checked the way a debugger reads it.

Units: addresses and sizes in bytes; PFNs are physical addresses >> 12; times are FILETIMEs, durations 100 ns units.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from .process import PAGE_SIZE, Context


@dataclass(frozen=True, slots=True)
class KernelSystem:
    """The operating system (KUSER_SHARED_DATA, KdVersionBlock)."""

    architecture: str
    """``amd64``."""
    build_number: int
    """MinorVersion of the dump header: 9600, 19041, 26100."""
    major_version: int
    """0xF free build, 0xC checked build."""
    product_type: int
    suite_mask: int
    nt_build_lab: str


@dataclass(frozen=True, slots=True)
class Processor:
    """One processor, as KPRCB.ProcessorState and KPRCB.Context hold it when the machine has stopped."""

    number: int
    kpcr: int
    kprcb: int
    current_thread: int
    """ETHREAD."""
    context: Context
    """What KPRCB.Context points at: for the crashing processor, the context of the bug check."""
    special_registers: tuple[tuple[str, int], ...]
    """KSPECIAL_REGISTERS by its field names: Cr0 Cr2 Cr3 Cr4 Cr8, KernelDr0 .., Gdtr.Base, Gdtr.Limit, Idtr.., Tr,
    MxCsr, Msr...."""
    stack_limit: int
    stack_base: int
    """Bounds of the stack it runs on."""


@dataclass(frozen=True, slots=True)
class BugCheck:
    code: int
    parameters: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class KernelThread:
    thread: int
    """ETHREAD."""
    thread_id: int
    teb: int
    """0 for a system thread."""
    stack_limit: int
    stack_base: int
    """Of its kernel stack."""


@dataclass(frozen=True, slots=True)
class KernelProcess:
    process: int
    """EPROCESS."""
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
    """(address, size) of sections that nobody may write."""


@dataclass(frozen=True, slots=True)
class UnloadedDriver:
    """An entry of MmUnloadedDrivers."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Symbols:
    """Where the kernel's own structures are: the addresses that the dump header and a debugger start from."""

    kernel_base: int
    kd_debugger_data_block: int
    kd_version_block: int
    ps_loaded_module_list: int
    ps_active_process_head: int
    mm_pfn_database: int
    """Address of the variable; its value is in memory."""
    ki_bugcheck_data: int
    ki_processor_block: int
    mm_unloaded_drivers: int
    mm_physical_memory_block: int


@dataclass(frozen=True, slots=True)
class DataBlob:
    """Tagged data that a KbCallbackSecondaryDumpData callback added."""

    tag: bytes
    """GUID, 16 bytes as in memory."""
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PhysicalRun:
    """Touched pages: ``data`` holds whole pages from PFN ``base_page`` on. Runs are sorted and never touch."""

    base_page: int
    data: bytes | memoryview = field(repr=False)

    @property
    def page_count(self) -> int:
        return len(self.data) // PAGE_SIZE

    @property
    def end_page(self) -> int:
        return self.base_page + self.page_count


@dataclass(frozen=True)
class KernelSnapshot:
    """A stopped machine, as a kernel debugger or the kernel's own dump code sees it."""

    mode: ClassVar[Literal["kernel"]] = "kernel"
    system: KernelSystem
    time: int
    up_time: int
    processors: tuple[Processor, ...]
    crashing_processor: int
    """Index into ``processors``."""
    directory_table_base: int
    """The root in use on the crashing processor, page aligned."""
    system_directory_table_base: int
    """The root of the System process: its kernel half maps all kernel memory."""
    bug_check: BugCheck
    """A manual live dump has code 0x161."""
    exception: tuple[int, int, int] | None
    """(code, flags, address) for the header's exception record; None: the bug check's own, 0x80000003 at the context's
    instruction pointer."""
    symbols: Symbols
    processes: tuple[KernelProcess, ...]
    """In PsActiveProcessHead's order, System first."""
    drivers: tuple[Driver, ...]
    """In PsLoadedModuleList's order, the kernel first."""
    unloaded_drivers: tuple[UnloadedDriver, ...]
    physical_runs: tuple[tuple[int, int], ...]
    """(first PFN, count): what MmPhysicalMemoryBlock says is RAM. Sorted, disjoint, not adjacent."""
    memory: tuple[PhysicalRun, ...]
    """Touched pages of RAM; the rest of RAM is zero."""
    free_pages: tuple[tuple[int, int], ...]
    """(first PFN, count) of RAM on the free and zeroed lists: nobody uses it."""
    standby_pages: tuple[tuple[int, int], ...]
    """(first PFN, count) of RAM on the standby and modified lists (transition)."""
    unreadable_pages: tuple[tuple[int, int], ...]
    """(first PFN, count) of RAM that cannot be read."""
    added_pages: tuple[tuple[int, int], ...]
    """(first PFN, count) that KbCallbackAddPages callbacks asked for."""
    triage_data: tuple[tuple[int, int], ...]
    """(address, size) that KbCallbackTriageDumpData callbacks asked for."""
    blobs: tuple[DataBlob, ...]

    @cached_property
    def _starts(self) -> list[int]:
        return [run.base_page for run in self.memory]

    def page(self, pfn: int) -> bytes | memoryview | None:
        """The 4096 bytes of a page of RAM, None for a PFN that is no RAM."""
        if not any(base <= pfn < base + count for base, count in self.physical_runs):
            return None
        index = bisect_right(self._starts, pfn) - 1
        if index >= 0 and pfn < self.memory[index].end_page:
            at = (pfn - self.memory[index].base_page) * PAGE_SIZE
            return self.memory[index].data[at : at + PAGE_SIZE]
        return bytes(PAGE_SIZE)

    def touched(self, base_page: int, page_count: int) -> Iterator[tuple[int, bytes | memoryview]]:
        """The touched parts of a run of PFNs, in order, as (first PFN, bytes): the rest of the run is zero."""
        end = base_page + page_count
        for run in self.memory:
            low, high = max(base_page, run.base_page), min(end, run.end_page)
            if low < high:
                yield low, run.data[(low - run.base_page) * PAGE_SIZE : (high - run.base_page) * PAGE_SIZE]
