"""The judge reads 64-bit and 32-bit full user dumps that were typed by hand from docs/format/user-dump.md#header."""

from __future__ import annotations

import pytest
from dumptruth.oracle import ByteSource, Outcome, check, read_userdump

PAGE = bytes(range(256)) * 16


def hexed(text: str) -> bytes:
    """Bytes of hexadecimal text; a comment begins with # on each line."""
    return b"".join(bytes.fromhex(line.partition("#")[0]) for line in text.splitlines())


HEADER64 = hexed("""
    55 53 45 52 44 55 36 34    # 00 Signature 'USER', ValidDump 'DU64'
    05 00 00 00 02 00 CE 0E    # 08 MajorVersion 5, MinorVersion 0x0ECE0002
    64 86 00 00                # 10 MachineImageType 0x8664
    01 00 00 00                # 14 ThreadCount
    01 00 00 00                # 18 ModuleCount
    01 00 00 00                # 1C MemoryRegionCount
    B8 00 00 00 00 00 00 00    # 20 ThreadOffset: the contexts
    88 05 00 00 00 00 00 00    # 28 ModuleOffset
    82 06 00 00 00 00 00 00    # 30 DataOffset
    A2 05 00 00 00 00 00 00    # 38 MemoryRegionOffset
    D2 05 00 00 00 00 00 00    # 40 DebugEventOffset
    68 00 00 00 00 00 00 00    # 48 ThreadStateOffset
    60 00 00 00 00 00 00 00    # 50 VersionInfoOffset
    00 00 00 00 00 00 00 00    # 58 Spare1
""")
VERSION64 = hexed("01 00 00 00 40 00 00 00  # IgnoreGuardPages, PointerSize 64")
THREAD64 = hexed("""
    BC 0A 00 00                # 00 ThreadId 0xABC
    02 00 00 00                # 04 SuspendCount
    00 40 00 00                # 08 PriorityClass BELOW_NORMAL_PRIORITY_CLASS
    F1 FF FF FF                # 0C Priority -15
    00 10 32 54 F6 7F 00 00    # 10 Teb
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00    # 18 Spare0 ..
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00    #    .. Spare6
""")
CONTEXT64 = (
    bytes(0x30)
    + hexed("""
    0B 00 10 00 80 1F 00 00    # 30 ContextFlags CONTEXT_FULL, MxCsr
    33 00 2B 00 2B 00 53 00 2B 00 2B 00 46 02 01 00    # 38 SegCs .. SegSs, EFlags
""")
    + bytes(0x98 - 0x48)
    + hexed("F8 8E 13 00 00 00 00 00  # 98 Rsp")
    + bytes(0xF8 - 0xA0)
    + hexed("40 10 00 40 01 00 00 00  # F8 Rip")
    + bytes(0x4D0 - 0x100)
)
MODULE64 = hexed("""
    00 00 00 40 01 00 00 00    # 00 BaseOfImage
    00 70 00 00                # 08 SizeOfImage
    0A 00 00 00                # 0C ImageNameLength
    43 3A 5C 74 5C 61 2E 65 78 65    # C:\\t\\a.exe
""")
REGION64 = hexed("""
    00 00 00 40 01 00 00 00    # 00 BaseAddress
    00 00 00 40 01 00 00 00    # 08 AllocationBase
    80 00 00 00 00 00 00 00    # 10 AllocationProtect PAGE_EXECUTE_WRITECOPY, alignment
    00 10 00 00 00 00 00 00    # 18 RegionSize
    00 10 00 00 02 00 00 00    # 20 State MEM_COMMIT, Protect PAGE_READONLY
    00 00 00 01 00 00 00 00    # 28 Type MEM_IMAGE, alignment
""")
EVENT64 = hexed("""
    01 00 00 00                # 00 dwDebugEventCode EXCEPTION_DEBUG_EVENT
    34 12 00 00                # 04 dwProcessId
    BC 0A 00 00                # 08 dwThreadId
    00 00 00 00                # 0C alignment
    05 00 00 C0                # 10 ExceptionCode
    00 00 00 00                # 14 ExceptionFlags
    00 00 00 00 00 00 00 00    # 18 ExceptionRecord
    40 10 00 40 01 00 00 00    # 20 ExceptionAddress
    02 00 00 00 00 00 00 00    # 28 NumberParameters, alignment
    01 00 00 00 00 00 00 00    # 30 ExceptionInformation[0]: a write
    BC 9A 78 56 34 12 00 00    # 38 [1]: to 0x123456789ABC
""") + bytes(13 * 8) + hexed("01 00 00 00 00 00 00 00  # A8 dwFirstChance, alignment")  # fmt: skip

