"""Captures a stopped process as a ``ProcessSnapshot``, with the values that an attached debugger would read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache

from ..constants import (
    CONTEXT_AMD64_ALL,
    MEM_COMMIT,
    MEM_FREE,
    MEM_IMAGE,
    MEM_MAPPED,
    MEM_PRIVATE,
    NORMAL_PRIORITY_CLASS,
    readable_protection,
)
from ..process.context import context_of
from ..process.extended_state import AVX_COMPONENT, avx_state
from ..process.function_tables import DynamicFunctionTable
from ..process.loader import LoadedModule
from ..process.memory import WRITABLE
from ..process.objects import Thread as ProcessThread
from ..process.outcome import Crashed, Deadlock, Outcome
from ..process.process import Process
from ..process.system import PROGRAM_DIRECTORY
from ..process.tokens import token_of
from ..process.winnt import PAGE_SIZE
from ..snapshot.process import (
    CodeView,
    Context,
    ExceptionEvent,
    FunctionEntry,
    FunctionTable,
    Handle,
    HandleOperation,
    MemoryRun,
    Module,
    ProcessInformation,
    ProcessSnapshot,
    Region,
    Section,
    Thread,
    Token,
    UnloadedModule,
    VmCounters,
)
from ..snapshot.stack import ThreadStack
from ..symbols import PdbFiles
from .stacks import Placed, named

Xstate = tuple[tuple[int, bytes], ...]

MEDIUM_INTEGRITY = 0x2000  # winnt.h SECURITY_MANDATORY_MEDIUM_RID
EXECUTE_FLAGS = 0xD
"""MEM_EXECUTE_OPTION_DISABLE, DISABLE_THUNK_EMULATION, PERMANENT, as in every 64-bit process (phnt ntpsapi.h)."""
PROCESS_COOKIE = 0x7A1C4E93
"""NtQueryInformationProcess(ProcessCookie), a random value on a real system."""

# Quota that the kernel charges for the process, a thread and a handle. Real dumps have values of that size.
_PAGED_POOL, _NON_PAGED_POOL = 0x2A00, 0x1200
_NON_PAGED_POOL_PER_THREAD, _NON_PAGED_POOL_PER_HANDLE = 0x560, 0x68


def capture(process: Process, outcome: Outcome, *, avx_threads: Collection[str] = ()) -> ProcessSnapshot:
    """The snapshot of a crashed or deadlocked process. Raises ValueError for a process that has exited.

    ``avx_threads`` are the names of threads that get AVX state, in a process with extended state.
    """
    if not isinstance(outcome, Crashed | Deadlock):
        raise ValueError(f"{process.main_module.name}: the process has exited: nothing to capture")
    regions = tuple(process.memory.space.walk())
    crashed = outcome if isinstance(outcome, Crashed) else None
    used = [thread for thread in process.scheduler.threads if thread.name in avx_threads]
    states: dict[int, Xstate] = {
        thread.thread_id: ((AVX_COMPONENT, avx_state(thread.thread_id)),) if thread in used else ()
        for thread in process.scheduler.threads
        if process.system.xstate is not None
    }
    threads = tuple(
        _thread(process, thread, crashed, states.get(thread.thread_id)) for thread in process.scheduler.threads
    )
    kernel_time, user_time = process.times()
    return ProcessSnapshot(
        system=process.system,
        process=ProcessInformation(
            process_id=process.process_id,
            create_time=process.create_time,
            user_time=user_time,
            kernel_time=kernel_time,
            peb=process.peb.address,
            integrity_level=MEDIUM_INTEGRITY,
            execute_flags=EXECUTE_FLAGS,
            protected=0,
            cookie=PROCESS_COOKIE,
            command_line=process.command_line,
            vm=_vm_counters(process, regions),
        ),
        time=process.scheduler.now,
        start_directory=PROGRAM_DIRECTORY,
        threads=threads,
        modules=tuple(_module(module) for module in process.loader.modules),
        unloaded_modules=tuple(
            UnloadedModule(base, image.size_of_image, image.checksum, image.time_date_stamp, name)
            for base, image, name in process.loader.unloaded
        ),
        regions=regions,
        memory=_memory(process, regions),
        unreadable=(),
        handles=_handles(process),
        exception=None if crashed is None else _event(crashed, states.get(crashed.thread.thread_id)),
        function_tables=tuple(_function_table(table) for table in process.functions.tables()),
        handle_operations=tuple(
            HandleOperation(
                operation.handle, process.process_id, operation.thread_id, int(operation.type), operation.index,
                operation.return_addresses,
            )
            for operation in process.handle_trace or ()
        ),
        tokens=_tokens(process),
        stacks=_stacks(process, threads),
    )  # fmt: skip


def _stacks(process: Process, threads: Collection[Thread]) -> tuple[ThreadStack, ...]:
    """The recorded call stacks, from the contexts of the threads on."""
    calls = process.cpu.shadow_stack
    if calls is None:
        return ()
    pdbs = PdbFiles(process.image_folders)

    @cache
    def placed(module: LoadedModule) -> Placed:
        return Placed(module.name, module.base, pdbs.of(module.image.code_view))

    def covering(address: int) -> Placed | None:
        module = process.loader.covering(address)
        return None if module is None else placed(module)

    return tuple(
        ThreadStack(
            thread.thread_id,
            named(
                calls.frames_of_thread(thread.thread_id, thread.context["Rip"], thread.context["Rsp"]),
                covering,
            ),
        )
        for thread in threads
    )


def _function_table(table: DynamicFunctionTable) -> FunctionTable:
    return FunctionTable(
        minimum_address=table.minimum_address,
        maximum_address=table.maximum_address,
        base_address=table.base_address,
        native=table.native,
        entries=tuple(FunctionEntry(*entry) for entry in table.entries),
    )


def _tokens(process: Process) -> tuple[Token, ...]:
    """The process's token, if the program has a handle to it. The handle of a debugger would have another value."""
    opened = [value for value, entry in process.handles if entry.object is process.token]
    return (token_of(process.process_id, opened[0]),) if opened else ()


