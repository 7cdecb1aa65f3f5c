"""Each structural rule passes on hand-made dumps and fails on one fault. Only the rules that are listed here fail."""

from __future__ import annotations

from dataclasses import replace
from struct import pack
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Report, Verdict, all_rules, check

FOUR, EIGHT = b"\x77" * 4, b"\x77" * 8
OURS = tuple(id_ for id_ in all_rules() if id_.startswith(("MDMP-", "XCUT-")) and not id_.startswith("XCUT-REPLAY"))
Patches = tuple[tuple[str, int, bytes], ...]


def failing(report: Report) -> set[str]:
    assert not [result for result in report.results if result.verdict is Verdict.ERROR], report.reason
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL and result.rule in OURS}


def u32(value: int) -> bytes:
    return pack("<I", value)


def u64(value: int) -> bytes:
    return pack("<Q", value)


def free(base: int, size: int) -> bytes:
    return pack("<QQIIQIIII", base, 0, 0, 0, size, 0x10000, 1, 0, 0)


def image(base: int, size: int, protect: int) -> bytes:
    """A committed region of the image at 0x400000."""
    return pack("<QQIIQIIII", base, 0x400000, 0x80, 0, size, 0x1000, protect, 0x1000000, 0)


def row(index: int, at: int = 0) -> int:
    """Offset of a field of a MINIDUMP_MEMORY_INFO in stream 16."""
    return 16 + 48 * index + at


