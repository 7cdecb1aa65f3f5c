"""The structures of a minidump as field sequences, and their encoding with every narrowing checked.

Names and order of fields are minidumpapiset.h's (winnt.h's for CONTEXT, verrsrc.h's for VS_FIXEDFILEINFO,
timezoneapi.h's for TIME_ZONE_INFORMATION). The header wraps everything in 4-byte packing, so no structure has hidden
padding (spec user-mode 3.0). Offsets and sizes are never written here: they follow from the sequences.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_uint8, c_uint16, c_uint32, c_uint64


class Packed(ctypes.LittleEndianStructure):
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


class OtherCpuInfo(Packed):
    """The member of CPU_INFORMATION for every processor but x86."""

    _fields_ = [("ProcessorFeatures", c_uint64 * 2)]


class CPU_INFORMATION(ctypes.LittleEndianUnion):
    """The x86 member is six words long, so the union is 24 bytes."""

    _layout_ = "ms"
    _pack_ = 4
    _fields_ = [("OtherCpuInfo", OtherCpuInfo), ("X86CpuInfo", c_uint32 * 6)]


class MINIDUMP_SYSTEM_INFO(Packed):
    _fields_ = [
        ("ProcessorArchitecture", c_uint16),
        ("ProcessorLevel", c_uint16),
        ("ProcessorRevision", c_uint16),
        ("NumberOfProcessors", c_uint8),
        ("ProductType", c_uint8),
        ("MajorVersion", c_uint32),
        ("MinorVersion", c_uint32),
        ("BuildNumber", c_uint32),
        ("PlatformId", c_uint32),
        ("CSDVersionRva", c_uint32),
        ("SuiteMask", c_uint16),
        ("Reserved2", c_uint16),
        ("Cpu", CPU_INFORMATION),
    ]


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


class SYSTEMTIME(Packed):
    _fields_ = [(name, c_uint16) for name in (
        "wYear", "wMonth", "wDayOfWeek", "wDay", "wHour", "wMinute", "wSecond", "wMilliseconds",
    )]  # fmt: skip


class TIME_ZONE_INFORMATION(Packed):
    _fields_ = [
        ("Bias", c_int32),
        ("StandardName", c_uint16 * 32),
        ("StandardDate", SYSTEMTIME),
        ("StandardBias", c_int32),
        ("DaylightName", c_uint16 * 32),
        ("DaylightDate", SYSTEMTIME),
        ("DaylightBias", c_int32),
    ]


class XSTATE_FEATURE(Packed):
    _fields_ = [("Offset", c_uint32), ("Size", c_uint32)]


class XSTATE_CONFIG_FEATURE_MSC_INFO(Packed):
    _fields_ = [
        ("SizeOfInfo", c_uint32),
        ("ContextSize", c_uint32),
        ("EnabledFeatures", c_uint64),
        ("Features", XSTATE_FEATURE * 64),
    ]


class MINIDUMP_MISC_INFO_5(Packed):
    _fields_ = [
        ("SizeOfInfo", c_uint32),
        ("Flags1", c_uint32),
        ("ProcessId", c_uint32),
        ("ProcessCreateTime", c_uint32),
        ("ProcessUserTime", c_uint32),
        ("ProcessKernelTime", c_uint32),
        ("ProcessorMaxMhz", c_uint32),
        ("ProcessorCurrentMhz", c_uint32),
        ("ProcessorMhzLimit", c_uint32),
        ("ProcessorMaxIdleState", c_uint32),
        ("ProcessorCurrentIdleState", c_uint32),
        ("ProcessIntegrityLevel", c_uint32),
        ("ProcessExecuteFlags", c_uint32),
        ("ProtectedProcess", c_uint32),
        ("TimeZoneId", c_uint32),
        ("TimeZone", TIME_ZONE_INFORMATION),
        ("BuildString", c_uint16 * 260),
        ("DbgBldStr", c_uint16 * 40),
        ("XStateData", XSTATE_CONFIG_FEATURE_MSC_INFO),
        ("ProcessCookie", c_uint32),
    ]


class MINIDUMP_SYSTEM_BASIC_INFORMATION(Packed):
    _fields_ = [
        ("TimerResolution", c_uint32),
        ("PageSize", c_uint32),
        ("NumberOfPhysicalPages", c_uint32),
        ("LowestPhysicalPageNumber", c_uint32),
        ("HighestPhysicalPageNumber", c_uint32),
        ("AllocationGranularity", c_uint32),
        ("MinimumUserModeAddress", c_uint64),
        ("MaximumUserModeAddress", c_uint64),
        ("ActiveProcessorsAffinityMask", c_uint64),
        ("NumberOfProcessors", c_uint32),
    ]


class MINIDUMP_SYSTEM_FILECACHE_INFORMATION(Packed):
    _fields_ = [
        ("CurrentSize", c_uint64),
        ("PeakSize", c_uint64),
        ("PageFaultCount", c_uint32),
        ("MinimumWorkingSet", c_uint64),
        ("MaximumWorkingSet", c_uint64),
        ("CurrentSizeIncludingTransitionInPages", c_uint64),
        ("PeakSizeIncludingTransitionInPages", c_uint64),
        ("TransitionRePurposeCount", c_uint32),
        ("Flags", c_uint32),
    ]


class MINIDUMP_SYSTEM_BASIC_PERFORMANCE_INFORMATION(Packed):
    _fields_ = [(name, c_uint64) for name in ("AvailablePages", "CommittedPages", "CommitLimit", "PeakCommitment")]


class MINIDUMP_SYSTEM_PERFORMANCE_INFORMATION(Packed):
    _fields_ = [
        ("IdleProcessTime", c_uint64),
        ("IoReadTransferCount", c_uint64),
        ("IoWriteTransferCount", c_uint64),
        ("IoOtherTransferCount", c_uint64),
        *((name, c_uint32) for name in (
            "IoReadOperationCount", "IoWriteOperationCount", "IoOtherOperationCount", "AvailablePages",
            "CommittedPages", "CommitLimit", "PeakCommitment", "PageFaultCount", "CopyOnWriteCount", "TransitionCount",
            "CacheTransitionCount", "DemandZeroCount", "PageReadCount", "PageReadIoCount", "CacheReadCount",
            "CacheIoCount", "DirtyPagesWriteCount", "DirtyWriteIoCount", "MappedPagesWriteCount",
            "MappedWriteIoCount", "PagedPoolPages", "NonPagedPoolPages", "PagedPoolAllocs", "PagedPoolFrees",
            "NonPagedPoolAllocs", "NonPagedPoolFrees", "FreeSystemPtes", "ResidentSystemCodePage",
            "TotalSystemDriverPages", "TotalSystemCodePages", "NonPagedPoolLookasideHits", "PagedPoolLookasideHits",
            "AvailablePagedPoolPages", "ResidentSystemCachePage", "ResidentPagedPoolPage", "ResidentSystemDriverPage",
            "CcFastReadNoWait", "CcFastReadWait", "CcFastReadResourceMiss", "CcFastReadNotPossible",
            "CcFastMdlReadNoWait", "CcFastMdlReadWait", "CcFastMdlReadResourceMiss", "CcFastMdlReadNotPossible",
            "CcMapDataNoWait", "CcMapDataWait", "CcMapDataNoWaitMiss", "CcMapDataWaitMiss", "CcPinMappedDataCount",
            "CcPinReadNoWait", "CcPinReadWait", "CcPinReadNoWaitMiss", "CcPinReadWaitMiss", "CcCopyReadNoWait",
            "CcCopyReadWait", "CcCopyReadNoWaitMiss", "CcCopyReadWaitMiss", "CcMdlReadNoWait", "CcMdlReadWait",
            "CcMdlReadNoWaitMiss", "CcMdlReadWaitMiss", "CcReadAheadIos", "CcLazyWriteIos", "CcLazyWritePages",
            "CcDataFlushes", "CcDataPages", "ContextSwitches", "FirstLevelTbFills", "SecondLevelTbFills",
            "SystemCalls",
        )),
        ("CcTotalDirtyPages", c_uint64),
        ("CcDirtyPageThreshold", c_uint64),
        ("ResidentAvailablePages", c_uint64),
        ("SharedCommittedPages", c_uint64),
    ]  # fmt: skip


class MINIDUMP_SYSTEM_MEMORY_INFO_1(Packed):
    _fields_ = [
        ("Revision", c_uint16),
        ("Flags", c_uint16),
        ("BasicInfo", MINIDUMP_SYSTEM_BASIC_INFORMATION),
        ("FileCacheInfo", MINIDUMP_SYSTEM_FILECACHE_INFORMATION),
        ("BasicPerfInfo", MINIDUMP_SYSTEM_BASIC_PERFORMANCE_INFORMATION),
        ("PerfInfo", MINIDUMP_SYSTEM_PERFORMANCE_INFORMATION),
    ]


class MINIDUMP_PROCESS_VM_COUNTERS_2(Packed):
    _fields_ = [
        ("Revision", c_uint16),
        ("Flags", c_uint16),
        ("PageFaultCount", c_uint32),
        *((name, c_uint64) for name in (
            "PeakWorkingSetSize", "WorkingSetSize", "QuotaPeakPagedPoolUsage", "QuotaPagedPoolUsage",
            "QuotaPeakNonPagedPoolUsage", "QuotaNonPagedPoolUsage", "PagefileUsage", "PeakPagefileUsage",
            "PeakVirtualSize", "VirtualSize", "PrivateUsage", "PrivateWorkingSetSize", "SharedCommitUsage",
            "JobSharedCommitUsage", "JobPrivateCommitUsage", "JobPeakPrivateCommitUsage", "JobPrivateCommitLimit",
            "JobTotalCommitLimit",
        )),
    ]  # fmt: skip


class CONTEXT(Packed):
    """CONTEXT of amd64. FltSave and VectorRegister are kept as bytes: XSAVE_FORMAT is the processor's, M128A opaque."""

    _fields_ = [
        *((f"P{index}Home", c_uint64) for index in range(1, 7)),
        ("ContextFlags", c_uint32),
        ("MxCsr", c_uint32),
        *((name, c_uint16) for name in ("SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs")),
        ("EFlags", c_uint32),
        *((name, c_uint64) for name in (
            "Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7", "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8",
            "R9", "R10", "R11", "R12", "R13", "R14", "R15", "Rip",
        )),
        ("FltSave", c_uint8 * 512),
        ("VectorRegister", c_uint8 * (26 * 16)),
        ("VectorControl", c_uint64),
        ("DebugControl", c_uint64),
        ("LastBranchToRip", c_uint64),
        ("LastBranchFromRip", c_uint64),
        ("LastExceptionToRip", c_uint64),
        ("LastExceptionFromRip", c_uint64),
    ]  # fmt: skip


StructType = type[Packed] | type[CPU_INFORMATION]
