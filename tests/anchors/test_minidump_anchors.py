"""A small and a full dump of the writer are compared with bytes that were typed by hand.

No literal is computed from the writer's structures or the judge's tables. Sources: minidumpapiset.h and winnt.h, as
docs/format/minidump-container.md#header and the pages beside it describe them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.request import Request
from dumptruth.emu.snapshot.process import CodeView, ProcessSnapshot
from dumptruth.emu.synthetic.process import Pages, amd64_context, synthetic_process, synthetic_system
from dumptruth.emu.writer.minidump import dump_bytes


def hexed(text: str) -> bytes:
    """Bytes of hexadecimal text; a comment begins with # on each line."""
    return b"".join(bytes.fromhex(line.partition("#")[0]) for line in text.splitlines())


STACK_WORDS = bytes(range(0x80)) * 3


def the_process(**knobs: object) -> ProcessSnapshot:
    """One thread, one module, a write to 0x123456789ABC. It sets every number that the literals contain."""
    made = synthetic_process(
        threads=1,
        thread_names=[None],
        modules=1,
        unloaded=1,
        handles=2,
        stack_used=0x180,
        exception_information=[1, 0x123456789ABC],
        exception_flags=1,
        system=synthetic_system(csd_version="", processor_features=(0x1122334455667788, 0x99)),
        **knobs,  # type: ignore[arg-type]
    )
    registers = {name: 0x1000 + index for index, name in enumerate(("Rax", "Rcx", "Rdx", "Rbx"))}
    context = amd64_context(
        Rsp=made.threads[0].stack_base - 0x180, Rip=0x7FF600001300, Rbp=0x55, Rsi=0x66, Rdi=0x77, R8=0x88, R15=0xFF,
        EFlags=0x10246, Dr7=0x400, **registers,
    )  # fmt: skip
    thread = replace(
        made.threads[0], thread_id=0xABC, suspend_count=2, priority_class=0x4000, priority=-15, context=context,
        create_time=0x01DA499100000001, kernel_time=0x1111, user_time=0x2222, start_address=0x7FF600001000, affinity=5,
    )  # fmt: skip
    module = replace(made.modules[0], checksum=0xC5EC, time_date_stamp=0xFEDCBA98, code_view=CodeView(hexed(CODE_VIEW)))
    assert made.exception is not None
    return replace(
        made,
        time=133_500_000_000_000_000,
        threads=(thread,),
        modules=(module,),
        exception=replace(made.exception, thread_id=0xABC, context=context),
    )


CODE_VIEW = """
52 53 44 53                                       # 'RSDS'
01 00 57 D0 74 72 75 74 73 79 6E 74 68 74 69 63   # GUID
07 00 00 00                                       # Age
63 72 61 73 68 2E 70 64 62 00                     # crash.pdb
"""

