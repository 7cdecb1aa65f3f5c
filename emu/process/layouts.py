"""Lists the field offsets of the system structures in user memory (amd64).

An entry is (offset, size in bytes). Sources: winternl.h and ntddk.h where they declare a field; else the public symbols
of Windows 10 build 19041. Real dumps confirm those in docs/format/minidump-process-data.md#offsets-in-teb-and-peb and
docs/format/minidump-process-data.md#offsets-in-the-process-parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

from .memory import GuestMemory

Layout = Mapping[str, tuple[int, int]]

# Sizes: docs/format/minidump-process-data.md#sizes-of-process-and-thread-data. PEB and parameters: build 19041.
TEB_SIZE = 0x2000  # two pages; the structure itself has 0x1838 bytes
TEB: Layout = {
    "NtTib.ExceptionList": (0x00, 8),
    "NtTib.StackBase": (0x08, 8),
    "NtTib.StackLimit": (0x10, 8),
    "NtTib.FiberData": (0x20, 8),
    "NtTib.Self": (0x30, 8),
    "ClientId.UniqueProcess": (0x40, 8),
    "ClientId.UniqueThread": (0x48, 8),
    "ThreadLocalStoragePointer": (0x58, 8),
    "ProcessEnvironmentBlock": (0x60, 8),
    "LastErrorValue": (0x68, 4),
    "CurrentLocale": (0x108, 4),
    "RealClientId.UniqueProcess": (0x7D8, 8),
    "RealClientId.UniqueThread": (0x7E0, 8),
    "StaticUnicodeString.MaximumLength": (0x125A, 2),
    "StaticUnicodeString.Buffer": (0x1260, 8),
    "StaticUnicodeBuffer": (0x1268, 0x20A),
    "DeallocationStack": (0x1478, 8),
    "TlsSlots": (0x1480, 0x200),
    "GuaranteedStackBytes": (0x1748, 4),
    "TlsExpansionSlots": (0x1780, 8),
}

PEB: Layout = {
    "BeingDebugged": (0x02, 1),
    "BitField": (0x03, 1),
    "Mutant": (0x08, 8),
    "ImageBaseAddress": (0x10, 8),
    "Ldr": (0x18, 8),
    "ProcessParameters": (0x20, 8),
    "ProcessHeap": (0x30, 8),
    "NumberOfProcessors": (0xB8, 4),
    "NtGlobalFlag": (0xBC, 4),
    "CriticalSectionTimeout": (0xC0, 8),
    "HeapSegmentReserve": (0xC8, 8),
    "HeapSegmentCommit": (0xD0, 8),
    "HeapDeCommitTotalFreeThreshold": (0xD8, 8),
    "HeapDeCommitFreeBlockThreshold": (0xE0, 8),
    "OSMajorVersion": (0x118, 4),
    "OSMinorVersion": (0x11C, 4),
    "OSBuildNumber": (0x120, 2),
    "OSCSDVersion": (0x122, 2),
    "OSPlatformId": (0x124, 4),
    "ImageSubsystem": (0x128, 4),
    "ImageSubsystemMajorVersion": (0x12C, 4),
    "ImageSubsystemMinorVersion": (0x130, 4),
    "ActiveProcessAffinityMask": (0x138, 8),
    "SessionId": (0x2C0, 4),
}

PEB_LDR_DATA_SIZE = 0x58
PEB_LDR_DATA: Layout = {
    "Length": (0x00, 4),
    "Initialized": (0x04, 1),
    "InLoadOrderModuleList": (0x10, 16),
    "InMemoryOrderModuleList": (0x20, 16),
    "InInitializationOrderModuleList": (0x30, 16),
}

LDR_DATA_TABLE_ENTRY_SIZE = 0x120
LDR_DATA_TABLE_ENTRY: Layout = {
    "InLoadOrderLinks": (0x00, 16),
    "InMemoryOrderLinks": (0x10, 16),
    "InInitializationOrderLinks": (0x20, 16),
    "DllBase": (0x30, 8),
    "EntryPoint": (0x38, 8),
    "SizeOfImage": (0x40, 4),
    "FullDllName": (0x48, 16),
    "BaseDllName": (0x58, 16),
    "Flags": (0x68, 4),
    "ObsoleteLoadCount": (0x6C, 2),
    "TlsIndex": (0x6E, 2),
    "HashLinks": (0x70, 16),
    "TimeDateStamp": (0x80, 4),
    "OriginalBase": (0xF8, 8),
    "LoadTime": (0x100, 8),
}

RTL_USER_PROCESS_PARAMETERS_SIZE = 0x440
RTL_USER_PROCESS_PARAMETERS: Layout = {
    "MaximumLength": (0x00, 4),
    "Length": (0x04, 4),
    "Flags": (0x08, 4),
    "ConsoleHandle": (0x10, 8),
    "StandardInput": (0x20, 8),
    "StandardOutput": (0x28, 8),
    "StandardError": (0x30, 8),
    "CurrentDirectory.DosPath": (0x38, 16),
    "CurrentDirectory.Handle": (0x48, 8),
    "DllPath": (0x50, 16),
    "ImagePathName": (0x60, 16),
    "CommandLine": (0x70, 16),
    "Environment": (0x80, 8),
    "WindowTitle": (0xB0, 16),
    "DesktopInfo": (0xC0, 16),
    "ShellInfo": (0xD0, 16),
    "RuntimeData": (0xE0, 16),
    "EnvironmentSize": (0x3F0, 8),
}

KUSER_SHARED_DATA_ADDRESS = 0x7FFE0000
KUSER_SHARED_DATA: Layout = {  # ntddk.h KUSER_SHARED_DATA
    "TickCountMultiplier": (0x004, 4),
    "InterruptTime": (0x008, 12),
    "SystemTime": (0x014, 12),
    "TimeZoneBias": (0x020, 12),
    "ImageNumberLow": (0x02C, 2),
    "ImageNumberHigh": (0x02E, 2),
    "NtSystemRoot": (0x030, 0x208),
    "TimeZoneId": (0x240, 4),
    "NtBuildNumber": (0x260, 4),
    "NtProductType": (0x264, 4),
    "ProductTypeIsValid": (0x268, 1),
    "NativeProcessorArchitecture": (0x26A, 2),
    "NtMajorVersion": (0x26C, 4),
    "NtMinorVersion": (0x270, 4),
    "ProcessorFeatures": (0x274, 64),
    "SuiteMask": (0x2D0, 4),
    "KdDebuggerEnabled": (0x2D4, 1),
    "MitigationPolicies": (0x2D5, 1),
    "NumberOfPhysicalPages": (0x2E8, 4),
    "QpcFrequency": (0x300, 8),
    "TickCount": (0x320, 12),
    "Cookie": (0x330, 4),
    "ActiveProcessorCount": (0x3C0, 4),
    "XState.EnabledFeatures": (0x3D8, 8),  # winnt.h XSTATE_CONFIGURATION
    "XState.EnabledVolatileFeatures": (0x3E0, 8),
    "XState.Size": (0x3E8, 4),
    "XState.Features": (0x3F0, 0x200),
}


class Structure:
    """A structure in the target's memory. Access ignores page protections.

    Raises KeyError for a field that is not in the layout, OverflowError for a value that does not fit.
    """

    def __init__(self, memory: GuestMemory, address: int, layout: Layout) -> None:
        self._memory = memory
        self._layout = layout
        self.address = address

    def at(self, field: str) -> int:
        """Address of a field."""
        return self.address + self._layout[field][0]

    def __getitem__(self, field: str) -> int:
        offset, size = self._layout[field]
        return int.from_bytes(self._memory.peek(self.address + offset, size), "little")

    def __setitem__(self, field: str, value: int) -> None:
        offset, size = self._layout[field]
        self._memory.poke(self.address + offset, value.to_bytes(size, "little"))

    def set_bytes(self, field: str, data: bytes) -> None:
        """Write ``data`` at the start of a field."""
        offset, size = self._layout[field]
        if len(data) > size:
            raise OverflowError(f"{field}: {len(data)} bytes, expected at most {size}")
        self._memory.poke(self.address + offset, data)

    def set_unicode_string(self, field: str, buffer: int, length: int) -> None:
        """Write a UNICODE_STRING. ``buffer`` holds ``length`` bytes of text and a terminator."""
        value = (
            length.to_bytes(2, "little") + (length + 2).to_bytes(2, "little") + bytes(4) + buffer.to_bytes(8, "little")
        )
        self.set_bytes(field, value)
