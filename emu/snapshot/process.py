"""The frozen state of a process: the only input of a user dump writer.

A snapshot is a value: frozen, ordered, comparable, hashable. It can be captured from a run, or made by hand
(``emu/synthetic``). Names are those of Windows. The comment of a field says what it holds when something is absent.

Units, unless a field says otherwise: addresses and sizes in bytes; times are FILETIMEs (100 ns units since 1601-01-01
UTC), durations are 100 ns units.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from .processor_state import Context, X86CpuInformation, XstateConfiguration, XstateFeature
from .sparse import PAGE_SIZE, SparseBytes
from .stack import ThreadStack

__all__ = [
    "PAGE_SIZE", "POINTER_SIZE", "CodeView", "Context", "ExceptionEvent", "FunctionEntry", "FunctionTable",
    "Handle", "HandleOperation", "LuidAndAttributes", "MemoryRun", "Module", "ProcessInformation", "ProcessSnapshot",
    "Region", "Section", "SidAndAttributes", "SystemInformation", "Thread", "Token", "UnloadedModule", "VmCounters",
    "X86CpuInformation", "XstateConfiguration", "XstateFeature",
]  # fmt: skip

POINTER_SIZE = {"x86": 4, "amd64": 8, "arm64": 8}
"""Bytes of a pointer in a process of the architecture."""


@dataclass(frozen=True, slots=True)
class SystemInformation:
    """The machine and the operating system (SYSTEM_INFO, OSVERSIONINFOEX, SYSTEM_BASIC_INFORMATION)."""

    architecture: str
    """Architecture of the target process: ``amd64``, ``x86`` or ``arm64``."""
    processor_level: int
    processor_revision: int
    number_of_processors: int
    product_type: int
    """1 workstation, 2 domain controller, 3 server."""
    major_version: int
    minor_version: int
    build_number: int
    csd_version: str
    """Service pack text, empty without a service pack."""
    suite_mask: int
    processor_features: tuple[int, int] | None
    """Two 64-bit words; bit n is the result of IsProcessorFeaturePresent(n). None on x86, which has ``x86_cpu``."""
    build_string: str
    """BuildString of MiscInfo, at most 259 UTF-16 units."""
    time_zone_id: int
    time_zone_bias: int
    """In minutes: UTC = local time + bias."""
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
    """Address of the last byte for user code: 0x7FFFFFFEFFFF on amd64 and arm64, 0x7FFEFFFF on x86."""
    timer_resolution: int
    """In 100 ns units."""
    available_pages: int
    committed_pages: int
    commit_limit: int
    peak_commitment: int
    """``available_pages`` to ``peak_commitment``: system-wide, in pages."""
    xstate: XstateConfiguration | None = None
    """None: the system does not save extended processor state."""
    x86_cpu: X86CpuInformation | None = None
    """Only for an x86 target."""

    @property
    def pointer_size(self) -> int:
        """Bytes of a pointer in the target process: 4 or 8."""
        return POINTER_SIZE[self.architecture]


@dataclass(frozen=True, slots=True)
class VmCounters:
    """VM_COUNTERS_EX2 of the process, in bytes except ``page_fault_count``."""

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
    """The process as a whole."""

    process_id: int
    create_time: int
    user_time: int
    kernel_time: int
    peb: int
    integrity_level: int
    """0x2000 for medium, 0x3000 for high integrity."""
    execute_flags: int
    """MEM_EXECUTE_OPTION_* bits; 0xD: data is not executable, permanently."""
    protected: int
    cookie: int
    command_line: str
    vm: VmCounters


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread of the process."""

    thread_id: int
    suspend_count: int
    """As the debugger sees it: 1 for a thread that only the debugger suspended."""
    priority_class: int
    priority: int
    """Signed, as GetThreadPriority returns it."""
    teb: int
    stack_base: int
    """TEB.NtTib.StackBase: one past the highest byte of the stack."""
    stack_limit: int
    """TEB.NtTib.StackLimit: lowest committed byte."""
    context: Context
    name: str | None
    """The thread description; None if there is none."""
    create_time: int
    exit_time: int
    """0 while the thread runs."""
    exit_status: int
    """STATUS_PENDING 0x103 while the thread runs."""
    kernel_time: int
    user_time: int
    start_address: int
    affinity: int
    state: str
    """``running``, ``ready``, ``waiting`` or ``suspended``. For users and scenarios; no stream stores it."""


