"""Sound dumps of other writers and of older Windows, built from what is known of them, pass without truth."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack, pack_into
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Outcome, check

from .conftest import Made, Maker, descriptor, header
from .hand_machine import KERNEL, PRCBS, SYSTEM, P
from .test_kernel_32bit import CONTEXT as PRCB_CONTEXT
from .test_kernel_32bit import bitmap, full, triage

CONTEXT, CONTEXT_FIELD = 0x348, 3000
COMMENT, SPACE, RUNS = 0xFB0, 0xFA0, 0x88
TRIAGE = 0x2000
CALL_STACK_SIZE, DEBUGGER_SIZE, OPTIONS, DRIVERS, DRIVER_COUNT = 0x2C, 0x74, 0x44, 0x30, 0x34
FIELDS, WRITER_STATUS = 0x1038, 0x1048
FILL = b"PAGE"
STALE = bytes(range(1, 200))


def failing(data: bytes) -> set[str]:
    """The rules that fail ``data`` without truth."""
    report = check(ByteSource(data))
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    return {result.rule for result in report.results if result.counts and result.failures}


def put(data: bytes, *patches: tuple[int, bytes]) -> bytes:
    made = bytearray(data)
    for at, new in patches:
        made[at : at + len(new)] = new
    return bytes(made)


def no_context(made: Made, fill: bytes = b"\0") -> bytes:
    return put(made.data, (CONTEXT, (fill * CONTEXT_FIELD)[:CONTEXT_FIELD]))


def elf2dmp(maker: Maker) -> bytes:
    """The header is zeros but for the fields that elf2dmp stores; it stores no context and no exception."""
    made = maker.full()
    kept = {(0, 0x3C), (0x80, 8), (RUNS, 0x30), (0xF98, 4), (0xFA0, 8), (0x1040, 8)}
    head = bytearray(0x2000)
    for at, size in kept:
        head[at : at + size] = made.data[at : at + size]
    pages = made.data[0x2000 : made.at["blobs"]]
    patches = ((0x38, pack("<I", 0x161)), (COMMENT, b"Hello from elf2dmp!\0"), (0x103C, pack("<I", 2)))
    return put(bytes(head), *patches) + pages


def raw2dmp(maker: Maker) -> bytes:
    """volatility 2: one run from PFN 0 on, a comment, bug check 0, zeros from the context on; all else is fill."""
    pfns = range(0x73)
    head = header(1, (len(pfns) + 2) * P, build=19041, runs=descriptor([(0, len(pfns))], FILL))
    patches = (
        (0x38, bytes(4)), (0x40, bytes(32)), (CONTEXT, bytes(CONTEXT_FIELD)), (0xF00, (FILL * 38)[:0x98]),
        (COMMENT, b"File was converted with Volatility\0"), (0x1030, FILL * 10),
    )  # fmt: skip
    return put(bytes(head), *patches) + maker.pages(pfns)


def winxp(data: bytes) -> bytes:
    """The debugger data of Windows XP has 0x290 bytes; what follows it is another variable. KPRCB begins with its
    version, 1.1.
    """
    at = data.index(b"KDBG") - 0x10
    return put(data, (at + 0x14, pack("<I", 0x290)), (at + 0x290, STALE[:0xD0]), (_prcb(data), pack("<HH", 1, 1)))


def server_2003() -> bytes:
    """KPRCB.Number is one byte. BuildType follows it: 2, a kernel for one processor."""
    data = full(True)
    return put(data, (12, pack("<I", 3790)), (_prcb(data) + 0x12, pack("<H", 2)))


def _prcb(data: bytes) -> int:
    """The file offset of the KPRCB: it holds the address of the CONTEXT at 0x20."""
    return data.index(pack("<I", PRCB_CONTEXT)) - 0x20


def small_of_winxp(**change: Any) -> bytes:
    """A small dump of XP: 64 KB, 0xDFF and 0x41, room for 50 unloaded drivers after the counts, stale bytes."""
    old, at = triage(), {}
    fields = ("mm", "unloaded", "prcb", "process", "thread", "stack")
    for index, name in enumerate(fields):
        at[name] = int.from_bytes(old[0x1014 + 4 * index : 0x1018 + 4 * index], "little")
    at["drivers"], at["pool"], at["kdbg"], at["table"] = (
        int.from_bytes(old[0x1000 + field : 0x1004 + field], "little") for field in (0x30, 0x38, 0x58, 0x60)
    )
    order = sorted(at, key=lambda name: at[name])
    ends = [at[name] for name in order[1:]] + [at["table"] + 16]
    parts = {name: old[at[name] : end] for name, end in zip(order, ends, strict=True)}
    parts["mm"] = parts["mm"][:0x34] + STALE[:4]
    parts["unloaded"] = pack("<I", 1) + STALE[:4] + pack("<HHI24sII", 8, 8, 0, b"o\0l\0d\0", 0x9000_0000, 0x9000_1000)
    parts["unloaded"] = parts["unloaded"].ljust(8 + 50 * 0x28, b"\x5a")
    parts["kdbg"] = put(parts["kdbg"], (0x14, pack("<I", 0x290)))[:0x290]
    parts["pool"] += b"\xfe" * 24
    new, end = {}, 0x1068
    for name in order:
        new[name] = end
        end += len(parts[name])
    parts["drivers"] = pack("<I", new["pool"]) + parts["drivers"][4:]
    parts["table"] = pack("<QII", 0xFFFF_FFFF_8000_0100, end, 0x20)
    made = bytearray(old[:0x1068] + b"".join(parts[name] for name in order) + bytes(0x20))
    made = bytearray(bytes(made).ljust(0x10000 - 4, b"\x77") + b"TRGD")
    pack_into("<III", made, 0x1000, 0x300, 0x10000, 0xFFFC)
    pack_into("<6I", made, 0x1014, *(new[name] for name in fields))
    for field, value in {
        0x30: new["drivers"], 0x38: new["pool"], 0x3C: len(parts["pool"]), 0x44: 0x41, 0x58: new["kdbg"], 0x5C: 0x290,
        0x60: new["table"],
    }.items():  # fmt: skip
        pack_into("<I", made, 0x1000 + field, value)
    pack_into("<I", made, 0xF8C, 0xDFF)
    pack_into("<Q", made, 0xFA0, 0x10000)
    for name, value in change.items():
        pack_into("<I", made, {"build": 12}[name], value)
    return bytes(made)


def small_of_win2000() -> bytes:
    """TRIAGE_DUMP32 of Windows 2000 ends after TopOfStack: the counts begin where XP has later fields."""
    made = bytearray(small_of_winxp(build=2195))
    made[0x104C:0x1068] = STALE[:0x1C]
    pack_into("<I", made, 0x1014, 0x1050)
    pack_into("<I", made, 0xF8C, 0x1FF)
    return bytes(made)


def on_arm(maker: Maker) -> bytes:
    """A dump of Windows on 32-bit ARM. Its context and page tables are not read."""
    return put(full(False), (0x20, pack("<I", 0x1C4)))


def arm64_with_an_asid(maker: Maker) -> bytes:
    """DirectoryTableBase is TTBR0 with the ASID in its upper bits."""
    data = maker.full().data
    return put(data, (0x10, data[0x10:0x16] + b"\x07\0"), (0x30, pack("<I", 0xAA64)), (CONTEXT, pack("<I", 0x400007)))


def without_debugger_data(maker: Maker) -> bytes:
    """A converter that does not find the debugger data stores no address of it."""
    return put(maker.full().data, (0x80, bytes(8)))


def other_process_head(maker: Maker) -> bytes:
    """MemProcFS stored System's EPROCESS in PsActiveProcessHead (docs/format/kernel-structures.md)."""
    return put(maker.full().data, (0x28, pack("<Q", SYSTEM)))


