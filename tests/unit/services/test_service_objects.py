"""The services for objects, handles and waits."""

from __future__ import annotations

import struct

from dumptruth.emu.process.objects import Event, Mutant
from dumptruth.emu.process.outcome import Control
from dumptruth.emu.process.winnt import Status

from .calls import CURRENT_PROCESS, CURRENT_THREAD, Kernel


def test_a_name_is_opened_again_or_collides_and_goes_with_its_last_handle(kernel: Kernel) -> None:
    path = r"\Sessions\1\BaseNamedObjects\test"
    first = kernel.made("NtCreateEvent", 0x1F0003, kernel.attributes(path), 0, 0)
    assert (
        kernel("NtCreateEvent", kernel.scratch, 0x1F0003, kernel.attributes(path), 0, 0) == Status.OBJECT_NAME_COLLISION
    )
    again = kernel.attributes(path.upper(), 0x80)
    assert kernel("NtCreateEvent", kernel.scratch, 0x1F0003, again, 0, 0) == Status.OBJECT_NAME_EXISTS
    second = kernel.get(0)
    entry = kernel.process.handles.entry(first)
    assert entry.object is kernel.process.handles.entry(second).object
    assert entry.object.handle_count == 2
    mutant = kernel("NtCreateMutant", kernel.scratch, 0x1F0001, kernel.attributes(path, 0x80), 0)
    assert mutant == Status.OBJECT_TYPE_MISMATCH
    assert kernel("NtClose", first) == 0
    assert kernel("NtOpenEvent", kernel.scratch, 0x2, kernel.attributes(path)) == 0
    for handle in (second, kernel.get(0)):
        assert kernel("NtClose", handle) == 0
    assert kernel("NtOpenEvent", kernel.scratch, 0x2, kernel.attributes(path)) == Status.OBJECT_NAME_NOT_FOUND


def test_a_name_is_resolved_below_its_root_directory(kernel: Kernel) -> None:
    root = next(v for v, e in kernel.process.handles if e.object.name == r"\Sessions\1\BaseNamedObjects")
    event = kernel.made("NtCreateEvent", 0x1F0003, kernel.attributes("child", root=root), 0, 0)
    assert kernel.process.handles.entry(event).object.name == r"\Sessions\1\BaseNamedObjects\child"
    relative = kernel.attributes("child")
    assert kernel("NtCreateEvent", kernel.scratch, 0x1F0003, relative, 0, 0) == Status.OBJECT_PATH_SYNTAX_BAD


def test_handles_are_multiples_of_four_and_closed_values_come_back(kernel: Kernel) -> None:
    handles = [kernel.made("NtCreateEvent", 0x1F0003, 0, 0, 0) for _ in range(4)]
    assert all(handle % 4 == 0 for handle in handles)
    assert handles == sorted(handles)
    assert kernel("NtClose", handles[1]) == 0
    assert kernel("NtClose", handles[1]) == Status.INVALID_HANDLE
    assert kernel.made("NtCreateEvent", 0x1F0003, 0, 0, 0) == handles[1]
    assert kernel("NtSetEvent", handles[0] | 3, 0) == 0  # the two lowest bits of a handle do not count


def test_access_rights_decide_what_a_handle_may_do(kernel: Kernel) -> None:
    path = r"\Sessions\1\BaseNamedObjects\weak"
    strong = kernel.made("NtCreateEvent", 0x1F0003, kernel.attributes(path), 0, 0)
    assert kernel("NtOpenEvent", kernel.scratch, 0x100000, kernel.attributes(path)) == 0
    weak = kernel.get(0)
    assert kernel("NtSetEvent", weak, 0) == Status.ACCESS_DENIED
    assert kernel("NtSetEvent", strong, 0) == 0
    assert kernel("NtWaitForSingleObject", weak, 0, 0) == 0
    assert kernel("NtSetEvent", kernel.made("NtCreateMutant", 0x1F0001, 0, 0), 0) == Status.OBJECT_TYPE_MISMATCH


def test_duplicate_keeps_or_narrows_the_access_and_can_close_the_source(kernel: Kernel) -> None:
    source = kernel.made("NtCreateEvent", 0x1F0003, 0, 0, 0)
    target = kernel.scratch + 0x40
    assert kernel("NtDuplicateObject", CURRENT_PROCESS, source, CURRENT_PROCESS, target, 0x100000, 0, 0) == 0
    assert kernel.process.handles.entry(kernel.get(0x40)).granted_access == 0x100000
    assert kernel("NtDuplicateObject", CURRENT_PROCESS, source, CURRENT_PROCESS, target, 0, 0, 3) == 0
    assert kernel.process.handles.entry(kernel.get(0x40)).granted_access == 0x1F0003
    assert kernel("NtSetEvent", source, 0) == Status.INVALID_HANDLE
    assert kernel("NtDuplicateObject", CURRENT_PROCESS, CURRENT_THREAD, CURRENT_PROCESS, target, 0, 0, 2) == 0
    assert kernel.process.handles.entry(kernel.get(0x40)).object is kernel.main.object


def test_a_synchronization_event_releases_one_waiter_and_a_notification_event_all(kernel: Kernel) -> None:
    for kind, woken in ((1, 1), (0, 3)):
        event = kernel.made("NtCreateEvent", 0x1F0003, 0, kind, 0)
        threads = [kernel.thread() for _ in range(3)]
        for thread in threads:
            assert kernel("NtWaitForSingleObject", event, 0, 0, thread=thread) is Control.BLOCKED
        assert kernel.process.handles.entry(event).object.pointer_count == 0x8000 + 1 + 3
        assert kernel("NtSetEvent", event, 0) == 0
        assert [thread.wait is None for thread in threads] == [True] * woken + [False] * (3 - woken)
        assert [thread.wake_status for thread in threads[:woken]] == [0] * woken
        found = kernel.process.handles.get(event, Event)
        assert found.signaled == (kind == 0)


