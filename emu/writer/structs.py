"""Structures of a minidump as field sequences, without those in ``system_structs.py`` and ``context_structs.py``.

Names and order of fields are those of minidumpapiset.h; of verrsrc.h for VS_FIXEDFILEINFO, of avrfsdk.h for AVRF_*.
The header packs everything to 4 bytes, so no structure has hidden padding (docs/format/minidump-container.md#packing).
This file holds no offsets and sizes: they follow from the sequences.
"""

from __future__ import annotations

import ctypes
from ctypes import c_uint32, c_uint64


class Packed(ctypes.LittleEndianStructure):
    """A little-endian structure, packed to 4 bytes."""

    _layout_ = "ms"
    _pack_ = 4


class PackedUnion(ctypes.LittleEndianUnion):
    """A little-endian union, packed to 4 bytes."""

    _layout_ = "ms"
    _pack_ = 4


class VS_FIXEDFILEINFO(Packed):
    """docs/format/minidump-modules.md#version-information"""

    _fields_ = [(name, c_uint32) for name in (
        "dwSignature", "dwStrucVersion", "dwFileVersionMS", "dwFileVersionLS", "dwProductVersionMS",
        "dwProductVersionLS", "dwFileFlagsMask", "dwFileFlags", "dwFileOS", "dwFileType", "dwFileSubtype",
        "dwFileDateMS", "dwFileDateLS",
    )]  # fmt: skip


class MINIDUMP_LOCATION_DESCRIPTOR(Packed):
    """Size and offset of a part of the file (docs/format/minidump-container.md#directory)."""

    _fields_ = [("DataSize", c_uint32), ("Rva", c_uint32)]


class MINIDUMP_MEMORY_DESCRIPTOR(Packed):
    """docs/format/minidump-memory.md#memory-list"""

    _fields_ = [("StartOfMemoryRange", c_uint64), ("Memory", MINIDUMP_LOCATION_DESCRIPTOR)]


class MINIDUMP_MEMORY_DESCRIPTOR64(Packed):
    """docs/format/minidump-memory.md#memory64-list"""

    _fields_ = [("StartOfMemoryRange", c_uint64), ("DataSize", c_uint64)]


class MINIDUMP_HEADER(Packed):
    """docs/format/minidump-container.md#header"""

    _fields_ = [
        ("Signature", c_uint32),
        ("Version", c_uint32),
        ("NumberOfStreams", c_uint32),
        ("StreamDirectoryRva", c_uint32),
        ("CheckSum", c_uint32),
        ("TimeDateStamp", c_uint32),
        ("Flags", c_uint64),
    ]


class MINIDUMP_DIRECTORY(Packed):
    """docs/format/minidump-container.md#directory"""

    _fields_ = [("StreamType", c_uint32), ("Location", MINIDUMP_LOCATION_DESCRIPTOR)]


class MINIDUMP_STRING(Packed):
    """Without its text (docs/format/minidump-container.md#strings)."""

    _fields_ = [("Length", c_uint32)]


class MINIDUMP_THREAD_LIST(Packed):
    """docs/format/minidump-threads.md#thread-list"""

    _fields_ = [("NumberOfThreads", c_uint32)]


class MINIDUMP_THREAD(Packed):
    """docs/format/minidump-threads.md#thread-entry"""

    _fields_ = [
        ("ThreadId", c_uint32),
        ("SuspendCount", c_uint32),
        ("PriorityClass", c_uint32),
        ("Priority", c_uint32),
        ("Teb", c_uint64),
        ("Stack", MINIDUMP_MEMORY_DESCRIPTOR),
        ("ThreadContext", MINIDUMP_LOCATION_DESCRIPTOR),
    ]


class MINIDUMP_THREAD_INFO_LIST(Packed):
    """docs/format/minidump-threads.md#thread-info-list"""

    _fields_ = [("SizeOfHeader", c_uint32), ("SizeOfEntry", c_uint32), ("NumberOfEntries", c_uint32)]


class MINIDUMP_THREAD_INFO(Packed):
    """docs/format/minidump-threads.md#thread-info-list"""

    _fields_ = [
        ("ThreadId", c_uint32),
        ("DumpFlags", c_uint32),
        ("DumpError", c_uint32),
        ("ExitStatus", c_uint32),
        ("CreateTime", c_uint64),
        ("ExitTime", c_uint64),
        ("KernelTime", c_uint64),
        ("UserTime", c_uint64),
        ("StartAddress", c_uint64),
        ("Affinity", c_uint64),
    ]


