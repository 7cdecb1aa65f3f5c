"""Reads structures of the kernel from its memory: lists, strings, and the offsets of their fields.

Offsets that KDDEBUGGER_DATA64 contains are read from there. The others are those of the public symbols of build 19041;
the kernel's C sources assert them. See docs/format/kernel-structures.md#loaded-modules,
docs/format/kernel-structures.md#processes and docs/format/kernel-structures.md#threads.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import DumptruthError
from ..machine.paging import PageNotPresent, PageTables

# KDDEBUGGER_DATA64 fields that hold offsets, and NtBuildLab: (offset, bytes). Source: wdbgexts.h,
# docs/format/kernel-debugger-data.md#structure-offsets-and-sizes.
KDBG_OFFSET_K_THREAD_TEB = 0x29A, 2
KDBG_OFFSET_EPROCESS_PEB = 0x2AA, 2
KDBG_OFFSET_EPROCESS_DIRECTORY_TABLE_BASE = 0x2AE, 2
KDBG_OFFSET_PRCB_CURRENT_THREAD = 0x2B4, 2
KDBG_OFFSET_PRCB_PROC_STATE_SPECIAL_REG = 0x2F2, 2
KDBG_OFFSET_PCR_CONTAINED_PRCB = 0x2E6, 2
KDBG_OFFSET_PRCB_CONTEXT = 0x338, 2
KDBG_OFFSET_K_THREAD_KERNEL_STACK = 0x29C, 2
KDBG_OFFSET_K_THREAD_STACK_LIMIT = 0x340, 4
KDBG_OFFSET_K_THREAD_STACK_BASE = 0x344, 4
KDBG_NT_BUILD_LAB = 0x208, 8

EPROCESS_UNIQUE_PROCESS_ID = 0x440
EPROCESS_ACTIVE_PROCESS_LINKS = 0x448
EPROCESS_IMAGE_FILE_NAME, IMAGE_FILE_NAME_SIZE = 0x5A8, 15
EPROCESS_THREAD_LIST_HEAD = 0x5E0
ETHREAD_CID_UNIQUE_THREAD = 0x480
ETHREAD_THREAD_LIST_ENTRY = 0x4E8

KLDR_DLL_BASE = 0x30
KLDR_ENTRY_POINT = 0x38
KLDR_SIZE_OF_IMAGE = 0x40
KLDR_FULL_DLL_NAME = 0x48
KLDR_BASE_DLL_NAME = 0x58
KLDR_FLAGS = 0x68
KLDR_LOAD_COUNT = 0x6C
KLDR_CHECK_SUM = 0x78
KLDR_TIME_DATE_STAMP = 0x9C

UNLOADED_DRIVERS_SIZE = 0x28
UNLOADED_DRIVERS_START, UNLOADED_DRIVERS_END = 0x10, 0x18
MI_UNLOADED_DRIVERS = 50

MMPFN_PAGE_LOCATION = 0x1A
"""MMPFN.u3.e1; PageLocation is its low three bits."""

# DBGKD_GET_VERSION64 (docs/format/kernel-debugger-data.md#version-block).
VERSION_MAJOR, VERSION_MINOR = 0x00, 0x02

# KUSER_SHARED_DATA (ntddk.h).
KUSER_INTERRUPT_TIME, KUSER_SYSTEM_TIME = 0x008, 0x014
KUSER_PRODUCT_TYPE, KUSER_SUITE_MASK = 0x264, 0x2D0

KSPECIAL_REGISTERS = {  # (offset, bytes): docs/format/kernel-structures.md#special-registers
    "Cr0": (0x00, 8),
    "Cr2": (0x08, 8),
    "Cr3": (0x10, 8),
    "Cr4": (0x18, 8),
    "KernelDr0": (0x20, 8),
    "KernelDr1": (0x28, 8),
    "KernelDr2": (0x30, 8),
    "KernelDr3": (0x38, 8),
    "KernelDr6": (0x40, 8),
    "KernelDr7": (0x48, 8),
    "Gdtr.Limit": (0x56, 2),
    "Gdtr.Base": (0x58, 8),
    "Idtr.Limit": (0x66, 2),
    "Idtr.Base": (0x68, 8),
    "Tr": (0x70, 2),
    "Ldtr": (0x72, 2),
    "MxCsr": (0x74, 4),
    "DebugControl": (0x78, 8),
    "LastBranchToRip": (0x80, 8),
    "LastBranchFromRip": (0x88, 8),
    "LastExceptionToRip": (0x90, 8),
    "LastExceptionFromRip": (0x98, 8),
    "Cr8": (0xA0, 8),
    "MsrGsBase": (0xA8, 8),
    "MsrGsSwap": (0xB0, 8),
    "MsrStar": (0xB8, 8),
    "MsrLStar": (0xC0, 8),
    "MsrCStar": (0xC8, 8),
    "MsrSyscallMask": (0xD0, 8),
    "Xcr0": (0xD8, 8),
    "MsrFsBase": (0xE0, 8),
}

_LIST_LIMIT = 100_000
"""Number of entries of all lists together."""
_LARGEST_READ = 64 << 20


class StructureError(DumptruthError):
    """A structure in the kernel's memory is missing or inconsistent. The message is one line."""


class KernelStructures:
    """Reads the kernel's memory through the page tables ``tables``. Every method raises StructureError."""

    def __init__(self, tables: PageTables) -> None:
        self._tables = tables
        self._entries_left = _LIST_LIMIT

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes at a virtual address."""
        if size > _LARGEST_READ:  # page tables may map one page many times
            raise StructureError(f"kernel memory at {address:#x}: {size:#x} bytes, expected at most {_LARGEST_READ:#x}")
        try:
            return self._tables.read(address, size)
        except PageNotPresent as missing:
            raise StructureError(f"kernel memory at {address:#x}: {missing}") from missing

    def number(self, address: int, size: int = 8) -> int:
        """The little-endian integer of ``size`` bytes at ``address``."""
        return int.from_bytes(self.read(address, size), "little")

    def text(self, address: int, limit: int = 256) -> str:
        """The ANSI text at ``address`` up to its NUL, at most ``limit`` bytes."""
        return self.read(address, limit).partition(b"\0")[0].decode("latin-1")

    def unicode_string(self, address: int) -> str:
        """The text of the UNICODE_STRING at ``address``."""
        length, buffer = self.number(address, 2), self.number(address + 8)
        return self.read(buffer, length & ~1).decode("utf-16-le", "surrogatepass") if length else ""

    def list_entries(self, head: int) -> Iterator[int]:
        """Addresses of the LIST_ENTRYs in the circular list at ``head``. Checks that every Blink matches."""
        before, link = head, self.number(head)
        while self._entries_left:
            self._entries_left -= 1
            if self.number(link + 8) != before:
                raise StructureError(f"list at {head:#x}: Blink of the entry at {link:#x} is not {before:#x}")
            if link == head:
                return
            yield link
            before, link = link, self.number(link)
        raise StructureError(f"list at {head:#x}: all lists have more than {_LIST_LIMIT} entries")
