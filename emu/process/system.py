"""Defines the system that the target runs on. The values are fixed, so that every run has the same bytes.

The system is Windows 10 22H2 (build 19045 on the 19041 code base), described as in VERSIONINFO and SYSTEM_INFO.
Processor features come from CPUID of the emulated processor.
"""

from __future__ import annotations

from ..machine.cpu import Cpu
from ..snapshot.process import SystemInformation, XstateConfiguration

SECOND = 10_000_000
"""A second in units of 100 ns."""
TICK = 156250
"""Time between clock interrupts in units of 100 ns: 15.625 ms (GetSystemTimeAdjustment)."""
BOOT_TIME = 133542864000000000
"""2024-03-06 00:00:00 UTC as FILETIME."""
CREATE_TIME = BOOT_TIME + 9 * 36_000_000_000 + 26 * 600_000_000 + 53 * 10_000_000
"""Start of the program: 2024-03-06 09:26:53 UTC as FILETIME."""
PROCESS_CREATE_TIME = CREATE_TIME - 2 * 10_000_000
"""Creation of the process. A debugger shows no uptime of a process that is younger than a second
(docs/format/engine.md#what-a-target-must-have)."""

SYSTEM_ROOT = r"C:\Windows"
SYSTEM_DIRECTORY = r"C:\Windows\System32"
PROGRAM_DIRECTORY = r"C:\dumptruth"
DIRECTORIES = (
    "C:",
    PROGRAM_DIRECTORY,
    r"C:\Temp",
    r"C:\Windows",
    r"C:\Windows\Temp",
    SYSTEM_DIRECTORY,
    r"C:\Users",
    r"C:\Users\dumptruth",
    r"C:\Users\dumptruth\AppData",
    r"C:\Users\dumptruth\AppData\Local",
    r"C:\Users\dumptruth\AppData\Local\Temp",
)
"""The directories of drive C:."""

# winnt.h PF_*: (feature, CPUID leaf, register index in EAX EBX ECX EDX, bit); Intel SDM vol. 2, CPUID.
_FEATURE_BITS = (
    (2, 1, 3, 8),  # PF_COMPARE_EXCHANGE_DOUBLE
    (3, 1, 3, 23),  # PF_MMX_INSTRUCTIONS_AVAILABLE
    (6, 1, 3, 25),  # PF_XMMI_INSTRUCTIONS_AVAILABLE (SSE)
    (8, 1, 3, 4),  # PF_RDTSC_INSTRUCTION_AVAILABLE
    (9, 1, 3, 6),  # PF_PAE_ENABLED
    (10, 1, 3, 26),  # PF_XMMI64_INSTRUCTIONS_AVAILABLE (SSE2)
    (12, 0x80000001, 3, 20),  # PF_NX_ENABLED
    (13, 1, 2, 0),  # PF_SSE3_INSTRUCTIONS_AVAILABLE
    (14, 1, 2, 13),  # PF_COMPARE_EXCHANGE128
    (17, 1, 2, 27),  # PF_XSAVE_ENABLED (OSXSAVE)
    (22, 7, 1, 0),  # PF_RDWRFSGSBASE_AVAILABLE
    (28, 1, 2, 30),  # PF_RDRAND_INSTRUCTION_AVAILABLE
    (32, 0x80000001, 3, 27),  # PF_RDTSCP_INSTRUCTION_AVAILABLE
    (36, 1, 2, 9),  # PF_SSSE3_INSTRUCTIONS_AVAILABLE
    (37, 1, 2, 19),  # PF_SSE4_1_INSTRUCTIONS_AVAILABLE
    (38, 1, 2, 20),  # PF_SSE4_2_INSTRUCTIONS_AVAILABLE
    (39, 1, 2, 28),  # PF_AVX_INSTRUCTIONS_AVAILABLE
    (40, 7, 1, 5),  # PF_AVX2_INSTRUCTIONS_AVAILABLE
)
_PF_COMPARE64_EXCHANGE128 = 15
_PF_XSAVE_ENABLED, _PF_AVX_INSTRUCTIONS_AVAILABLE = 17, 39
_PF_FASTFAIL_AVAILABLE = 23  # a property of Windows 8 and later, not of the processor


def processor_features() -> tuple[int, int]:
    """Two 64-bit words. Bit n is the result of IsProcessorFeaturePresent(n)."""
    bits = 1 << _PF_FASTFAIL_AVAILABLE
    for feature, leaf, register, bit in _FEATURE_BITS:
        if Cpu.cpuid(leaf)[register] >> bit & 1:
            bits |= 1 << feature
    if bits >> 14 & 1:
        bits |= 1 << _PF_COMPARE64_EXCHANGE128
    return bits & (1 << 64) - 1, bits >> 64


def processor_signature() -> tuple[int, int]:
    """(ProcessorLevel, ProcessorRevision): family, and model << 8 | stepping (SYSTEM_INFO; CPUID leaf 1 EAX)."""
    signature = Cpu.cpuid(1)[0]
    family, model, stepping = signature >> 8 & 0xF, signature >> 4 & 0xF, signature & 0xF
    if family in (6, 15):
        model |= (signature >> 16 & 0xF) << 4
    if family == 15:
        family += signature >> 20 & 0xFF
    return family, model << 8 | stepping


def system_information(xstate: XstateConfiguration | None = None) -> SystemInformation:
    """A system with 8 GiB of RAM, four processors and UTC+1. ``xstate`` is the extended state of the processors."""
    features, more = processor_features()
    if xstate is not None:
        features |= 1 << _PF_XSAVE_ENABLED | 1 << _PF_AVX_INSTRUCTIONS_AVAILABLE
    level, revision = processor_signature()
    return SystemInformation(
        architecture="amd64",
        processor_level=level,
        processor_revision=revision,
        number_of_processors=4,
        product_type=1,
        major_version=10,
        minor_version=0,
        build_number=19045,
        csd_version="",
        suite_mask=0x100,  # VER_SUITE_SINGLEUSERTS
        processor_features=(features, more),
        build_string="19041.1.amd64fre.vb_release.191206-1406",
        time_zone_id=1,
        time_zone_bias=-60,
        standard_name="W. Europe Standard Time",
        daylight_name="W. Europe Daylight Time",
        processor_max_mhz=2904,
        processor_current_mhz=2904,
        number_of_physical_pages=0x1FE8A1,
        lowest_physical_page_number=1,
        highest_physical_page_number=0x23F5FF,
        allocation_granularity=0x10000,
        minimum_user_mode_address=0x10000,
        maximum_user_mode_address=0x7FFFFFFEFFFF,
        timer_resolution=TICK,
        available_pages=0x11C3D2,
        committed_pages=0x0F1B04,
        commit_limit=0x25E8A1,
        peak_commitment=0x13A770,
        xstate=xstate,
    )
