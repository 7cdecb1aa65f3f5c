"""Structures of kernel dump files as field sequences; names are those of the public headers and readers.

Padding is a field of its own, so packing has no effect. This file holds no offsets and sizes: they follow from the
sequences. Formats: docs/format/kernel-header.md, docs/format/kernel-pages.md, docs/format/kernel-small.md,
docs/format/kernel-secondary-data.md.
"""

# ruff: noqa: RUF012 - ctypes reads _fields_ once, when the class is made

from __future__ import annotations

from ctypes import c_uint8, c_uint16, c_uint32, c_uint64

from ..plan.kernel_constants import COMMENT_SIZE, CONTEXT_SIZE, MAXIMUM_HEADER_RUNS
from .context_structs import CONTEXT
from .structs import Packed

CONTEXT_FIELD_SIZE = 3000  # DUMP_HEADER64.ContextRecord


class PHYSICAL_MEMORY_RUN64(Packed):
    """docs/format/kernel-pages.md#physical-memory-descriptor"""

    _fields_ = [("BasePage", c_uint64), ("PageCount", c_uint64)]


class PHYSICAL_MEMORY_DESCRIPTOR64(Packed):
    """The 700 bytes of PhysicalMemoryBlock in the main header: 42 runs, and 12 unused bytes.

    docs/format/kernel-pages.md#physical-memory-descriptor
    """

    _fields_ = [
        ("NumberOfRuns", c_uint32),
        ("Padding", c_uint32),
        ("NumberOfPages", c_uint64),
        ("Run", PHYSICAL_MEMORY_RUN64 * MAXIMUM_HEADER_RUNS),
        ("Rest", c_uint8 * 12),
    ]


class EXCEPTION_RECORD64(Packed):
    """winnt.h (docs/format/kernel-header.md#exception-record)."""

    _fields_ = [
        ("ExceptionCode", c_uint32),
        ("ExceptionFlags", c_uint32),
        ("ExceptionRecord", c_uint64),
        ("ExceptionAddress", c_uint64),
        ("NumberParameters", c_uint32),
        ("Padding", c_uint32),
        ("ExceptionInformation", c_uint64 * 15),
    ]


class DUMP_HEADER64(Packed):
    """Main header of a 64-bit target, 0x2000 bytes (docs/format/kernel-header.md#fields-of-the-64-bit-header)."""

    _fields_ = [
        ("Signature", c_uint32),
        ("ValidDump", c_uint32),
        ("MajorVersion", c_uint32),
        ("MinorVersion", c_uint32),
        ("DirectoryTableBase", c_uint64),
        ("PfnDataBase", c_uint64),
        ("PsLoadedModuleList", c_uint64),
        ("PsActiveProcessHead", c_uint64),
        ("MachineImageType", c_uint32),
        ("NumberProcessors", c_uint32),
        ("BugCheckCode", c_uint32),
        ("Padding3C", c_uint32),
        ("BugCheckParameter", c_uint64 * 4),
        ("VersionUser", c_uint8 * 32),
        ("KdDebuggerDataBlock", c_uint64),
        ("PhysicalMemoryBlock", PHYSICAL_MEMORY_DESCRIPTOR64),
        ("Padding344", c_uint32),
        ("ContextRecord", CONTEXT),
        ("ContextRest", c_uint8 * (CONTEXT_FIELD_SIZE - CONTEXT_SIZE)),
        ("Exception", EXCEPTION_RECORD64),
        ("DumpType", c_uint32),
        ("PaddingF9C", c_uint32),
        ("RequiredDumpSpace", c_uint64),
        ("SystemTime", c_uint64),
        ("Comment", c_uint8 * COMMENT_SIZE),
        ("SystemUpTime", c_uint64),
        ("MiniDumpFields", c_uint32),
        ("SecondaryDataState", c_uint32),
        ("ProductType", c_uint32),
        ("SuiteMask", c_uint32),
        ("WriterStatus", c_uint32),
        ("Unused1", c_uint8),
        ("KdSecondaryVersion", c_uint8),
        ("PagingLevels", c_uint8),
        ("Unused", c_uint8),
        ("Attributes", c_uint32),
        ("BootId", c_uint32),
        # _reserved0, 4008 bytes. Build 26100 stores these parts in it:
        # docs/format/kernel-header-fields.md#diagnostics-in-the-reserved-area
        ("DiagnosticsSize", c_uint32 * 2),
        ("Diagnostics", c_uint8 * 0x190),
        ("LastLine", c_uint8 * 0x100),
        ("BuildNumberText", c_uint16 * 6),
        ("Padding12FC", c_uint32),
        ("UpdateBuildRevision", c_uint32),
        ("MajorOsVersion", c_uint32),
        ("MinorOsVersion", c_uint32),
        ("Reserved", c_uint8 * 0xCF4),
    ]


class SUMMARY_DUMP64(Packed):
    """Header in front of a type 2 bitmap (docs/format/kernel-pages.md#summary-dump-header)."""

    _fields_ = [
        ("Signature", c_uint32),
        ("ValidDump", c_uint32),
        ("DumpOptions", c_uint32),
        ("HeaderSize", c_uint32),
        ("BitmapSize", c_uint32),
        ("Pages", c_uint32),
        ("SizeOfBitMap", c_uint32),
        ("Padding", c_uint32),
        ("Reserved0", c_uint64),
    ]


class BITMAP_DUMP(Packed):
    """Header in front of a type 5 or 6 bitmap (docs/format/kernel-pages.md#bitmap-dump-header)."""

    _fields_ = [
        ("Signature", c_uint32),
        ("ValidDump", c_uint32),
        ("DumpOptions", c_uint32),
        ("Unknown", c_uint8 * 20),
        ("HeaderSize", c_uint64),
        ("Pages", c_uint64),
        ("BitmapSize", c_uint64),
    ]


