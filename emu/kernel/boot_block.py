"""Defines the boot block, which the boot loader passes to the kernel.

The structures mirror emu/images/kernel/ntos_boot.h, where their fields are described.
"""

from __future__ import annotations

import ctypes
import enum

BOOT_VERSION = 2
SELF_MAP_INDEX = 0x1ED
KUSER_KERNEL = 0xFFFFF78000000000
KUSER_USER = 0x7FFE0000
KERNEL_STACK_SIZE = 0x6000
IST_STACK_SIZE = 0x2000
KPROCESSOR_PAGES = 3
MMPFN_SIZE = 0x30
MAXIMUM_BOOT_PROCESSORS = 32

NMI_VECTOR = 2
CLOCK_VECTOR = 0xD1

MAXIMUM_BUGCHECK_BLOBS = 8
MAXIMUM_BUGCHECK_RANGES = 64

BOOT_IMAGE_START = 1
BOOT_IMAGE_UNLOAD = 2
BOOT_PROCESS_CRITICAL = 1
BOOT_REGION_PRIVATE, BOOT_REGION_IMAGE = 0, 1

CALLBACK_SECONDARY_DATA = 1
CALLBACK_ADD_PAGES = 2
CALLBACK_TRIAGE_DATA = 4


class Hypercall(enum.IntEnum):
    """Calls of the guest's kernel to the machine."""

    YIELD = 1
    STOPPED = 2
    FATAL = 3
    PRINT = 4
    INTERRUPT = 5
    LIVE_DUMP = 6
    START_PROCESSOR = 7
    FINISHED = 8


class PageState(enum.IntEnum):
    """MMLISTS, as in MMPFN.u3.e1.PageLocation."""

    ZEROED = 0
    FREE = 1
    STANDBY = 2
    MODIFIED = 3
    MODIFIED_NO_WRITE = 4
    BAD = 5
    ACTIVE = 6


class GuestScenario(enum.IntEnum):
    """The crash that crashdrv.sys causes."""

    NONE = 0
    D1 = 1
    A = 2
    PAGE_FAULT_50 = 3
    ILLEGAL_7E = 4
    DIVIDE_7E = 5
    SERVICE_3B = 6
    BAD_STACK_7F = 7
    OVERFLOW_7F = 8
    NO_EXECUTE_FC = 9
    BUGCHECK = 10
    CRITICAL_EF = 11
    D1_SECOND = 12
    USER_CRASH = 13
    LIVE = 14
    BREAKPOINT_7E = 15


class Program(enum.IntEnum):
    """The action of a thread of app.exe."""

    IDLE = 0
    CALL_DRIVER = 1
    CRASH = 2
    EXIT = 3


_U16, _U32, _U64 = ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


class BOOT_MEMORY_RUN(ctypes.LittleEndianStructure):
    _fields_ = (("BasePage", _U64), ("PageCount", _U64))


class BOOT_PAGES(ctypes.LittleEndianStructure):
    _fields_ = (("BasePage", _U64), ("PageCount", _U64), ("PteAddress", _U64), ("State", _U32), ("Reserved", _U32))


class BOOT_IMAGE(ctypes.LittleEndianStructure):
    _fields_ = (
        ("Base", _U64),
        ("EntryPoint", _U64),
        ("SizeOfImage", _U32),
        ("CheckSum", _U32),
        ("TimeDateStamp", _U32),
        ("Flags", _U32),
        ("FullName", _U16 * 64),
        ("BaseName", _U16 * 24),
    )


class BOOT_PROCESSOR(ctypes.LittleEndianStructure):
    _fields_ = (
        ("Area", _U64),
        ("IdleStack", _U64),
        ("DpcStack", _U64),
        ("DoubleFaultStack", _U64),
        ("NmiStack", _U64),
    )


class BOOT_THREAD(ctypes.LittleEndianStructure):
    _fields_ = (("Teb", _U64), ("Rip", _U64), ("Rsp", _U64), ("Argument", _U64))


class BOOT_REGION(ctypes.LittleEndianStructure):
    _fields_ = (("Start", _U64), ("End", _U64), ("Type", _U32), ("Protection", _U32))


class BOOT_PROCESS(ctypes.LittleEndianStructure):
    _fields_ = (
        ("ProcessId", _U64),
        ("ParentProcessId", _U64),
        ("DirectoryTableBase", _U64),
        ("Peb", _U64),
        ("SectionBaseAddress", _U64),
        ("CreateTime", _U64),
        ("Threads", _U64),
        ("Regions", _U64),
        ("ThreadCount", _U32),
        ("RegionCount", _U32),
        ("Flags", _U32),
        ("Reserved", _U32),
        ("ImageFileName", ctypes.c_char * 16),
        ("ImagePath", _U16 * 64),
    )


class BOOT_PARAMETERS(ctypes.LittleEndianStructure):
    _fields_ = (
        ("Version", _U32),
        ("Size", _U32),
        ("SystemDirectoryTableBase", _U64),
        ("MemoryRuns", _U64),
        ("Pages", _U64),
        ("MemoryRunCount", _U32),
        ("PagesCount", _U32),
        ("PfnDatabase", _U64),
        ("NonPagedPool", _U64),
        ("NonPagedPoolSize", _U64),
        ("PagedPool", _U64),
        ("PagedPoolSize", _U64),
        ("KernelStacks", _U64),
        ("KernelStackCount", _U32),
        ("ImageCount", _U32),
        ("Images", _U64),
        ("Processors", _U64),
        ("ProcessorCount", _U32),
        ("ProcessCount", _U32),
        ("Processes", _U64),
        ("BuildNumber", _U32),
        ("ProductType", _U32),
        ("SuiteMask", _U32),
        ("NtMajorVersion", _U32),
        ("NtMinorVersion", _U32),
        ("PagingLevels", _U32),
        ("BootTime", _U64),
        ("InterruptTime", _U64),
        ("NtBuildLab", ctypes.c_char * 64),
        ("Scenario", _U32),
        ("Callbacks", _U32),
        ("ScenarioCode", _U32),
        ("ScenarioTicks", _U32),
        ("ScenarioArguments", _U64 * 4),
    )


class BUGCHECK_BLOB(ctypes.LittleEndianStructure):
    _fields_ = (("Guid", ctypes.c_ubyte * 16), ("Address", _U64), ("Length", _U32), ("Reserved", _U32))


class BUGCHECK_BLOBS(ctypes.LittleEndianStructure):
    _fields_ = (("Count", _U32), ("Reserved", _U32), ("Blobs", BUGCHECK_BLOB * MAXIMUM_BUGCHECK_BLOBS))


class BUGCHECK_RANGE(ctypes.LittleEndianStructure):
    _fields_ = (("Start", _U64), ("Count", _U64))


class BUGCHECK_RANGES(ctypes.LittleEndianStructure):
    _fields_ = (("Count", _U32), ("Reserved", _U32), ("Ranges", BUGCHECK_RANGE * MAXIMUM_BUGCHECK_RANGES))
