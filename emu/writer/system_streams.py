"""Writes SystemInfo, MiscInfo, SystemMemoryInfo and ProcessVmCounters (docs/format/minidump-system.md)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..constants import (
    MINIDUMP_VERSION,
    VER_PLATFORM_WIN32_NT,
    MiscInfoFlag,
    ProcessorArchitecture,
    ProcessVmCountersFlag,
    SystemMemoryFlag,
)
from ..plan.engines import Engine
from ..plan.user import Plan
from ..request import Session
from ..snapshot.process import PAGE_SIZE, ProcessSnapshot, SystemInformation, VmCounters
from .contexts import context_size
from .encode import add_string, add_struct, utf16_array
from .layout import LayoutError, Section
from .structs import Packed
from .system_structs import (
    MINIDUMP_MISC_INFO_5,
    MINIDUMP_PROCESS_VM_COUNTERS_2,
    MINIDUMP_SYSTEM_INFO,
    MINIDUMP_SYSTEM_MEMORY_INFO_1,
    MINIDUMP_SYSTEM_MEMORY_INFO_2,
    SYSTEMTIME,
    XSTATE_CONFIG_FEATURE_MSC_INFO,
)

_ARCHITECTURE = {
    "amd64": ProcessorArchitecture.AMD64,
    "x86": ProcessorArchitecture.INTEL,
    "arm64": ProcessorArchitecture.ARM64,
}

_SYSTEM_MEMORY_INFO: Mapping[int, type[Packed]] = {1: MINIDUMP_SYSTEM_MEMORY_INFO_1, 2: MINIDUMP_SYSTEM_MEMORY_INFO_2}
"""By revision."""

_FILETIME_PER_SECOND = 10_000_000
_UNIX_EPOCH = 116_444_736_000_000_000  # 1970-01-01 as FILETIME ([MS-DTYP] 2.3.3)


def header_version(engine: Engine) -> int:
    """Return the header's Version. The high word is (major << 12) + (minor << 8) + (build & 0xFF) of the engine.

    docs/format/minidump-container.md#version
    """
    major, minor, build, _ = engine.version
    return MINIDUMP_VERSION | ((major << 12) + (minor << 8) + (build & 0xFF)) << 16


def debug_build_string(engine: Engine) -> str:
    """Return DbgBldStr, ``library.architecture,version``, with the architecture of the library, not of the target.

    docs/format/minidump-system.md#build-strings
    """
    return "dumptruth.amd64," + ".".join(str(part) for part in engine.version)


def time_t(filetime: int) -> int:
    """Return the seconds since 1970 of a FILETIME, modulo 2**32, as the format's 32-bit time fields hold them."""
    return (filetime - _UNIX_EPOCH) // _FILETIME_PER_SECOND & 0xFFFFFFFF


