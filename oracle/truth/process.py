"""The truth of a process: the members of truth.json in mode ``user``, and of request.json.

docs/truth-format.md describes them. The oracle shares no code with programs that write truths.

Addresses and sizes are in bytes, times are FILETIMEs (100 ns since 1601-01-01 UTC), durations are in units of 100 ns.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from ..memory.source import ByteSource
from .context import CONTEXT_REGISTERS, POINTER_SIZES, ThreadContextTruth, XStateTruth
from .members import I32, U8, U16, U32, Bytes, Wide, array, choice, number, wide
from .objects import FunctionTableTruth, HandleOperationTruth, TokenTruth, UserStreamTruth
from .region import COMMIT, FREE, GUARD, IMAGE, MAPPED, NOACCESS, PRIVATE, RESERVE
from .stacks import ThreadStackTruth

REGISTERS = {"amd64": CONTEXT_REGISTERS["amd64"]}
"""Architecture -> the registers of a processor's context. These are the architectures of a kernel-mode truth."""


@dataclass(frozen=True, slots=True)
class X86CpuTruth:
    """The CPUID values of an x86 processor, as in SystemInfo."""

    vendor_id: str
    version_information: U32
    feature_information: U32
    amd_extended_cpu_features: U32


@dataclass(frozen=True, slots=True)
class SystemTruth:
    """The system and its hardware."""

    architecture: Annotated[str, choice(*CONTEXT_REGISTERS)]
    processor_level: U16
    processor_revision: U16
    number_of_processors: U32
    product_type: U8
    major_version: U32
    minor_version: U32
    build_number: U32
    csd_version: str
    suite_mask: U16
    processor_features: Annotated[tuple[int, ...], array(wide, least=2, most=2)] | None
    """None on x86, which has ``x86_cpu``."""
    build_string: str
    time_zone_id: U32
    time_zone_bias: I32
    """Minutes; UTC = local time + bias."""
    standard_name: str
    daylight_name: str
    processor_max_mhz: U32
    processor_current_mhz: U32
    number_of_physical_pages: Wide
    lowest_physical_page_number: Wide
    highest_physical_page_number: Wide
    allocation_granularity: U32
    minimum_user_mode_address: Wide
    maximum_user_mode_address: Wide
    timer_resolution: U32
    available_pages: Wide
    committed_pages: Wide
    commit_limit: Wide
    peak_commitment: Wide
    xstate: XStateTruth | None = None
    x86_cpu: X86CpuTruth | None = None

    @property
    def pointer_size(self) -> int:
        """In bytes."""
        return POINTER_SIZES[self.architecture]


@dataclass(frozen=True, slots=True)
class VmTruth:
    """The memory counters of the process, as in PROCESS_MEMORY_COUNTERS."""

    page_fault_count: U32
    peak_working_set_size: Wide
    working_set_size: Wide
    quota_peak_paged_pool_usage: Wide
    quota_paged_pool_usage: Wide
    quota_peak_non_paged_pool_usage: Wide
    quota_non_paged_pool_usage: Wide
    pagefile_usage: Wide
    peak_pagefile_usage: Wide
    peak_virtual_size: Wide
    virtual_size: Wide
    private_usage: Wide
    private_working_set_size: Wide
    shared_commit_usage: Wide


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """The process."""

    process_id: U32
    create_time: Wide
    user_time: Wide
    kernel_time: Wide
    peb: Wide
    integrity_level: U32
    execute_flags: U32
    protected: U32
    cookie: U32
    command_line: str
    vm: VmTruth


@dataclass(frozen=True, slots=True)
class ThreadTruth:
    """A thread."""

    thread_id: U32
    suspend_count: U32
    priority_class: U32
    priority: I32
    teb: Wide
    stack_base: Wide
    stack_limit: Wide
    name: str | None
    create_time: Wide
    exit_time: Wide
    exit_status: U32
    kernel_time: Wide
    user_time: Wide
    start_address: Wide
    affinity: Wide
    state: str
    context: ThreadContextTruth


@dataclass(frozen=True, slots=True)
class SectionTruth:
    """A section of an image."""

    name: str
    virtual_address: U32
    virtual_size: U32
    characteristics: U32


@dataclass(frozen=True, slots=True)
class ModuleTruth:
    """A loaded module."""

    base: Wide
    size: U32
    checksum: U32
    time_date_stamp: U32
    name: str
    version_info: Annotated[tuple[int, ...], array(number(32), least=13, most=13)] | None
    """The dwords of VS_FIXEDFILEINFO."""
    code_view: Bytes | None
    dll_characteristics: U16
    size_of_headers: U32
    sections: tuple[SectionTruth, ...]


@dataclass(frozen=True, slots=True)
class UnloadedModuleTruth:
    """An unloaded module."""

    base: Wide
    size: U32
    checksum: U32
    time_date_stamp: U32
    name: str