HEADER32 = hexed("""
    55 53 45 52 44 55 4D 50    # 00 Signature 'USER', ValidDump 'DUMP'
    05 00 00 00 01 00 28 0A    # 08 MajorVersion 5, MinorVersion 0x0A280001
    4C 01 00 00                # 10 MachineImageType 0x14C
    01 00 00 00                # 14 ThreadCount
    01 00 00 00                # 18 ModuleCount
    01 00 00 00                # 1C MemoryRegionCount
    78 00 00 00                # 20 ThreadOffset: the contexts
    44 03 00 00                # 24 ModuleOffset
    D6 03 00 00                # 28 DataOffset
    5A 03 00 00                # 2C MemoryRegionOffset
    76 03 00 00                # 30 DebugEventOffset
    48 00 00 00                # 34 ThreadStateOffset
    40 00 00 00                # 38 VersionInfoOffset
    00 00 00 00                # 3C Spare1
""")
VERSION32 = hexed("01 00 00 00 20 00 00 00  # IgnoreGuardPages, PointerSize 32")
THREAD32 = hexed("""
    BC 0A 00 00                # 00 ThreadId 0xABC
    02 00 00 00                # 04 SuspendCount
    00 40 00 00                # 08 PriorityClass BELOW_NORMAL_PRIORITY_CLASS
    F1 FF FF FF                # 0C Priority -15
    00 E0 FD 7F                # 10 Teb
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00    # 14 Spare0 .. Spare6
""")
CONTEXT32 = (
    hexed("07 00 01 00  # 00 ContextFlags CONTEXT_FULL")
    + bytes(0xB8 - 4)
    + hexed("""
    40 10 40 00                # B8 Eip
    1B 00 00 00                # BC SegCs
    46 02 01 00                # C0 EFlags
    F8 FE 12 00                # C4 Esp
    23 00 00 00                # C8 SegSs
""")
    + bytes(512)
)
MODULE32 = hexed("""
    00 00 40 00                # 00 BaseOfImage
    00 70 00 00                # 04 SizeOfImage
    0A 00 00 00                # 08 ImageNameLength
    43 3A 5C 74 5C 61 2E 65 78 65    # C:\\t\\a.exe
""")
REGION32 = hexed("""
    00 00 40 00                # 00 BaseAddress
    00 00 40 00                # 04 AllocationBase
    80 00 00 00                # 08 AllocationProtect PAGE_EXECUTE_WRITECOPY
    00 10 00 00                # 0C RegionSize
    00 10 00 00                # 10 State MEM_COMMIT
    02 00 00 00                # 14 Protect PAGE_READONLY
    00 00 00 01                # 18 Type MEM_IMAGE
""")
EVENT32 = hexed("""
    01 00 00 00                # 00 dwDebugEventCode EXCEPTION_DEBUG_EVENT
    34 12 00 00                # 04 dwProcessId
    BC 0A 00 00                # 08 dwThreadId
    05 00 00 C0                # 0C ExceptionCode
    00 00 00 00                # 10 ExceptionFlags
    00 00 00 00                # 14 ExceptionRecord
    40 10 40 00                # 18 ExceptionAddress
    02 00 00 00                # 1C NumberParameters
    01 00 00 00                # 20 ExceptionInformation[0]: a write
    78 56 34 12                # 24 [1]: to 0x12345678
""") + bytes(13 * 4) + hexed("01 00 00 00  # 5C dwFirstChance")  # fmt: skip

