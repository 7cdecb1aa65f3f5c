"""Implements the system services for events, mutexes, semaphores, handles and waits."""

from __future__ import annotations

from collections.abc import Callable

from .handles import CURRENT_PROCESS, CURRENT_THREAD, OBJ_OPENIF
from .objects import (
    EVENT_MODIFY_STATE,
    SEMAPHORE_MODIFY_STATE,
    SYNCHRONIZE,
    Event,
    KernelObject,
    Mutant,
    Semaphore,
    Wait,
)
from .outcome import Control
from .services import Call, boolean, object_attributes, own_process, path_of, s32, service, u32
from .winnt import Status, StatusError

MAXIMUM_WAIT_OBJECTS = 64  # winnt.h
DUPLICATE_CLOSE_SOURCE, DUPLICATE_SAME_ACCESS = 1, 2  # winnt.h
NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT = 0, 1  # ntdef.h EVENT_TYPE
_FOREVER = -(1 << 63)


def create_object(call: Call, make: Callable[[], KernelObject]) -> int:
    """The common part of the create services, whose arguments begin (*handle, access, *OBJECT_ATTRIBUTES, ...)."""
    handle_at, access, attributes_at = call.arguments[:3]
    process = call.process
    process.memory.probe_write(handle_at, 8)
    process.handles.admit()
    attributes = object_attributes(call, attributes_at)
    path = path_of(call, attributes)
    made = make()
    target, status = made, Status.SUCCESS
    if path is not None:
        existing = process.names.find(path)
        if existing is None:
            process.names.add(path, made)
        elif type(existing) is not type(made):
            raise StatusError(Status.OBJECT_TYPE_MISMATCH)
        elif not attributes.attributes & OBJ_OPENIF:
            raise StatusError(Status.OBJECT_NAME_COLLISION)
        else:
            target, status = existing, Status.OBJECT_NAME_EXISTS
    if target is made and isinstance(made, Mutant) and boolean(call.arguments[3]):
        made.acquire(call.thread)
    value = process.handles.insert(target, target.grant(u32(access)), attributes.attributes)
    process.memory.put_u64(handle_at, value)
    return status


def _put_previous(call: Call, address: int, value: int) -> None:
    if address:
        call.process.memory.put_u32(address, value)


@service
def NtCreateEvent(call: Call) -> int:
    kind, initial = u32(call.arguments[3]), boolean(call.arguments[4])
    if kind not in (NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT):
        raise StatusError(Status.INVALID_PARAMETER_4)
    return create_object(call, lambda: Event(manual_reset=kind == NOTIFICATION_EVENT, signaled=initial))


@service
def NtOpenEvent(call: Call) -> int:
    handle_at, access, attributes_at = call.arguments
    process = call.process
    attributes = object_attributes(call, attributes_at)
    path = path_of(call, attributes)
    if path is None:
        raise StatusError(Status.OBJECT_NAME_INVALID)
    target = process.names.find(path)
    if target is None:
        raise StatusError(Status.OBJECT_NAME_NOT_FOUND)
    if not isinstance(target, Event):
        raise StatusError(Status.OBJECT_TYPE_MISMATCH)
    process.memory.probe_write(handle_at, 8)
    value = process.handles.insert(target, target.grant(u32(access)), attributes.attributes)
    process.memory.put_u64(handle_at, value)
    return Status.SUCCESS


@service
def NtSetEvent(call: Call) -> int:
    handle, previous_at = call.arguments
    event = call.process.handles.get(handle, Event, EVENT_MODIFY_STATE)
    _put_previous(call, previous_at, event.signaled)
    event.signaled = True
    call.process.scheduler.signal(event)
    return Status.SUCCESS


@service
def NtResetEvent(call: Call) -> int:
    handle, previous_at = call.arguments
    event = call.process.handles.get(handle, Event, EVENT_MODIFY_STATE)
    _put_previous(call, previous_at, event.signaled)
    event.signaled = False
    return Status.SUCCESS


@service
def NtCreateMutant(call: Call) -> int:
    return create_object(call, Mutant)


@service
def NtReleaseMutant(call: Call) -> int:
    handle, previous_at = call.arguments
    mutant = call.process.handles.get(handle, Mutant)
    previous = mutant.release(call.thread)
    _put_previous(call, previous_at, previous)
    call.process.scheduler.signal(mutant)
    return Status.SUCCESS


