"""Mapped images made by hand with every kind of section that a flag of user minidumps asks for (winnt.h; PE format)."""

from __future__ import annotations

import struct

from ..constants import (
    IMAGE_SCN_CNT_CODE,
    IMAGE_SCN_CNT_INITIALIZED_DATA,
    IMAGE_SCN_MEM_EXECUTE,
    IMAGE_SCN_MEM_READ,
    IMAGE_SCN_MEM_WRITE,
    MEM_COMMIT,
    MEM_IMAGE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_READONLY,
    PAGE_READWRITE,
)
from ..snapshot.process import PAGE_SIZE, CodeView, Module, Section
from .pages import Pages, pattern

TEXT, RDATA, DATA, PDATA, XDATA, SHARED = 0x1000, 0x3000, 0x4000, 0x6000, 0x7000, 0x8000
"""RVAs of the sections."""
_SIZE = 0x9000
_SIZE_OF_HEADERS = 0x400
_E_LFANEW = 0x80
_READ = IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ
_SECTIONS = (
    # Virtual sizes that are no multiples of anything: what is captured is not rounded.
    Section(".text", TEXT, 0x1F03, IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ),
    Section(".rdata", RDATA, 0x910, _READ),
    Section(".data", DATA, 0x1405, _READ | IMAGE_SCN_MEM_WRITE),
    Section(".pdata", PDATA, 0x18C, _READ),
    Section(".xdata", XDATA, 0x44, _READ),
    Section(".shared", SHARED, 4, _READ | IMAGE_SCN_MEM_WRITE),
)
CRASH = TEXT + 0x300
"""RVA of the program's instruction that loads from the address in its context's register."""
_LOAD = {
    "x86": b"\x8b\x01",  # mov eax, [ecx]
    "amd64": b"\x48\x8b\x01",  # mov rax, [rcx]
    "arm64": b"\x20\x00\x40\xf9",  # ldr x0, [x1]
}
_MACHINE = {"x86": 0x14C, "amd64": 0x8664, "arm64": 0xAA64}


def flag_image(architecture: str, base: int, name: str, index: int) -> tuple[Module, list[Pages]]:
    """A module with TLS and its mapped pages."""
    pdb = f"C:\\build\\flags{index}.pdb".encode()
    guid = struct.pack("<IHH8s", 0xF1A60000 + index, 0x7274, 0x7475, b"synthtic")
    module = Module(
        base=base,
        size=_SIZE,
        checksum=0xC5000 + index,
        time_date_stamp=0x65A0_0000 + index,
        name=name,
        version_info=None,
        code_view=CodeView(b"RSDS" + guid + struct.pack("<I", 1) + pdb + b"\0"),
        dll_characteristics=0x8160,
        sections=_SECTIONS,
        size_of_headers=_SIZE_OF_HEADERS,
    )

    def part(start: int, size: int, protect: int, data: bytes | None = None) -> Pages:
        return Pages(base + start, size, MEM_COMMIT, protect, MEM_IMAGE, base, PAGE_EXECUTE_WRITECOPY, data)

    return module, [
        part(0, PAGE_SIZE, PAGE_READONLY, _headers(module, architecture)),
        part(TEXT, 0x2000, PAGE_EXECUTE_READ, _code(architecture)),
        part(RDATA, PAGE_SIZE, PAGE_READONLY, _read_only_data(module)),
        part(DATA, 0x2000, PAGE_READWRITE),
        part(PDATA, 0x2000, PAGE_READONLY),
        part(SHARED, PAGE_SIZE, PAGE_READWRITE),
    ]


def _code(architecture: str) -> bytes:
    load = _LOAD[architecture]
    before = b"\xcc" * (CRASH - TEXT)
    return before + load + b"\xcc" * (0x2000 - len(before) - len(load))


def _read_only_data(module: Module) -> bytes:
    """IMAGE_DEBUG_DIRECTORY of type 2 and the CodeView record behind it."""
    record = module.code_view.record if module.code_view else b""
    directory = struct.pack("<IIHHIIII", 0, module.time_date_stamp, 0, 0, 2, len(record), RDATA + 28, 0)
    data = directory + record
    return data + pattern(module.base + RDATA, PAGE_SIZE)[len(data) :]


def _headers(module: Module, architecture: str) -> bytes:
    """IMAGE_DOS_HEADER, IMAGE_NT_HEADERS of 32 or 64 bits, section headers."""
    wide = architecture != "x86"
    directories = [(0, 0)] * 16
    directories[6] = (RDATA, 28)  # IMAGE_DIRECTORY_ENTRY_DEBUG
    directories[9] = (RDATA + 0x400, 0x28 if wide else 0x18)  # IMAGE_DIRECTORY_ENTRY_TLS
    dos = struct.pack("<2s58xI", b"MZ", _E_LFANEW).ljust(_E_LFANEW, b"\0")
    coff = struct.pack(
        "<4sHHIIIHH", b"PE\0\0", _MACHINE[architecture], len(module.sections), module.time_date_stamp, 0, 0,
        240 if wide else 224, 0x22 if wide else 0x102,
    )  # fmt: skip
    versions = (PAGE_SIZE, 0x200, 10, 0, 0, 0, 10, 0, 0, module.size, module.size_of_headers, module.checksum, 3,
                module.dll_characteristics)  # fmt: skip
    stack = (0x10_0000, PAGE_SIZE, 0x10_0000, PAGE_SIZE, 0, 16)
    if wide:
        optional = struct.pack("<HBBIIIII", 0x20B, 14, 0, 0x2000, 0x3000, 0, TEXT, TEXT)
        optional += struct.pack("<QIIHHHHHHIIIIHHQQQQII", module.base, *versions, *stack)
    else:
        optional = struct.pack("<HBBIIIIII", 0x10B, 14, 0, 0x2000, 0x3000, 0, TEXT, TEXT, RDATA)
        optional += struct.pack("<IIIHHHHHHIIIIHHIIIIII", module.base, *versions, *stack)
    tables = b"".join(struct.pack("<II", *directory) for directory in directories)
    sections = b"".join(
        struct.pack("<8sIIIIIIHHI", section.name.encode(), section.virtual_size, section.virtual_address,
                    (section.virtual_size + 0x1FF) & ~0x1FF, section.virtual_address, 0, 0, 0, 0,
                    section.characteristics)
        for section in module.sections
    )  # fmt: skip
    return (dos + coff + optional + tables + sections).ljust(PAGE_SIZE, b"\0")
