"""Implements the system services for threads and the process."""

from __future__ import annotations

import struct

from .handle_trace import DEFAULT_SLOTS, MAXIMUM_SLOTS, HandleTrace
from .handles import CURRENT_PROCESS, CURRENT_THREAD
from .layouts import TEB, Structure
from .objects import THREAD_SUSPEND_RESUME, THREAD_TERMINATE, ProcessObject, Thread, ThreadObject, Wait
from .outcome import Control, Exited
from .service_sync import deadline
from .services import Call, object_attributes, own_process, s32, service, u32
from .threads import NORMAL_BASE_PRIORITY
from .winnt import Status, StatusError

THREAD_CREATE_FLAGS_CREATE_SUSPENDED = 0x1  # phnt, ntpsapi.h
MAXIMUM_SUSPEND_COUNT = 127  # winnt.h
TLS_SLOTS, TLS_EXPANSION_SLOTS = 64, 1024  # TLS_MINIMUM_AVAILABLE (winnt.h); the TlsAlloc reference page: 1,088

# THREADINFOCLASS, PROCESSINFOCLASS (winternl.h, ntddk.h)
THREAD_BASIC_INFORMATION, THREAD_TIMES = 0, 1
THREAD_PRIORITY, THREAD_BASE_PRIORITY, THREAD_AFFINITY_MASK, THREAD_NAME_INFORMATION = 2, 3, 4, 38
THREAD_ZERO_TLS_CELL = 10
PROCESS_BASIC_INFORMATION, PROCESS_TIMES, PROCESS_HANDLE_TRACING = 0, 4, 32


def thread_of(call: Call, handle: int, access: int = 0) -> Thread:
    """The thread of a handle or of the pseudo handle. Raises StatusError as ``HandleTable.get``."""
    if handle == CURRENT_THREAD:
        return call.thread
    thread = call.process.handles.get(handle, ThreadObject, access).thread
    if thread is None:
        raise StatusError(Status.INVALID_HANDLE)
    return thread


@service
def NtCreateThreadEx(call: Call) -> int:
    handle_at, access, attributes_at, process_handle, start, argument, flags, _, commit, reserve, _ = call.arguments
    own_process(call, process_handle)
    process = call.process
    process.memory.probe_write(handle_at, 8)
    process.handles.admit()
    attributes = object_attributes(call, attributes_at)
    suspended = bool(u32(flags) & THREAD_CREATE_FLAGS_CREATE_SUSPENDED)
    thread = process.create_thread(start, argument, commit=commit, reserve=reserve, suspended=suspended)
    value = process.handles.insert(thread.object, thread.object.grant(u32(access)), attributes.attributes)
    process.memory.put_u64(handle_at, value)
    return Status.SUCCESS


@service
def NtTerminateThread(call: Call) -> int | Control:
    handle, status = call.arguments
    thread = thread_of(call, handle or CURRENT_THREAD, THREAD_TERMINATE)
    if thread.exited:
        return Status.SUCCESS
    call.process.terminate_thread(thread, u32(status))
    return Control.ENDED if thread is call.thread else Status.SUCCESS


@service
def NtTerminateProcess(call: Call) -> int | Control:
    handle, status = call.arguments
    process = call.process
    if handle == 0:
        for thread in list(process.scheduler.threads):
            if thread is not call.thread:
                process.terminate_thread(thread, u32(status))
        return Status.SUCCESS
    if handle != CURRENT_PROCESS:
        process.handles.get(handle, ProcessObject, 0x1)  # PROCESS_TERMINATE
    process.end(Exited(u32(status)))
    return Control.ENDED


def _put_previous(call: Call, address: int, value: int) -> None:
    if address:
        call.process.memory.put_u32(address, value)


@service
def NtResumeThread(call: Call) -> int:
    handle, previous_at = call.arguments
    thread = thread_of(call, handle, THREAD_SUSPEND_RESUME)
    _put_previous(call, previous_at, call.process.scheduler.resume(thread, running=thread is call.thread))
    return Status.SUCCESS


@service
def NtSuspendThread(call: Call) -> int:
    handle, previous_at = call.arguments
    thread = thread_of(call, handle, THREAD_SUSPEND_RESUME)
    if thread.exited:
        raise StatusError(Status.THREAD_IS_TERMINATING)
    if thread.suspend_count >= MAXIMUM_SUSPEND_COUNT:
        raise StatusError(Status.SUSPEND_COUNT_EXCEEDED)
    _put_previous(call, previous_at, call.process.scheduler.suspend(thread))
    return Status.SUCCESS


@service
def NtDelayExecution(call: Call) -> int | Control:
    _, interval_at = call.arguments
    call.process.memory.u64(interval_at)
    until = deadline(call, interval_at)
    if until is not None and until <= call.process.scheduler.now:
        return NtYieldExecution(call) and Status.SUCCESS
    call.process.scheduler.block(Wait(call.thread, (), False, until))
    return Control.BLOCKED


@service
def NtYieldExecution(call: Call) -> int:
    if not call.process.scheduler.anyone_ready:
        return Status.NO_YIELD_PERFORMED
    call.process.give_way()
    return Status.SUCCESS