@service
def NtCreateSemaphore(call: Call) -> int:
    count, limit = s32(call.arguments[3]), s32(call.arguments[4])
    if limit <= 0 or not 0 <= count <= limit:
        raise StatusError(Status.INVALID_PARAMETER)
    return create_object(call, lambda: Semaphore(count=count, limit=limit))


@service
def NtReleaseSemaphore(call: Call) -> int:
    handle, count, previous_at = call.arguments
    if s32(count) <= 0:
        raise StatusError(Status.INVALID_PARAMETER)
    semaphore = call.process.handles.get(handle, Semaphore, SEMAPHORE_MODIFY_STATE)
    previous = semaphore.release(s32(count))
    _put_previous(call, previous_at, previous)
    call.process.scheduler.signal(semaphore)
    return Status.SUCCESS


# --- waits


def deadline(call: Call, timeout_at: int) -> int | None:
    """The deadline (FILETIME) of a LARGE_INTEGER Timeout; None waits for ever.

    A negative value is relative, a positive one a system time. NULL and the smallest value mean no limit.
    """
    if not timeout_at:
        return None
    timeout = call.process.memory.i64(timeout_at)
    if timeout == _FOREVER:
        return None
    return call.process.scheduler.now - timeout if timeout <= 0 else timeout


def _waitable(call: Call, handle: int) -> KernelObject:
    if handle == CURRENT_THREAD:
        return call.thread.object
    if handle == CURRENT_PROCESS:
        return call.process.object
    target = call.process.handles.get(handle, KernelObject, SYNCHRONIZE)
    if not target.waitable:
        raise StatusError(Status.OBJECT_TYPE_MISMATCH)
    return target


def _wait(call: Call, objects: tuple[KernelObject, ...], *, wait_all: bool, until: int | None) -> int | Control:
    wait = Wait(call.thread, objects, wait_all, until)
    status = wait.try_satisfy()
    if status is not None:
        return status
    if until is not None and until <= call.process.scheduler.now:
        return Status.TIMEOUT
    call.process.scheduler.block(wait)
    return Control.BLOCKED


@service
def NtWaitForSingleObject(call: Call) -> int | Control:
    handle, _, timeout_at = call.arguments
    until = deadline(call, timeout_at)
    return _wait(call, (_waitable(call, handle),), wait_all=False, until=until)


@service
def NtWaitForMultipleObjects(call: Call) -> int | Control:
    count, handles_at, kind, _, timeout_at = call.arguments
    count = u32(count)
    if not 1 <= count <= MAXIMUM_WAIT_OBJECTS:
        raise StatusError(Status.INVALID_PARAMETER_1)
    if u32(kind) > 1:
        raise StatusError(Status.INVALID_PARAMETER_3)
    memory = call.process.memory
    objects = tuple(_waitable(call, memory.u64(handles_at + 8 * n)) for n in range(count))
    wait_all = u32(kind) == 0
    if wait_all and len(set(map(id, objects))) != count:
        raise StatusError(Status.INVALID_PARAMETER_MIX)
    return _wait(call, objects, wait_all=wait_all, until=deadline(call, timeout_at))


# --- handles


@service
def NtClose(call: Call) -> int:
    call.process.close_handle(call.arguments[0])
    return Status.SUCCESS


@service
def NtDuplicateObject(call: Call) -> int:
    source_process, source, target_process, target_at, access, attributes, options = call.arguments
    own_process(call, source_process)
    process = call.process
    options = u32(options)
    if source == CURRENT_THREAD:
        target, granted, inherited = call.thread.object, call.thread.object.all_access, 0
    elif source == CURRENT_PROCESS:
        target, granted, inherited = process.object, process.object.all_access, 0  # type: ignore[assignment]
    else:
        entry = process.handles.entry(source)
        target, granted, inherited = entry.object, entry.granted_access, entry.attributes  # type: ignore[assignment]
    if target_at:
        own_process(call, target_process)
        process.memory.probe_write(target_at, 8)
        if not options & DUPLICATE_SAME_ACCESS:
            granted = target.grant(u32(access))
        value = process.handles.insert(target, granted, u32(attributes) if not options & 4 else inherited)
        process.memory.put_u64(target_at, value)
    if options & DUPLICATE_CLOSE_SOURCE:
        process.close_handle(source)
    return Status.SUCCESS