# dump, what is put where: (piece, offset in it, bytes), rules that fail then
MUTANTS: dict[str, tuple[str, Patches, set[str]]] = {
    "other version": ("small", (("header", 4, b"\0\0"),), {"MDMP-HEADER-002"}),
    "paths where they are filtered": ("small", (("header", 0x18, b"\x80"),), {"XCUT-PATHS-001"}),
    "checksum": ("small", (("header", 0x10, b"\1"),), {"MDMP-HEADER-003"}),
    "flag above 32 bits": ("small", (("header", 0x1C, b"\1"),), {"MDMP-HEADER-004"}),
    "flags of full memory": ("small", (("header", 0x18, b"\2"),), {"XCUT-FLAGS-001"}),
    "flags without handles": ("full", (("header", 0x18, b"\x22"),), {"XCUT-FLAGS-001"}),
    "flags without unloaded modules": ("full", (("header", 0x18, b"\x06"),), {"XCUT-FLAGS-001"}),
    "no streams": ("small", (("header", 8, u32(0)),), {"MDMP-DIR-001"}),
    "too many streams": ("small", (("header", 8, FOUR),), {"MDMP-DIR-001"}),
    "directory behind the end": ("small", (("header", 12, FOUR),), {"MDMP-DIR-001"}),
    "unused entry with bytes": ("small", (("directory", 12 * 7, u32(0)),), {"MDMP-DIR-002"}),
    "stream behind the end": ("small", (("directory", 12 * 7 + 8, FOUR),), {"MDMP-DIR-003"}),
    "type twice": ("small", (("directory", 12 * 7, u32(22)),), {"MDMP-DIR-004"}),
    "exception twice": ("small", (("directory", 12 * 7, pack("<III", 6, 0, 32)),), {"MDMP-DIR-008", "MDMP-LAYOUT-002"}),
    "reserved type": ("small", (("directory", 12 * 5, u32(1)),), {"MDMP-DIR-005"}),
    "no system info": ("small", (("directory", 0, u32(0x12345)),), {"MDMP-DIR-006", "MDMP-LAYOUT-002"}),
    "two ranges with the same bytes": (
        "small",
        (("stream 5", 4 + 16 * 3 + 12, b""),),
        {"MDMP-LAYOUT-001", "MDMP-LAYOUT-002", "MDMP-MEMORY-003"},
    ),
    "no NUL": ("small", (("csd", 12, b"x"),), {"MDMP-STRING-001", "MDMP-LAYOUT-002"}),
    "thread count": ("small", (("stream 3", 0, u32(3)),), {"MDMP-THREAD-001"}),
    "thread id twice": ("small", (("stream 3", 4 + 48, u32(0x1238)),), {"MDMP-THREAD-002"}),
    "thread id 0": (
        "small",
        (("stream 3", 4, u32(0)),),
        {"MDMP-THREAD-007", "XCUT-EXCEPTION-001", "XCUT-THREADNAMES-001"},
    ),
    "context behind the end": ("small", (("stream 3", 4 + 0x2C, FOUR),), {"MDMP-THREAD-003"}),
    "no context": ("small", (("stream 3", 4 + 0x28, u64(0)),), {"MDMP-THREAD-006", "MDMP-LAYOUT-002"}),
    "context too short": ("small", (("stream 3", 4 + 0x28, u32(716)),), {"MDMP-THREAD-004"}),
    "context of x86": ("small", (("context 0", 0x30, u32(0x1003F)),), {"MDMP-THREAD-005"}),
    "stack elsewhere": ("small", (("stream 3", 4 + 0x24, FOUR),), {"XCUT-STACK-001"}),
    "stack of full memory with an RVA": ("full", (("stream 3", 4 + 0x24, FOUR),), {"XCUT-STACK-002"}),
    "stack pointer outside": ("small", (("context 0", 0x98, u64(0x14008)),), {"XCUT-STACK-003"}),
    "stack that ends at its pointer": ("small", (("context 0", 0x98, u64(0x14000)),), {"XCUT-STACK-003"}),
    "stack cut": (
        "small",
        (("stream 3", 4 + 0x20, u32(0xF8)), ("stream 5", 4 + 8, u32(0xF8))),
        {"XCUT-STACK-004", "MDMP-LAYOUT-002", "MDMP-MEMORY-003"},
    ),
    "captured TEB of another thread": ("full", (("stream 3", 4 + 0x10, u64(0x13F80)),), {"XCUT-TEB-001"}),
    "TEB without a flag": ("small", (("stream 3", 4 + 0x10, u64(0x13FF0)),), {"XCUT-TEB-002"}),
    "exception cut": ("small", (("directory", 12 * 2 + 4, u32(160)),), {"MDMP-EXCEPTION-001"}),
    "exception context behind the end": ("small", (("stream 6", 0xA4, FOUR),), {"MDMP-EXCEPTION-002"}),
    "no exception context": ("small", (("stream 6", 0xA0, u64(0)),), {"MDMP-EXCEPTION-007", "MDMP-LAYOUT-002"}),
    "exception context too short": ("small", (("stream 6", 0xA0, u32(716)),), {"MDMP-EXCEPTION-003"}),
    "exception context of x86": ("small", (("exception context", 0x30, u32(0x1003F)),), {"MDMP-EXCEPTION-004"}),
    "16 parameters": ("small", (("stream 6", 0x20, u32(16)),), {"MDMP-EXCEPTION-005"}),
    "exception of no thread": ("small", (("stream 6", 0, u32(0x9999)),), {"XCUT-EXCEPTION-001"}),
    "exception on another stack": ("small", (("exception context", 0x98, u64(0x21E80)),), {"XCUT-EXCEPTION-002"}),
    "exception nowhere": ("small", (("stream 6", 0x18, u64(0x7777)),), {"XCUT-EXCEPTION-003", "XCUT-EXCEPTION-004"}),
    "exception at the caller": ("small", (("stream 6", 0x18, u64(0x401300)),), {"XCUT-EXCEPTION-004"}),
    "module count": ("small", (("stream 4", 0, u32(1)),), {"MDMP-MODULE-001"}),
    "modules overlap": ("small", (("stream 4", 4 + 108, u64(0x400000)),), {"MDMP-MODULE-002"}),
    "module without size": ("small", (("stream 4", 4 + 108 + 8, u32(0)),), {"MDMP-MODULE-003"}),
    "module wraps": (
        "small",
        (("stream 4", 4 + 108, u64((1 << 64) - 0x10000) + u32(0x10000)),),
        {"MDMP-MODULE-003"},
    ),
    "module name behind the end": ("small", (("stream 4", 4 + 0x14, FOUR),), {"MDMP-MODULE-004"}),
    "module name of odd length": ("small", (("module name 0", 0, b"\x0f"),), {"MDMP-MODULE-004"}),
    "module base": ("small", (("stream 4", 4 + 108, u64(0x501000)),), {"MDMP-MODULE-005"}),
    "CodeView record behind the end": ("small", (("stream 4", 4 + 0x50, FOUR),), {"MDMP-MODULE-006"}),
    "debug record of no size": ("small", (("stream 4", 4 + 0x58, FOUR),), {"MDMP-MODULE-010"}),
    "CodeView path without NUL": ("small", (("code view 0", 29, b"X"),), {"MDMP-MODULE-007"}),
    "version signature": ("small", (("stream 4", 4 + 0x18, FOUR),), {"MDMP-MODULE-008"}),
    "unloaded header": ("full", (("stream 14", 0, u32(16)),), {"MDMP-UNLOADED-001"}),
    "unloaded count": ("full", (("stream 14", 8, u32(3)),), {"MDMP-UNLOADED-001"}),
    "unloaded name": ("full", (("stream 14", 12 + 0x14, FOUR),), {"MDMP-UNLOADED-002"}),
    "range count": ("small", (("stream 5", 0, u32(3)),), {"MDMP-MEMORY-001"}),
    "range without bytes": (
        "small",
        (("stream 5", 4 + 8, u32(0)),),
        {"MDMP-MEMORY-006", "MDMP-MEMORY-003", "XCUT-STACK-001"},
    ),
    "range that wraps": ("small", (("stream 5", 4 + 16 * 3, u64((1 << 64) - 8)),), {"MDMP-MEMORY-002"}),
    "range behind the end": ("small", (("stream 5", 4 + 12, FOUR),), {"MDMP-MEMORY-002"}),
    "ranges with two values for an address": ("small", (("stream 5", 4 + 48, u64(0x400FD0)),), {"MDMP-MEMORY-004"}),
    "ranges that touch": ("small", (("stream 5", 4 + 48, u64(0x4010C0)),), {"MDMP-MEMORY-005"}),
    "64-bit range count": ("full", (("stream 9", 0, u64(5)),), {"MDMP-MEMORY64-001"}),
    "64-bit base": ("full", (("stream 9", 8, EIGHT),), {"MDMP-MEMORY64-002"}),
    "64-bit range size": ("full", (("stream 9", 16 + 8, u64(0x3000)),), {"MDMP-MEMORY64-002"}),
    "64-bit range that wraps": ("full", (("stream 9", 16, u64((1 << 64) - 8)),), {"MDMP-MEMORY64-005"}),
    "64-bit ranges overlap": (
        "full",
        (("stream 9", 16 + 16 * 3, u64(0x400000)),),
        {"MDMP-MEMORY64-004", "XCUT-MEMORYINFO-003"},
    ),
    "region header": ("full", (("stream 16", 4, u32(40)),), {"MDMP-MEMORYINFO-001"}),
    "region of half a page": ("full", (("stream 16", row(12, 0x18), u64(0x800)),), {"MDMP-MEMORYINFO-002"}),
    "free region that can be written": ("full", (("stream 16", row(0, 0x24), u32(4)),), {"MDMP-MEMORYINFO-003"}),
    "region of no state": ("full", (("stream 16", row(0, 0x20), u32(7)),), {"MDMP-MEMORYINFO-003"}),
    "captured bytes of a free region": (
        "full",
        (("stream 16", row(5), free(0x20000, 0x2000)),),
        {"XCUT-MEMORYINFO-001", "XCUT-MEMORYINFO-003"},
    ),
    "range inside a region": (
        "full",
        (
            ("stream 16", row(7), image(0x400000, 0x2000, 2)),
            ("stream 16", row(8), image(0x402000, 0x1000, 4)),
            ("stream 16", row(9), free(0x403000, 0x1000)),
            ("stream 16", row(10), free(0x404000, 0xFC000)),
        ),
        {"XCUT-MEMORYINFO-002"},
    ),
    "captured page without access": ("full", (("stream 16", row(5, 0x24), u32(1)),), {"XCUT-MEMORYINFO-003"}),
    "captured guard page": ("full", (("stream 16", row(5, 0x24), u32(0x104)),), {"XCUT-MEMORYINFO-003"}),
    "readable page not captured": ("full", (("stream 16", row(2, 0x24), u32(4)),), {"XCUT-MEMORYINFO-003"}),
    "module in mapped memory": ("full", (("stream 16", row(8, 0x28), u32(0x40000)),), {"XCUT-MEMORYINFO-004"}),
    "thread info header": ("full", (("stream 17", 4, u32(60)),), {"MDMP-THREADINFO-001"}),
    "thread info twice": (
        "full",
        (("stream 17", 12 + 64, u32(0x1238)),),
        {"MDMP-THREADINFO-002", "XCUT-THREADINFO-001"},
    ),
    "thread info of no thread": ("full", (("stream 17", 12 + 64, u32(0x9999)),), {"XCUT-THREADINFO-001"}),
    "name count": ("small", (("stream 24", 0, u32(2)),), {"MDMP-THREADNAMES-001"}),
    "name behind the end": ("small", (("stream 24", 8, EIGHT),), {"MDMP-THREADNAMES-002"}),
    "name of no thread": ("small", (("stream 24", 4, u32(0x9999)),), {"XCUT-THREADNAMES-001"}),
    "handle descriptor size": ("full", (("stream 12", 4, u32(44)),), {"MDMP-HANDLE-001"}),
    "handle name behind the end": ("full", (("stream 12", 16 + 8, FOUR),), {"MDMP-HANDLE-002"}),
    "odd handle": ("full", (("stream 12", 16, u64(5)),), {"MDMP-HANDLE-003"}),
    "handle twice": ("full", (("stream 12", 16, u64(8)),), {"MDMP-HANDLE-003"}),
    "object information behind the end": ("full", (("stream 12", 16 + 0x20, FOUR),), {"MDMP-HANDLE-004"}),
    "system info cut": ("small", (("directory", 4, u32(48)),), {"MDMP-SYSTEM-001"}),
    "no service pack": ("small", (("stream 7", 0x18, u32(0)),), {"MDMP-SYSTEM-003", "MDMP-LAYOUT-002"}),
    "service pack behind the end": ("small", (("stream 7", 0x18, FOUR),), {"MDMP-SYSTEM-002"}),
    "misc info's own size": ("small", (("stream 15", 0, u32(1360)),), {"MDMP-MISC-001"}),
    "misc info of no version": (
        "small",
        (("directory", 12 + 4, u32(1000)), ("stream 15", 0, u32(1000) + u32(0x1F7))),
        {"MDMP-MISC-002", "MDMP-LAYOUT-002"},
    ),
    "misc info bit without meaning": ("small", (("stream 15", 4, u32(0x3FF)),), {"MDMP-MISC-003"}),
    "system memory info cut": ("small", (("directory", 12 * 5 + 4, u32(488)),), {"MDMP-SYSTEMMEMORY-001"}),
    "system memory info revision": ("small", (("stream 21", 0, b"\2"),), {"MDMP-SYSTEMMEMORY-001"}),
    "counters revision": ("small", (("stream 22", 0, b"\1"),), {"MDMP-VMCOUNTERS-001"}),
    "comment without NUL": ("small", (("stream 11", 10, b"x"),), {"MDMP-COMMENT-001"}),
    "contexts of another size": ("small", (("stream 15", 0x340, u32(528) + u32(1376)),), {"XCUT-XSTATE-001"}),
    "memory info of zeros": ("small", (("stream 21", 0, bytes(492)),), {"MDMP-SYSTEMMEMORY-002"}),
    "counters of zeros": ("small", (("stream 22", 0, bytes(152)),), {"MDMP-VMCOUNTERS-002"}),
    "five processors": ("small", (("stream 21", 4 + 0x30, u32(5)),), {"XCUT-SYSTEM-001"}),
    "created after the dump": ("small", (("stream 15", 12, FOUR),), {"XCUT-TIME-001"}),
}
ELSEWHERE = {
    "MDMP-MODULE-009",
    "MDMP-HEADER-001",
    "MDMP-MEMORY64-003",
    "MDMP-EXCEPTION-006",
    "MDMP-FUNCTIONTABLE-001",
    "MDMP-FUNCTIONTABLE-002",
    "MDMP-FUNCTIONTABLE-003",
    "MDMP-HANDLEOPERATION-001",
    "MDMP-HANDLEOPERATION-002",
    "MDMP-MISC-004",
    "MDMP-TOKEN-001",
    "MDMP-TOKEN-002",
    "MDMP-XSTATE-001",
    "MDMP-XSTATE-002",
    "MDMP-XSTATE-003",
    "MDMP-DIR-007",
    "XCUT-MODULE-001",
}
"""Rules whose faults test_structural_streams.py, test_extended_mutants.py and test_captured_images.py make."""