def surplus_processor(maker: Maker) -> bytes:
    """A virtual machine has 3 processors, Windows uses 2."""
    return put(maker.full().data, (0x34, pack("<I", 3)))


def unsorted_runs(maker: Maker) -> bytes:
    return maker.full(runs=[(0x40, 0x33), (1, 0x1F), (0x200, 0)]).data


def preset_length(maker: Maker) -> bytes:
    """The file was extended to RequiredDumpSpace before it was written: old disk contents are left."""
    made = maker.bitmap(6, "kernel", "bitmap")
    tail = bytes(-len(made.data) % 512) + STALE
    return put(made.data, (SPACE, pack("<Q", len(made.data) + len(tail)))) + tail


def whole_sectors(maker: Maker) -> bytes:
    data = maker.bitmap(6, "kernel", "bitmap").data
    return data + bytes(-len(data) % 4096)


def small_without_blobs(maker: Maker) -> bytes:
    """A small dump of layout B that has no secondary data; the file keeps its preset length."""
    made = maker.triage(26100)
    return put(made.data[: made.at["blobs"]], (SPACE, pack("<Q", made.at["blobs"] + 0x600))) + bytes(0x600)


def summary_with_another_count(maker: Maker) -> bytes:
    made = maker.bitmap(2, "kernel", "classic")
    return put(made.data, (made.at["sub"] + 0x18, pack("<I", 0x81)))