def test_a_wait_that_can_be_satisfied_takes_the_object_at_once(kernel: Kernel) -> None:
    event = kernel.made("NtCreateEvent", 0x1F0003, 0, 1, 1)
    now = kernel.put(0x40, 0)
    assert kernel("NtWaitForSingleObject", event, 0, now) == 0
    assert kernel("NtWaitForSingleObject", event, 0, now) == Status.TIMEOUT
    previous = kernel.put(0x48, 7)
    assert kernel("NtSetEvent", event, previous) == 0
    assert kernel.get(0x48) & 0xFFFFFFFF == 0
    assert kernel("NtResetEvent", event, previous) == 0
    assert kernel.get(0x48) & 0xFFFFFFFF == 1


def test_wait_all_takes_everything_or_nothing_and_wait_any_says_which(kernel: Kernel) -> None:
    events = [kernel.made("NtCreateEvent", 0x1F0003, 0, 1, n) for n in (1, 0, 1)]
    array = kernel.put(0x40, *events)
    thread = kernel.thread()
    assert kernel("NtWaitForMultipleObjects", 3, array, 0, 0, 0, thread=thread) is Control.BLOCKED
    assert kernel.process.handles.get(events[0], Event).signaled
    assert kernel("NtSetEvent", events[1], 0) == 0
    assert thread.wake_status == 0
    assert not any(kernel.process.handles.get(event, Event).signaled for event in events)
    assert kernel("NtSetEvent", events[2], 0) == 0
    assert kernel("NtWaitForMultipleObjects", 3, array, 1, 0, 0) == 2
    twice = kernel.put(0x60, events[0], events[0])
    assert kernel("NtWaitForMultipleObjects", 2, twice, 0, 0, 0) == Status.INVALID_PARAMETER_MIX
    assert kernel("NtWaitForMultipleObjects", 65, array, 0, 0, 0) == Status.INVALID_PARAMETER_1


def test_a_wait_ends_at_its_deadline_and_the_clock_jumps_there(kernel: Kernel) -> None:
    scheduler = kernel.process.scheduler
    event = kernel.made("NtCreateEvent", 0x1F0003, 0, 1, 0)
    thread = kernel.thread()
    assert scheduler.pick() is thread
    relative = kernel.put(0x40, -50_000)
    started = scheduler.now
    assert kernel("NtWaitForSingleObject", event, 0, relative, thread=thread) is Control.BLOCKED
    delay = kernel.put(0x48, -90_000)
    assert kernel("NtDelayExecution", 0, delay) is Control.BLOCKED
    assert scheduler.pick() is thread
    assert (thread.wake_status, scheduler.now) == (Status.TIMEOUT, started + 50_000)
    assert scheduler.pick() is kernel.main
    assert (kernel.main.wake_status, scheduler.now) == (Status.SUCCESS, started + 90_000)
    assert kernel("NtWaitForSingleObject", event, 0, 0) is Control.BLOCKED
    assert kernel("NtDelayExecution", 0, kernel.put(0x48, -(1 << 63)), thread=thread) is Control.BLOCKED
    assert scheduler.pick() is None


def test_a_mutant_is_owned_again_and_again_and_abandoned_when_its_owner_ends(kernel: Kernel) -> None:
    mutant = kernel.made("NtCreateMutant", 0x1F0001, 0, 0)
    owner = kernel.thread()
    for _ in range(2):
        assert kernel("NtWaitForSingleObject", mutant, 0, 0, thread=owner) == 0
    assert kernel("NtReleaseMutant", mutant, 0) == Status.MUTANT_NOT_OWNED
    previous = kernel.put(0x40, 0)
    assert kernel("NtReleaseMutant", mutant, previous, thread=owner) == 0
    assert struct.unpack("<i", kernel.process.memory.read(previous, 4)) == (-1,)
    assert kernel("NtWaitForSingleObject", mutant, 0, 0) is Control.BLOCKED
    handle = kernel.process.handles.insert(owner.object, 0x1FFFFF)
    assert kernel("NtTerminateThread", handle, 5) == 0
    assert kernel.main.wake_status == Status.ABANDONED_WAIT_0
    found = kernel.process.handles.get(mutant, Mutant)
    assert (found.owner, found.count, found.abandoned) == (kernel.main, 0, False)
    assert kernel("NtWaitForSingleObject", handle, 0, 0) == 0  # the thread object is signaled now


def test_a_semaphore_counts_up_to_its_limit(kernel: Kernel) -> None:
    semaphore = kernel.made("NtCreateSemaphore", 0x1F0003, 0, 1, 2)
    now, previous = kernel.put(0x40, 0), kernel.put(0x48, 0)
    assert kernel("NtWaitForSingleObject", semaphore, 0, now) == 0
    assert kernel("NtWaitForSingleObject", semaphore, 0, now) == Status.TIMEOUT
    assert kernel("NtReleaseSemaphore", semaphore, 2, previous) == 0
    assert kernel("NtReleaseSemaphore", semaphore, 1, previous) == Status.SEMAPHORE_LIMIT_EXCEEDED
    assert kernel("NtReleaseSemaphore", semaphore, 0, 0) == Status.INVALID_PARAMETER
    assert kernel("NtCreateSemaphore", kernel.scratch, 0x1F0003, 0, 3, 2) == Status.INVALID_PARAMETER
