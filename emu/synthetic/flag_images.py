"""Makes mapped images with every kind of section that a flag of user minidumps selects (winnt.h)."""

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
from .forms import FORMS
from .image import IMAGE_DIRECTORY_ENTRY_DEBUG, IMAGE_DIRECTORY_ENTRY_TLS, image_headers
from .pages import Pages, pattern

TEXT, RDATA, DATA, PDATA, XDATA, SHARED = 0x1000, 0x3000, 0x4000, 0x6000, 0x7000, 0x8000
"""RVAs of the sections."""
_SIZE = 0x9000
_SIZE_OF_HEADERS = 0x400
_READ = IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ
_SECTIONS = (
    # Odd virtual sizes, to show that captured sections are not rounded.
    Section(".text", TEXT, 0x1F03, IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ),
    Section(".rdata", RDATA, 0x910, _READ),
    Section(".data", DATA, 0x1405, _READ | IMAGE_SCN_MEM_WRITE),
    Section(".pdata", PDATA, 0x18C, _READ),
    Section(".xdata", XDATA, 0x44, _READ),
    Section(".shared", SHARED, 4, _READ | IMAGE_SCN_MEM_WRITE),
)
CRASH = TEXT + 0x300
"""RVA of the instruction that crashes: it loads from the address in a register of the context."""
_LOAD = {
    "x86": b"\x8b\x01",  # mov eax, [ecx]
    "amd64": b"\x48\x8b\x01",  # mov rax, [rcx]
    "arm64": b"\x20\x00\x40\xf9",  # ldr x0, [x1]
}


def flag_image(architecture: str, base: int, name: str, index: int) -> tuple[Module, list[Pages]]:
    """Return a module with a TLS directory, and its mapped pages."""
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
    """Return IMAGE_DEBUG_DIRECTORY of type 2 and the CodeView record after it."""
    record = module.code_view.record if module.code_view else b""
    directory = struct.pack("<IIHHIIII", 0, module.time_date_stamp, 0, 0, 2, len(record), RDATA + 28, 0)
    data = directory + record
    return data + pattern(module.base + RDATA, PAGE_SIZE)[len(data) :]


def _headers(module: Module, architecture: str) -> bytes:
    form = FORMS[architecture]
    directories = {
        IMAGE_DIRECTORY_ENTRY_DEBUG: (RDATA, 28),
        IMAGE_DIRECTORY_ENTRY_TLS: (RDATA + 0x400, 0x28 if form.pointer_size == 8 else 0x18),
    }
    return image_headers(module, form, directories, dll=False)
