"""The services for files, the console, and DLLs mapped from files."""

from __future__ import annotations

import struct

import pytest
from dumptruth.emu.process.outcome import Control
from dumptruth.emu.process.winnt import Status

from .calls import Kernel


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
def test_each_failure_to_open_a_file_has_its_status(
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


def test_a_missing_dll_has_its_status(kernel: Kernel) -> None:
    text = "nosuch".encode("utf-16-le")
    kernel.process.memory.write(kernel.scratch + 0x80, text)
    name = kernel.scratch + 0x60
    kernel.process.memory.write(name, struct.pack("<HH4xQ", len(text), len(text), kernel.scratch + 0x80))
    assert kernel("NtxMapDll", name, kernel.scratch + 0x40) == Status.DLL_NOT_FOUND