def checked_build(maker: Maker) -> bytes:
    made = maker.full()
    return put(made.data, (8, pack("<I", 0xC)), (made.at["blobs"] + 12, pack("<I", 0xC0000000 + 19041)))


def other_major_version(maker: Maker) -> bytes:
    return put(maker.full().data, (8, pack("<I", 10)))


def spare_bits(maker: Maker) -> bytes:
    """The bitmap has 115 bits; the writer did not clear the spare bits of the last byte."""
    made = maker.bitmap(5, "complete", "bitmap")
    return put(made.data, (made.at["sub"] + 0x30, pack("<Q", 115)), (made.at["bitmap"] + 14, b"\xff"))


def leaked_context_field(maker: Maker) -> bytes:
    return put(maker.full().data, (CONTEXT + 0x600, STALE))


def small_by_another_engine(maker: Maker) -> bytes:
    """An engine whose structure has 0x360 bytes saves a block of 0x380: the last fields are cut."""
    made = maker.triage(19041)
    at, old = made.at["kdbg"], 0x380
    data = bytearray(made.data[: at + 0x360] + made.data[at + old :])
    cut = old - 0x360
    fields = (0x04, 0x08, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x30, 0x38, 0x70, 0x78)
    for field in fields:
        value = int.from_bytes(data[TRIAGE + field : TRIAGE + field + 4], "little")
        if value > at:
            pack_into("<I", data, TRIAGE + field, value - cut)
    pack_into("<I", data, TRIAGE + DEBUGGER_SIZE, 0x360)
    drivers = int.from_bytes(data[TRIAGE + DRIVERS : TRIAGE + DRIVERS + 4], "little")
    table = int.from_bytes(data[TRIAGE + 0x78 : TRIAGE + 0x7C], "little")
    count = int.from_bytes(data[TRIAGE + 0x7C : TRIAGE + 0x80], "little")
    for place in [drivers, drivers + 0x90, *(table + 16 * index + 8 for index in range(count))]:
        pack_into("<I", data, place, int.from_bytes(data[place : place + 4], "little") - cut)
    return bytes(data)


