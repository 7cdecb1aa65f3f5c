"""The services for memory and sections."""

from __future__ import annotations

import struct
from functools import partial

from dumptruth.emu.constants import MEM_COMMIT, PAGE_GUARD, PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY
from dumptruth.emu.process.winnt import Status

from .calls import CURRENT_PROCESS, Kernel


def test_memory_is_allocated_protected_queried_and_freed(kernel: Kernel) -> None:
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
        close = partial(kernel, "NtClose", section)
        unmap = partial(kernel, "NtUnmapViewOfSection", CURRENT_PROCESS, kernel.get(0x28))
        first, last = (close, unmap) if last_is_the_view else (unmap, close)
        held = ram.free_pages
        assert first() == 0
        assert ram.free_pages == held
        assert last() == 0
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