@service
def NtSetInformationThread(call: Call) -> int:
    handle, information_class, buffer, length = call.arguments
    thread = thread_of(call, handle)
    memory = call.process.memory
    sizes = {THREAD_PRIORITY: 4, THREAD_BASE_PRIORITY: 4, THREAD_AFFINITY_MASK: 8, THREAD_NAME_INFORMATION: 16}
    sizes[THREAD_ZERO_TLS_CELL] = 4
    expected = sizes.get(u32(information_class))
    if expected is None:
        raise StatusError(Status.INVALID_INFO_CLASS)
    if u32(length) != expected:
        raise StatusError(Status.INFO_LENGTH_MISMATCH)
    match u32(information_class):
        case 10:
            _zero_tls_cell(call, memory.u32(buffer))
        case 38:
            name = memory.unicode_string(buffer)
            call.process.names.charge(name)  # until the process ends, as a handle may keep the thread
            thread.name = name or None
        case 4:
            mask, allowed = memory.u64(buffer), call.process.affinity
            if not mask or mask & ~allowed:
                raise StatusError(Status.INVALID_PARAMETER)
            thread.affinity = mask
        case 3:
            # THREAD_BASE_PRIORITY_MIN to MAX, and the two saturation values (winnt.h THREAD_BASE_PRIORITY_*).
            increment = s32(memory.u32(buffer))
            if increment not in (-15, *range(-2, 3), 15):
                raise StatusError(Status.INVALID_PARAMETER)
            thread.priority = increment
        case _:
            absolute = s32(memory.u32(buffer))
            if not 1 <= absolute <= 15:
                raise StatusError(Status.INVALID_PARAMETER)
            thread.priority = absolute - NORMAL_BASE_PRIORITY
    return Status.SUCCESS


def _zero_tls_cell(call: Call, slot: int) -> None:
    """Clear a TLS slot in every thread, as TlsFree asks. Raises INVALID_PARAMETER."""
    if slot >= TLS_SLOTS + TLS_EXPANSION_SLOTS:
        raise StatusError(Status.INVALID_PARAMETER)
    memory = call.process.memory
    for thread in call.process.scheduler.threads:
        teb = Structure(memory, thread.teb, TEB)
        if slot < TLS_SLOTS:
            memory.put_u64(teb.at("TlsSlots") + 8 * slot, 0)
        elif slots := teb["TlsExpansionSlots"]:
            memory.put_u64(slots + 8 * (slot - TLS_SLOTS), 0)


@service
def NtQueryInformationThread(call: Call) -> int:
    handle, information_class, buffer, length, returned_at = call.arguments
    thread = thread_of(call, handle)
    process = call.process
    match u32(information_class):
        case 0:
            # THREAD_BASIC_INFORMATION (winternl.h, phnt)
            priority = max(1, min(15, NORMAL_BASE_PRIORITY + thread.priority))
            fields = process.process_id, thread.thread_id, thread.affinity, priority, thread.priority
            data = struct.pack("<I4xQQQQii", thread.exit_status, thread.teb, *fields)
        case 1:
            # KERNEL_USER_TIMES (ntddk.h)
            times = thread.create_time, thread.exit_time, thread.kernel_time, thread.user_time
            data = struct.pack("<4Q", *times)
        case 38:
            return _query_name(call, thread)
        case _:
            raise StatusError(Status.INVALID_INFO_CLASS)
    return _answer(call, buffer, u32(length), returned_at, data)


def _query_name(call: Call, thread: Thread) -> int:
    """THREAD_NAME_INFORMATION: a UNICODE_STRING followed by its text."""
    _, _, buffer, length, returned_at = call.arguments
    text = (thread.name or "").encode("utf-16-le", "surrogatepass")
    needed = 16 + len(text)
    if returned_at:
        call.process.memory.put_u32(returned_at, needed)
    if u32(length) < needed:
        raise StatusError(Status.BUFFER_TOO_SMALL)
    call.process.memory.write(buffer, struct.pack("<HH4xQ", len(text), len(text), buffer + 16) + text)
    return Status.SUCCESS


@service
def NtQueryInformationProcess(call: Call) -> int:
    handle, information_class, buffer, length, returned_at = call.arguments
    own_process(call, handle)
    process = call.process
    match u32(information_class):
        case 0:
            # PROCESS_BASIC_INFORMATION (winternl.h): ExitStatus, PEB, affinity, base priority, id, parent's id.
            fields = Status.PENDING, process.peb.address, process.affinity, NORMAL_BASE_PRIORITY
            data = struct.pack("<I4xQQi4xQQ", *fields, process.process_id, process.parent_process_id)
        case 4:
            data = struct.pack("<4Q", process.create_time, 0, *process.times())
        case _:
            raise StatusError(Status.INVALID_INFO_CLASS)
    return _answer(call, buffer, u32(length), returned_at, data)


@service
def NtSetInformationProcess(call: Call) -> int:
    """ProcessHandleTracing with PROCESS_HANDLE_TRACING_ENABLE (Flags) or _ENABLE_EX (Flags, TotalSlots) (ntpsapi.h).

    Length 0 stops tracing. Flags must be 0.
    """
    handle, information_class, buffer, length = call.arguments
    own_process(call, handle)
    process = call.process
    if u32(information_class) != PROCESS_HANDLE_TRACING:
        raise StatusError(Status.INVALID_INFO_CLASS)
    if u32(length) == 0:
        process.trace_handles(None)
        return Status.SUCCESS
    if u32(length) not in (4, 8):
        raise StatusError(Status.INFO_LENGTH_MISMATCH)
    slots = process.memory.u32(buffer + 4) if u32(length) == 8 else DEFAULT_SLOTS
    if process.memory.u32(buffer) != 0 or slots > MAXIMUM_SLOTS:
        raise StatusError(Status.INVALID_PARAMETER)
    process.trace_handles(HandleTrace(slots or DEFAULT_SLOTS))
    return Status.SUCCESS


def _answer(call: Call, buffer: int, length: int, returned_at: int, data: bytes) -> int:
    if length != len(data):
        raise StatusError(Status.INFO_LENGTH_MISMATCH)
    call.process.memory.write(buffer, data)
    if returned_at:
        call.process.memory.put_u32(returned_at, len(data))
    return Status.SUCCESS
