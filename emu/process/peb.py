"""Writes the structures of a new process: PEB, process parameters, environment, KUSER_SHARED_DATA."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..constants import MEM_COMMIT, MEM_PRIVATE, MEM_RESERVE, PAGE_READONLY, PAGE_READWRITE
from ..image import Image
from ..snapshot.process import SystemInformation
from .layouts import (
    KUSER_SHARED_DATA,
    KUSER_SHARED_DATA_ADDRESS,
    PEB,
    RTL_USER_PROCESS_PARAMETERS,
    RTL_USER_PROCESS_PARAMETERS_SIZE,
    Structure,
)
from .memory import GuestMemory
from .system import BOOT_TIME, PROGRAM_DIRECTORY, SYSTEM_ROOT, TICK
from .winnt import PAGE_SIZE

SESSION_ID = 1
COOKIE = 0x5BD1E995
"""KUSER_SHARED_DATA.Cookie, a random value on a real system."""
PERFORMANCE_FREQUENCY = 10_000_000
"""Frequency of the performance counter in Hz, as in Windows 10."""
RTL_USER_PROC_PARAMS_NORMALIZED = 0x1  # rtltypes: the fields hold pointers, not offsets

ENVIRONMENT = {
    "ALLUSERSPROFILE": r"C:\ProgramData",
    "COMPUTERNAME": "DUMPTRUTH",
    "ComSpec": r"C:\Windows\System32\cmd.exe",
    "HOMEDRIVE": "C:",
    "HOMEPATH": r"\Users\dumptruth",
    "NUMBER_OF_PROCESSORS": "4",
    "OS": "Windows_NT",
    "Path": r"C:\Windows\System32;C:\Windows",
    "PATHEXT": ".COM;.EXE;.BAT;.CMD",
    "PROCESSOR_ARCHITECTURE": "AMD64",
    "SystemDrive": "C:",
    "SystemRoot": SYSTEM_ROOT,
    "TEMP": r"C:\Users\dumptruth\AppData\Local\Temp",
    "TMP": r"C:\Users\dumptruth\AppData\Local\Temp",
    "USERDOMAIN": "DUMPTRUTH",
    "USERNAME": "dumptruth",
    "USERPROFILE": r"C:\Users\dumptruth",
    "windir": SYSTEM_ROOT,
}


@dataclass(frozen=True, slots=True)
class StandardHandles:
    """Handle values for the process parameters."""

    console: int
    input: int
    output: int
    error: int
    current_directory: int


def environment_block(variables: dict[str, str]) -> bytes:
    """The environment in UTF-16: ``NAME=value`` sorted by upper-case name, each with a NUL, then one more NUL.

    Source: CreateProcess reference page.
    """
    ordered = sorted(variables.items(), key=lambda item: item[0].upper())
    return ("".join(f"{name}={value}\0" for name, value in ordered) + "\0").encode("utf-16-le", "surrogatepass")


def write_parameters(memory: GuestMemory, image_path: str, command_line: str, handles: StandardHandles) -> int:
    """Write RTL_USER_PROCESS_PARAMETERS, then its strings, then the environment. Returns the address."""
    environment = environment_block(ENVIRONMENT)
    strings = {
        "CurrentDirectory.DosPath": PROGRAM_DIRECTORY + "\\",
        "ImagePathName": image_path,
        "CommandLine": command_line,
        "WindowTitle": image_path,
        "DesktopInfo": r"Winsta0\Default",
        "ShellInfo": "",
        "RuntimeData": "",
        "DllPath": "",
    }
    encoded = {field: text.encode("utf-16-le", "surrogatepass") for field, text in strings.items()}
    room = sum(len(text) + 2 for text in encoded.values())
    length = RTL_USER_PROCESS_PARAMETERS_SIZE + ((room + 15) & ~15)
    address, _size = memory.space.allocate(0, length + len(environment), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)
    parameters = Structure(memory, address, RTL_USER_PROCESS_PARAMETERS)
    parameters["MaximumLength"] = parameters["Length"] = length
    parameters["Flags"] = RTL_USER_PROC_PARAMS_NORMALIZED
    parameters["ConsoleHandle"] = handles.console
    parameters["StandardInput"] = handles.input
    parameters["StandardOutput"] = handles.output
    parameters["StandardError"] = handles.error
    parameters["CurrentDirectory.Handle"] = handles.current_directory
    at = address + RTL_USER_PROCESS_PARAMETERS_SIZE
    for field, text in encoded.items():
        memory.poke(at, text)
        parameters.set_unicode_string(field, at, len(text))
        at += len(text) + 2
    memory.poke(address + length, environment)
    parameters["Environment"] = address + length
    parameters["EnvironmentSize"] = len(environment)
    return address


def write_peb(
    memory: GuestMemory, address: int, image: Image, base: int, system: SystemInformation, *, debugged: bool
) -> Structure:
    """Write the PEB as CreateProcess does, under a debugger or not. The caller sets Ldr and ProcessParameters."""
    peb = Structure(memory, address, PEB)
    peb["BeingDebugged"] = int(debugged)
    peb["BitField"] = 0x4  # IsImageDynamicallyRelocated
    peb["Mutant"] = (1 << 64) - 1
    peb["ImageBaseAddress"] = base
    peb["NumberOfProcessors"] = system.number_of_processors
    # FLG_HEAP_ENABLE_TAIL_CHECK, _FREE_CHECK, _VALIDATE_PARAMETERS: Windows sets them under a debugger.
    peb["NtGlobalFlag"] = 0x70 if debugged else 0
    peb["CriticalSectionTimeout"] = (1 << 64) - 25_920_000_000_000  # 30 days, relative
    peb["HeapSegmentReserve"] = image.heap_reserve
    peb["HeapSegmentCommit"] = image.heap_commit
    peb["HeapDeCommitTotalFreeThreshold"] = 0x10000
    peb["HeapDeCommitFreeBlockThreshold"] = 0x1000
    peb["OSMajorVersion"], peb["OSMinorVersion"] = system.major_version, system.minor_version
    peb["OSBuildNumber"] = system.build_number
    peb["OSPlatformId"] = 2  # VER_PLATFORM_WIN32_NT
    peb["ImageSubsystem"] = image.subsystem
    peb["ImageSubsystemMajorVersion"], peb["ImageSubsystemMinorVersion"] = image.subsystem_version
    peb["ActiveProcessAffinityMask"] = (1 << system.number_of_processors) - 1
    peb["SessionId"] = SESSION_ID
    return peb


class SharedUserData:
    """KUSER_SHARED_DATA: a read-only page at 0x7FFE0000. The system updates its clocks."""

    def __init__(self, memory: GuestMemory, system: SystemInformation) -> None:
        memory.map_private(KUSER_SHARED_DATA_ADDRESS, PAGE_SIZE, PAGE_READONLY, MEM_PRIVATE)
        memory.space.secure(KUSER_SHARED_DATA_ADDRESS)
        self._data = data = Structure(memory, KUSER_SHARED_DATA_ADDRESS, KUSER_SHARED_DATA)
        data["TickCountMultiplier"] = 0x0FA00000  # 15.625 ms in 1/2**24 ms
        data.set_bytes("TimeZoneBias", _system_time(system.time_zone_bias * 600_000_000))
        data["ImageNumberLow"] = data["ImageNumberHigh"] = 0x8664
        data.set_bytes("NtSystemRoot", SYSTEM_ROOT.encode("utf-16-le"))
        data["TimeZoneId"] = system.time_zone_id
        data["NtBuildNumber"] = system.build_number
        data["NtProductType"] = system.product_type
        data["ProductTypeIsValid"] = 1
        data["NativeProcessorArchitecture"] = 9  # PROCESSOR_ARCHITECTURE_AMD64
        data["NtMajorVersion"], data["NtMinorVersion"] = system.major_version, system.minor_version
        words = system.processor_features or (0, 0)
        features = bytes(words[n // 64] >> n % 64 & 1 for n in range(64))
        data.set_bytes("ProcessorFeatures", features)
        data["SuiteMask"] = system.suite_mask
        data["NumberOfPhysicalPages"] = system.number_of_physical_pages
        data["QpcFrequency"] = PERFORMANCE_FREQUENCY
        data["Cookie"] = COOKIE
        data["ActiveProcessorCount"] = system.number_of_processors
        if system.xstate is not None:
            data["XState.EnabledFeatures"] = data["XState.EnabledVolatileFeatures"] = system.xstate.enabled_features
            data["XState.Size"] = max(feature.offset + feature.size for feature in system.xstate.features)
            places = (struct.pack("<II", feature.offset, feature.size) for feature in system.xstate.features)
            data.set_bytes("XState.Features", b"".join(places))
        self._ticks = -1

    def keep_time(self, now: int) -> None:
        """Update the clocks to ``now`` (FILETIME), in ticks of 15.625 ms."""
        ticks = (now - BOOT_TIME) // TICK
        if ticks == self._ticks:
            return
        self._ticks = ticks
        self._data.set_bytes("SystemTime", _system_time(BOOT_TIME + ticks * TICK))
        self._data.set_bytes("InterruptTime", _system_time(ticks * TICK))
        self._data.set_bytes("TickCount", _system_time(ticks))


def _system_time(value: int) -> bytes:
    """KSYSTEM_TIME: LowPart, High1Time, High2Time (ntddk.h)."""
    value &= (1 << 64) - 1
    return struct.pack("<3I", value & 0xFFFFFFFF, value >> 32, value >> 32)
