"""Structures about the machine and the process as field sequences (minidumpapiset.h; docs/format/minidump-system.md).

TIME_ZONE_INFORMATION is from timezoneapi.h, SYSTEMTIME from minwinbase.h.
"""

# ruff: noqa: RUF012 - ctypes reads _fields_ once, when the class is made

from __future__ import annotations

from ctypes import c_int32, c_uint8, c_uint16, c_uint32, c_uint64

from .structs import Packed, PackedUnion


class OtherCpuInfo(Packed):
    """Member of CPU_INFORMATION for all processors but x86."""

    _fields_ = [("ProcessorFeatures", c_uint64 * 2)]


class X86CpuInfo(Packed):
    """Member of CPU_INFORMATION for x86 (docs/format/minidump-system.md#processor-features)."""

    _fields_ = [
        ("VendorId", c_uint32 * 3),
        ("VersionInformation", c_uint32),
        ("FeatureInformation", c_uint32),
        ("AMDExtendedCpuFeatures", c_uint32),
    ]


class CPU_INFORMATION(PackedUnion):
    """24 bytes: the x86 member has six words."""

    _fields_ = [("OtherCpuInfo", OtherCpuInfo), ("X86CpuInfo", X86CpuInfo)]


class MINIDUMP_SYSTEM_INFO(Packed):
    """docs/format/minidump-system.md#system-info"""

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


class SYSTEMTIME(Packed):
    """docs/format/minidump-system.md#time-zone"""

    _fields_ = [(name, c_uint16) for name in (
        "wYear", "wMonth", "wDayOfWeek", "wDay", "wHour", "wMinute", "wSecond", "wMilliseconds",
    )]  # fmt: skip


class TIME_ZONE_INFORMATION(Packed):
    """docs/format/minidump-system.md#time-zone"""

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
    """docs/format/minidump-system.md#extended-state-in-misc-info"""

    _fields_ = [("Offset", c_uint32), ("Size", c_uint32)]


class XSTATE_CONFIG_FEATURE_MSC_INFO(Packed):
    """docs/format/minidump-system.md#extended-state-in-misc-info"""

    _fields_ = [
        ("SizeOfInfo", c_uint32),
        ("ContextSize", c_uint32),
        ("EnabledFeatures", c_uint64),
        ("Features", XSTATE_FEATURE * 64),
    ]


class MINIDUMP_MISC_INFO_5(Packed):
    """docs/format/minidump-system.md#misc-info"""

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
    """docs/format/minidump-system.md#parts-of-system-memory-info"""

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
    """docs/format/minidump-system.md#parts-of-system-memory-info"""

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
    """docs/format/minidump-system.md#parts-of-system-memory-info"""

    _fields_ = [(name, c_uint64) for name in ("AvailablePages", "CommittedPages", "CommitLimit", "PeakCommitment")]


class MINIDUMP_SYSTEM_PERFORMANCE_INFORMATION(Packed):
    """docs/format/minidump-system.md#parts-of-system-memory-info"""

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
    """docs/format/minidump-system.md#system-memory-info"""

    _fields_ = [
        ("Revision", c_uint16),
        ("Flags", c_uint16),
        ("BasicInfo", MINIDUMP_SYSTEM_BASIC_INFORMATION),
        ("FileCacheInfo", MINIDUMP_SYSTEM_FILECACHE_INFORMATION),
        ("BasicPerfInfo", MINIDUMP_SYSTEM_BASIC_PERFORMANCE_INFORMATION),
        ("PerfInfo", MINIDUMP_SYSTEM_PERFORMANCE_INFORMATION),
    ]


class MINIDUMP_SYSTEM_PERFORMANCE_INFORMATION_2(Packed):
    """docs/format/minidump-system.md#parts-of-system-memory-info"""

    _fields_ = [
        *MINIDUMP_SYSTEM_PERFORMANCE_INFORMATION._fields_,
        ("MdlPagesAllocated", c_uint64),
        ("PfnDatabaseCommittedPages", c_uint64),
        ("SystemPageTableCommittedPages", c_uint64),
        ("ContiguousPagesAllocated", c_uint64),
    ]


class MINIDUMP_SYSTEM_MEMORY_INFO_2(Packed):
    """docs/format/minidump-system.md#system-memory-info"""

    _fields_ = [
        *MINIDUMP_SYSTEM_MEMORY_INFO_1._fields_[:-1],
        ("PerfInfo", MINIDUMP_SYSTEM_PERFORMANCE_INFORMATION_2),
    ]


class MINIDUMP_PROCESS_VM_COUNTERS_2(Packed):
    """docs/format/minidump-system.md#process-memory-counters"""

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