HEADER = """
4D 44 4D 50               # Signature, the bytes MDMP
93 A7 43 A0               # Version: 0xA793; 10.0.29507 as (10 << 12) + (0 << 8) + (29507 & 0xFF)
0D 00 00 00               # NumberOfStreams: nine, and four unused entries
20 00 00 00               # StreamDirectoryRva
00 00 00 00               # CheckSum
80 44 A8 65               # TimeDateStamp: 2024-01-17 21:20:00 UTC = 1705526400
00 00 04 00 00 00 00 00   # Flags: MiniDumpWithTokenInformation
"""
DIRECTORY = """
03 00 00 00  34 00 00 00  F0 06 00 00   # ThreadList: 4 + 48
04 00 00 00  70 00 00 00  30 07 00 00   # ModuleList: 4 + 108; 12 zeros lie between
13 00 00 00  10 00 00 00  A0 07 00 00   # Token: 16
05 00 00 00  34 00 00 00  44 14 00 00   # MemoryList: 4 + 3 * 16
06 00 00 00  A8 00 00 00  48 06 00 00   # Exception: 168
07 00 00 00  38 00 00 00  BC 00 00 00   # SystemInfo: 56
0F 00 00 00  54 05 00 00  F4 00 00 00   # MiscInfo: 1364
15 00 00 00  0C 02 00 00  B0 07 00 00   # SystemMemoryInfo: 524
16 00 00 00  98 00 00 00  BC 09 00 00   # ProcessVmCounters: 152
00 00 00 00  00 00 00 00  00 00 00 00   # unused
00 00 00 00  00 00 00 00  00 00 00 00   # unused
00 00 00 00  00 00 00 00  00 00 00 00   # unused
00 00 00 00  00 00 00 00  00 00 00 00   # unused
"""
SYSTEM_INFO = """
09 00  06 00  03 5E  04  01   # AMD64, family 6, model 0x5E stepping 3, 4 processors, workstation
0A 00 00 00  00 00 00 00      # 10.0
65 4A 00 00                   # 19045
02 00 00 00                   # VER_PLATFORM_WIN32_NT
54 0A 00 00                   # CSDVersionRva
00 01  00 00                  # SuiteMask, Reserved2
88 77 66 55 44 33 22 11       # ProcessorFeatures[0]
99 00 00 00 00 00 00 00       # ProcessorFeatures[1]
00 00 00 00 00 00 00 00       # unused end of the union
"""
MISC_INFO_HEAD = """
54 05 00 00  F7 03 00 00   # SizeOfInfo 1364, Flags1 0x3F7
34 12 00 00                # ProcessId
35 44 A8 65                # ProcessCreateTime: 75 s before the dump
03 00 00 00  01 00 00 00   # user, kernel seconds
B8 0B 00 00  54 0B 00 00   # 3000 MHz at most, 2900 MHz now
B8 0B 00 00                # ProcessorMhzLimit
00 00 00 00  00 00 00 00   # idle states
00 20 00 00                # medium integrity
0D 00 00 00                # ProcessExecuteFlags
00 00 00 00                # ProtectedProcess
00 00 00 00                # TimeZoneId
00 00 00 00                # Bias
55 00 54 00 43 00 00 00    # StandardName: UTC
"""
EXCEPTION = """
BC 0A 00 00  00 00 00 00   # ThreadId, alignment
05 00 00 C0  01 00 00 00   # STATUS_ACCESS_VIOLATION, noncontinuable
00 00 00 00 00 00 00 00    # ExceptionRecord
00 13 00 00 F6 7F 00 00    # ExceptionAddress 0x7FF600001300
02 00 00 00  00 00 00 00   # NumberParameters, alignment
01 00 00 00 00 00 00 00    # [0] write
BC 9A 78 56 34 12 00 00    # [1] 0x123456789ABC
"""
EXCEPTION_LOCATION = """
D0 04 00 00  82 0A 00 00   # ThreadContext: 1232 bytes, a record of its own
"""
THREAD_LIST = """
01 00 00 00                # NumberOfThreads
BC 0A 00 00                # ThreadId
02 00 00 00                # SuspendCount
00 40 00 00                # PriorityClass: BELOW_NORMAL
F1 FF FF FF                # Priority: -15
00 10 00 00 11 00 00 00    # Teb 0x1100001000
80 FE 0F 00 12 00 00 00    # Stack.StartOfMemoryRange: Rsp 0x12000FFE80
80 01 00 00  78 15 00 00   # Stack.Memory
D0 04 00 00  52 0F 00 00   # ThreadContext
"""
MODULE_LIST = """
01 00 00 00                # NumberOfModules
00 00 00 00 F6 7F 00 00    # BaseOfImage
00 60 00 00                # SizeOfImage
EC C5 00 00                # CheckSum
98 BA DC FE                # TimeDateStamp
5A 0A 00 00                # ModuleNameRva
BD 04 EF FE  00 00 01 00   # VS_FIXEDFILEINFO: signature, structure version
00 00 0A 00  00 00 61 4A   # file version
00 00 0A 00  00 00 61 4A   # product version
3F 00 00 00  00 00 00 00   # flags mask, flags
04 00 04 00  01 00 00 00   # VOS_NT_WINDOWS32, VFT_APP
00 00 00 00                # subtype
00 00 00 00  00 00 00 00   # date
22 00 00 00  22 14 00 00   # CvRecord: 34 bytes
00 00 00 00  00 00 00 00   # MiscRecord
60 81 00 00 00 00 00 00    # Reserved0: DllCharacteristics 0x8160
00 00 00 00 00 00 00 00    # Reserved1
"""
SYSTEM_MEMORY_HEAD = """
02 00  02 00               # Revision 2; only BasicPerfInfo is valid
5A 62 02 00                # TimerResolution 156250
00 10 00 00                # PageSize
00 00 20 00                # NumberOfPhysicalPages
01 00 00 00  FF FF 23 00   # lowest, highest page number
00 00 01 00                # AllocationGranularity
00 00 01 00 00 00 00 00    # MinimumUserModeAddress
FF FF FE FF FF 7F 00 00    # MaximumUserModeAddress 0x7FFFFFFEFFFF
0F 00 00 00 00 00 00 00    # ActiveProcessorsAffinityMask
04 00 00 00                # NumberOfProcessors
"""
VM_COUNTERS = """
02 00  0F 00               # Revision 2; basic, virtual size, EX, EX2
D2 04 00 00                # PageFaultCount 1234
00 00 50 00 00 00 00 00    # PeakWorkingSetSize
00 00 48 00 00 00 00 00    # WorkingSetSize
00 00 01 00 00 00 00 00    # QuotaPeakPagedPoolUsage
00 F0 00 00 00 00 00 00    # QuotaPagedPoolUsage
00 30 00 00 00 00 00 00    # QuotaPeakNonPagedPoolUsage
00 28 00 00 00 00 00 00    # QuotaNonPagedPoolUsage
00 00 10 00 00 00 00 00    # PagefileUsage
00 00 11 00 00 00 00 00    # PeakPagefileUsage
00 00 00 00 01 02 00 00    # PeakVirtualSize
00 00 00 00 00 02 00 00    # VirtualSize
00 00 10 00 00 00 00 00    # PrivateUsage
00 00 08 00 00 00 00 00    # PrivateWorkingSetSize
00 00 04 00 00 00 00 00    # SharedCommitUsage
"""
STRINGS = """
00 00 00 00  00 00         # CSDVersion: empty, its NUL not counted
22 00 00 00                # 34 bytes
43 00 3A 00 5C 00 77 00 6F 00 72 00 6B 00 5C 00   # C:\\work\\
63 00 72 00 61 00 73 00 68 00 2E 00 65 00 78 00 65 00   # crash.exe
00 00
"""
CONTEXT_HEAD = """
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # P1Home, P2Home
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # P3Home, P4Home
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # P5Home, P6Home
1F 00 10 00  80 1F 00 00                          # 0x30 ContextFlags CONTEXT_ALL, MxCsr
33 00  2B 00  2B 00  53 00  2B 00  2B 00          # 0x38 SegCs SegDs SegEs SegFs SegGs SegSs
46 02 01 00                                       # 0x44 EFlags
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # 0x48 Dr0, Dr1
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # Dr2, Dr3
00 00 00 00 00 00 00 00 00 04 00 00 00 00 00 00   # Dr6, Dr7
00 10 00 00 00 00 00 00 01 10 00 00 00 00 00 00   # 0x78 Rax, Rcx
02 10 00 00 00 00 00 00 03 10 00 00 00 00 00 00   # 0x88 Rdx, Rbx
80 FE 0F 00 12 00 00 00 55 00 00 00 00 00 00 00   # 0x98 Rsp, Rbp
66 00 00 00 00 00 00 00 77 00 00 00 00 00 00 00   # 0xA8 Rsi, Rdi
88 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # 0xB8 R8, R9
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # R10, R11
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # R12, R13
00 00 00 00 00 00 00 00 FF 00 00 00 00 00 00 00   # R14, 0xF0 R15
00 13 00 00 F6 7F 00 00                           # 0xF8 Rip
7F 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # 0x100 FltSave: ControlWord
00 00 00 00 00 00 00 00 80 1F 00 00 FF FF 00 00   # 0x118 MxCsr, MxCsr_Mask
"""
TOKEN = """
10 00 00 00  00 00 00 00   # TokenListSize, TokenListEntries
10 00 00 00  48 00 00 00   # ListHeaderSize 16, ElementHeaderSize 72
"""
MEMORY_LIST = """
03 00 00 00                                        # NumberOfMemoryRanges
80 12 00 00 F6 7F 00 00  00 01 00 00  78 14 00 00   # 0x80 before and after Rip: bucket 120
80 FE 0F 00 12 00 00 00  80 01 00 00  78 15 00 00   # the stack: bucket 403
00 00 FE 7F 00 00 00 00  A0 0A 00 00  F8 16 00 00   # the head of KUSER_SHARED_DATA: bucket 852
"""

