"""The writer's kernel dumps are compared with bytes that were typed by hand from docs/format/kernel-*.md.

No literal is computed from the writer's structures or the judge's tables.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.plan.kernel_debugger_data import KDDEBUGGER_DATA64
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.snapshot.kernel import BugCheck, DataBlob, KernelSnapshot
from dumptruth.emu.synthetic.kernel import bare_machine, synthetic_machine
from dumptruth.emu.synthetic.process import amd64_context
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes


def hexed(text: str) -> bytes:
    """Bytes of hexadecimal text; a comment begins with # on each line."""
    return b"".join(bytes.fromhex(line.partition("#")[0]) for line in text.splitlines())


def the_machine() -> KernelSnapshot:
    """Five pages of RAM in two runs, two of them touched. It sets every number that the literals contain."""
    made = bare_machine([(2, 3), (9, 2)], {3: b"\x33" * 4096, 9: b"\x99" * 4096})
    context = amd64_context(Rip=0xFFFFF80012345678, Rsp=0xFFFFF80099999998, Rax=0x1111, SegCs=0x10, EFlags=0x10246)
    return replace(
        made,
        processors=(replace(made.processors[0], context=context),),
        directory_table_base=0x2002,  # with a PCID
        bug_check=BugCheck(0xD1, (0xA1, 0xA2, 0xA3, 0xA4)),
        symbols=replace(
            made.symbols, mm_pfn_database=0xFFFFF80000000111, ps_loaded_module_list=0xFFFFF80000000222,
            ps_active_process_head=0xFFFFF80000000333, kd_debugger_data_block=0xFFFFF80000000444,
        ),
        time=0x01DA499100000001,
        up_time=0x123456789,
    )  # fmt: skip


def written(
    machine: KernelSnapshot, profile: KernelProfile, qualifier: int = Qualifier.DEBUG_DUMP_FULL, comment: str = ""
) -> bytes:
    return kernel_dump_bytes(machine, Request(qualifier, 0, comment, profile))[0]


START = """
50414745 44553634        # PAGE DU64
0F000000 614A0000        # MajorVersion free build, MinorVersion 19041
00200000 00000000        # DirectoryTableBase without its PCID
11010000 00F8FFFF        # PfnDataBase
22020000 00F8FFFF        # PsLoadedModuleList
33030000 00F8FFFF        # PsActiveProcessHead
64860000 01000000        # AMD64, one processor
D1000000 50414745        # BugCheckCode, fill
A1000000 00000000 A2000000 00000000 A3000000 00000000 A4000000 00000000
00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000   # VersionUser
44040000 00F8FFFF        # KdDebuggerDataBlock
02000000 00000000        # NumberOfRuns
05000000 00000000        # NumberOfPages
02000000 00000000 03000000 00000000   # run of PFN 2
09000000 00000000 02000000 00000000   # run of PFN 9
50414745 50414745        # fill after the last run
"""
EXCEPTION = """
03000080 01000000        # a breakpoint, not continuable
00000000 00000000
78563412 00F8FFFF        # ExceptionAddress is Rip
00000000 50414745        # no parameters, fill
"""
END = """
00700000 00000000        # RequiredDumpSpace: 0x2000 + 5 pages
01000000 9149DA01        # SystemTime
"""
LAST = """
89674523 01000000        # SystemUpTime
00000000 00000000        # MiniDumpFields, SecondaryDataState
01000000 10010000        # ProductType, SuiteMask
00000000                 # WriterStatus
50 02 4745               # fill, KdSecondaryVersion, fill
00000000 00000000        # Attributes, BootId
50414745                 # reserved
"""


def test_the_main_header_of_a_complete_dump_has_the_typed_bytes() -> None:
    data = written(the_machine(), KernelProfile.PORTABLE, comment="why")
    for offset, text in ((0, START), (0xF00, EXCEPTION), (0xFA0, END), (0x1030, LAST)):
        wanted = hexed(text)
        assert data[offset : offset + len(wanted)].hex(" ", 4) == wanted.hex(" ", 4), hex(offset)
    assert data[0xF98:0xFA0] == hexed("01000000 50414745")  # DumpType at 0xF98, not at 0xF94
    assert data[0xF20:0xF98] == b"PAGE" * 30  # ExceptionInformation
    assert data[0xFB0:0x1030] == b"why".ljust(128, b"\0")
    assert data[0x1054 + 4 : 0x2000] == b"PAGE" * 1002