def _seconds(duration: int) -> int:
    """Return a duration of 100 ns units in seconds, at most 0xFFFFFFFF, as MiscInfo holds it."""
    return min(duration // _FILETIME_PER_SECOND, 0xFFFFFFFF)


def add_system_info(snapshot: ProcessSnapshot, strings: Section) -> Section:
    """Return SystemInfo. The service pack text goes to ``strings``, even if it is empty.

    docs/format/minidump-system.md#system-info. Raises LayoutError when the snapshot lacks the processor's features.
    """
    system = snapshot.system
    section = Section("SystemInfo")
    csd_version = add_string(strings, "SystemInfo.CSDVersion", system.csd_version)
    add_struct(section, "SystemInfo", MINIDUMP_SYSTEM_INFO, {
        "ProcessorArchitecture": _ARCHITECTURE[system.architecture],
        "ProcessorLevel": system.processor_level,
        "ProcessorRevision": system.processor_revision,
        "NumberOfProcessors": system.number_of_processors,
        "ProductType": system.product_type,
        "MajorVersion": system.major_version,
        "MinorVersion": system.minor_version,
        "BuildNumber": system.build_number,
        "PlatformId": VER_PLATFORM_WIN32_NT,
        "CSDVersionRva": csd_version,
        "SuiteMask": system.suite_mask,
        "Cpu": _cpu(system),
    }, zero=["Reserved2"])  # fmt: skip
    return section


def _cpu(system: SystemInformation) -> dict[str, Any]:
    """Return the member of CPU_INFORMATION for the target's architecture. Raises LayoutError when there is none."""
    if system.architecture == "x86":
        cpu = system.x86_cpu
        vendor = cpu.vendor_id.encode("ascii", "replace") if cpu else b""
        if cpu is None or len(vendor) != 12:
            raise LayoutError("SystemInfo.Cpu: expected x86_cpu with a vendor_id of 12 characters for an x86 system")
        return {"X86CpuInfo": {
            "VendorId": vendor,
            "VersionInformation": cpu.version_information,
            "FeatureInformation": cpu.feature_information,
            "AMDExtendedCpuFeatures": cpu.amd_extended_cpu_features,
        }}  # fmt: skip
    if system.processor_features is None:
        raise LayoutError(f"SystemInfo.Cpu: expected processor_features for an {system.architecture} system")
    return {"OtherCpuInfo": {"ProcessorFeatures": system.processor_features}}


def add_misc_info(snapshot: ProcessSnapshot, plan: Plan) -> Section:
    """Return MiscInfo in the 1364-byte form of dbghelp 10.0. XStateData is zero without XSTATE contexts.

    docs/format/minidump-system.md#misc-info
    """
    system, process = snapshot.system, snapshot.process
    flag = MiscInfoFlag
    no_date = dict.fromkeys((name for name, *_ in SYSTEMTIME._fields_), 0)
    section = Section("MiscInfo")
    add_struct(section, "MiscInfo", MINIDUMP_MISC_INFO_5, {
        "SizeOfInfo": ctypes.sizeof(MINIDUMP_MISC_INFO_5),
        "Flags1": flag.MINIDUMP_MISC1_PROCESS_ID | flag.MINIDUMP_MISC1_PROCESS_TIMES
        | flag.MINIDUMP_MISC1_PROCESSOR_POWER_INFO | flag.MINIDUMP_MISC3_PROCESS_INTEGRITY
        | flag.MINIDUMP_MISC3_PROCESS_EXECUTE_FLAGS | flag.MINIDUMP_MISC3_TIMEZONE
        | flag.MINIDUMP_MISC3_PROTECTED_PROCESS | flag.MINIDUMP_MISC4_BUILDSTRING | flag.MINIDUMP_MISC5_PROCESS_COOKIE,
        "ProcessId": process.process_id,
        "ProcessCreateTime": time_t(process.create_time),
        "ProcessUserTime": _seconds(process.user_time),
        "ProcessKernelTime": _seconds(process.kernel_time),
        "ProcessorMaxMhz": system.processor_max_mhz,
        "ProcessorCurrentMhz": system.processor_current_mhz,
        "ProcessorMhzLimit": system.processor_max_mhz,  # no throttling
        "ProcessIntegrityLevel": process.integrity_level,
        "ProcessExecuteFlags": process.execute_flags,
        "ProtectedProcess": process.protected,
        "TimeZoneId": system.time_zone_id,
        "TimeZone": {
            "Bias": system.time_zone_bias,
            "StandardName": utf16_array("MiscInfo.TimeZone.StandardName", system.standard_name, 32),
            "StandardDate": no_date,
            "StandardBias": 0,
            "DaylightName": utf16_array("MiscInfo.TimeZone.DaylightName", system.daylight_name, 32),
            "DaylightDate": no_date,
            "DaylightBias": 0,
        },
        "BuildString": utf16_array("MiscInfo.BuildString", system.build_string, 260),
        "DbgBldStr": utf16_array("MiscInfo.DbgBldStr", debug_build_string(plan.engine), 40),
        "XStateData": _xstate_data(snapshot, plan),
        "ProcessCookie": process.cookie,
    }, zero=["ProcessorMaxIdleState", "ProcessorCurrentIdleState"])  # fmt: skip
    return section


def _xstate_data(snapshot: ProcessSnapshot, plan: Plan) -> Mapping[str, Any] | bytes:
    """Return XSTATE_CONFIG_FEATURE_MSC_INFO. ContextSize is the size of every context record."""
    size = ctypes.sizeof(XSTATE_CONFIG_FEATURE_MSC_INFO)
    if plan.xstate is None:
        return bytes(size)
    return {
        "SizeOfInfo": size,
        "ContextSize": context_size(snapshot.system.architecture, plan.xstate),
        "EnabledFeatures": plan.xstate.enabled_features,
        "Features": [{"Offset": feature.offset, "Size": feature.size} for feature in plan.xstate.features],
    }


def add_system_memory_info(snapshot: ProcessSnapshot, plan: Plan) -> Section:
    """Return SystemMemoryInfo, revision 1 with 492 bytes or revision 2 with 524, by the engine; zero of a dump target.

    A snapshot knows the commit counts only, and Flags says so. PerfInfo repeats them in 32-bit fields, which hold the
    low halves. File cache and all other counters are zero (docs/format/minidump-system.md#system-memory-info).
    """
    revision = plan.engine.memory_info_revision
    form = _SYSTEM_MEMORY_INFO[revision]
    section = Section("SystemMemoryInfo")
    if plan.session == Session.DUMP:
        add_struct(section, "SystemMemoryInfo", form, {}, zero=[name for name, *_ in form._fields_])
        return section
    system = snapshot.system
    commit = {
        "AvailablePages": system.available_pages,
        "CommittedPages": system.committed_pages,
        "CommitLimit": system.commit_limit,
        "PeakCommitment": system.peak_commitment,
    }
    structs = {name: ctype for name, ctype, *_ in form._fields_}
    performance = dict.fromkeys((name for name, *_ in structs["PerfInfo"]._fields_), 0)  # type: ignore[union-attr]
    add_struct(section, "SystemMemoryInfo", form, {
        "Revision": revision,
        "Flags": SystemMemoryFlag.MINIDUMP_SYSMEMINFO1_BASICPERF,
        "BasicInfo": {
            "TimerResolution": system.timer_resolution,
            "PageSize": PAGE_SIZE,
            "NumberOfPhysicalPages": system.number_of_physical_pages,
            "LowestPhysicalPageNumber": system.lowest_physical_page_number,
            "HighestPhysicalPageNumber": system.highest_physical_page_number,
            "AllocationGranularity": system.allocation_granularity,
            "MinimumUserModeAddress": system.minimum_user_mode_address,
            "MaximumUserModeAddress": system.maximum_user_mode_address,
            "ActiveProcessorsAffinityMask": (1 << system.number_of_processors) - 1,
            "NumberOfProcessors": system.number_of_processors,
        },
        "FileCacheInfo": bytes(ctypes.sizeof(structs["FileCacheInfo"])),
        "BasicPerfInfo": commit,
        "PerfInfo": performance | {name: value & 0xFFFFFFFF for name, value in commit.items()},
    })  # fmt: skip
    return section


def add_process_vm_counters(snapshot: ProcessSnapshot, plan: Plan) -> Section:
    """Return ProcessVmCounters in the 152-byte form, revision 2; zero of a dump target. The fields of a job are zero.

    docs/format/minidump-system.md#process-memory-counters
    """
    form = MINIDUMP_PROCESS_VM_COUNTERS_2
    section = Section("ProcessVmCounters")
    if plan.session == Session.DUMP:
        add_struct(section, "ProcessVmCounters", form, {}, zero=[name for name, *_ in form._fields_])
        return section
    flag = ProcessVmCountersFlag
    vm = snapshot.process.vm
    counters = {_camel(field.name): getattr(vm, field.name) for field in fields(VmCounters)}
    add_struct(section, "ProcessVmCounters", form, {
        "Revision": 2,
        "Flags": flag.MINIDUMP_PROCESS_VM_COUNTERS | flag.MINIDUMP_PROCESS_VM_COUNTERS_VIRTUALSIZE
        | flag.MINIDUMP_PROCESS_VM_COUNTERS_EX | flag.MINIDUMP_PROCESS_VM_COUNTERS_EX2,
        **counters,
    }, zero=[name for name, *_ in form._fields_ if name.startswith("Job")])  # fmt: skip
    return section


def _camel(name: str) -> str:
    """``page_fault_count`` -> ``PageFaultCount``: the snapshot has the names of Windows in snake case."""
    return "".join(word.capitalize() for word in name.split("_"))
