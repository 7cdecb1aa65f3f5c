"""The truth of a machine: the members of truth.json in mode ``kernel``, as docs/truth-format.md describes them.

Addresses and sizes are in bytes, PFNs are physical addresses >> 12, times are FILETIMEs (100 ns since 1601-01-01 UTC),
durations are in units of 100 ns.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from struct import iter_unpack
from typing import Annotated, Any, ClassVar, Literal

from ..decode import Record, structure
from ..memory.page import PAGE_SIZE
from ..memory.page_set import PageSet
from ..memory.source import ByteSource
from ..memory.walk import AddressSpace
from .context import ContextTruth
from .members import U16, U32, Bytes, Wide, Wides, array, byte_string, choice, wide
from .process import REGISTERS
from .stacks import KernelStackTruth

ZERO_PAGE = bytes(PAGE_SIZE)
_MOST_RUNS = 0x1000
"""Of a memory map. A greater count is no memory map."""
_LA57 = 1 << 12
"""The bit of CR4 for five levels of page tables (Intel SDM volume 3, 2.5)."""


@dataclass(frozen=True, slots=True)
class KernelSystemTruth:
    """The system of the machine."""

    architecture: Annotated[str, choice(*REGISTERS)]
    build_number: U32
    major_version: U32
    product_type: U32
    suite_mask: U32
    nt_build_lab: str


@dataclass(frozen=True, slots=True)
class ProcessorTruth:
    """A processor: addresses of its structures, its context and its special registers."""

    number: U32
    kpcr: Wide
    kprcb: Wide
    current_thread: Wide
    stack_limit: Wide
    stack_base: Wide
    context: ContextTruth
    special_registers: Wides


@dataclass(frozen=True, slots=True)
class BugCheckTruth:
    """The bug check and its four parameters."""

    code: U32
    parameters: Annotated[tuple[int, ...], array(wide, least=4, most=4)]


@dataclass(frozen=True, slots=True)
class KernelExceptionTruth:
    """The exception record of the bug check."""

    code: U32
    flags: U32
    address: Wide


@dataclass(frozen=True, slots=True)
class SymbolsTruth:
    """Addresses of kernel variables, by their names."""

    kernel_base: Wide
    kd_debugger_data_block: Wide
    kd_version_block: Wide
    ps_loaded_module_list: Wide
    ps_active_process_head: Wide
    mm_pfn_database: Wide
    ki_bugcheck_data: Wide
    ki_processor_block: Wide
    mm_unloaded_drivers: Wide
    mm_physical_memory_block: Wide


@dataclass(frozen=True, slots=True)
class KernelThreadTruth:
    """A thread. ``thread`` is the address of its ETHREAD."""

    thread: Wide
    thread_id: U32
    teb: Wide
    stack_limit: Wide
    stack_base: Wide


@dataclass(frozen=True, slots=True)
class KernelProcessTruth:
    """A process. ``process`` is the address of its EPROCESS."""

    process: Wide
    process_id: U32
    image_file_name: str
    directory_table_base: Wide
    peb: Wide
    threads: tuple[KernelThreadTruth, ...]


@dataclass(frozen=True, slots=True)
class ExtentTruth:
    """``size`` bytes of virtual memory at ``address``."""

    address: Wide
    size: Wide


@dataclass(frozen=True, slots=True)
class DriverTruth:
    """A loaded driver. ``entry`` is the address of its KLDR_DATA_TABLE_ENTRY."""

    entry: Wide
    base: Wide
    size: U32
    entry_point: Wide
    checksum: U32
    time_date_stamp: U32
    full_name: str
    base_name: str
    flags: U32
    load_count: U16
    read_only_sections: tuple[ExtentTruth, ...]


@dataclass(frozen=True, slots=True)
class UnloadedDriverTruth:
    """An unloaded driver."""

    name: str
    start: Wide
    end: Wide


@dataclass(frozen=True, slots=True)
class PageRunTruth:
    """A run of physical pages."""

    base_page: Wide
    page_count: Wide

    @property
    def end_page(self) -> int:
        return self.base_page + self.page_count


@dataclass(frozen=True, slots=True)
class TouchedRunTruth:
    """Pages whose bytes are in memory.bin at ``offset``."""

    base_page: Wide
    page_count: Wide
    offset: Wide

    @property
    def end_page(self) -> int:
        return self.base_page + self.page_count


@dataclass(frozen=True, slots=True)
class BlobTruth:
    """A blob of secondary data."""

    tag: Annotated[bytes, byte_string(16)]
    data: Bytes


@dataclass(frozen=True)
class KernelTruth:
    """The state of a machine at the moment of the dump."""

    mode: ClassVar[Literal["kernel"]] = "kernel"
    source: str
    system: KernelSystemTruth
    time: Wide
    up_time: Wide
    processors: tuple[ProcessorTruth, ...]
    crashing_processor: U32
    directory_table_base: Wide
    system_directory_table_base: Wide
    bug_check: BugCheckTruth
    exception: KernelExceptionTruth | None
    symbols: SymbolsTruth
    processes: tuple[KernelProcessTruth, ...]
    drivers: tuple[DriverTruth, ...]
    unloaded_drivers: tuple[UnloadedDriverTruth, ...]
    physical_runs: tuple[PageRunTruth, ...]
    memory: tuple[TouchedRunTruth, ...]
    free_pages: tuple[PageRunTruth, ...]
    standby_pages: tuple[PageRunTruth, ...]
    unreadable_pages: tuple[PageRunTruth, ...]
    added_pages: tuple[PageRunTruth, ...]
    triage_data: tuple[ExtentTruth, ...]
    blobs: tuple[BlobTruth, ...]
    image_files: tuple[Wide, ...] | None = None
    """Bases of the drivers whose image files a cabinet can hold. None if unknown."""
    stacks: tuple[KernelStackTruth, ...] | None = None
    """Call stacks. None or empty if they were not recorded."""
    contents: ByteSource = field(init=False, repr=False, compare=False, default_factory=lambda: ByteSource(b""))
    """memory.bin."""
    computed: dict[Hashable, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    """The results that ``entitlement.cache`` keeps."""

    @property
    def crashed(self) -> ProcessorTruth:
        """The processor that called the bug check."""
        return self.processors[self.crashing_processor]

    @cached_property
    def ram(self) -> PageSet:
        """All pages of physical memory."""
        return pages_of(self.physical_runs)

    @cached_property
    def listed(self) -> PageSet | None:
        """The pages of the target's own memory map, MmPhysicalMemoryBlock; None if it cannot be read.

        NumberOfRuns u32, NumberOfPages u64 at 8, then base and count of each run
        (docs/format/kernel-pages.md#physical-memory-descriptor).
        """
        pointer = self.read(self.symbols.mm_physical_memory_block, 8)
        block = 0 if pointer is None else int.from_bytes(pointer, "little")
        head = self.read(block, 4)
        count = 0 if head is None else int.from_bytes(head, "little")
        runs = self.read(block + 0x10, 16 * count) if head is not None and count <= _MOST_RUNS else None
        return None if runs is None else PageSet((base, base + pages) for base, pages in iter_unpack("<QQ", runs))

    @cached_property
    def added(self) -> PageSet:
        """Pages that bug-check callbacks added to the dump."""
        return pages_of(self.added_pages)

    @cached_property
    def free(self) -> PageSet:
        """Free and zeroed pages."""
        return pages_of(self.free_pages)

    @cached_property
    def standby(self) -> PageSet:
        """Pages on the standby and modified lists."""
        return pages_of(self.standby_pages)

    @cached_property
    def unreadable(self) -> PageSet:
        """Pages that a writer cannot read."""
        return pages_of(self.unreadable_pages)

    @cached_property
    def space(self) -> AddressSpace:
        """The address space of the crashing processor."""
        return AddressSpace(self, self.directory_table_base, "amd64-la57" if self.paging_levels == 5 else "amd64")

    @property
    def paging_levels(self) -> int:
        """Levels of the page tables: 5 if Cr4 of the crashing processor has LA57, else 4."""
        return 5 if self.crashed.special_registers.get("Cr4", 0) & _LA57 else 4

    @cached_property
    def _starts(self) -> list[int]:
        return [run.base_page for run in self.memory]

    def page(self, pfn: int) -> memoryview | bytes | None:
        """The 4096 bytes of a page; None if the page is not RAM."""
        index = bisect_right(self._starts, pfn) - 1
        if index >= 0 and pfn < self.memory[index].end_page:
            run = self.memory[index]
            at = run.offset + (pfn - run.base_page) * PAGE_SIZE
            return self.contents.view(at, PAGE_SIZE)
        return ZERO_PAGE if pfn in self.ram else None

    def pieces(self, base: int, count: int) -> Iterator[tuple[int, int, int | None]]:
        """``count`` pages of RAM from PFN ``base`` on, as ascending (PFN, pages, offset in ``contents``).

        The offset is None for pages of zeros, which ``contents`` does not hold.
        """
        at, end = base, base + count
        index = max(bisect_right(self._starts, base) - 1, 0)
        while index < len(self.memory) and self.memory[index].base_page < end:
            run = self.memory[index]
            low, high = max(at, run.base_page), min(end, run.end_page)
            index += 1
            if low >= high:
                continue
            if at < low:
                yield at, low - at, None
            yield low, high - low, run.offset + (low - run.base_page) * PAGE_SIZE
            at = high
        if at < end:
            yield at, end - at, None

    def read(self, address: int, size: int) -> bytes | None:
        """``size`` bytes at a virtual address of the crashing processor; None unless all of them are mapped."""
        return self.space.read(address, size)

    def structure(self, name: str, address: int, size: int | None = None) -> Record | None:
        """A structure in the target's virtual memory; None unless it is mapped. Its span has no meaning."""
        table = structure(name)
        data = self.read(address, min(table.size if size is None else size, table.size))
        return None if data is None else Record(table, name, 0, data)

    @property
    def version_block(self) -> Record | None:
        """DBGKD_GET_VERSION64 of the target; None unless it is mapped."""
        address = self.symbols.kd_version_block
        return self.structure("DBGKD_GET_VERSION64", address) if address else None

    @cached_property
    def debugger_data(self) -> Record | None:
        """KDDEBUGGER_DATA64: Header.Size bytes of it; None unless they are mapped."""
        address = self.symbols.kd_debugger_data_block
        head = self.structure("KDDEBUGGER_DATA64", address, 0x18)
        return None if head is None else self.structure("KDDEBUGGER_DATA64", address, max(head["Header.Size"], 0x18))


def pages_of(runs: tuple[PageRunTruth, ...]) -> PageSet:
    """The pages of ``runs``."""
    return PageSet((run.base_page, run.end_page) for run in runs)