DUMP64 = HEADER64 + VERSION64 + THREAD64 + CONTEXT64 + MODULE64 + REGION64 + EVENT64 + PAGE
DUMP32 = HEADER32 + VERSION32 + THREAD32 + CONTEXT32 + MODULE32 + REGION32 + EVENT32 + PAGE


def test_the_literals_have_the_lengths_of_the_structures() -> None:
    wide = (HEADER64, VERSION64, THREAD64, CONTEXT64, MODULE64, REGION64, EVENT64)
    narrow = (HEADER32, VERSION32, THREAD32, CONTEXT32, MODULE32, REGION32, EVENT32)
    assert [len(part) for part in wide] == [96, 8, 80, 1232, 26, 48, 176]
    assert [len(part) for part in narrow] == [64, 8, 48, 716, 22, 28, 96]


@pytest.mark.parametrize("data", [DUMP64, DUMP32], ids=["64-bit", "32-bit"])
def test_a_dump_typed_by_hand_is_conformant_and_every_byte_is_claimed(data: bytes) -> None:
    report = check(ByteSource(data, "typed.dmp"), strict=True)
    assert [(result.rule, result.findings) for result in report.failing()] == []
    assert (report.outcome, report.claimed, report.unclaimed) == (Outcome.CONFORMANT, len(data), 0)


@pytest.mark.parametrize(
    ("data", "machine", "addresses"),
    [
        (DUMP64, "amd64", (0x7FF654321000, 0x140001040, 0x138EF8, 0x140000000, 0x123456789ABC)),
        (DUMP32, "x86", (0x7FFDE000, 0x401040, 0x12FEF8, 0x400000, 0x12345678)),
    ],
    ids=["64-bit", "32-bit"],
)
def test_every_number_is_read_where_it_was_typed(data: bytes, machine: str, addresses: tuple[int, ...]) -> None:
    teb, ip, sp, base, accessed = addresses
    dump = read_userdump(ByteSource(data))
    assert dump.architecture == machine
    assert dump.version_info is not None
    assert (dump.version_info["IgnoreGuardPages"], dump.version_info["PointerSize"]) == (1, dump.bits)
    (thread,), (context,), (module,), (region,) = dump.threads, dump.contexts, dump.modules, dump.regions
    of_thread = ("ThreadId", "SuspendCount", "PriorityClass", "Priority", "Teb")
    assert [thread[name] for name in of_thread] == [0xABC, 2, 0x4000, -15, teb]
    assert (context.ip, context.sp, context.record["EFlags"]) == (ip, sp, 0x10246)
    assert (module.base, module.size, module.text) == (base, 0x7000, b"C:\\t\\a.exe")
    of_region = ("BaseAddress", "AllocationBase", "AllocationProtect", "RegionSize", "State", "Protect", "Type")
    assert [region[name] for name in of_region] == [base, base, 0x80, 0x1000, 0x1000, 2, 0x1000000]
    assert dump.read_memory(base, 0x1000) == PAGE
    event = dump.debug_event
    assert event is not None
    assert (event["dwDebugEventCode"], event["dwProcessId"], event["dwThreadId"]) == (1, 0x1234, 0xABC)
    record = "u.Exception.ExceptionRecord."
    assert (event[f"{record}ExceptionCode"], event[f"{record}ExceptionAddress"]) == (0xC0000005, ip)
    assert event[f"{record}NumberParameters"] == 2
    assert event.array(f"{record}ExceptionInformation") == (1, accessed, *[0] * 13)
    assert event["u.Exception.dwFirstChance"] == 1
