"""Hand-made dumps of 32-bit targets, with and without PAE. Truths are 64-bit, so only the structure is judged."""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack, pack_into

import pytest
from dumptruth.oracle import ByteSource, Outcome, Verdict, check

P = 0x1000
KERNEL, KDBG, HEAD, PROCESS_HEAD = 0x8000_0000, 0x8000_1000, 0x8000_2000, 0x8000_2010
BLOCK, PRCB, ENTRY, NAME, STACK = 0x8000_2080, 0x8000_3000, 0x8000_3800, 0x8000_3900, 0x8000_4000
RIP, RSP = 0x8000_0100, 0x8000_4100
SHARED = 0xFFDF_0000
RUNS = ((1, 0x1F),)
CONTEXT = 0x8000_3A00


def signed(value: int) -> int:
    return value | 0xFFFF_FFFF_0000_0000 if value >> 31 else value


def debugger_data(pae: bool) -> bytes:
    block = bytearray(0x360)
    for at, value in {
        0: KDBG, 8: KDBG, 0x18: KERNEL, 0x48: HEAD, 0x50: PROCESS_HEAD, 0xC0: KERNEL + 0x2040, 0x218: BLOCK,
    }.items():  # fmt: skip
        pack_into("<Q", block, at, signed(value))
    pack_into("<4sI", block, 0x10, b"KDBG", 0x360)
    pack_into("<H", block, 0x36, int(pae))
    for at, value in {0x2A0: 0x40, 0x2A8: 0x80, 0x2B0: 0x100, 0x2B4: 4, 0x2BE: 0x10, 0x2C0: 0x80, 0x338: 0x20}.items():
        pack_into("<H", block, at, value)
    return bytes(block)


def context() -> bytes:
    record = bytearray(0x2CC)
    pack_into("<I", record, 0, 0x10007)
    pack_into("<I", record, 0xB8, RIP)
    pack_into("<I", record, 0xC4, RSP)
    return bytes(record)


def memory(pae: bool) -> dict[int, bytearray]:
    pages: dict[int, bytearray] = {}

    def entry(table: int, index: int, pfn: int) -> None:
        size = 8 if pae else 4
        page = pages.setdefault(table, bytearray(P))
        pack_into("<Q" if pae else "<I", page, index * size, pfn << 12 | 1)

    def write(pfn: int, at: int, data: bytes) -> None:
        pages.setdefault(pfn, bytearray(P))[at : at + len(data)] = data

    if pae:
        entry(1, 4 + 2, 2)  # the root is at 0x1020
        entry(1, 4 + 3, 3)
        entry(2, 0, 4)
        entry(3, SHARED >> 21 & 0x1FF, 5)
    else:
        entry(1, KERNEL >> 22, 4)
        entry(1, SHARED >> 22, 5)
    for index in range(5):
        entry(4, index, 8 + index)
    entry(5, SHARED >> 12 & (0x1FF if pae else 0x3FF), 7)
    shared = bytearray(P)
    pack_into("<I", shared, 0x264, 1)
    pack_into("<I", shared, 0x2D0, 0x110)
    write(7, 0, bytes(shared))
    write(8, 0, b"MZ" + bytes(0x80))
    write(9, 0, debugger_data(pae))
    write(10, 0, pack("<II", ENTRY, ENTRY))
    write(10, 0x80, pack("<I", PRCB))
    prcb = bytearray(0x100)
    pack_into("<I", prcb, 0x20, CONTEXT)
    write(11, 0, bytes(prcb))
    name = "\\nt.exe".encode("utf-16-le")
    entry_bytes = pack("<IIIIIIIII", HEAD, HEAD, 0, 0, 0, 0, KERNEL, RIP, 0x5000)
    entry_bytes += pack("<HHIHHI", len(name), len(name), NAME, len(name) - 2, len(name) - 2, NAME + 2)
    write(11, 0x800, entry_bytes + pack("<IHHIII", 0, 1, 0, 0, 5, 6))
    write(11, 0x900, name)
    write(11, 0xA00, context())
    return pages


