"""The frozen state of a debug target: all that a dump writer may know.

A snapshot is a value: frozen, ordered, comparable, hashable. One made by hand, with no CPU behind it, is as good as a
captured one (``synthetic.py``). Names are Windows'. Absence is a value and is said field by field.

Units, unless a field says otherwise: addresses and sizes in bytes; times are FILETIMEs (100 ns units since 1601-01-01
UTC) and durations are 100 ns units, as Windows keeps them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from .processor_state import Context, X86CpuInformation, XstateConfiguration, XstateFeature
from .sparse import SparseBytes

__all__ = [
    "PAGE_SIZE", "POINTER_SIZE", "CodeView", "Context", "ExceptionEvent", "FunctionEntry", "FunctionTable",
    "Handle", "HandleOperation", "LuidAndAttributes", "MemoryRun", "Module", "ProcessInformation", "ProcessSnapshot",
    "Region", "Section", "SidAndAttributes", "SystemInformation", "Thread", "Token", "UnloadedModule", "VmCounters",
    "X86CpuInformation", "XstateConfiguration", "XstateFeature",
]  # fmt: skip

PAGE_SIZE = 0x1000
POINTER_SIZE = {"x86": 4, "amd64": 8, "arm64": 8}
"""Bytes of a pointer in a process of the architecture."""


@dataclass(frozen=True, slots=True)
class SystemInformation:
    """The machine and the operating system (SYSTEM_INFO, OSVERSIONINFOEX, SYSTEM_BASIC_INFORMATION)."""

    architecture: str
    """``amd64``, ``x86`` or ``arm64``: the architecture of the target process."""
    processor_level: int
    processor_revision: int
    number_of_processors: int
    product_type: int
    """1 workstation, 2 domain controller, 3 server."""
    major_version: int
    minor_version: int
    build_number: int
    csd_version: str
    """Service pack text, empty when there is none."""
    suite_mask: int
    processor_features: tuple[int, int] | None
    """Bit n says what IsProcessorFeaturePresent(n) returns (two 64-bit words). None on x86, which has ``x86_cpu``."""
    build_string: str
    """MiscInfo BuildString, at most 259 UTF-16 units."""
    time_zone_id: int
    time_zone_bias: int
    """Minutes, UTC = local time + bias."""
    standard_name: str
    daylight_name: str
    processor_max_mhz: int
    processor_current_mhz: int
    number_of_physical_pages: int
    lowest_physical_page_number: int
    highest_physical_page_number: int
    allocation_granularity: int
    minimum_user_mode_address: int
    maximum_user_mode_address: int
    """Last byte that user code may use: 0x7FFFFFFEFFFF on amd64 and arm64, 0x7FFEFFFF on x86."""
    timer_resolution: int
    """100 ns units."""
    available_pages: int
    committed_pages: int
    commit_limit: int
    peak_commitment: int
    """System-wide commit figures, in pages."""
    xstate: XstateConfiguration | None = None
    """None: the system saves no extended processor state."""
    x86_cpu: X86CpuInformation | None = None
    """Of an x86 target."""

    @property
    def pointer_size(self) -> int:
        """Bytes of a pointer in the target process: 4 or 8."""
        return POINTER_SIZE[self.architecture]


@dataclass(frozen=True, slots=True)
class VmCounters:
    """The process's VM_COUNTERS_EX2, all in bytes but the fault count."""

    page_fault_count: int
    peak_working_set_size: int
    working_set_size: int
    quota_peak_paged_pool_usage: int
    quota_paged_pool_usage: int
    quota_peak_non_paged_pool_usage: int
    quota_non_paged_pool_usage: int
    pagefile_usage: int
    peak_pagefile_usage: int
    peak_virtual_size: int
    virtual_size: int
    private_usage: int
    private_working_set_size: int
    shared_commit_usage: int