class RDMP_HEADER64(Packed):
    """Header of types 8, 9 and 10, without the run list (docs/format/kernel-pages.md#range-dump-header)."""

    _fields_ = [
        ("Marker", c_uint32),
        ("Signature", c_uint32),
        ("ValidDump", c_uint32),
        ("Unknown", c_uint32),
        ("MetadataSize", c_uint64),
        ("FirstPageOffset", c_uint64),
        ("NumberOfRuns", c_uint32),
        ("Unknown24", c_uint32),
        ("NumberOfPages", c_uint64),
    ]


class TRIAGE_DUMP64(Packed):
    """Triage header at 0x2000 (docs/format/kernel-small.md#triage-header). Offsets are file offsets."""

    _fields_ = [
        *((name, c_uint32) for name in (
            "ServicePackBuild", "SizeOfDump", "ValidOffset", "ContextOffset", "ExceptionOffset", "MmOffset",
            "UnloadedDriversOffset", "PrcbOffset", "ProcessOffset", "ThreadOffset", "CallStackOffset",
            "SizeOfCallStack", "DriverListOffset", "DriverCount", "StringPoolOffset", "StringPoolSize",
            "BrokenDriverOffset", "TriageOptions",
        )),
        ("TopOfStack", c_uint64),
        ("BStoreOffset", c_uint32),
        ("SizeOfBStore", c_uint32),
        ("LimitOfBStore", c_uint64),
        ("DataPageAddress", c_uint64),
        ("DataPageOffset", c_uint32),
        ("DataPageSize", c_uint32),
        ("DebuggerDataOffset", c_uint32),
        ("DebuggerDataSize", c_uint32),
        ("DataBlocksOffset", c_uint32),
        ("DataBlocksCount", c_uint32),
    ]  # fmt: skip


class TRIAGE_DATA_BLOCK(Packed):
    """docs/format/kernel-small.md#data-block-table"""

    _fields_ = [("Address", c_uint64), ("Offset", c_uint32), ("Size", c_uint32)]


class UNICODE_STRING64(Packed):
    """A UNICODE_STRING with a 64-bit pointer."""

    _fields_ = [("Length", c_uint16), ("MaximumLength", c_uint16), ("Padding", c_uint32), ("Buffer", c_uint64)]


class DUMP_UNLOADED_DRIVERS64(Packed):
    """docs/format/kernel-small.md#unloaded-drivers"""

    _fields_ = [
        ("Name", UNICODE_STRING64),
        ("DriverName", c_uint16 * 12),
        ("StartAddress", c_uint64),
        ("EndAddress", c_uint64),
    ]


class DUMP_MM_STORAGE64(Packed):
    """docs/format/kernel-small.md#memory-manager-counts"""

    _fields_ = [
        *((name, c_uint32) for name in (
            "Version", "Size", "MmSpecialPoolTag", "MiTriageActionTaken", "MmVerifyDriverLevel", "KernelVerifier",
        )),
        *((name, c_uint64) for name in (
            "MmMaximumNonPagedPool", "MmAllocatedNonPagedPool", "PagedPoolMaximum", "PagedPoolAllocated",
            "CommittedPages", "CommittedPagesPeak", "CommitLimitMaximum",
        )),
    ]  # fmt: skip


class KLDR_DATA_TABLE_ENTRY64(Packed):
    """Entry of the driver list, 0x88 bytes. TimeDateStamp is where the live structure holds CoverageSection.

    docs/format/kernel-small.md#contents-of-driver-entries, docs/format/kernel-structures.md#tail-of-the-live-entry
    """

    _fields_ = [
        ("InLoadOrderLinks", c_uint64 * 2),
        ("ExceptionTable", c_uint64),
        ("ExceptionTableSize", c_uint32),
        ("Padding1C", c_uint32),
        ("GpValue", c_uint64),
        ("NonPagedDebugInfo", c_uint64),
        ("DllBase", c_uint64),
        ("EntryPoint", c_uint64),
        ("SizeOfImage", c_uint32),
        ("Padding44", c_uint32),
        ("FullDllName", UNICODE_STRING64),
        ("BaseDllName", UNICODE_STRING64),
        ("Flags", c_uint32),
        ("LoadCount", c_uint16),
        ("SignatureLevel", c_uint16),
        ("SectionPointer", c_uint64),
        ("CheckSum", c_uint32),
        ("CoverageSectionSize", c_uint32),
        ("TimeDateStamp", c_uint32),
        ("Padding84", c_uint32),
    ]


class DUMP_DRIVER_ENTRY64(Packed):
    """docs/format/kernel-small.md#driver-list"""

    _fields_ = [("DriverNameOffset", c_uint32), ("Padding", c_uint32), ("LdrEntry", KLDR_DATA_TABLE_ENTRY64)]


class DUMP_BLOB_FILE_HEADER(Packed):
    """docs/format/kernel-secondary-data.md#file-header-of-the-region"""

    _fields_ = [
        ("Signature1", c_uint32),
        ("Signature2", c_uint32),
        ("HeaderSize", c_uint32),
        ("BuildNumber", c_uint32),
    ]


class DUMP_BLOB_HEADER(Packed):
    """docs/format/kernel-secondary-data.md#header-of-a-blob"""

    _fields_ = [
        ("HeaderSize", c_uint32),
        ("Tag", c_uint8 * 16),
        ("DataSize", c_uint32),
        ("PrePad", c_uint32),
        ("PostPad", c_uint32),
    ]
