"""Makes a mapped image: the module, headers that agree with it, and sections."""

from __future__ import annotations

import struct
from collections.abc import Mapping

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
from ..snapshot.kernel import Driver
from ..snapshot.process import PAGE_SIZE, CodeView, Module, Section
from .forms import AMD64, Form
from .pages import Pages, pattern

IMAGE_STRIDE = 0x10_0000
IMAGE_DIRECTORY_ENTRY_DEBUG, IMAGE_DIRECTORY_ENTRY_TLS = 6, 9  # winnt.h

TEXT, _RDATA, _DATA = 0x1000, 0x3000, 0x4000
"""RVAs of the sections."""
_IMAGE_SIZE = 0x6000
_STACK_RESERVE = 0x10_0000


def synthetic_module(
    index: int,
    name: str,
    version_info: bool,
    code_view: bool,
    form: Form = AMD64,
    *,
    base: int | None = None,
    pdb_name: str | None = None,
) -> Module:
    """Return the module with load index ``index``; 0 is the program. ``base`` and ``pdb_name`` replace the defaults."""
    if base is None:
        base = form.first_image if index == 0 else form.first_dll + (index - 1) * IMAGE_STRIDE
    stem = name.replace("/", "\\").rpartition("\\")[2].rpartition(".")[0]
    pdb = (f"{stem}.pdb" if pdb_name is None else pdb_name).encode("utf-8", "surrogatepass")
    guid = struct.pack("<IHH8s", 0xD0570000 + index, 0x7274, 0x7475, b"synthtic")
    fixed = (0xFEEF04BD, 0x10000, 0x000A0000, 0x4A610000 + index, 0x000A0000, 0x4A610000, 0x3F, 0, 0x40004,
             1 if index == 0 else 2, 0, 0, 0)  # fmt: skip
    return Module(
        base=base,
        size=_IMAGE_SIZE,
        checksum=0xC5000 + index,
        time_date_stamp=0x65A00000 + index,
        name=name,
        version_info=fixed if version_info else None,
        code_view=CodeView(b"RSDS" + guid + struct.pack("<I", 1) + pdb + b"\0") if code_view else None,
        dll_characteristics=0x8160,
        sections=(
            Section(".text", TEXT, 0x1F00, IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ),
            Section(".rdata", _RDATA, 0x900, IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ),
            Section(".data", _DATA, 0x1404, IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ | IMAGE_SCN_MEM_WRITE),
        ),
        size_of_headers=0x400,
    )


def image_pages(module: Module, form: Form = AMD64) -> list[Pages]:
    """Return the pages of the mapped image: headers and sections, in one allocation."""

    def part(start: int, size: int, protect: int, data: bytes | None = None) -> Pages:
        return Pages(
            module.base + start, size, MEM_COMMIT, protect, MEM_IMAGE, module.base, PAGE_EXECUTE_WRITECOPY, data
        )

    rdata = bytearray(pattern(module.base + _RDATA, PAGE_SIZE))
    record = module.code_view.record if module.code_view else b""
    rdata[: 28 + len(record)] = _debug_directory(module, len(record)) + record
    return [
        part(0, PAGE_SIZE, PAGE_READONLY, _headers(module, form)),
        part(TEXT, 0x2000, PAGE_EXECUTE_READ, b"\xcc" * 0x2000),
        part(_RDATA, PAGE_SIZE, PAGE_READONLY, bytes(rdata[:PAGE_SIZE])),
        part(_DATA, 0x2000, PAGE_READWRITE),
    ]


def _debug_directory(module: Module, size: int) -> bytes:
    """Return IMAGE_DEBUG_DIRECTORY (winnt.h) of type 2, CodeView."""
    return struct.pack("<IIHHIIII", 0, module.time_date_stamp, 0, 0, 2, size, _RDATA + 28, 0)


def _headers(module: Module, form: Form) -> bytes:
    directories = {IMAGE_DIRECTORY_ENTRY_DEBUG: (_RDATA, 28)} if module.code_view else {}
    return image_headers(module, form, directories, dll=module.base != form.first_image)


def driver_headers(driver: Driver) -> bytes:
    """Return the first page of a loaded driver: headers with its size, stamp and checksum, and one section."""
    text = Section(".text", TEXT, PAGE_SIZE, IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ)
    module = Module(
        base=driver.base, size=driver.size, checksum=driver.checksum, time_date_stamp=driver.time_date_stamp,
        name=driver.base_name, version_info=None, code_view=None, dll_characteristics=0x4160, sections=(text,),
        size_of_headers=0x400,
    )  # fmt: skip
    return image_headers(module, AMD64, {}, dll=False)


def image_headers(module: Module, form: Form, directories: Mapping[int, tuple[int, int]], *, dll: bool) -> bytes:
    """Return a page with IMAGE_DOS_HEADER, IMAGE_NT_HEADERS and section headers (winnt.h).

    ``directories`` gives (RVA, size) of data directories by index.
    """
    wide = form.pointer_size == 8
    dos = struct.pack("<2s58xI", b"MZ", 0x80).ljust(0x80, b"\0")
    # Characteristics: executable, large addresses or 32-bit machine, DLL
    kind = (0x22 if wide else 0x102) | (0x2000 if dll else 0)
    size = 240 if wide else 224
    coff = struct.pack(
        "<4sHHIIIHH", b"PE\0\0", form.machine, len(module.sections), module.time_date_stamp, 0, 0, size, kind
    )
    optional = struct.pack("<HBBIIIII", 0x20B if wide else 0x10B, 14, 0, 0x2000, 0x3000, 0, TEXT, TEXT)
    optional += struct.pack("<Q", module.base) if wide else struct.pack("<II", _RDATA, module.base)  # BaseOfData
    optional += struct.pack(
        "<IIHHHHHHIIIIHH",
        PAGE_SIZE, 0x200, 10, 0, 0, 0, 10, 0, 0, module.size, module.size_of_headers, module.checksum,
        3, module.dll_characteristics,
    )  # fmt: skip
    optional += struct.pack(f"<4{form.pointer}II", _STACK_RESERVE, PAGE_SIZE, _STACK_RESERVE, PAGE_SIZE, 0, 16)
    tables = b"".join(struct.pack("<II", *directories.get(index, (0, 0))) for index in range(16))
    sections = b"".join(
        struct.pack("<8sIIIIIIHHI", section.name.encode(), section.virtual_size, section.virtual_address,
                    (section.virtual_size + 0x1FF) & ~0x1FF, section.virtual_address, 0, 0, 0, 0,
                    section.characteristics)
        for section in module.sections
    )  # fmt: skip
    return (dos + coff + optional + tables + sections).ljust(PAGE_SIZE, b"\0")