SMALL = dump_bytes(the_process(), Request(1024))[0]

SMALL_PARTS = {
    "header": (0x000, HEADER),
    "directory": (0x020, DIRECTORY),
    "system info": (0x0BC, SYSTEM_INFO),
    "misc info": (0x0F4, MISC_INFO_HEAD),
    "exception": (0x648, EXCEPTION),
    "exception context location": (0x648 + 0xA0, EXCEPTION_LOCATION),
    "thread list": (0x6F0, THREAD_LIST),
    "zeros": (0x724, "00 00 00 00  00 00 00 00  00 00 00 00"),
    "module list": (0x730, MODULE_LIST),
    "token": (0x7A0, TOKEN),
    "system memory": (0x7B0, SYSTEM_MEMORY_HEAD),
    "vm counters": (0x9BC, VM_COUNTERS),
    "strings": (0xA54, STRINGS),
    "exception context": (0xA82, CONTEXT_HEAD),
    "thread context": (0xF52, CONTEXT_HEAD),
    "code view": (0x1422, CODE_VIEW),
    "memory list": (0x1444, MEMORY_LIST),
}


@pytest.mark.parametrize(("offset", "text"), SMALL_PARTS.values(), ids=SMALL_PARTS.keys())
def test_each_part_of_the_small_dump_has_the_typed_bytes(offset: int, text: str) -> None:
    expected = hexed(text)
    assert SMALL[offset : offset + len(expected)].hex(" ") == expected.hex(" ")