def test_the_context_in_the_main_header_has_the_typed_registers() -> None:
    data = written(the_machine(), KernelProfile.PORTABLE)
    record = data[0x348 : 0x348 + 0x4D0]
    assert record[0x30:0x48] == hexed("1F001000 801F0000 1000 2B00 2B00 5300 2B00 2B00 46020100")
    assert record[0x78:0x80] == hexed("1111000000000000")  # Rax
    assert record[0x98:0xA0] == hexed("98999999 00F8FFFF")  # Rsp
    assert record[0xF8:0x100] == hexed("78563412 00F8FFFF")  # Rip
    assert record[0x118:0x11C] == record[0x34:0x38]  # MxCsr, twice


def test_the_pages_of_a_complete_dump_follow_the_header_back_to_back() -> None:
    data = written(the_machine(), KernelProfile.PORTABLE)
    zero = bytes(4096)
    assert data[0x2000:] == zero + b"\x33" * 4096 + zero + b"\x99" * 4096 + zero


BITMAP = """
53444D50 44554D50        # SDMP DUMP
00000000                 # DumpOptions
50414745 50414745 50414745 50414745 50414745
00300000 00000000        # first page
05000000 00000000        # pages
40000000 00000000        # bits
1C060000 00000000        # PFN 2 to 4, 9 and 10
"""


def test_the_header_of_a_bitmap_dump_has_the_typed_bytes() -> None:
    data = written(the_machine(), KernelProfile.BITMAP)
    wanted = hexed(BITMAP)
    assert data[0x2000 : 0x2000 + len(wanted)].hex(" ", 4) == wanted.hex(" ", 4)
    assert data[0xF98:0xF9C] == hexed("05000000")
    assert data[0x2040:0x3000] == bytes(0xFC0)
    assert data[0x3000:] == written(the_machine(), KernelProfile.PORTABLE)[0x2000:]


SUMMARY = """
53444D50 44554D50 01000000   # SDMP DUMP, kernel addresses valid
00300000                 # first page
40000000 01000000        # bits, pages
40000000 00000000        # bits again, padding
00000000 00000000        # the bitmap's buffer, a pointer in memory
04000000 00000000        # PFN 2: the root
"""


def test_the_header_of_a_summary_dump_has_the_typed_bytes() -> None:
    data = written(the_machine(), KernelProfile.CLASSIC, Qualifier.DEBUG_DUMP_DEFAULT)
    wanted = hexed(SUMMARY)
    assert data[0x2000 : 0x2000 + len(wanted)].hex(" ", 4) == wanted.hex(" ", 4)
    assert data[0xF98:0xF9C] == hexed("02000000")
    assert len(data) == 0x4000


RANGES = """
40000000 52444D50 44554D50 00000000   # marker, RDMP DUMP
30000000 00000000        # MetadataSize: 0x10 + 2 runs
50200000 00000000        # FirstPageOffset
02000000 00000000
05000000 00000000
02000000 00000000 03000000 00000000
09000000 00000000 02000000 00000000
"""
KERNEL_RANGES = """
40000000 52444D50 44554D50 00000000
20000000 00000000        # MetadataSize: 0x10 + 1 run
40200000 00000000
01000000 00000000
01000000 00000000
02000000 00000000 01000000 00000000   # the first page follows at once, as in the engine's files
"""


def test_the_headers_of_range_dumps_have_the_typed_bytes() -> None:
    full = written(the_machine(), KernelProfile.RANGES)
    assert full[0x2000:0x2050].hex(" ", 4) == hexed(RANGES).hex(" ", 4)
    assert full[0x2050:] == written(the_machine(), KernelProfile.PORTABLE)[0x2000:]
    kernel = written(the_machine(), KernelProfile.RANGES, Qualifier.DEBUG_DUMP_DEFAULT)
    assert kernel[0x2000:0x2040].hex(" ", 4) == hexed(KERNEL_RANGES).hex(" ", 4)
    assert [data[0xF98] for data in (full, kernel)] == [10, 8]