def small_without_a_stack(maker: Maker) -> bytes:
    """The stack could not be read: its size is 0, and its offset is that of the next part."""
    made = maker.triage(19041)
    stack = made.at["stack"]
    parts = int.from_bytes(made.data[TRIAGE + CALL_STACK_SIZE : TRIAGE + CALL_STACK_SIZE + 4], "little")
    data = bytearray(made.data[:stack] + made.data[stack + parts :])
    for field in (0x04, 0x08, 0x30, 0x38, 0x70, 0x78):
        value = int.from_bytes(data[TRIAGE + field : TRIAGE + field + 4], "little")
        pack_into("<I", data, TRIAGE + field, value - parts)
    drivers = int.from_bytes(data[TRIAGE + DRIVERS : TRIAGE + DRIVERS + 4], "little")
    table = int.from_bytes(data[TRIAGE + 0x78 : TRIAGE + 0x7C], "little")
    count = int.from_bytes(data[TRIAGE + 0x7C : TRIAGE + 0x80], "little")
    for place in [drivers, drivers + 0x90, *(table + 16 * index + 8 for index in range(count))]:
        pack_into("<I", data, place, int.from_bytes(data[place : place + 4], "little") - parts)
    pack_into("<I", data, TRIAGE + CALL_STACK_SIZE, 0)
    return bytes(data)


def small_of_a_deep_exception(maker: Maker) -> bytes:
    """The context is that of an exception far above the saved stack."""
    data = maker.triage(19041).data
    sp = int.from_bytes(data[CONTEXT + 0x98 : CONTEXT + 0xA0], "little") + 0x3000
    return put(data, (CONTEXT + 0x30, pack("<I", 0x10001F)), (CONTEXT + 0x98, pack("<Q", sp)))


def small_with_a_stale_cr3(maker: Maker) -> bytes:
    """The engine copied the KPRCB of a converted memory image: its Cr3 is of an earlier stop."""
    made = maker.triage(19041)
    prcb = made.at["prcb"] + 0x110
    stale = pack("<Q", 0x7F000)
    data = bytearray(put(made.data, (prcb, stale)))
    old = made.data[made.at["prcb"] : made.at["prcb"] + 0x400]
    copy = made.data.index(old, made.at["data"])
    data[copy + 0x110 : copy + 0x118] = stale
    return bytes(data)


def small_without_modules(maker: Maker) -> bytes:
    """WriterStatus 1: the target had no module list."""
    made = maker.triage(19041)
    count = int.from_bytes(made.data[TRIAGE + DRIVER_COUNT : TRIAGE + DRIVER_COUNT + 4], "little")
    cut = made.at["table"] - made.at["drivers"]
    assert count
    data = bytearray(made.data[: made.at["drivers"]] + made.data[made.at["table"] :])
    for field in (0x04, 0x08, 0x78):
        value = int.from_bytes(data[TRIAGE + field : TRIAGE + field + 4], "little")
        pack_into("<I", data, TRIAGE + field, value - cut)
    table = int.from_bytes(data[TRIAGE + 0x78 : TRIAGE + 0x7C], "little")
    blocks = int.from_bytes(data[TRIAGE + 0x7C : TRIAGE + 0x80], "little")
    for index in range(blocks):
        place = table + 16 * index + 8
        pack_into("<I", data, place, int.from_bytes(data[place : place + 4], "little") - cut)
    pack_into("<IIII", data, TRIAGE + DRIVERS, 0, 0, 0, 0)
    pack_into("<I", data, FIELDS, 0xCFF & ~0x40)
    pack_into("<I", data, WRITER_STATUS, 1)
    return bytes(data)


def small_with_a_truncated_list(maker: Maker) -> bytes:
    """Layout B, with the bit for a truncated driver list: the last link is not the list head."""
    made = maker.triage(26100)
    last = made.at["drivers"] + 0x90 + 8
    return put(made.data, (TRIAGE + OPTIONS, pack("<I", 0x141)), (last, pack("<Q", KERNEL + 0x7777)))