def test_the_small_dump_has_the_size_of_its_parts() -> None:
    parts = (
        32 + 13 * 12  # header, directory
        + 56 + 1364 + 168 + (4 + 48) + 12 + (4 + 108) + 16 + 524 + 152  # streams, 12 zeros
        + (4 + 2) + (4 + 34 + 2)  # strings
        + 1232 + 1232 + 34  # contexts, CodeView
        + (4 + 3 * 16) + 0x100 + 0x180 + 0xAA0  # memory
    )  # fmt: skip
    assert len(SMALL) == parts == 0x2198


def test_misc_info_strings_lie_where_the_header_puts_them() -> None:
    misc = SMALL[0xF4 : 0xF4 + 1364]
    assert misc[0x03C + 4 : 0x03C + 4 + 8] == b"U\0T\0C\0\0\0"
    assert misc[0x094 : 0x094 + 8] == b"U\0T\0C\0\0\0"  # DaylightName: 0x3C + 4 + 64 + 16 + 4
    build = "19041.1.amd64fre.vb_release.191206-1406"
    assert misc[0x0E8 : 0x0E8 + 2 * len(build) + 2] == build.encode("utf-16-le") + b"\0\0"
    writer = "dumptruth.amd64,10.0.29507.1001"
    assert misc[0x2F0 : 0x2F0 + 2 * len(writer) + 2] == writer.encode("utf-16-le") + b"\0\0"
    assert misc[0x340:0x550] == bytes(528)
    assert misc[0x550:] == bytes.fromhex("1E 0C C0 00")


def test_system_memory_figures_lie_where_the_header_puts_them() -> None:
    memory = SMALL[0x7B0 : 0x7B0 + 524]
    assert memory[0x38:0x74] == bytes(60)
    assert memory[0x74:0x94] == bytes.fromhex(
        "00 00 10 00 00 00 00 00  00 00 0C 00 00 00 00 00  00 00 28 00 00 00 00 00  00 00 0D 00 00 00 00 00"
    )
    # PerfInfo: four 64-bit counters, three 32-bit ones, then the same four figures in 32 bits
    assert memory[0x94 + 32 + 12 :][:16] == bytes.fromhex("00 00 10 00  00 00 0C 00  00 00 28 00  00 00 0D 00")