@dataclass(frozen=True, slots=True)
class ProcessInformation:
    process_id: int
    create_time: int
    user_time: int
    kernel_time: int
    peb: int
    integrity_level: int
    """0x2000 medium, 0x3000 high."""
    execute_flags: int
    """MEM_EXECUTE_OPTION_* bits (0xD: permanent, no execution of data)."""
    protected: int
    cookie: int
    command_line: str
    vm: VmCounters


@dataclass(frozen=True, slots=True)
class Thread:
    thread_id: int
    suspend_count: int
    """As the debugger sees it: 1 for a thread that only the debugger's own break-in suspended."""
    priority_class: int
    priority: int
    """Signed, as GetThreadPriority says it."""
    teb: int
    stack_base: int
    """TEB.NtTib.StackBase: one past the highest byte of the stack."""
    stack_limit: int
    """TEB.NtTib.StackLimit: lowest committed byte."""
    context: Context
    name: str | None
    """The description, None when the thread has none."""
    create_time: int
    exit_time: int
    """0 while the thread lives."""
    exit_status: int
    """STATUS_PENDING 0x103 while the thread lives."""
    kernel_time: int
    user_time: int
    start_address: int
    affinity: int
    state: str
    """``running``, ``ready``, ``waiting`` or ``suspended``; for people and scenarios, no stream holds it."""


@dataclass(frozen=True, slots=True)
class CodeView:
    """The image's CodeView record, raw, as its debug directory gives it (RSDS: signature, GUID, age, path, NUL)."""

    record: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a mapped image, as its header gives it."""

    name: str
    virtual_address: int
    virtual_size: int
    characteristics: int


@dataclass(frozen=True, slots=True)
class Module:
    base: int
    size: int
    """SizeOfImage."""
    checksum: int
    time_date_stamp: int
    name: str
    """Full path."""
    version_info: tuple[int, ...] | None
    """VS_FIXEDFILEINFO as 13 dwords; None when the image has no version resource."""
    code_view: CodeView | None
    dll_characteristics: int
    sections: tuple[Section, ...]
    size_of_headers: int


@dataclass(frozen=True, slots=True)
class UnloadedModule:
    base: int
    size: int
    checksum: int
    time_date_stamp: int
    name: str
    """Base name."""


@dataclass(frozen=True, slots=True)
class Region:
    """One row of a VirtualQuery walk (MEMORY_BASIC_INFORMATION)."""

    base: int
    size: int
    allocation_base: int
    """0 for free."""
    allocation_protect: int
    """0 for free."""
    state: int
    """MEM_COMMIT 0x1000, MEM_RESERVE 0x2000, MEM_FREE 0x10000."""
    protect: int
    """PAGE_* of a committed region; 0 reserved; 1 (PAGE_NOACCESS) free."""
    type: int
    """MEM_PRIVATE 0x20000, MEM_MAPPED 0x40000, MEM_IMAGE 0x1000000; 0 free."""

    @property
    def end(self) -> int:
        return self.base + self.size


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """Bytes of consecutive readable pages: start and length are page multiples; runs are sorted and never touch."""

    start: int
    data: bytes | SparseBytes = field(repr=False)

    @property
    def end(self) -> int:
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class Handle:
    value: int
    type_name: str
    object_name: str | None
    attributes: int
    granted_access: int
    handle_count: int
    pointer_count: int


@dataclass(frozen=True, slots=True)
class HandleOperation:
    """One step of handle tracing (AVRF_HANDLE_OPERATION, avrfsdk.h)."""

    handle: int
    process_id: int
    thread_id: int
    operation_type: int
    """1 open, 2 close, 3 bad reference."""
    index: int
    return_addresses: tuple[int, ...]
    """Innermost first, at most 32."""


@dataclass(frozen=True, slots=True)
class FunctionEntry:
    """RUNTIME_FUNCTION of amd64 (winnt.h): RVAs from the table's BaseAddress."""

    begin_address: int
    end_address: int
    unwind_data: int


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """A dynamic function table: what RtlAddFunctionTable told the system about generated code."""

    minimum_address: int
    maximum_address: int
    base_address: int
    native: bytes = field(repr=False)
    """The operating system's own descriptor (DYNAMIC_FUNCTION_TABLE), as it lies in memory; all of a process are of one
    size."""
    entries: tuple[FunctionEntry, ...]


