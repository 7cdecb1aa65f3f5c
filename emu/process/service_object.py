"""Implements the system services for alerts by thread id, timers, flags of handles, and handles by id.

Alerts are what WaitOnAddress, slim locks and condition variables wait by: phnt, ntpsapi.h, ntkeapi.h.
"""

from __future__ import annotations

import struct

from .handles import OBJ_INHERIT, OBJ_PROTECT_CLOSE
from .objects import Timer, Wait
from .outcome import Control
from .service_sync import create_object, deadline
from .services import Call, object_attributes, s32, service, u32
from .winnt import Status, StatusError

OBJECT_HANDLE_FLAG_INFORMATION = 4  # OBJECT_INFORMATION_CLASS
NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER = 0, 1  # ntdef.h TIMER_TYPE
_MILLISECOND = 10_000

# --- alerts


@service
def NtWaitForAlertByThreadId(call: Call) -> int | Control:
    _, timeout_at = call.arguments
    thread, scheduler = call.thread, call.process.scheduler
    if thread.alerted:
        thread.alerted = False
        return Status.ALERTED
    until = deadline(call, timeout_at)
    if until is not None and until <= scheduler.now:
        return Status.TIMEOUT
    thread.alertable_by_id = True
    scheduler.block(Wait(thread, (), False, until))
    return Control.BLOCKED


@service
def NtAlertThreadByThreadId(call: Call) -> int:
    wanted = u32(call.arguments[0])
    thread = next((thread for thread in call.process.scheduler.threads if thread.thread_id == wanted), None)
    if thread is None:
        raise StatusError(Status.INVALID_CID)
    if thread.alertable_by_id:
        thread.alertable_by_id = False
        call.process.scheduler.wake(thread, Status.ALERTED)
    else:
        thread.alerted = True
    return Status.SUCCESS


# --- timers


@service
def NtCreateTimer(call: Call) -> int:
    kind = u32(call.arguments[3])
    if kind not in (NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER):
        raise StatusError(Status.INVALID_PARAMETER_4)
    return create_object(call, lambda: Timer(manual_reset=kind == NOTIFICATION_TIMER))


@service
def NtSetTimer(call: Call) -> int:
    handle, due_at, routine, _, _, period, previous_at = call.arguments
    timer = call.process.handles.get(handle, Timer, 0x2)  # TIMER_MODIFY_STATE
    if routine:
        raise StatusError(Status.INVALID_PARAMETER_3)
    if s32(period) < 0:
        raise StatusError(Status.INVALID_PARAMETER)
    due = deadline(call, due_at)
    if due is None:
        raise StatusError(Status.INVALID_PARAMETER_2)
    if previous_at:
        call.process.memory.write(previous_at, struct.pack("<?", timer.signaled))
    call.process.scheduler.set_timer(timer, due, u32(period) * _MILLISECOND)
    return Status.SUCCESS


@service
def NtCancelTimer(call: Call) -> int:
    handle, state_at = call.arguments
    timer = call.process.handles.get(handle, Timer, 0x2)
    if state_at:
        call.process.memory.write(state_at, struct.pack("<?", timer.signaled))
    call.process.scheduler.stop_timer(timer)
    return Status.SUCCESS


# --- handles


@service
def NtQueryObject(call: Call) -> int:
    handle, kind, buffer, length, returned_at = call.arguments
    if u32(kind) != OBJECT_HANDLE_FLAG_INFORMATION:
        raise StatusError(Status.INVALID_INFO_CLASS)
    flags = call.process.handles.entry(handle).attributes
    if u32(length) != 2:
        raise StatusError(Status.INFO_LENGTH_MISMATCH)
    memory = call.process.memory
    memory.write(buffer, struct.pack("<??", flags & OBJ_INHERIT, flags & OBJ_PROTECT_CLOSE))
    if returned_at:
        memory.put_u32(returned_at, 2)
    return Status.SUCCESS


@service
def NtSetInformationObject(call: Call) -> int:
    handle, kind, buffer, length = call.arguments
    if u32(kind) != OBJECT_HANDLE_FLAG_INFORMATION:
        raise StatusError(Status.INVALID_INFO_CLASS)
    if u32(length) != 2:
        raise StatusError(Status.INFO_LENGTH_MISMATCH)
    inherit, protect = call.process.memory.read(buffer, 2)
    entry = call.process.handles.entry(handle)
    entry.attributes = (OBJ_INHERIT if inherit else 0) | (OBJ_PROTECT_CLOSE if protect else 0)
    return Status.SUCCESS


def _client(call: Call) -> tuple[int, int]:
    """CLIENT_ID (ntdef.h): process id, thread id."""
    at = call.arguments[3]
    return call.process.memory.u64(at), call.process.memory.u64(at + 8)


@service
def NtOpenProcess(call: Call) -> int:
    handle_at, access, attributes_at, _ = call.arguments
    process, attributes = call.process, object_attributes(call, attributes_at)
    process.memory.probe_write(handle_at, 8)
    if _client(call)[0] != process.process_id:
        raise StatusError(Status.INVALID_CID)
    value = process.handles.insert(process.object, process.object.grant(u32(access)), attributes.attributes)
    process.memory.put_u64(handle_at, value)
    return Status.SUCCESS


@service
def NtOpenThread(call: Call) -> int:
    handle_at, access, attributes_at, _ = call.arguments
    process, attributes = call.process, object_attributes(call, attributes_at)
    process.memory.probe_write(handle_at, 8)
    wanted = _client(call)[1]
    thread = next((thread for thread in process.scheduler.threads if thread.thread_id == wanted), None)
    if thread is None:
        raise StatusError(Status.INVALID_CID)
    value = process.handles.insert(thread.object, thread.object.grant(u32(access)), attributes.attributes)
    process.memory.put_u64(handle_at, value)
    return Status.SUCCESS