def small_with_a_name_that_is_paged_out(maker: Maker) -> bytes:
    """The second name cannot be read: its record is empty."""
    made = maker.triage(19041)
    first = int.from_bytes(made.data[made.at["pool"] : made.at["pool"] + 4], "little")
    second = made.at["pool"] + -(-(4 + 2 * first + 2) // 8) * 8
    end = made.at["table"]
    return put(made.data, (second, bytes(end - second)))


SOUND: dict[str, Callable[[Maker], bytes]] = {
    make.__name__: make
    for make in (
        elf2dmp, raw2dmp, on_arm, arm64_with_an_asid, without_debugger_data, other_process_head, surplus_processor,
        small_without_blobs,
        summary_with_another_count,
        unsorted_runs, preset_length, whole_sectors, checked_build, other_major_version, spare_bits,
        leaked_context_field, small_by_another_engine, small_without_a_stack, small_of_a_deep_exception,
        small_with_a_stale_cr3, small_without_modules, small_with_a_truncated_list,
        small_with_a_name_that_is_paged_out,
    )
} | {
    "no context": lambda maker: no_context(maker.full()),
    "context of fill": lambda maker: no_context(maker.bitmap(6, "kernel", "bitmap"), FILL),
    "complete dump of XP": lambda _: winxp(full(True)),
    "kernel dump of XP": lambda _: winxp(bitmap(2, False)),
    "complete dump of Server 2003": lambda _: server_2003(),
    "small dump of XP": lambda _: small_of_winxp(),
    "small dump of Windows 7, 32-bit": lambda _: small_of_winxp(build=7601),
    "small dump of Windows 2000": lambda _: small_of_win2000(),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_dump_of_another_writer_passes_without_truth(maker: Maker, name: str) -> None:
    assert failing(SOUND[name](maker)) == set()


def _overlapping(maker: Maker) -> bytes:
    return maker.full(runs=[(1, 0x1F), (0x1F, 1), (0x40, 0x33)]).data


def _junk(maker: Maker) -> bytes:
    return maker.full().data + STALE


def _encoded(maker: Maker) -> bytes:
    made = maker.full()
    return made.data.replace(b"KDBG", b"\x12\x34\x56\x78", 1)


def _null_first(maker: Maker) -> bytes:
    made = maker.full()
    return made.data.replace(pack("<2Q", *PRCBS), bytes(8) + pack("<Q", PRCBS[1]), 1)


def _wrong_number(maker: Maker) -> bytes:
    made = maker.full()
    return made.data.replace(pack("<2Q", *PRCBS), pack("<2Q", *reversed(PRCBS)), 1)


def _small_without_context(maker: Maker) -> bytes:
    return no_context(maker.triage(19041))


def _hole(maker: Maker) -> bytes:
    made = maker.triage(19041)
    return put(made.data, (TRIAGE + 0x14, bytes(4)))


def _one_more_bit(maker: Maker) -> bytes:
    made = maker.bitmap(6, "kernel", "bitmap")
    return put(made.data, (made.at["bitmap"], b"\x01"))


def _no_stack_offset(maker: Maker) -> bytes:
    return put(maker.triage(19041).data, (TRIAGE + 0x28, bytes(8)), (FIELDS, pack("<I", 0xCFF & ~0x20)))


TEETH: dict[str, tuple[Callable[[Maker], bytes], str]] = {
    "a small dump without a place of the stack": (_no_stack_offset, "KTRI-PARTS-001"),
    "runs that overlap": (_overlapping, "KPAG-RUNS-001"),
    "bytes behind the dump": (_junk, "KFIL-TAIL-001"),
    "debugger data that is encoded": (_encoded, "KXCT-KDBG-001"),
    "the first processor is null": (_null_first, "KXCT-PRCB-001"),
    "processors in the wrong order": (_wrong_number, "KXCT-PRCB-001"),
    "a small dump without a context": (_small_without_context, "KHDR-CONTEXT-001"),
    "a hole in a small dump": (_hole, "KFIL-LAYOUT-002"),
    "a bit too many": (_one_more_bit, "KBMP-COUNT-001"),
}


@pytest.mark.parametrize("name", TEETH)
def test_a_real_fault_still_fails_without_truth(maker: Maker, name: str) -> None:
    make, rule = TEETH[name]
    assert rule in failing(make(maker))
