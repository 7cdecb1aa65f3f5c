"""Services called as ntdll's stubs call them: arguments in registers and on the stack, results in guest memory."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from dumptruth.emu.constants import MEM_COMMIT, MEM_RESERVE, PAGE_GUARD, PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY
from dumptruth.emu.images.services import services
from dumptruth.emu.process.library import SYSTEM_IMAGES
from dumptruth.emu.process.objects import Event, Mutant
from dumptruth.emu.process.outcome import Crashed, Exited
from dumptruth.emu.process.process import Process
from dumptruth.emu.process.services import Call, Control, ServiceTable, number_of
from dumptruth.emu.process.threads import Thread
from dumptruth.emu.process.winnt import Status, StatusError

CURRENT_PROCESS = (1 << 64) - 1
CURRENT_THREAD = (1 << 64) - 2


@dataclass
class Kernel:
    """The process before its first instruction, with a page of scratch memory for arguments."""

    process: Process
    scratch: int

    @property
    def main(self) -> Thread:
        return self.process.scheduler.threads[0]

    def __call__(self, name: str, *arguments: int, thread: Thread | None = None) -> int | Control:
        found = ServiceTable().find(number_of(name))
        assert found is not None
        row, handler = found
        full = (*arguments, *(0 for _ in range(row.arguments - len(arguments))))
        assert len(full) == row.arguments
        mask = (1 << 64) - 1
        try:
            return handler(Call(self.process, thread or self.main, tuple(value & mask for value in full)))
        except StatusError as error:
            return error.status

    def put(self, offset: int, *values: int) -> int:
        address = self.scratch + offset
        self.process.memory.write(address, struct.pack(f"<{len(values)}q", *values))
        return address

    def get(self, offset: int) -> int:
        return self.process.memory.u64(self.scratch + offset)

    def attributes(self, name: str, flags: int = 0, root: int = 0) -> int:
        """OBJECT_ATTRIBUTES at 0x400 with its UNICODE_STRING and text behind."""
        text = name.encode("utf-16-le")
        self.process.memory.write(self.scratch + 0x440, text)
        string = struct.pack("<HH4xQ", len(text), len(text), self.scratch + 0x440)
        self.process.memory.write(self.scratch + 0x430, string)
        self.process.memory.write(
            self.scratch + 0x400, struct.pack("<I4xQQI4xQQ", 0x30, root, self.scratch + 0x430, flags, 0, 0)
        )
        return self.scratch + 0x400

    def made(self, name: str, *arguments: int, thread: Thread | None = None) -> int:
        """The handle that a create service stores at scratch + 0."""
        assert self(name, self.scratch, *arguments, thread=thread) == Status.SUCCESS
        return self.get(0)

    def thread(self) -> Thread:
        return self.process.create_thread(self.process.main_module.entry_point, 0)


@pytest.fixture
def kernel() -> Kernel:
    process = Process(SYSTEM_IMAGES / "crash.exe")
    scratch, _ = process.memory.space.allocate(0, 0x2000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)
    process.scheduler.pick()  # the main thread is on the processor
    return Kernel(process, scratch)


def test_every_service_of_the_table_is_answered() -> None:
    table = ServiceTable()
    assert all(table.find(row.number) is not None for row in services())
    assert table.find(0xFFF) is None


# --- memory


def test_allocate_protect_query_and_free(kernel: Kernel) -> None:
    base, size, old = kernel.put(0, 0), kernel.put(8, 0x2345), kernel.put(16, 0)
    assert kernel("NtAllocateVirtualMemory", CURRENT_PROCESS, base, 0, size, 0x3000, PAGE_READWRITE) == 0
    where = kernel.get(0)
    assert where % 0x10000 == 0
    assert kernel.get(8) == 0x3000
    kernel.put(0, where + 0x1000)
    kernel.put(8, 1)
    assert kernel("NtProtectVirtualMemory", CURRENT_PROCESS, base, size, PAGE_READONLY, old) == 0
    assert (kernel.get(0), kernel.get(8), kernel.get(16)) == (where + 0x1000, 0x1000, PAGE_READWRITE)
    buffer = kernel.put(32, 0)
    assert kernel("NtQueryVirtualMemory", CURRENT_PROCESS, where + 0x1800, 0, buffer, 0x30, old) == 0
    row = struct.unpack("<QQI4xQIII4x", kernel.process.memory.read(buffer, 0x30))
    assert row == (where + 0x1000, where, PAGE_READWRITE, 0x1000, MEM_COMMIT, PAGE_READONLY, 0x20000)
    assert kernel.get(16) == 0x30
    kernel.put(0, where)
    kernel.put(8, 0)
    assert kernel("NtFreeVirtualMemory", CURRENT_PROCESS, base, size, 0x8000) == 0
    assert kernel.get(8) == 0x3000
    assert kernel.process.memory.space.protection(where) == 0


def test_bad_pointers_are_access_violations_and_change_nothing(kernel: Kernel) -> None:
    before = list(kernel.process.memory.space.walk())
    size = kernel.put(8, 0x1000)
    for bad in (0, 0x1000, 0x8000_0000_0000_0000, (1 << 64) - 8, kernel.process.main_module.base):
        assert kernel("NtAllocateVirtualMemory", CURRENT_PROCESS, bad, 0, size, 0x3000, 4) == Status.ACCESS_VIOLATION
    assert kernel("NtQuerySystemTime", kernel.scratch + 0x1FFC) == Status.ACCESS_VIOLATION
    assert kernel("NtCreateEvent", 0x10, 0x1F0003, 0, 0, 0) == Status.ACCESS_VIOLATION
    assert list(kernel.process.memory.space.walk()) == before


def test_reading_and_writing_memory_obey_the_protections(kernel: Kernel) -> None:
    text = kernel.process.main_module.base + 0x1000
    assert kernel("NtReadVirtualMemory", CURRENT_PROCESS, text, kernel.scratch, 16, 0) == 0
    assert kernel("NtWriteVirtualMemory", CURRENT_PROCESS, text, kernel.scratch, 16, 0) == Status.ACCESS_VIOLATION
    assert kernel("NtReadVirtualMemory", 0x4, text, kernel.scratch, 16, 0) == Status.OBJECT_TYPE_MISMATCH


def test_a_service_that_writes_a_write_copy_page_makes_it_private(kernel: Kernel) -> None:
    kernel32 = kernel.process.loader.find("kernel32.dll")
    assert kernel32 is not None
    data = next(kernel32.base + s.virtual_address for s in kernel32.image.sections if s.name == ".data")
    assert kernel.process.memory.space.protection(data) == PAGE_WRITECOPY
    assert kernel("NtQuerySystemTime", data) == 0
    assert kernel.process.memory.space.protection(data) == PAGE_READWRITE


def test_a_service_follows_a_pointer_into_the_stack_guard_page(kernel: Kernel) -> None:
    kernel.process._current = kernel.main
    guard = kernel.main.stack_limit - 0x1000
    assert kernel.process.memory.space.protection(guard) == PAGE_READWRITE | PAGE_GUARD
    assert kernel("NtQuerySystemTime", guard + 8) == 0
    assert kernel.main.stack_limit == guard
    assert kernel.process.memory.space.protection(guard - 0x1000) == PAGE_READWRITE | PAGE_GUARD


def test_two_views_of_a_section_show_the_same_bytes(kernel: Kernel) -> None:
    size = kernel.put(0x20, 0x1800)
    section = kernel.made("NtCreateSection", 0xF001F, 0, size, PAGE_READWRITE, 0x8000000, 0)
    views = []
    for protect in (PAGE_READWRITE, PAGE_READONLY):
        base, view = kernel.put(0x28, 0), kernel.put(0x30, 0)
        assert kernel("NtMapViewOfSection", section, CURRENT_PROCESS, base, 0, 0, 0, view, 2, 0, protect) == 0
        assert kernel.get(0x30) == 0x2000
        views.append(kernel.get(0x28))
    kernel.process.memory.write(views[0] + 0x1234, b"shared")
    assert kernel.process.memory.read(views[1] + 0x1234, 6) == b"shared"
    assert kernel("NtClose", section) == 0
    assert kernel("NtUnmapViewOfSection", CURRENT_PROCESS, views[0] + 0x1000) == 0
    assert kernel.process.memory.read(views[1] + 0x1234, 6) == b"shared"
    assert kernel("NtUnmapViewOfSection", CURRENT_PROCESS, views[0]) == Status.NOT_MAPPED_VIEW
    image = kernel.process.main_module.base
    assert kernel("NtUnmapViewOfSection", CURRENT_PROCESS, image) == Status.NOT_MAPPED_VIEW


def test_a_read_only_section_cannot_be_mapped_writable(kernel: Kernel) -> None:
    size = kernel.put(0x20, 0x1000)
    section = kernel.made("NtCreateSection", 0xF001F, 0, size, PAGE_READONLY, 0x8000000, 0)
    base, view = kernel.put(0x28, 0), kernel.put(0x30, 0)
    arguments = section, CURRENT_PROCESS, base, 0, 0, 0, view, 2, 0
    assert kernel("NtMapViewOfSection", *arguments, PAGE_READWRITE) == Status.SECTION_PROTECTION
    kernel.put(0x30, 0x2000)
    assert kernel("NtMapViewOfSection", *arguments, PAGE_READONLY) == Status.INVALID_VIEW_SIZE


def test_the_pages_of_a_section_go_with_its_last_handle_and_view(kernel: Kernel) -> None:
    ram = kernel.process.memory._ram
    size = kernel.put(0x20, 0x5000)
    before = None
    for last_is_the_view in (True, False):
        section = kernel.made("NtCreateSection", 0xF001F, 0, size, PAGE_READWRITE, 0x8000000, 0)
        base, view = kernel.put(0x28, 0), kernel.put(0x30, 0)
        arguments = section, CURRENT_PROCESS, base, 0, 0, 0, view, 2, 0, PAGE_READWRITE
        assert kernel("NtMapViewOfSection", *arguments) == 0
        ends = [("NtClose", section), ("NtUnmapViewOfSection", CURRENT_PROCESS, kernel.get(0x28))]
        first, last = ends if last_is_the_view else reversed(ends)
        held = ram.free_pages
        assert kernel(*first) == 0
        assert ram.free_pages == held
        assert kernel(*last) == 0
        assert ram.free_pages == held + 5
        assert before in (None, ram.free_pages)
        before = ram.free_pages


def test_the_system_s_own_pages_cannot_be_freed_or_protected(kernel: Kernel) -> None:
    old = kernel.put(16, 0)
    for address in (kernel.process.peb.address, kernel.main.teb, 0x7FFE0000, kernel.process.peb["Ldr"]):
        base, size = kernel.put(0, address), kernel.put(8, 0x1000)
        assert kernel("NtFreeVirtualMemory", CURRENT_PROCESS, base, size, 0x4000) == Status.INVALID_PAGE_PROTECTION
        status = kernel("NtProtectVirtualMemory", CURRENT_PROCESS, base, size, PAGE_READONLY, old)
        assert status == Status.INVALID_PAGE_PROTECTION
        kernel.put(8, 0)
        assert kernel("NtFreeVirtualMemory", CURRENT_PROCESS, base, size, 0x8000) == Status.INVALID_PAGE_PROTECTION


def test_memory_ends_with_a_status_and_comes_back_when_freed(kernel: Kernel) -> None:
    free = kernel.process.memory._ram.free_pages
    base, size = kernel.scratch, kernel.scratch + 8
    blocks = []
    while True:
        kernel.put(0, 0, 64 << 20)
        status = kernel("NtAllocateVirtualMemory", CURRENT_PROCESS, base, 0, size, 0x3000, PAGE_READWRITE)
        if status:
            break
        blocks.append(kernel.get(0))
    assert status == Status.COMMITMENT_LIMIT
    assert 2 <= len(blocks) <= 4
    for block in blocks:
        kernel.put(0, block, 0)
        assert kernel("NtFreeVirtualMemory", CURRENT_PROCESS, base, size, 0x8000) == 0
    tables = 4 * 32 + 8  # page tables are kept
    assert free - tables <= kernel.process.memory._ram.free_pages <= free


def test_an_unknown_service_number_is_refused_and_the_thread_goes_on(kernel: Kernel) -> None:
    cpu = kernel.process.cpu
    cpu.restore(kernel.main.state)
    cpu.set("Rax", 0xFFF)
    rip = cpu.get("Rip")
    assert kernel.process._serve(kernel.main)
    assert (cpu.get("Rax"), cpu.get("Rip"), cpu.get("Rcx")) == (Status.INVALID_SYSTEM_SERVICE, rip + 2, rip + 2)


def test_arguments_on_a_stack_that_is_not_there_are_an_access_violation(kernel: Kernel) -> None:
    cpu = kernel.process.cpu
    cpu.restore(kernel.main.state)
    cpu.load({"Rax": number_of("NtCreateFile"), "Rsp": 0x10})
    assert kernel.process._serve(kernel.main)
    assert cpu.get("Rax") == Status.ACCESS_VIOLATION


# --- objects


def test_a_name_is_opened_again_or_collides_and_goes_with_its_last_handle(kernel: Kernel) -> None:
    path = r"\Sessions\1\BaseNamedObjects\test"
    first = kernel.made("NtCreateEvent", 0x1F0003, kernel.attributes(path), 0, 0)
    assert (
        kernel("NtCreateEvent", kernel.scratch, 0x1F0003, kernel.attributes(path), 0, 0)
        == Status.OBJECT_NAME_COLLISION
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


def test_names_below_a_root_directory(kernel: Kernel) -> None:
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


# --- waits


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


# --- threads


def test_a_new_thread_has_stack_guard_page_and_teb(kernel: Kernel) -> None:
    kernel.made("NtCreateThreadEx", 0x1FFFFF, 0, CURRENT_PROCESS, 0x1111, 0x2222, 1, 0, 0x9000, 0x40000)
    thread = kernel.process.scheduler.threads[-1]
    space = kernel.process.memory.space
    assert thread.stack.base - thread.stack.allocation == 0x40000
    assert thread.stack_limit == thread.stack.base - 0x9000
    assert space.protection(thread.stack_limit - 0x1000) == PAGE_READWRITE | PAGE_GUARD
    assert space.protection(thread.stack_limit - 0x2000) == 0
    assert (thread.suspend_count, thread.start_address) == (1, 0x1111)
    assert not kernel.process.scheduler.is_ready(thread)
    previous = kernel.put(0x40, 0)
    assert kernel("NtResumeThread", kernel.get(0), previous) == 0
    assert kernel.get(0x40) == 1
    assert kernel.process.scheduler.is_ready(thread)


def test_a_thread_that_ends_gives_its_memory_back(kernel: Kernel) -> None:
    before = list(kernel.process.memory.space.walk())
    thread = kernel.thread()
    assert kernel("NtTerminateThread", 0, 3, thread=thread) is Control.ENDED
    assert list(kernel.process.memory.space.walk()) == before
    assert (thread.exit_status, thread.exited) == (3, True)


def test_a_thread_whose_stack_the_program_freed_still_ends(kernel: Kernel) -> None:
    thread = kernel.thread()
    base, size = kernel.put(0, thread.stack.allocation), kernel.put(8, 0)
    assert kernel("NtFreeVirtualMemory", CURRENT_PROCESS, base, size, 0x8000) == 0
    assert kernel("NtTerminateThread", 0, 3, thread=thread) is Control.ENDED
    assert thread not in kernel.process.scheduler.threads


def test_suspending_a_waiting_thread_keeps_it_off_the_processor_until_resumed(kernel: Kernel) -> None:
    event = kernel.made("NtCreateEvent", 0x1F0003, 0, 1, 0)
    thread = kernel.thread()
    assert kernel.process.scheduler.pick() is thread
    assert kernel("NtWaitForSingleObject", event, 0, 0, thread=thread) is Control.BLOCKED
    handle = kernel.process.handles.insert(thread.object, 0x1FFFFF)
    assert kernel("NtSuspendThread", handle, 0) == 0
    assert kernel("NtSetEvent", event, 0) == 0
    assert not kernel.process.scheduler.is_ready(thread)
    assert kernel("NtResumeThread", handle, 0) == 0
    assert kernel.process.scheduler.is_ready(thread)


def test_thread_names_priorities_and_affinities_are_set_and_asked(kernel: Kernel) -> None:
    text = "naïve \U0001f600".encode("utf-16-le")
    kernel.process.memory.write(kernel.scratch + 0x80, text)
    name = kernel.scratch + 0x60
    kernel.process.memory.write(name, struct.pack("<HH4xQ", len(text), len(text), kernel.scratch + 0x80))
    assert kernel("NtSetInformationThread", CURRENT_THREAD, 38, name, 16) == 0
    assert kernel.main.name == "naïve \U0001f600"
    answer = kernel.scratch + 0x100
    small = kernel("NtQueryInformationThread", CURRENT_THREAD, 38, answer, 16, kernel.scratch + 0x200)
    assert small == Status.BUFFER_TOO_SMALL
    assert kernel.get(0x200) == 16 + len(text)
    assert kernel("NtQueryInformationThread", CURRENT_THREAD, 38, answer, 0x80, 0) == 0
    assert kernel.process.memory.unicode_string(answer) == kernel.main.name
    value = kernel.put(0x40, 2)
    assert kernel("NtSetInformationThread", CURRENT_THREAD, 3, value, 4) == 0
    assert kernel.main.priority == 2
    assert kernel("NtSetInformationThread", CURRENT_THREAD, 3, kernel.put(0x40, 7), 4) == Status.INVALID_PARAMETER
    assert kernel("NtSetInformationThread", CURRENT_THREAD, 4, kernel.put(0x40, 0x10), 8) == Status.INVALID_PARAMETER
    assert kernel("NtSetInformationThread", CURRENT_THREAD, 4, kernel.put(0x40, 0x5), 8) == 0
    assert kernel("NtQueryInformationThread", CURRENT_THREAD, 0, answer, 0x30, 0) == 0
    basic = struct.unpack("<I4xQQQQii", kernel.process.memory.read(answer, 0x30))
    assert basic == (0x103, kernel.main.teb, 0x1F58, 0x1F5C, 0x5, 10, 2)
    assert kernel("NtQueryInformationThread", CURRENT_THREAD, 0, answer, 0x20, 0) == Status.INFO_LENGTH_MISMATCH
    assert kernel("NtQueryInformationThread", CURRENT_THREAD, 99, answer, 0x20, 0) == Status.INVALID_INFO_CLASS


def test_the_last_thread_takes_the_process_with_it(kernel: Kernel) -> None:
    other = kernel.thread()
    assert kernel("NtTerminateThread", CURRENT_THREAD, 1) is Control.ENDED
    assert kernel.process._outcome is None
    assert kernel("NtTerminateThread", 0, 2, thread=other) is Control.ENDED
    assert kernel.process._outcome == Exited(2)


def test_terminating_the_process_first_ends_the_others_then_everything(kernel: Kernel) -> None:
    kernel.thread()
    assert kernel("NtTerminateProcess", 0, 9) == 0
    assert kernel.process.scheduler.threads == [kernel.main]
    assert kernel("NtTerminateProcess", CURRENT_PROCESS, 0xFFFFFFFF) is Control.ENDED
    assert kernel.process._outcome == Exited(0xFFFFFFFF)


# --- files


def nt_file(kernel: Kernel, name: str, access: int, disposition: int, options: int = 0x60) -> int | Control:
    iosb = kernel.scratch + 0x20
    return kernel(
        "NtCreateFile", kernel.scratch, access, kernel.attributes(name), iosb, 0, 0, 0, disposition, options, 0, 0
    )


def test_files_are_made_written_and_read_in_memory(kernel: Kernel) -> None:
    memory, iosb, buffer = kernel.process.memory, kernel.scratch + 0x20, kernel.scratch + 0x800
    assert nt_file(kernel, r"\??\C:\dumptruth\a.txt", 0xC0100080, 2) == 0
    file = kernel.get(0)
    assert kernel.get(0x28) == 2  # FILE_CREATED
    memory.write(buffer, b"hello world")
    assert kernel("NtWriteFile", file, 0, 0, 0, iosb, buffer, 11, 0, 0) == 0
    offset = kernel.put(0x30, 6)
    assert kernel("NtReadFile", file, 0, 0, 0, iosb, buffer, 100, offset, 0) == 0
    assert memory.read(buffer, kernel.get(0x28)) == b"world"
    assert kernel("NtReadFile", file, 0, 0, 0, iosb, buffer, 100, 0, 0) == Status.END_OF_FILE
    assert kernel.process.handles.entry(file).object.name == r"\Device\HarddiskVolume3\dumptruth\a.txt"
    assert nt_file(kernel, r"\??\c:\DUMPTRUTH\A.TXT", 0x80100080, 2) == Status.OBJECT_NAME_COLLISION
    assert nt_file(kernel, r"\??\C:\dumptruth\a.txt", 0x80100080, 1) == 0
    assert kernel("NtWriteFile", kernel.get(0), 0, 0, 0, iosb, buffer, 1, 0, 0) == Status.ACCESS_DENIED


@pytest.mark.parametrize(
    ("name", "disposition", "options", "status"),
    [
        (r"\??\C:\dumptruth\none.txt", 1, 0x60, Status.OBJECT_NAME_NOT_FOUND),
        (r"\??\C:\nowhere\a.txt", 2, 0x60, Status.OBJECT_PATH_NOT_FOUND),
        (r"\??\D:\a.txt", 2, 0x60, Status.OBJECT_PATH_NOT_FOUND),
        (r"\Device\Nothing", 1, 0x60, Status.OBJECT_PATH_NOT_FOUND),
        (r"\??\C:\dumptruth\a?.txt", 2, 0x60, Status.OBJECT_NAME_INVALID),
        (r"\??\C:\dumptruth", 1, 0x60, Status.FILE_IS_A_DIRECTORY),
        (r"\??\C:\dumptruth\crash.exe", 1, 0x21, Status.NOT_A_DIRECTORY),
        (r"\??\C:\dumptruth\crash.exe", 5, 0x60, Status.ACCESS_DENIED),
        (r"\??\C:\dumptruth\a.txt", 6, 0x60, Status.INVALID_PARAMETER),
    ],
)
def test_files_that_cannot_be_opened(
    kernel: Kernel, name: str, disposition: int, options: int, status: Status
) -> None:
    assert nt_file(kernel, name, 0x80100080, disposition, options) == status


def test_the_console_is_collected_and_has_no_input(kernel: Kernel) -> None:
    iosb, buffer = kernel.scratch + 0x20, kernel.scratch + 0x800
    parameters = kernel.process.peb["ProcessParameters"]
    output = kernel.process.memory.u64(parameters + 0x28)
    kernel.process.memory.write(buffer, b"to the console\n")
    assert kernel("NtWriteFile", output, 0, 0, 0, iosb, buffer, 15, 0, 0) == 0
    assert bytes(kernel.process.console) == b"to the console\n"
    assert kernel("NtReadFile", output, 0, 0, 0, iosb, buffer, 15, 0, 0) == 0
    assert kernel.get(0x28) == 0


# --- images, exceptions


def test_a_dll_is_mapped_referenced_released_and_remembered(kernel: Kernel) -> None:
    text = "BETA".encode("utf-16-le")
    kernel.process.memory.write(kernel.scratch + 0x80, text)
    name = kernel.scratch + 0x60
    kernel.process.memory.write(name, struct.pack("<HH4xQ", len(text), len(text), kernel.scratch + 0x80))
    base_at, entry_at = kernel.put(0x40, 0), kernel.put(0x48, 0)
    loader = kernel.process.loader
    while loader.next_init_routine():
        pass
    assert kernel("NtxMapDll", name, base_at) == 0
    base = kernel.get(0x40)
    assert kernel("NtxMapDll", name, base_at) == 0
    assert kernel.get(0x40) == base
    assert kernel("NtxNextInitRoutine", entry_at, base_at) == 0
    assert kernel.get(0x40) == base
    assert kernel("NtxNextInitRoutine", entry_at, base_at) == Status.NO_MORE_ENTRIES
    assert kernel("NtxReleaseDll", base, entry_at) == Status.PENDING
    assert kernel("NtxReleaseDll", base, entry_at) == Status.SUCCESS
    module = loader.at(base)
    assert module is not None
    assert kernel.get(0x48) == module.entry_point
    assert kernel("NtxUnmapDll", base) == 0
    assert [(at, name) for at, _, name in loader.unloaded] == [(base, "beta.dll")]
    assert kernel.process.memory.space.allocation_at(base) is None
    assert kernel("NtxUnmapDll", base) == Status.INVALID_PARAMETER
    assert kernel("NtxReleaseDll", loader.modules[1].base, entry_at) == Status.PENDING  # ntdll is pinned


def test_a_dll_that_is_nowhere(kernel: Kernel) -> None:
    text = "nosuch".encode("utf-16-le")
    kernel.process.memory.write(kernel.scratch + 0x80, text)
    name = kernel.scratch + 0x60
    kernel.process.memory.write(name, struct.pack("<HH4xQ", len(text), len(text), kernel.scratch + 0x80))
    assert kernel("NtxMapDll", name, kernel.scratch + 0x40) == Status.DLL_NOT_FOUND


def test_a_raised_exception_ends_the_run_with_the_context_it_came_with(kernel: Kernel) -> None:
    record = struct.pack("<IIQQI4x15Q", 0xE0000042, 1, 0, 0x7FF600001234, 2, 5, 6, *[0] * 13)
    context = bytearray(0x4D0)
    struct.pack_into("<II6HI", context, 0x30, 0x10000F, 0x1F80, 0x33, 0x2B, 0x2B, 0x53, 0x2B, 0x2B, 0x246)
    struct.pack_into("<Q", context, 0x78, 0xAAAA)
    struct.pack_into("<Q", context, 0xF8, 0x7FF600001234)
    context[0x100:0x300] = bytes(range(256)) * 2
    kernel.process.memory.write(kernel.scratch + 0x800, record)
    kernel.process.memory.write(kernel.scratch + 0x1000, bytes(context))
    bad = kernel("NtRaiseException", kernel.scratch + 0x800, 0x10, 1)
    assert bad == Status.ACCESS_VIOLATION
    assert kernel("NtRaiseException", kernel.scratch + 0x800, kernel.scratch + 0x1000, 1) is Control.ENDED
    outcome = kernel.process._outcome
    assert isinstance(outcome, Crashed)
    assert (outcome.record.code, outcome.record.flags, outcome.record.information) == (0xE0000042, 1, (5, 6))
    assert (outcome.context["Rax"], outcome.context["Rip"], outcome.context["SegFs"]) == (
        0xAAAA,
        0x7FF600001234,
        0x53,
    )
    assert outcome.context.fxsave == bytes(range(256)) * 2
    assert outcome.context.context_flags == 0x10000F