class MINIDUMP_THREAD_NAME_LIST(Packed):
    """docs/format/minidump-threads.md#thread-names"""

    _fields_ = [("NumberOfThreadNames", c_uint32)]


class MINIDUMP_THREAD_NAME(Packed):
    """docs/format/minidump-threads.md#thread-names"""

    _fields_ = [("ThreadId", c_uint32), ("RvaOfThreadName", c_uint64)]


class MINIDUMP_MODULE_LIST(Packed):
    """docs/format/minidump-modules.md#module-list"""

    _fields_ = [("NumberOfModules", c_uint32)]


class MINIDUMP_MODULE(Packed):
    """docs/format/minidump-modules.md#module-entry"""

    _fields_ = [
        ("BaseOfImage", c_uint64),
        ("SizeOfImage", c_uint32),
        ("CheckSum", c_uint32),
        ("TimeDateStamp", c_uint32),
        ("ModuleNameRva", c_uint32),
        ("VersionInfo", VS_FIXEDFILEINFO),
        ("CvRecord", MINIDUMP_LOCATION_DESCRIPTOR),
        ("MiscRecord", MINIDUMP_LOCATION_DESCRIPTOR),
        ("Reserved0", c_uint64),
        ("Reserved1", c_uint64),
    ]


class MINIDUMP_UNLOADED_MODULE_LIST(Packed):
    """docs/format/minidump-modules.md#unloaded-modules"""

    _fields_ = [("SizeOfHeader", c_uint32), ("SizeOfEntry", c_uint32), ("NumberOfEntries", c_uint32)]


class MINIDUMP_UNLOADED_MODULE(Packed):
    """docs/format/minidump-modules.md#unloaded-modules"""

    _fields_ = [
        ("BaseOfImage", c_uint64),
        ("SizeOfImage", c_uint32),
        ("CheckSum", c_uint32),
        ("TimeDateStamp", c_uint32),
        ("ModuleNameRva", c_uint32),
    ]


class MINIDUMP_EXCEPTION(Packed):
    """docs/format/minidump-exception.md#exception-record"""

    _fields_ = [
        ("ExceptionCode", c_uint32),
        ("ExceptionFlags", c_uint32),
        ("ExceptionRecord", c_uint64),
        ("ExceptionAddress", c_uint64),
        ("NumberParameters", c_uint32),
        ("__unusedAlignment", c_uint32),
        ("ExceptionInformation", c_uint64 * 15),
    ]


class MINIDUMP_EXCEPTION_STREAM(Packed):
    """docs/format/minidump-exception.md#exception-record"""

    _fields_ = [
        ("ThreadId", c_uint32),
        ("__alignment", c_uint32),
        ("ExceptionRecord", MINIDUMP_EXCEPTION),
        ("ThreadContext", MINIDUMP_LOCATION_DESCRIPTOR),
    ]


class MINIDUMP_MEMORY_LIST(Packed):
    """docs/format/minidump-memory.md#memory-list"""

    _fields_ = [("NumberOfMemoryRanges", c_uint32)]


class MINIDUMP_MEMORY64_LIST(Packed):
    """docs/format/minidump-memory.md#memory64-list"""

    _fields_ = [("NumberOfMemoryRanges", c_uint64), ("BaseRva", c_uint64)]


class MINIDUMP_MEMORY_INFO_LIST(Packed):
    """docs/format/minidump-memory.md#memory-info-list"""

    _fields_ = [("SizeOfHeader", c_uint32), ("SizeOfEntry", c_uint32), ("NumberOfEntries", c_uint64)]


class MINIDUMP_MEMORY_INFO(Packed):
    """docs/format/minidump-memory.md#memory-info-list"""

    _fields_ = [
        ("BaseAddress", c_uint64),
        ("AllocationBase", c_uint64),
        ("AllocationProtect", c_uint32),
        ("__alignment1", c_uint32),
        ("RegionSize", c_uint64),
        ("State", c_uint32),
        ("Protect", c_uint32),
        ("Type", c_uint32),
        ("__alignment2", c_uint32),
    ]