def header(kind: int, space: int, pae: bool, runs: Iterable[tuple[int, int]] = ()) -> bytearray:
    block = bytearray(b"PAGE" * (0x1000 // 4))
    pack_into("<4s4sII", block, 0, b"PAGE", b"DUMP", 15, 2600)
    root = 0x1020 if pae else 0x1000
    pack_into("<4I", block, 0x10, root, KERNEL + 0x2040, HEAD, PROCESS_HEAD)
    pack_into("<3I4I", block, 0x20, 0x14C, 1, 0xD1, 0x10, 2, 0, RIP)
    block[0x5C:0x5E] = bytes([int(pae), 0])
    pack_into("<I", block, 0x60, KDBG)
    runs = list(runs)
    if runs:
        pack_into("<II", block, 0x64, len(runs), sum(count for _, count in runs))
        for index, run in enumerate(runs):
            pack_into("<II", block, 0x6C + 8 * index, *run)
    block[0x320:0x7D0] = context().ljust(1200, b"\0")
    pack_into("<5I", block, 0x7D0, 0x80000003, 1, 0, RIP, 0)
    pack_into("<I", block, 0x8A0, 0)
    pack_into("<I", block, 0xF88, kind)
    pack_into("<I", block, 0xF8C, 0xCFF if kind == 4 else 0)
    pack_into("<II", block, 0xF94, 1, 0x110)
    pack_into("<Q", block, 0xFA0, space)
    pack_into("<QQ", block, 0xFB8, 5, 7)
    return block


def pages_of(held: dict[int, bytearray], pfns: Iterable[int]) -> bytes:
    return b"".join(bytes(held.get(pfn, bytes(P))) for pfn in pfns)


def full(pae: bool) -> bytes:
    return bytes(header(1, 0x1000 + 0x1F * P, pae, RUNS)) + pages_of(memory(pae), range(1, 0x20))


def bitmap(kind: int, pae: bool) -> bytes:
    pfns = [1, *([2, 3] if pae else []), 4, 5, 7, 8, 9, 10, 11, 12]
    field = bytearray(8)
    for pfn in pfns:
        field[pfn // 8] |= 1 << pfn % 8
    if kind == 2:
        sub = pack("<4s4s6I", b"SDMP", b"DUMP", 1, 0x2000, 64, len(pfns), 64, 0)
    else:
        sub = pack("<4s4s", b"SDMP", b"DUMP") + bytes(24) + pack("<QQQ", 0x2000, len(pfns), 64)
    head = bytes(header(kind, 0x2000 + P * len(pfns), pae))
    return (head + sub + bytes(field)).ljust(0x2000, b"\0") + pages_of(memory(pae), pfns)


def triage() -> bytes:
    held = memory(False)
    name = "\\nt.exe"
    string = (pack("<I", len(name)) + name.encode("utf-16-le") + b"\0\0").ljust(24, b"\0")
    parts = {
        "mm": pack("<13I", 1, 0x34, *[0] * 11).ljust(0x38, b"\0"),
        "unloaded": bytes(8),
        "prcb": bytes(held[11][:0x100]),
        "process": bytes(0x80),
        "thread": bytes(0x80),
        "stack": bytes(0x80),
        "kdbg": debugger_data(False),
        "drivers": bytes(0x50),
        "pool": string,
        "table": bytes(16),
    }
    at, end = {}, 0x1068
    for part, data in parts.items():
        at[part] = end
        end += len(data)
    parts["process"] = bytes(0x80)
    driver = pack("<I", at["pool"]) + bytes(held[11][0x800:0x848])
    parts["drivers"] = driver.ljust(0x50, b"\0")
    parts["table"] = pack("<QII", signed(RIP), end, 0x20)
    size = end + 0x24
    sub = pack(
        "<18I", 0, size, size - 4, 0x320, 0x7D0, at["mm"], at["unloaded"], at["prcb"], at["process"], at["thread"],
        at["stack"], 0x80, at["drivers"], 1, at["pool"], len(string), 0, 0xFFFFFFFF,
    )  # fmt: skip
    sub += pack("<8I", RSP, 0, 0, 0, at["kdbg"], 0x360, at["table"], 1)
    region = b"DumpBlob" + pack("<II", 0x10, 0xF0000000 + 2600)
    body = b"".join(parts.values()) + bytes(held[8][0x100:0x120]) + b"TRGD" + region
    return bytes(header(4, size + len(region), False)) + sub + body


KINDS = {
    "full": full(False), "full, PAE": full(True), "summary": bitmap(2, False), "bitmap, PAE": bitmap(5, True),
    "header only": bytes(header(3, 0x1000, False)), "small": triage(),
}  # fmt: skip
# The saved EPROCESS of the small dump has another root, and 32-bit blocks need not fill a multiple of 8.
TOLERATED = {"small": {"KXCT-DTB-001", "KFIL-LAYOUT-002", "KTRI-SIZES-001"}}


@pytest.mark.parametrize("name", KINDS)
def test_a_dump_of_a_32_bit_target_is_read_and_judged(name: str) -> None:
    report = check(ByteSource(KINDS[name], name), strict=True)
    failed = {result.rule: result.findings[:1] for result in report.results if result.verdict is Verdict.FAIL}
    assert failed.keys() - TOLERATED.get(name, set()) == set(), failed
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason


@pytest.mark.parametrize("name", ["full", "full, PAE", "bitmap, PAE"])
def test_the_wrong_paging_mode_is_found(name: str) -> None:
    data = bytearray(KINDS[name])
    at = data.index(b"KDBG") + 0x36 - 0x10
    data[at] ^= 1
    report = check(ByteSource(bytes(data)))
    failed = {result.rule for result in report.results if result.verdict is Verdict.FAIL}
    assert failed == {"KXCT-PAE-001"}
