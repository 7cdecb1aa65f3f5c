"""The structures of a minidump as field sequences; those of the system and of contexts have files of their own.

Names and order of fields are minidumpapiset.h's (verrsrc.h's for VS_FIXEDFILEINFO, avrfsdk.h's for AVRF_*). The header
wraps everything in 4-byte packing, so no structure has hidden padding (spec user-mode 3.0). Offsets and sizes are never
written here: they follow from the sequences.
"""

from __future__ import annotations

import ctypes
from ctypes import c_uint32, c_uint64


class Packed(ctypes.LittleEndianStructure):
    _layout_ = "ms"
    _pack_ = 4


class PackedUnion(ctypes.LittleEndianUnion):
    _layout_ = "ms"
    _pack_ = 4


class VS_FIXEDFILEINFO(Packed):
    _fields_ = [(name, c_uint32) for name in (
        "dwSignature", "dwStrucVersion", "dwFileVersionMS", "dwFileVersionLS", "dwProductVersionMS",
        "dwProductVersionLS", "dwFileFlagsMask", "dwFileFlags", "dwFileOS", "dwFileType", "dwFileSubtype",
        "dwFileDateMS", "dwFileDateLS",
    )]  # fmt: skip


class MINIDUMP_LOCATION_DESCRIPTOR(Packed):
    _fields_ = [("DataSize", c_uint32), ("Rva", c_uint32)]


class MINIDUMP_MEMORY_DESCRIPTOR(Packed):
    _fields_ = [("StartOfMemoryRange", c_uint64), ("Memory", MINIDUMP_LOCATION_DESCRIPTOR)]


class MINIDUMP_MEMORY_DESCRIPTOR64(Packed):
    _fields_ = [("StartOfMemoryRange", c_uint64), ("DataSize", c_uint64)]


class MINIDUMP_HEADER(Packed):
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
    _fields_ = [("StreamType", c_uint32), ("Location", MINIDUMP_LOCATION_DESCRIPTOR)]


class MINIDUMP_STRING(Packed):
    _fields_ = [("Length", c_uint32)]


class MINIDUMP_THREAD_LIST(Packed):
    _fields_ = [("NumberOfThreads", c_uint32)]


class MINIDUMP_THREAD(Packed):
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
    _fields_ = [("SizeOfHeader", c_uint32), ("SizeOfEntry", c_uint32), ("NumberOfEntries", c_uint32)]


class MINIDUMP_THREAD_INFO(Packed):
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
    _fields_ = [("NumberOfThreadNames", c_uint32)]


class MINIDUMP_THREAD_NAME(Packed):
    _fields_ = [("ThreadId", c_uint32), ("RvaOfThreadName", c_uint64)]


class MINIDUMP_MODULE_LIST(Packed):
    _fields_ = [("NumberOfModules", c_uint32)]


class MINIDUMP_MODULE(Packed):
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
    _fields_ = [("SizeOfHeader", c_uint32), ("SizeOfEntry", c_uint32), ("NumberOfEntries", c_uint32)]


class MINIDUMP_UNLOADED_MODULE(Packed):
    _fields_ = [
        ("BaseOfImage", c_uint64),
        ("SizeOfImage", c_uint32),
        ("CheckSum", c_uint32),
        ("TimeDateStamp", c_uint32),
        ("ModuleNameRva", c_uint32),
    ]


class MINIDUMP_EXCEPTION(Packed):
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
    _fields_ = [
        ("ThreadId", c_uint32),
        ("__alignment", c_uint32),
        ("ExceptionRecord", MINIDUMP_EXCEPTION),
        ("ThreadContext", MINIDUMP_LOCATION_DESCRIPTOR),
    ]


class MINIDUMP_MEMORY_LIST(Packed):
    _fields_ = [("NumberOfMemoryRanges", c_uint32)]


class MINIDUMP_MEMORY64_LIST(Packed):
    _fields_ = [("NumberOfMemoryRanges", c_uint64), ("BaseRva", c_uint64)]


class MINIDUMP_MEMORY_INFO_LIST(Packed):
    _fields_ = [("SizeOfHeader", c_uint32), ("SizeOfEntry", c_uint32), ("NumberOfEntries", c_uint64)]


class MINIDUMP_MEMORY_INFO(Packed):
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
    _fields_ = [
        ("SizeOfHeader", c_uint32),
        ("SizeOfDescriptor", c_uint32),
        ("NumberOfDescriptors", c_uint32),
        ("Reserved", c_uint32),
    ]


class MINIDUMP_HANDLE_DESCRIPTOR_2(Packed):
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
    _fields_ = [
        ("SizeOfHeader", c_uint32),
        ("SizeOfEntry", c_uint32),
        ("NumberOfEntries", c_uint32),
        ("Reserved", c_uint32),
    ]


class AVRF_BACKTRACE_INFORMATION(Packed):
    """avrfsdk.h"""

    _fields_ = [("Depth", c_uint32), ("Index", c_uint32), ("ReturnAddresses", c_uint64 * 32)]


class AVRF_HANDLE_OPERATION(Packed):
    """avrfsdk.h"""

    _fields_ = [
        ("Handle", c_uint64),
        ("ProcessId", c_uint32),
        ("ThreadId", c_uint32),
        ("OperationType", c_uint32),
        ("Spare0", c_uint32),
        ("BackTraceInformation", AVRF_BACKTRACE_INFORMATION),
    ]


class MINIDUMP_FUNCTION_TABLE_STREAM(Packed):
    _fields_ = [
        ("SizeOfHeader", c_uint32),
        ("SizeOfDescriptor", c_uint32),
        ("SizeOfNativeDescriptor", c_uint32),
        ("SizeOfFunctionEntry", c_uint32),
        ("NumberOfDescriptors", c_uint32),
        ("SizeOfAlignPad", c_uint32),
    ]


class MINIDUMP_FUNCTION_TABLE_DESCRIPTOR(Packed):
    _fields_ = [
        ("MinimumAddress", c_uint64),
        ("MaximumAddress", c_uint64),
        ("BaseAddress", c_uint64),
        ("EntryCount", c_uint32),
        ("SizeOfAlignPad", c_uint32),
    ]


class RUNTIME_FUNCTION(Packed):
    """winnt.h, amd64: an entry of a function table."""

    _fields_ = [("BeginAddress", c_uint32), ("EndAddress", c_uint32), ("UnwindData", c_uint32)]


class MINIDUMP_TOKEN_INFO_LIST(Packed):
    _fields_ = [
        ("TokenListSize", c_uint32),
        ("TokenListEntries", c_uint32),
        ("ListHeaderSize", c_uint32),
        ("ElementHeaderSize", c_uint32),
    ]


class MINIDUMP_TOKEN_INFO_HEADER(Packed):
    _fields_ = [("TokenSize", c_uint32), ("TokenId", c_uint32), ("TokenHandle", c_uint64)]


class TOKEN_ELEMENT_PART(Packed):
    """Not documented: where a part lies in its element (spec user-mode 3.15)."""

    _fields_ = [("Offset", c_uint32), ("Size", c_uint32)]


class TOKEN_ELEMENT_HEADER(Packed):
    """The header of an element as the one real file has it: 56 bytes follow the documented 16 (spec user-mode 3.15)."""

    _fields_ = [("Header", MINIDUMP_TOKEN_INFO_HEADER), ("Parts", TOKEN_ELEMENT_PART * 7)]


StructType = type[Packed] | type[PackedUnion]