def test_unused_exception_parameters_and_job_counters_are_zero() -> None:
    assert SMALL[0x648 + 0x38 : 0x648 + 0xA0] == bytes(13 * 8)
    assert SMALL[0x9BC + 0x70 : 0x9BC + 152] == bytes(5 * 8)


FULL_HEADER = """
4D 44 4D 50  93 A7 43 A0
12 00 00 00               # 13 streams, five unused entries
20 00 00 00  00 00 00 00
80 44 A8 65
26 18 06 00 00 00 00 00   # Flags 0x61826
"""
# Streams of the full dump in directory order, with their sizes. 17 regions: free, KUSER_SHARED_DATA, free, PEB and TEB,
# free, three of the stack, free, two of the heap, free, four of the image, free; 8 of them can be read.
FULL_DIRECTORY = [
    (3, 4 + 48), (17, 12 + 64), (4, 4 + 108), (14, 12 + 24), (19, 16), (9, 16 + 8 * 16), (16, 16 + 17 * 48), (6, 168),
    (7, 56), (15, 1364), (12, 16 + 2 * 40), (21, 524), (22, 152), *[(0, 0)] * 5,
]  # fmt: skip
THREAD_INFO = """
0C 00 00 00  40 00 00 00  01 00 00 00   # SizeOfHeader 12, SizeOfEntry 64, one
BC 0A 00 00                             # ThreadId
00 00 00 00  00 00 00 00                # DumpFlags, DumpError
03 01 00 00                             # ExitStatus: STATUS_PENDING
01 00 00 00 91 49 DA 01                 # CreateTime
00 00 00 00 00 00 00 00                 # ExitTime
11 11 00 00 00 00 00 00                 # KernelTime
22 22 00 00 00 00 00 00                 # UserTime
00 10 00 00 F6 7F 00 00                 # StartAddress
05 00 00 00 00 00 00 00                 # Affinity
"""
UNLOADED = """
0C 00 00 00  18 00 00 00  01 00 00 00   # SizeOfHeader 12, SizeOfEntry 24, one
00 00 00 10 FB 7F 00 00                 # BaseOfImage
00 80 00 00                             # SizeOfImage
00 AD 0B 00                             # CheckSum 0xBAD00
00 00 B0 65                             # TimeDateStamp
"""
MEMORY_INFO = """
10 00 00 00  30 00 00 00  11 00 00 00 00 00 00 00   # SizeOfHeader 16, SizeOfEntry 48, 17 of them
00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00    # [0] BaseAddress, AllocationBase
00 00 00 00  00 00 00 00                            # AllocationProtect, alignment
00 00 FE 7F 00 00 00 00                             # RegionSize: free up to KUSER_SHARED_DATA
00 00 01 00  01 00 00 00  00 00 00 00  00 00 00 00  # MEM_FREE, PAGE_NOACCESS, Type 0, alignment
00 00 FE 7F 00 00 00 00  00 00 FE 7F 00 00 00 00    # [1] KUSER_SHARED_DATA
02 00 00 00  00 00 00 00                            # PAGE_READONLY
00 10 00 00 00 00 00 00
00 10 00 00  02 00 00 00  00 00 02 00  00 00 00 00  # MEM_COMMIT, PAGE_READONLY, MEM_PRIVATE
"""
HANDLES = """
10 00 00 00  28 00 00 00  02 00 00 00  00 00 00 00   # SizeOfHeader 16, SizeOfDescriptor 40, two
04 00 00 00 00 00 00 00                              # Handle
"""