@dataclass(frozen=True, slots=True)
class RegionTruth:
    """A region of the address space, as VirtualQuery reports it."""

    base: Wide
    size: Wide
    allocation_base: Wide
    allocation_protect: U32
    state: Annotated[int, number(32, among=(COMMIT, RESERVE, FREE))]
    protect: U32
    type: Annotated[int, number(32, among=(0, PRIVATE, MAPPED, IMAGE))]

    @property
    def end(self) -> int:
        return self.base + self.size

    @property
    def readable(self) -> bool:
        """Whether a debugger can read it: committed, not NOACCESS, not guarded."""
        return self.state == COMMIT and self.protect & 0xFF not in (0, NOACCESS) and not self.protect & GUARD


@dataclass(frozen=True, slots=True)
class RunTruth:
    """A run of readable pages, whose bytes are in memory.bin at ``offset``."""

    start: Wide
    size: Wide
    offset: Wide

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class UnreadableTruth:
    """Pages that cannot be read, although their state and protection allow it."""

    start: Wide
    size: Wide

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class HandleTruth:
    """An open handle."""

    value: U32
    type_name: str
    object_name: str | None
    attributes: U32
    granted_access: U32
    handle_count: U32
    pointer_count: U32


@dataclass(frozen=True, slots=True)
class ExceptionTruth:
    """The exception of the last event."""

    thread_id: U32
    code: U32
    flags: U32
    record: Wide
    address: Wide
    # winnt.h EXCEPTION_MAXIMUM_PARAMETERS = 15
    information: Annotated[tuple[int, ...], array(wide, most=15)]
    first_chance: bool
    context: ThreadContextTruth


@dataclass(frozen=True)
class ProcessTruth:
    """The state of a process at the moment of the dump."""

    mode: ClassVar[Literal["user"]] = "user"
    source: str
    system: SystemTruth
    process: ProcessFacts
    time: Wide
    start_directory: str
    threads: tuple[ThreadTruth, ...]
    modules: tuple[ModuleTruth, ...]
    unloaded_modules: tuple[UnloadedModuleTruth, ...]
    regions: tuple[RegionTruth, ...]
    memory: tuple[RunTruth, ...]
    unreadable: tuple[UnreadableTruth, ...]
    handles: tuple[HandleTruth, ...]
    exception: ExceptionTruth | None
    function_tables: tuple[FunctionTableTruth, ...] | None = None
    """Dynamic function tables, in the order of the system's list. None if unknown."""
    handle_operations: tuple[HandleOperationTruth, ...] | None = None
    """Oldest first. None or empty if handle tracing is off."""
    tokens: tuple[TokenTruth, ...] | None = None
    """None or empty if the writer gets no tokens."""
    image_files: tuple[Wide, ...] | None = None
    """Bases of the modules whose image files a cabinet can hold. None if unknown."""
    stacks: tuple[ThreadStackTruth, ...] | None = None
    """Call stacks. None or empty if they were not recorded."""
    contents: ByteSource = field(init=False, repr=False, compare=False, default_factory=lambda: ByteSource(b""))
    """memory.bin."""
    computed: dict[Hashable, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    """The results that ``entitlement.cache`` keeps."""

    @cached_property
    def _region_bases(self) -> list[int]:
        return [region.base for region in self.regions]

    @cached_property
    def _run_starts(self) -> list[int]:
        return [run.start for run in self.memory]

    @cached_property
    def _threads_by_id(self) -> dict[int, ThreadTruth]:
        return {thread.thread_id: thread for thread in self.threads}

    def thread(self, thread_id: int) -> ThreadTruth | None:
        """The thread of that id; None if there is none."""
        return self._threads_by_id.get(thread_id)

    def region_at(self, address: int) -> RegionTruth | None:
        """The region that holds ``address``; None above the user's address space."""
        region = self.regions[max(bisect_right(self._region_bases, address) - 1, 0)]
        return region if region.base <= address < region.end else None

    def readable_runs(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The readable parts of ``[start, end)``, ascending: address, size, offset in ``contents``."""
        index = max(bisect_right(self._run_starts, start) - 1, 0)
        while index < len(self.memory) and self.memory[index].start < end:
            run = self.memory[index]
            low, high = max(start, run.start), min(end, run.end)
            if low < high:
                yield low, high - low, run.offset + low - run.start
            index += 1

    def readable(self, start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """The readable parts of ``[start, end)``, ascending: address, bytes."""
        for address, size, offset in self.readable_runs(start, end):
            yield address, self.contents.view(offset, size)

    def read(self, address: int, size: int) -> memoryview | None:
        """``size`` bytes at ``address``; None unless all of them are readable."""
        run = next(self.readable_runs(address, address + size), None)
        return self.contents.view(run[2], size) if run and run[:2] == (address, size) else None


@dataclass(frozen=True, slots=True)
class RequestTruth:
    """The dump request. ``qualifier_value`` and ``format_flags_value`` decide; the names are for display."""

    qualifier: str
    qualifier_value: U32
    format_flags: tuple[str, ...]
    format_flags_value: U32
    comment: str | None
    profile: str
    file: str
    user_streams: tuple[UserStreamTruth, ...] = ()
    """In the caller's order."""
    contract: Annotated[str, choice("documented", "e15063", "e29507")] = "documented"
    """Whose choices the writer claims to make: the reference page's, or those of a version of the vendor's engine."""
    session: Annotated[str, choice("live", "dump")] = "live"
    """``dump``: the debugger's target was itself a dump, so some data could not be copied."""