@dataclass(frozen=True, slots=True)
class CodeView:
    """The CodeView record of an image, unchanged (RSDS: signature, GUID, age, path, NUL)."""

    record: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a mapped image, as in the section header."""

    name: str
    virtual_address: int
    virtual_size: int
    characteristics: int


@dataclass(frozen=True, slots=True)
class Module:
    """A loaded image."""

    base: int
    size: int
    """SizeOfImage."""
    checksum: int
    time_date_stamp: int
    name: str
    """Full path."""
    version_info: tuple[int, ...] | None
    """VS_FIXEDFILEINFO as 13 dwords; None if the image has no version resource."""
    code_view: CodeView | None
    dll_characteristics: int
    sections: tuple[Section, ...]
    size_of_headers: int


@dataclass(frozen=True, slots=True)
class UnloadedModule:
    """An image that was unloaded before the dump."""

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
    """0 for a free region."""
    allocation_protect: int
    """0 for a free region."""
    state: int
    """MEM_COMMIT 0x1000, MEM_RESERVE 0x2000, MEM_FREE 0x10000."""
    protect: int
    """PAGE_* for a committed, 0 for a reserved, 1 (PAGE_NOACCESS) for a free region."""
    type: int
    """MEM_PRIVATE 0x20000, MEM_MAPPED 0x40000, MEM_IMAGE 0x1000000; 0 for a free region."""

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.base + self.size


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """The bytes of consecutive readable pages. Start and length are multiples of a page."""

    start: int
    data: bytes | SparseBytes = field(repr=False)

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class Handle:
    """An open handle of the process."""

    value: int
    type_name: str
    object_name: str | None
    attributes: int
    granted_access: int
    handle_count: int
    pointer_count: int


@dataclass(frozen=True, slots=True)
class HandleOperation:
    """One record of handle tracing (AVRF_HANDLE_OPERATION, avrfsdk.h)."""

    handle: int
    process_id: int
    thread_id: int
    operation_type: int
    """1 for open, 2 for close, 3 for a bad reference."""
    index: int
    return_addresses: tuple[int, ...]
    """Innermost first, at most 32."""


@dataclass(frozen=True, slots=True)
class FunctionEntry:
    """RUNTIME_FUNCTION of amd64 (winnt.h). Offsets count from BaseAddress of the table."""

    begin_address: int
    end_address: int
    unwind_data: int


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """A dynamic function table: generated code registers it with RtlAddFunctionTable."""

    minimum_address: int
    maximum_address: int
    base_address: int
    native: bytes = field(repr=False)
    """The descriptor of the operating system (DYNAMIC_FUNCTION_TABLE), as in memory. All descriptors of a process have
    one size."""
    entries: tuple[FunctionEntry, ...]


@dataclass(frozen=True, slots=True)
class SidAndAttributes:
    """A SID of a token."""

    sid: bytes
    """The SID as in memory (winnt.h SID): revision, count, authority, sub-authorities."""
    attributes: int
    """SE_GROUP_* for a group, 0 for the user."""


@dataclass(frozen=True, slots=True)
class LuidAndAttributes:
    """A privilege of a token."""

    luid: int
    """LowPart and HighPart as one number."""
    attributes: int
    """SE_PRIVILEGE_*."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token of the process, or an impersonation token of a thread."""

    token_id: int
    """Process id for the primary token, thread id for an impersonation token."""
    handle: int
    token_type: int
    """1 for TokenPrimary, 2 for TokenImpersonation."""
    user: SidAndAttributes
    groups: tuple[SidAndAttributes, ...]
    privileges: tuple[LuidAndAttributes, ...]
    statistics: bytes
    """TOKEN_STATISTICS, 56 bytes."""


@dataclass(frozen=True, slots=True)
class ExceptionEvent:
    """The last event, if it is an exception: EXCEPTION_RECORD64 and the context of the exception."""

    thread_id: int
    code: int
    flags: int
    record: int
    """Address of a nested record in the target; 0 if there is none."""
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
    """Time of the dump."""
    start_directory: str
    """The directory in which the debugger was started, as a path of the target. Never a host path."""
    threads: tuple[Thread, ...]
    """In creation order."""
    modules: tuple[Module, ...]
    """In load order, the main image first."""
    unloaded_modules: tuple[UnloadedModule, ...]
    """Oldest first. They may overlap loaded modules and each other."""
    regions: tuple[Region, ...]
    """The whole user address space from 0 to maximum_user_mode_address + 1, sorted, without gaps."""
    memory: tuple[MemoryRun, ...]
    """Every page that a debugger can read: committed, not PAGE_NOACCESS, not PAGE_GUARD, and not in ``unreadable``.

    Sorted; two runs are never adjacent.
    """
    unreadable: tuple[tuple[int, int], ...]
    """(start, size) of committed pages that cannot be read although their protection allows it."""
    handles: tuple[Handle, ...]
    """Ascending by value."""
    exception: ExceptionEvent | None
    """None if the target was stopped without an exception."""
    function_tables: tuple[FunctionTable, ...] = ()
    """In the order of the operating system's list."""
    handle_operations: tuple[HandleOperation, ...] = ()
    """Oldest first. Empty if handle tracing is off."""
    tokens: tuple[Token, ...] = ()
    """The token of the process, then impersonation tokens of threads."""
    stacks: tuple[ThreadStack, ...] = ()
    """The call stacks of threads, in their order; empty if they were not recorded."""

    @cached_property
    def _starts(self) -> list[int]:
        return [run.start for run in self.memory]

    def read(self, address: int, size: int) -> bytes | None:
        """Return ``size`` bytes at ``address``; None if any of them cannot be read."""
        if size == 0:
            return b""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address + size > self.memory[index].end:
            return None
        offset = address - self.memory[index].start
        return self.memory[index].data[offset : offset + size]

    def readable(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the readable parts of [start, end), in order, as (start, end)."""
        for run in self.memory:
            low, high = max(start, run.start), min(end, run.end)
            if low < high:
                yield low, high

    def region_at(self, address: int) -> Region | None:
        """Return the VirtualQuery row that covers ``address``; None above user space."""
        for region in self.regions:
            if region.base <= address < region.end:
                return region
        return None