def patched(made: Any, patches: Patches) -> bytes:
    data = bytearray(made.data)
    for piece, offset, new in patches:
        at = made.at[piece] + offset
        data[at : at + len(new)] = new or data[at - 16 : at - 12]  # no change: the same field of the entry before
    return bytes(data)


@pytest.mark.parametrize("name", list(MUTANTS))
def test_a_fault_fails_its_rule_and_no_other(name: str, request: pytest.FixtureRequest) -> None:
    which, patches, expected = MUTANTS[name]
    made = request.getfixturevalue(which)
    assert failing(check(ByteSource(patched(made, patches)))) == expected


def test_every_structural_rule_has_a_fault() -> None:
    assert set().union(*(expected for _, _, expected in MUTANTS.values())) | ELSEWHERE == set(OURS)


@pytest.mark.parametrize("name", ["small", "full"])
def test_the_unchanged_dumps_pass_every_rule_without_truth(name: str, request: pytest.FixtureRequest) -> None:
    report = check(ByteSource(request.getfixturevalue(name).data), strict=True)
    assert failing(report) == set()
    assert report.unclaimed == 0


def test_rules_about_data_that_a_fault_removed_are_blocked_by_its_rule(small: Any) -> None:
    report = check(ByteSource(patched(small, (("stream 3", 0, u32(3)),))))
    blocked = {result.rule: result.blocked_by for result in report.results if result.verdict is Verdict.BLOCKED}
    assert set(blocked.values()) == {"MDMP-THREAD-001"}
    assert {"MDMP-THREAD-005", "XCUT-STACK-001", "XCUT-EXCEPTION-001", "MDMP-LAYOUT-001"} <= set(blocked)


def test_ranges_with_equal_bytes_may_overlap_but_not_under_the_contract_of_engine_29507(small: Any) -> None:
    # The same range twice by address: [0x401180, 0x401380) in place of [0x400FC0, 0x4010C0).
    at = small.at["stream 5"] + 4 + 32
    data = bytearray(small.data)
    data[at : at + 16] = data[at + 16 : at + 32]
    assert "MDMP-MEMORY-004" not in failing(check(ByteSource(bytes(data))))
    assert "MDMP-MEMORY-004" not in failing(check(ByteSource(bytes(data)), small.truth, small.request))
    asked = replace(small.request, contract="e29507")
    assert "MDMP-MEMORY-004" in failing(check(ByteSource(bytes(data)), small.truth, asked))


def test_zeros_behind_full_memory_are_padding_in_a_foreign_dump_and_a_fault_against_truth(full: Any) -> None:
    data = full.data + bytes(8)
    assert failing(check(ByteSource(data))) == set()
    assert failing(check(ByteSource(data), full.truth, full.request)) == {"MDMP-MEMORY64-002"}