def _event(crashed: Crashed, xstate: Xstate | None) -> ExceptionEvent:
    record = crashed.record
    return ExceptionEvent(
        thread_id=crashed.thread.thread_id,
        code=record.code,
        flags=record.flags,
        record=record.record,
        address=record.address,
        information=record.information,
        context=replace(crashed.context, xstate=xstate),
        first_chance=crashed.first_chance,
    )


def _thread(process: Process, thread: ProcessThread, crashed: Crashed | None, xstate: Xstate | None) -> Thread:
    on_processor = crashed is not None and thread is crashed.thread
    if on_processor and crashed is not None:
        # NtRaiseException copies the context of the exception into the thread's trap frame.
        context = Context(crashed.context.registers, crashed.context.fxsave, CONTEXT_AMD64_ALL)
    else:
        process.cpu.restore(thread.state)
        context = context_of(process.cpu)
    if thread.suspend_count:
        state = "suspended"
    elif thread.wait is not None:
        state = "waiting"
    else:
        state = "running" if on_processor else "ready"
    return Thread(
        thread_id=thread.thread_id,
        # A debugger that breaks in suspends every thread once more.
        suspend_count=thread.suspend_count + 1,
        priority_class=NORMAL_PRIORITY_CLASS,
        priority=thread.priority,
        teb=thread.teb,
        stack_base=thread.stack.base,
        stack_limit=thread.stack_limit,
        context=replace(context, xstate=xstate),
        name=thread.name,
        create_time=thread.create_time,
        exit_time=thread.exit_time,
        exit_status=thread.exit_status,
        kernel_time=thread.kernel_time,
        user_time=thread.user_time,
        start_address=thread.start_address,
        affinity=thread.affinity,
        state=state,
    )


def _module(module: LoadedModule) -> Module:
    image = module.image
    return Module(
        base=module.base,
        size=image.size_of_image,
        checksum=image.checksum,
        time_date_stamp=image.time_date_stamp,
        name=module.path,
        version_info=image.version_info,
        code_view=None if image.code_view is None else CodeView(image.code_view),
        dll_characteristics=image.dll_characteristics,
        sections=tuple(
            Section(section.name, section.virtual_address, section.virtual_size, section.characteristics)
            for section in image.sections
        ),
        size_of_headers=image.size_of_headers,
    )


def _memory(process: Process, regions: tuple[Region, ...]) -> tuple[MemoryRun, ...]:
    """The readable memory. Merges adjacent regions, also of different allocations."""
    spans: list[tuple[int, int]] = []
    for region in regions:
        if region.state != MEM_COMMIT or not readable_protection(region.protect):
            continue
        if spans and spans[-1][1] == region.base:
            spans[-1] = spans[-1][0], region.end
        else:
            spans.append((region.base, region.end))
    return tuple(MemoryRun(start, process.memory.peek(start, end - start)) for start, end in spans)


def _handles(process: Process) -> tuple[Handle, ...]:
    return tuple(
        Handle(
            value=value,
            type_name=entry.object.type_name,
            object_name=entry.object.name,
            attributes=entry.attributes,
            granted_access=entry.granted_access,
            handle_count=entry.object.handle_count,
            pointer_count=entry.object.pointer_count,
        )
        for value, entry in process.handles
    )


def _vm_counters(process: Process, regions: tuple[Region, ...]) -> VmCounters:
    """The counters, computed from the regions. Every committed page is resident, after one page fault each.

    Private memory consists of private pages and of image pages that a write made private. Only the peak of the working
    set was measured; the other peaks are assumed to occur at the same time.
    """
    committed = [region for region in regions if region.state == MEM_COMMIT]
    working_set = sum(region.size for region in committed)
    private = sum(
        region.size
        for region in committed
        if region.type == MEM_PRIVATE or (region.type == MEM_IMAGE and region.protect & WRITABLE)
    )
    mapped = sum(region.size for region in committed if region.type == MEM_MAPPED)
    virtual = sum(region.size for region in regions if region.state != MEM_FREE)
    handles = sum(1 for _ in process.handles)
    threads = len(process.scheduler.threads)
    non_paged = _NON_PAGED_POOL + threads * _NON_PAGED_POOL_PER_THREAD + handles * _NON_PAGED_POOL_PER_HANDLE
    extra = process.memory.peak_pages_mapped * PAGE_SIZE - working_set
    return VmCounters(
        page_fault_count=process.memory.pages_given,
        peak_working_set_size=working_set + extra,
        working_set_size=working_set,
        quota_peak_paged_pool_usage=_PAGED_POOL,
        quota_paged_pool_usage=_PAGED_POOL,
        quota_peak_non_paged_pool_usage=non_paged,
        quota_non_paged_pool_usage=non_paged,
        pagefile_usage=private,
        peak_pagefile_usage=private + extra,
        peak_virtual_size=virtual + extra,
        virtual_size=virtual,
        private_usage=private,
        private_working_set_size=private,
        shared_commit_usage=mapped,
    )
