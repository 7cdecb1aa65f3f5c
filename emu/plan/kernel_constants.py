"""The numbers of kernel dump files, each group with its source ("spec kernel" is spec/kernel-mode-dumps.md)."""

from __future__ import annotations

from enum import IntEnum, IntFlag

PAGE_SHIFT = 12
KERNEL_HALF = 0xFFFF_8000_0000_0000
"""Lowest kernel address of amd64: root entries 256 to 511 (spec kernel 4.8)."""

DUMP_SIGNATURE = 0x45474150  # "PAGE" (spec kernel 2.2)
DUMP_VALID_DUMP64 = 0x34365544  # "DU64"
DUMP_VALID_DUMP = 0x504D5544  # "DUMP", ValidDump of the headers behind the main header (spec kernel 2.5 to 2.7)
SUMMARY_SIGNATURE = 0x504D4453  # "SDMP"
FULL_BITMAP_SIGNATURE = 0x504D4446  # "FDMP"
RANGES_SIGNATURE = 0x504D4452  # "RDMP"
TRIAGE_DUMP_VALID = 0x44475254  # "TRGD", at ValidOffset (spec kernel 3.1)
FILL = b"PAGE"
"""What the kernel fills the whole header with before it stores any field (spec kernel 2.2)."""

IMAGE_FILE_MACHINE_AMD64 = 0x8664  # winnt.h
KD_SECONDARY_VERSION_AMD64_CONTEXT = 2  # wdbgexts.h: the current amd64 CONTEXT (spec kernel 2.2)
KUSER_SHARED_DATA = 0xFFFF_F780_0000_0000  # spec kernel 4.9
BOOT_ID = 0x2C4  # ntddk.h KUSER_SHARED_DATA.BootId
STATUS_BREAKPOINT = 0x80000003  # ntstatus.h
EXCEPTION_NONCONTINUABLE = 1  # winnt.h

MAXIMUM_HEADER_RUNS = 42  # 700 bytes of PhysicalMemoryBlock (spec kernel 2.4)
COMMENT_SIZE = 128  # DUMP_HEADER64.Comment
MAXIMUM_BITMAP_BITS = 0x7FFF_FFFF  # LeechCore's limit (spec kernel 7.2)
MAXIMUM_FIRST_PAGE = 0x0100_0000  # LeechCore's limit of HeaderSize (spec kernel 2.6, 7.2)
MAXIMUM_UNLOADED = 50  # MI_UNLOADED_DRIVERS (spec kernel 6.5 T10)


class DumpType(IntEnum):
    """DUMP_HEADER64.DumpType (spec kernel 2.1). 0 to 7 are the public header's names, 8 to 10 kdmp-parser's."""

    FULL = 1
    SUMMARY = 2
    HEADER = 3
    TRIAGE = 4
    BITMAP_FULL = 5
    BITMAP_KERNEL = 6
    KERNEL_MEMORY = 8
    KERNEL_AND_USER_MEMORY = 9
    COMPLETE_MEMORY = 10


BITMAP_TYPES = frozenset({DumpType.SUMMARY, DumpType.BITMAP_FULL, DumpType.BITMAP_KERNEL})
RANGES_TYPES = frozenset({DumpType.KERNEL_MEMORY, DumpType.KERNEL_AND_USER_MEMORY, DumpType.COMPLETE_MEMORY})


class DumpAttribute(IntFlag):
    """DUMP_HEADER64.Attributes (spec kernel 2.2)."""

    KERNEL_GENERATED_TRIAGE_DUMP = 0x8


class TriageField(IntFlag):
    """DUMP_HEADER64.MiniDumpFields (spec kernel 3.3, TRIAGE_DUMP_*)."""

    CONTEXT = 0x001
    EXCEPTION = 0x002
    PRCB = 0x004
    PROCESS = 0x008
    THREAD = 0x010
    STACK = 0x020
    DRIVER_LIST = 0x040
    BROKEN_DRIVER = 0x080
    MMINFO = 0x100
    DATAPAGE = 0x200
    DEBUGGER_DATA = 0x400
    DATA_BLOCKS = 0x800


class SummaryOption(IntFlag):
    """SUMMARY_DUMP.DumpOptions (spec kernel 2.5)."""

    KERNEL_VIRTUAL_ADDRESSES_VALID = 1
    CURRENT_USER_VIRTUAL_ADDRESSES_VALID = 2
