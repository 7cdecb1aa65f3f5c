"""Constants of kernel dump files, with their sources."""

from __future__ import annotations

from enum import IntEnum, IntFlag

PAGE_SHIFT = 12
KERNEL_HALF = 0xFFFF_8000_0000_0000
"""Lowest kernel address of amd64: root entries 256 to 511 (docs/format/kernel-structures.md#page-tables-of-x64)."""

# docs/format/kernel-header.md#signature-and-size
DUMP_SIGNATURE = 0x45474150  # "PAGE"
DUMP_VALID_DUMP64 = 0x34365544  # "DU64"
# docs/format/kernel-pages.md: signatures of the headers after the main header
DUMP_VALID_DUMP = 0x504D5544  # "DUMP"
SUMMARY_SIGNATURE = 0x504D4453  # "SDMP"
RANGES_SIGNATURE = 0x504D4452  # "RDMP"
TRIAGE_DUMP_VALID = 0x44475254  # "TRGD", at ValidOffset (docs/format/kernel-small.md#size-and-end-marker)
FILL = b"PAGE"
"""The kernel fills the header with these bytes before it stores a field (docs/format/kernel-header.md#fill)."""

IMAGE_FILE_MACHINE_AMD64 = 0x8664  # winnt.h
CURRENT_CONTEXT = 2
"""wdbgexts.h: the current amd64 CONTEXT (docs/format/kernel-header-fields.md#kdsecondaryversion)."""
KUSER_SHARED_DATA = 0xFFFF_F780_0000_0000  # docs/format/kernel-structures.md#shared-user-data-page
BOOT_ID = 0x2C4  # ntddk.h KUSER_SHARED_DATA.BootId
STATUS_BREAKPOINT = 0x80000003  # ntstatus.h
EXCEPTION_NONCONTINUABLE = 1  # winnt.h

PHYSICAL_MEMORY_BLOCK_SIZE = 700  # DUMP_HEADER64.PhysicalMemoryBlock
MAXIMUM_HEADER_RUNS = 42
"""Runs that fit into PhysicalMemoryBlock (docs/format/kernel-pages.md#number-of-runs)."""
CONTEXT_SIZE = 0x4D0  # CONTEXT of amd64 (docs/format/kernel-header.md#context-record)
COMMENT_SIZE = 128  # DUMP_HEADER64.Comment
# Limits of LeechCore: docs/format/kernel-readers.md#leechcore-and-memprocfs.
MAXIMUM_BITMAP_BITS = 0x7FFF_FFFF
MAXIMUM_FIRST_PAGE = 0x0100_0000  # of HeaderSize
MAXIMUM_UNLOADED = 50  # MI_UNLOADED_DRIVERS (docs/format/kernel-small.md#unloaded-drivers)


class DumpType(IntEnum):
    """DUMP_HEADER64.DumpType (docs/format/kernel-kinds.md#types-on-disk). Names 8 to 10 are those of kdmp-parser."""

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
    """Bits of DUMP_HEADER64.Attributes (docs/format/kernel-header-fields.md#attributes)."""

    KERNEL_GENERATED_TRIAGE_DUMP = 0x8


class TriageField(IntFlag):
    """Bits of DUMP_HEADER64.MiniDumpFields, TRIAGE_DUMP_* (docs/format/kernel-small.md#minidumpfields)."""

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
    """Bits of SUMMARY_DUMP.DumpOptions (docs/format/kernel-pages.md#summary-dump-header)."""

    KERNEL_VIRTUAL_ADDRESSES_VALID = 1
    CURRENT_USER_VIRTUAL_ADDRESSES_VALID = 2