def test_the_parts_of_the_full_dump_have_the_typed_bytes() -> None:
    full = dump_bytes(the_process(), Request(1025))[0]
    assert full[:32] == hexed(FULL_HEADER)
    found = {}
    for index, (kind, size) in enumerate(FULL_DIRECTORY):
        entry = full[32 + 12 * index :][:12]
        assert int.from_bytes(entry[:4], "little") == kind
        assert int.from_bytes(entry[4:8], "little") == size, kind
        found[kind] = int.from_bytes(entry[8:], "little")
    for kind, text in ((17, THREAD_INFO), (14, UNLOADED), (16, MEMORY_INFO), (12, HANDLES)):
        expected = hexed(text)
        assert full[found[kind] :][: len(expected)].hex(" ") == expected.hex(" "), kind
    # With Memory64List the stack has no RVA. All other fields of the thread are those of the small dump.
    thread = full[found[3] :][: 4 + 48]
    assert thread[: 4 + 0x20] == hexed(THREAD_LIST)[: 4 + 0x20]
    assert thread[4 + 0x20 : 4 + 0x28] == bytes.fromhex("80 01 00 00  00 00 00 00")
    # Memory64List is the last stream. Its bytes follow it directly and end the file.
    memory64 = full[found[9] :]
    assert memory64[:8] == bytes.fromhex("08 00 00 00 00 00 00 00")
    assert int.from_bytes(memory64[8:16], "little") == found[9] + 16 + 8 * 16
    assert memory64[16:32] == bytes.fromhex("00 00 FE 7F 00 00 00 00  00 10 00 00 00 00 00 00")
    sizes = [int.from_bytes(memory64[24 + 16 * index :][:8], "little") for index in range(8)]
    assert sizes == [0x1000, 0x3000, 0x3000, 0x3000, 0x1000, 0x2000, 0x1000, 0x2000]
    assert found[9] + 16 + 8 * 16 + 0x10000 == len(full)


def test_a_handle_descriptor_points_to_its_names() -> None:
    full = dump_bytes(the_process(), Request(1025))[0]
    at = int.from_bytes(full[32 + 10 * 12 + 8 :][:4], "little") + 16
    first, second = full[at : at + 40], full[at + 40 : at + 80]
    assert first[12:16] == bytes(4)  # no object name
    type_rva = int.from_bytes(first[8:12], "little")
    assert full[type_rva : type_rva + 16] == bytes.fromhex("0A 00 00 00 45 00 76 00 65 00 6E 00 74 00 00 00")  # Event
    assert first[16:] == bytes.fromhex("00 00 00 00  03 00 1F 00  01 00 00 00  00 80 00 00  00 00 00 00  00 00 00 00")
    object_rva = int.from_bytes(second[12:16], "little")
    assert full[object_rva : object_rva + 10] == bytes.fromhex("38 00 00 00 5C 00 44 00 65 00")  # \De...


def test_thread_names_and_comment_have_the_typed_bytes() -> None:
    made = synthetic_process(threads=1, thread_names=["ab"], exception=False)
    dump, result = dump_bytes(made, Request(1024, 0, "h\u00e9"))
    names = result.layout.section("ThreadNames")
    text = result.layout.entry("ThreadNames.ThreadNames[0].Name").offset
    assert dump[names.offset : names.offset + names.size] == (
        bytes.fromhex("01 00 00 00  38 12 00 00") + text.to_bytes(8, "little")
    )
    assert dump[text : text + 10] == bytes.fromhex("04 00 00 00 61 00 62 00 00 00")
    comment = result.layout.entry("CommentW")
    assert dump[comment.offset : comment.end] == bytes.fromhex("68 00 E9 00 00 00")


def test_the_bytes_of_memory_are_the_targets() -> None:
    base = 0x300_0000_0000
    process = the_process(extra=[Pages(base, 0x1000, data=STACK_WORDS.ljust(0x1000, b"\xee"))])
    assert SMALL[0x1478:0x1578] == b"\xcc" * 0x100
    assert SMALL[0x1578:0x16F8] == process.read(0x12000FFE80, 0x180)
    assert SMALL[0x16F8:0x2198] == process.read(0x7FFE0000, 0xAA0)
    full, result = dump_bytes(process, Request(1025))
    index = next(i for i, r in enumerate(result.plan.ranges) if r.start == base)
    at = result.layout.entry(f"Memory[{index}]").offset
    assert full[at : at + len(STACK_WORDS)] == STACK_WORDS