class MINIDUMP_HANDLE_DATA_STREAM(Packed):
    """docs/format/minidump-handles.md#handle-data"""

    _fields_ = [
        ("SizeOfHeader", c_uint32),
        ("SizeOfDescriptor", c_uint32),
        ("NumberOfDescriptors", c_uint32),
        ("Reserved", c_uint32),
    ]


class MINIDUMP_HANDLE_DESCRIPTOR_2(Packed):
    """docs/format/minidump-handles.md#handle-data"""

    _fields_ = [
        ("Handle", c_uint64),
        ("TypeNameRva", c_uint32),
        ("ObjectNameRva", c_uint32),
        ("Attributes", c_uint32),
        ("GrantedAccess", c_uint32),
        ("HandleCount", c_uint32),
        ("PointerCount", c_uint32),
        ("ObjectInfoRva", c_uint32),
        ("Reserved0", c_uint32),
    ]


class MINIDUMP_HANDLE_OPERATION_LIST(Packed):
    """docs/format/minidump-handles.md#handle-operations"""

    _fields_ = [
        ("SizeOfHeader", c_uint32),
        ("SizeOfEntry", c_uint32),
        ("NumberOfEntries", c_uint32),
        ("Reserved", c_uint32),
    ]


class AVRF_BACKTRACE_INFORMATION(Packed):
    """avrfsdk.h (docs/format/minidump-handles.md#handle-operations)."""

    _fields_ = [("Depth", c_uint32), ("Index", c_uint32), ("ReturnAddresses", c_uint64 * 32)]


class AVRF_HANDLE_OPERATION(Packed):
    """avrfsdk.h (docs/format/minidump-handles.md#handle-operations)."""

    _fields_ = [
        ("Handle", c_uint64),
        ("ProcessId", c_uint32),
        ("ThreadId", c_uint32),
        ("OperationType", c_uint32),
        ("Spare0", c_uint32),
        ("BackTraceInformation", AVRF_BACKTRACE_INFORMATION),
    ]


class MINIDUMP_FUNCTION_TABLE_STREAM(Packed):
    """docs/format/minidump-function-tables.md#function-table-stream"""

    _fields_ = [
        ("SizeOfHeader", c_uint32),
        ("SizeOfDescriptor", c_uint32),
        ("SizeOfNativeDescriptor", c_uint32),
        ("SizeOfFunctionEntry", c_uint32),
        ("NumberOfDescriptors", c_uint32),
        ("SizeOfAlignPad", c_uint32),
    ]


class MINIDUMP_FUNCTION_TABLE_DESCRIPTOR(Packed):
    """docs/format/minidump-function-tables.md#function-table-descriptor"""

    _fields_ = [
        ("MinimumAddress", c_uint64),
        ("MaximumAddress", c_uint64),
        ("BaseAddress", c_uint64),
        ("EntryCount", c_uint32),
        ("SizeOfAlignPad", c_uint32),
    ]


class RUNTIME_FUNCTION(Packed):
    """An entry of a function table of amd64 (winnt.h)."""

    _fields_ = [("BeginAddress", c_uint32), ("EndAddress", c_uint32), ("UnwindData", c_uint32)]


class MINIDUMP_TOKEN_INFO_LIST(Packed):
    """docs/format/minidump-handles.md#token-list"""

    _fields_ = [
        ("TokenListSize", c_uint32),
        ("TokenListEntries", c_uint32),
        ("ListHeaderSize", c_uint32),
        ("ElementHeaderSize", c_uint32),
    ]


class MINIDUMP_TOKEN_INFO_HEADER(Packed):
    """docs/format/minidump-handles.md#token-list"""

    _fields_ = [("TokenSize", c_uint32), ("TokenId", c_uint32), ("TokenHandle", c_uint64)]


class TOKEN_ELEMENT_PART(Packed):
    """Offset and size of a part in its token element; undocumented (docs/format/minidump-handles.md#token-contents)."""

    _fields_ = [("Offset", c_uint32), ("Size", c_uint32)]


class TOKEN_ELEMENT_HEADER(Packed):
    """Header of a token element: the documented 16 bytes and 56 more, as in the one real file.

    docs/format/minidump-handles.md#token-contents
    """

    _fields_ = [("Header", MINIDUMP_TOKEN_INFO_HEADER), ("Parts", TOKEN_ELEMENT_PART * 7)]


StructType = type[Packed] | type[PackedUnion]
