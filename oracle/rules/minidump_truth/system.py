"""Judges SystemInfo, SystemMemoryInfo, ProcessVmCounters and the comment against truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...case import Case
from ...decode import Record
from ...model import Fault, Grade, Level, Source, Span
from ...rule import Checks, bad, ok, own, rule
from ..asserts import by_an_engine, of_a_dump, one_of, same, same_bytes, same_text, tail_left_to_writer, zero
from ..minidump.system import is_blank

if TYPE_CHECKING:
    from ...truth.process import SystemTruth

# winnt.h PROCESSOR_ARCHITECTURE_INTEL, _AMD64, _ARM64
_ARCHITECTURES = {"x86": 0, "amd64": 9, "arm64": 12}
_AMD = "AuthenticAMD"
_OF_A_DUMP = "of a dump target only zeros"


@rule(
    "TRUE-SYSTEM-001",
    "SystemInfo describes the target's processors",
    Level.MUST,
    Source("docs/format/minidump-system.md#system-info", Grade.DOCUMENTED),
    Source("docs/format/minidump-system.md#processor-features", Grade.DOCUMENTED),
    Source("docs/format/minidump-system.md#processor-of-a-dump-target", Grade.WITNESSED, versions=("15063",)),
    needs=("system_info",),
    applies=own,
)
def processors(case: Case) -> Checks:
    """The architecture decides how every context is decoded, so a wrong one makes the whole dump useless. On x86 the
    processor union holds CPUID values: the vendor in the order EBX, EDX, ECX, then three words of features. The last of
    them means something on processors of AMD only. On other architectures the union has 16 bytes of features, and real
    writers leave arbitrary bytes in the other 8. Engine 15063 loses the upper half of the model if its target is a
    dump.
    """
    truth, record = case.truth, case.dump.system_info
    assert truth is not None
    assert record is not None
    system = truth.system
    yield from same(
        record,
        "SystemInfo",
        {
            "ProcessorArchitecture": _ARCHITECTURES[system.architecture],
        },
    )
    for name, value, kept in (
        ("ProcessorLevel", system.processor_level, _LEVEL_KEPT),
        ("ProcessorRevision", system.processor_revision, _REVISION_KEPT),
    ):
        yield from one_of(record, "SystemInfo", name, _processor(case, value, kept[system.architecture]))
    # The field has 8 bits. No document says what it holds for more than 255 processors.
    yield from one_of(
        record,
        "SystemInfo",
        "NumberOfProcessors",
        {min(system.number_of_processors, 255), system.number_of_processors & 255},
    )
    expected, place = _cpu(system), record.span_of("Cpu")
    known = Span(place.start, place.start + len(expected))
    yield from same_bytes("SystemInfo, Cpu", expected, record.raw("Cpu")[: len(expected)], known)
    rest = "Cpu: bytes of the union that the processor does not define (docs/format/minidump-system.md)"
    tail_left_to_writer(case, Span(known.end, place.end), rest)


def _lost(case: Case, record: Record, subject: str) -> Checks:
    """Check that a stream holds only zeros, as an engine writes it if its target is a dump."""
    found = case.dump.source.read(record.span.start, len(record.span))
    if not any(found):
        yield ok(subject, len(record.structure.fields))
    elif by_an_engine(case):
        yield bad(subject, _OF_A_DUMP, f"{len(found) - found.count(0)} other bytes", record.span, fault=Fault.FORBIDDEN)


_LEVEL_KEPT = {"amd64": 0xFFFF, "x86": 0xFFFF, "arm64": 0}
_REVISION_KEPT = {"amd64": 0x0F0F, "x86": 0xFF0F, "arm64": 0}
"""The bits that engine 15063 keeps of a dump target
(docs/format/minidump-system.md#processor-of-a-dump-target)."""


def _processor(case: Case, value: int, kept: int) -> set[int]:
    """The values that a field about the processor may have."""
    contract = "documented" if case.request is None else case.request.contract
    if not of_a_dump(case) or contract == "e29507":
        return {value}
    return {value & kept} if contract == "e15063" else {value, value & kept}


def _cpu(system: SystemTruth) -> bytes:
    """The bytes of CPU_INFORMATION that the processor defines."""
    if system.x86_cpu is not None:
        cpu = system.x86_cpu
        words = [cpu.version_information, cpu.feature_information]
        if cpu.vendor_id == _AMD:
            words.append(cpu.amd_extended_cpu_features)
        return cpu.vendor_id.encode("ascii") + b"".join(word.to_bytes(4, "little") for word in words)
    return b"".join(value.to_bytes(8, "little") for value in system.processor_features or ())


@rule(
    "TRUE-SYSTEM-002",
    "SystemInfo describes the target's Windows",
    Level.MUST,
    Source("docs/format/minidump-system.md#system-info", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("system_info",),
    applies=own,
)
def windows_version(case: Case) -> Checks:
    """The values are version, build, product type and suite. Debuggers choose the layout of system structures by the
    build number. PlatformId is 2 (VER_PLATFORM_WIN32_NT), Reserved2 is zero.
    """
    truth, record = case.truth, case.dump.system_info
    assert truth is not None
    assert record is not None
    system = truth.system
    yield from same(
        record,
        "SystemInfo",
        {
            "ProductType": system.product_type,
            "MajorVersion": system.major_version,
            "MinorVersion": system.minor_version,
            "BuildNumber": system.build_number,
            "PlatformId": 2,
            "SuiteMask": system.suite_mask,
            "Reserved2": 0,
        },
    )


@rule(
    "TRUE-SYSTEM-003",
    "The service pack string is the target's",
    Level.MUST,
    Source("docs/format/minidump-system.md#service-pack-string", Grade.DOCUMENTED),
    needs=("system_info", "system_info.csd"),
    applies=own,
)
def service_pack(case: Case) -> Checks:
    """The string is empty if there is no service pack. It is never absent."""
    truth, record = case.truth, case.dump.system_info
    assert truth is not None
    assert record is not None
    where = record.span_of("CSDVersionRva")
    yield from same_text(case.dump.csd_version, "SystemInfo, CSDVersion", truth.system.csd_version, where)


_FILE_CACHE_VALID, _BASIC_PERFORMANCE_VALID, _DIRTY_PAGES_VALID, _COMMIT_VALID = 1, 2, 4, 8
_ALL_VALID = _FILE_CACHE_VALID | _BASIC_PERFORMANCE_VALID | _DIRTY_PAGES_VALID | _COMMIT_VALID


@rule(
    "TRUE-MEMORYINFO-001",
    "SystemMemoryInfo holds the target's basic memory information",
    Level.MUST,
    Source("docs/format/minidump-system.md#parts-of-system-memory-info", Grade.DOCUMENTED),
    Source("docs/format/minidump-system.md#system-memory-info", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("system_memory_info",),
    applies=own,
)
def basic_memory_information(case: Case) -> Checks:
    """The values are page size, number of physical pages, allocation granularity, bounds of the user address space and
    processors. The engines store only zeros if their target is a dump.
    """
    truth, record = case.truth, case.dump.system_memory_info
    assert truth is not None
    if record is None:
        return
    if of_a_dump(case):
        yield from _lost(case, record, "SystemMemoryInfo")
        if by_an_engine(case) or is_blank(case, 21):
            return
    system = truth.system
    yield from same(
        record,
        "SystemMemoryInfo",
        {
            "BasicInfo.TimerResolution": system.timer_resolution,
            "BasicInfo.PageSize": 4096,
            "BasicInfo.AllocationGranularity": system.allocation_granularity,
            "BasicInfo.MinimumUserModeAddress": system.minimum_user_mode_address,
            "BasicInfo.MaximumUserModeAddress": system.maximum_user_mode_address,
            "BasicInfo.ActiveProcessorsAffinityMask": (1 << min(system.number_of_processors, 64)) - 1,
            "BasicInfo.NumberOfProcessors": system.number_of_processors,
        },
    )
    pages = {
        "NumberOfPhysicalPages": system.number_of_physical_pages,
        "LowestPhysicalPageNumber": system.lowest_physical_page_number,
        "HighestPhysicalPageNumber": system.highest_physical_page_number,
    }
    for name, value in pages.items():
        # The fields have 32 bits. No document says what they hold for a target of 16 TiB or more.
        yield from one_of(
            record, "SystemMemoryInfo", f"BasicInfo.{name}", {min(value, 0xFFFF_FFFF), value & 0xFFFF_FFFF}
        )


@rule(
    "TRUE-MEMORYINFO-002",
    "SystemMemoryInfo holds the target's commit figures and no invented counters",
    Level.MUST,
    Source("docs/format/minidump-system.md#parts-of-system-memory-info", Grade.DOCUMENTED),
    Source("docs/format/minidump-system.md#flags-of-system-memory-info", Grade.DOCUMENTED),
    needs=("system_memory_info",),
    applies=own,
)
def performance_information(case: Case) -> Checks:
    """BasicPerfInfo repeats the target's commit figures if its Flags bit is set. Counters that the truth lacks are
    zero: a reader would take an invented cache size for the system's. TRUE-MEMORYINFO-001 judges a stream of zeros.
    """
    truth, record = case.truth, case.dump.system_memory_info
    assert truth is not None
    if record is None or (of_a_dump(case) and (by_an_engine(case) or is_blank(case, 21))):
        return
    subject = "SystemMemoryInfo"
    second = record.type == "MINIDUMP_SYSTEM_MEMORY_INFO_2"
    yield from same(record, subject, {"Revision": 2 if second else 1})
    valid_bits = _ALL_VALID | (0x30 if second else 0)
    if record["Flags"] & ~valid_bits:
        expected = f"only bits of {valid_bits:#x}"
        yield bad(f"{subject}, Flags", expected, f"{record['Flags']:#x}", record.span_of("Flags"))
    figures = {
        "AvailablePages": truth.system.available_pages,
        "CommittedPages": truth.system.committed_pages,
        "CommitLimit": truth.system.commit_limit,
        "PeakCommitment": truth.system.peak_commitment,
    }
    valid = record["Flags"] & _BASIC_PERFORMANCE_VALID
    yield from same(
        record, subject, {f"BasicPerfInfo.{name}": value if valid else 0 for name, value in figures.items()}
    )
    for name in record.structure.fields:
        short = name.partition("PerfInfo.")[2]
        if name.startswith("PerfInfo.") and short in figures:
            yield from one_of(record, subject, name, {0, figures[short] & 0xFFFF_FFFF})
        elif name.startswith(("FileCacheInfo.", "PerfInfo.")):
            yield from zero(record, subject, (name,), "the truth has no value for it")


# minidumpapiset.h MINIDUMP_PROCESS_VM_COUNTERS_*: field of the second form -> its Flags bit and the truth's member
_COUNTERS = {
    "PageFaultCount": (1, "page_fault_count"),
    "PeakWorkingSetSize": (1, "peak_working_set_size"),
    "WorkingSetSize": (1, "working_set_size"),
    "QuotaPeakPagedPoolUsage": (1, "quota_peak_paged_pool_usage"),
    "QuotaPagedPoolUsage": (1, "quota_paged_pool_usage"),
    "QuotaPeakNonPagedPoolUsage": (1, "quota_peak_non_paged_pool_usage"),
    "QuotaNonPagedPoolUsage": (1, "quota_non_paged_pool_usage"),
    "PagefileUsage": (1, "pagefile_usage"),
    "PeakPagefileUsage": (1, "peak_pagefile_usage"),
    "PeakVirtualSize": (2, "peak_virtual_size"),
    "VirtualSize": (2, "virtual_size"),
    "PrivateUsage": (4, "private_usage"),
    "PrivateWorkingSetSize": (8, "private_working_set_size"),
    "SharedCommitUsage": (8, "shared_commit_usage"),
}
_JOB_COUNTERS = (
    "JobSharedCommitUsage",
    "JobPrivateCommitUsage",
    "JobPeakPrivateCommitUsage",
    "JobPrivateCommitLimit",
    "JobTotalCommitLimit",
)


@rule(
    "TRUE-VMCOUNTERS-001",
    "ProcessVmCounters are the target's",
    Level.MUST,
    Source("docs/format/minidump-system.md#process-memory-counters", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/minidump-system.md#flags-of-process-memory-counters", Grade.DOCUMENTED),
    needs=("vm_counters",),
    applies=own,
)
def vm_counters(case: Case) -> Checks:
    """The counters are working set, pool quota, page file and virtual size. A field is valid if its Flags bit is set,
    else it is zero. The basic bit must be set. Job counters are zero, because the target is in no job. The engines
    store only zeros if their target is a dump.
    """
    truth, record = case.truth, case.dump.vm_counters
    assert truth is not None
    if record is None:
        return
    if of_a_dump(case):
        yield from _lost(case, record, "ProcessVmCounters")
        if by_an_engine(case) or is_blank(case, 22):
            return
    subject = "ProcessVmCounters"
    second = record.type == "MINIDUMP_PROCESS_VM_COUNTERS_2"
    yield from same(record, subject, {"Revision": 2 if second else 1})
    # The first form has no Flags: all of its fields count.
    flags = record["Flags"] if second else 0xF
    if not flags & 1 or flags & ~0x1F:
        yield bad(f"{subject}, Flags", "bit 0x1, and only bits of 0x1f", f"{flags:#x}", record.span_of("Flags"))
    else:
        yield ok(f"{subject}, Flags")
    expected = {
        name: getattr(truth.process.vm, member) if flags & bit else 0
        for name, (bit, member) in _COUNTERS.items()
        if name in record.structure.fields
    }
    yield from same(record, subject, expected)
    if second:
        yield from zero(record, subject, _JOB_COUNTERS, "the target is in no job")


@rule(
    "TRUE-COMMENT-001",
    "The comment has the text of the request",
    Level.MUST,
    Source("docs/format/minidump-user-streams.md#comment-by-method", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("comment",),
    applies=lambda case: case.truth is not None and case.request is not None and case.request.comment is not None,
)
def comment(case: Case) -> Checks:
    """Debuggers print the comment when they open the dump. The stream may be ANSI or UTF-16; only the text counts."""
    fact, request = case.dump.comment, case.request
    assert request is not None
    if fact is None or fact.text is None:
        return
    if fact.text == request.comment:
        yield ok("comment")
    else:
        yield bad("comment", repr(request.comment), repr(fact.text), fact.stream.span, fault=Fault.WRONG)