@dataclass(frozen=True, slots=True)
class SidAndAttributes:
    sid: bytes
    """The SID as it lies in memory (winnt.h SID): revision, count, authority, sub-authorities."""
    attributes: int
    """SE_GROUP_* of a group, 0 of the user."""


@dataclass(frozen=True, slots=True)
class LuidAndAttributes:
    luid: int
    """LowPart and HighPart as one number."""
    attributes: int
    """SE_PRIVILEGE_*."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that the process or one of its threads runs under."""

    token_id: int
    """Process id of the process's primary token, thread id of a thread's impersonation token."""
    handle: int
    token_type: int
    """TokenPrimary 1, TokenImpersonation 2."""
    user: SidAndAttributes
    groups: tuple[SidAndAttributes, ...]
    privileges: tuple[LuidAndAttributes, ...]
    statistics: bytes
    """TOKEN_STATISTICS, 56 bytes."""


@dataclass(frozen=True, slots=True)
class ExceptionEvent:
    """The last event, when it is an exception (EXCEPTION_RECORD64 and the context it happened in)."""

    thread_id: int
    code: int
    flags: int
    record: int
    """Address of a nested record in the target, 0 for none."""
    address: int
    information: tuple[int, ...]
    """0 to 15 parameters."""
    context: Context
    first_chance: bool


@dataclass(frozen=True)
class ProcessSnapshot:
    """A stopped user-mode process, as a debugger sees it."""

    mode: ClassVar[Literal["user"]] = "user"
    system: SystemInformation
    process: ProcessInformation
    time: int
    """The moment of the dump."""
    start_directory: str
    """The directory in which the debugger was started, as the scenario names it: never a host path."""
    threads: tuple[Thread, ...]
    """In creation order."""
    modules: tuple[Module, ...]
    """In load order, the main image first."""
    unloaded_modules: tuple[UnloadedModule, ...]
    """Oldest first; may overlap loaded modules and each other."""
    regions: tuple[Region, ...]
    """The whole user address space: sorted, gapless, from 0 to maximum_user_mode_address + 1."""
    memory: tuple[MemoryRun, ...]
    """Every page that a debugger can read: committed, not PAGE_NOACCESS, not PAGE_GUARD, and not in ``unreadable``."""
    unreadable: tuple[tuple[int, int], ...]
    """(start, size) of committed pages whose protection allows a read that nevertheless fails."""
    handles: tuple[Handle, ...]
    """Ascending by value."""
    exception: ExceptionEvent | None
    """None: the target was stopped without an exception, which is legal."""
    function_tables: tuple[FunctionTable, ...] = ()
    """In the order that the operating system lists them."""
    handle_operations: tuple[HandleOperation, ...] = ()
    """Oldest first; none when handle tracing is off."""
    tokens: tuple[Token, ...] = ()
    """What the writer is told of tokens."""

    @cached_property
    def _starts(self) -> list[int]:
        return [run.start for run in self.memory]

    def read(self, address: int, size: int) -> bytes | None:
        """``size`` bytes at ``address``, or None when any of them cannot be read."""
        if size == 0:
            return b""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address + size > self.memory[index].end:
            return None
        offset = address - self.memory[index].start
        return self.memory[index].data[offset : offset + size]

    def readable(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The readable parts of ``[start, end)``, in order, as (start, end)."""
        for run in self.memory:
            low, high = max(start, run.start), min(end, run.end)
            if low < high:
                yield low, high

    def region_at(self, address: int) -> Region | None:
        """The VirtualQuery row that covers ``address``; None beyond user space."""
        for region in self.regions:
            if region.base <= address < region.end:
                return region
        return None
