"""The services for threads, the process, and raised exceptions."""

from __future__ import annotations

import struct

from dumptruth.emu.constants import PAGE_GUARD, PAGE_READWRITE
from dumptruth.emu.process.outcome import Control, Crashed, Exited
from dumptruth.emu.process.winnt import Status

from .calls import CURRENT_PROCESS, CURRENT_THREAD, Kernel


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