BLOBS = """
44756D70 426C6F62 10000000 614A00F0   # DumpBlob, header size, build
20000000 000102030405060708090A0B0C0D0E0F 05000000 00000000 03000000
6162636465 000000        # five bytes, padded to eight
"""


def test_secondary_data_follows_the_last_page() -> None:
    machine = replace(the_machine(), blobs=(DataBlob(bytes(range(16)), b"abcde"),))
    for profile in (KernelProfile.PORTABLE, KernelProfile.BITMAP, KernelProfile.RANGES):
        plain, blobs = written(the_machine(), profile), hexed(BLOBS)
        required = (len(plain) + len(blobs)).to_bytes(8, "little")  # up to the end of the secondary data
        assert written(machine, profile) == plain[:0xFA0] + required + plain[0xFA8:] + blobs


@pytest.mark.parametrize(
    ("build", "options", "fields"), [(19041, "FFFFFFFF", "FF0C0000"), (26100, "41000000", "FF0D0000")]
)
def test_a_triage_header_has_the_typed_words(build: int, options: str, fields: str) -> None:
    data = written(synthetic_machine(build=build), KernelProfile.PORTABLE, Qualifier.DEBUG_DUMP_SMALL)
    assert data[0x2000:0x2004] == bytes(4)  # ServicePackBuild
    assert data[0x200C:0x2018] == hexed("48030000 000F0000 80200000")  # Context, Exception, Mm
    assert data[0x2040:0x2048] == hexed("00000000" + options)  # BrokenDriverOffset, TriageOptions
    assert data[0x2050:0x2070] == bytes(32)  # IA64 and the single data page
    assert data[0x1038:0x103C] == hexed(fields)
    assert data[0xF98:0xF9C] == hexed("04000000")
    assert data[0x2080:0x2098] == hexed("01000000 50000000 00000000 00000000 00000000 00000000")


OFFSETS = {  # wdbgexts.h, docs/format/kernel-debugger-data.md#header-of-the-block
    "OwnerTag": 0x10, "Size": 0x14, "KernBase": 0x18, "PaeEnabled": 0x36, "KiCallUserMode": 0x38,
    "PsLoadedModuleList": 0x48, "PsActiveProcessHead": 0x50, "KiBugcheckData": 0x88, "MmPfnDatabase": 0xC0,
    "MmPageSize": 0x138, "MmFreePageListHead": 0x188, "PoolTrackTable": 0x1B8, "NtBuildLab": 0x208,
    "KiProcessorBlock": 0x218, "MmUnloadedDrivers": 0x220, "MmVerifierData": 0x248, "CmNtCSDVersion": 0x268,
    "MmPhysicalMemoryBlock": 0x270, "OffsetKThreadNextProcessor": 0x298, "OffsetKThreadApcProcess": 0x2A0,
    "SizeEProcess": 0x2A8, "SizePrcb": 0x2B0, "OffsetPrcbNumber": 0x2BE, "SizeEThread": 0x2C0,
    "KdPrintCircularBufferPtr": 0x2C8, "SizePcr": 0x2E0, "GdtR0Code": 0x2F4, "Gdt64R3CmTeb": 0x306,
    "IopNumTriageDumpDataBlocks": 0x308, "IopTriageDumpDataBlocks": 0x310, "MmBadPagesDetected": 0x320,
    "OffsetPrcbContext": 0x338, "OffsetKThreadStackLimit": 0x340, "OffsetKThreadStackBase": 0x344,
    "OffsetPrcbIdleThread": 0x350, "PteBase": 0x360, "OffsetEProcessMmHotPatchContext": 0x37C,
    "OffsetKThreadShadowStackLimit": 0x380, "ShadowStackEnabled": 0x388, "OffsetPrcbExceptionStack": 0x398,
}  # fmt: skip


def test_the_debugger_data_block_has_its_fields_where_readers_look() -> None:
    assert {name: getattr(KDDEBUGGER_DATA64, name).offset for name in OFFSETS} == OFFSETS
