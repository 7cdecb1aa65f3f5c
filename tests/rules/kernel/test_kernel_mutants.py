"""Each rule for kernel dumps fails on one fault in a hand-made dump. Only the rules that are listed here fail.

The tests place faults at offsets of the hand-made parts, never at offsets that the judge reads.
"""

from __future__ import annotations

from dataclasses import replace
from struct import pack
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Outcome, Replayed, Report, Verdict, all_rules, check

OURS = tuple(id_ for id_, rule in all_rules().items() if rule.kind == "kernel-dump")
ONE, TWO, FOUR, EIGHT = b"\x77", b"\x77" * 2, b"\x77" * 4, b"\x77" * 8
KERNEL, POOL = 0xFFFF_F800_0000_0000, 0xFFFF_F800_0010_0000
Patches = tuple[tuple[str, int, bytes], ...]


def failing(report: Report) -> set[str]:
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


def judge(made: Any, data: bytes | None = None, **options: Any) -> Report:
    return check(ByteSource(made.data if data is None else data), made.truth, made.request, strict=True, **options)


def u32(value: int) -> bytes:
    return pack("<I", value)


def u64(value: int) -> bytes:
    return pack("<Q", value)


FIELDS, FILL = "KHDR-FIELDS-001", "KHDR-FILL-001"
BYTES, SAVED = "KPAG-BYTES-001", "KTRI-SAVED-001"
# In the file of the complete dump, page 0x40 is the 32nd page.
KPAGE = {pfn: (0x1F + pfn - 0x40) * 0x1000 for pfn in range(0x40, 0x73)}
KDBG, HEAD = KPAGE[0x51], KPAGE[0x52]

MUTANTS: dict[str, tuple[str, Patches, set[str]]] = {
    # The main header.
    "machine": ("full", (("header", 0x30, u32(0x14C)),), {"KHDR-MACHINE-001", FIELDS}),
    "build": ("full", (("header", 0xC, u32(7)),), {FIELDS, "KXCT-VERSION-001"}),
    "checked build": ("full", (("header", 8, u32(12)),), {FIELDS, "KXCT-VERSION-001"}),
    "version of Windows": ("full", (("header", 8, u32(10)),), {FIELDS, "KHDR-VERSION-001", "KXCT-VERSION-001"}),
    "no processors": ("header only", (("header", 0x34, u32(0)),), {FIELDS, "KHDR-CPU-001"}),
    "one processor more": ("full", (("header", 0x34, u32(3)),), {FIELDS, "KXCT-PRCB-001"}),
    "type where it is not": ("full", (("header", 0xF94, u32(5)),), {"KHDR-EXCEPTION-003"}),
    "unknown type": ("full", (("header", 0xF98, u32(7)),), {"KHDR-TYPE-001", "KHDR-TYPE-002"}),
    "another type": ("header only", (("header", 0xF98, u32(9)),), {"KHDR-TYPE-002", "KRNG-HEADER-001"}),
    "context without integers": (
        "full", (("header", 0x348 + 0x30, u32(0x100001)),), {"KHDR-CONTEXT-001", "KHDR-CONTEXT-003"},
    ),
    "context tail": ("full", (("header", 0x900, ONE),), {"KHDR-CONTEXT-002"}),
    "register": ("full", (("header", 0x348 + 0x78, ONE),), {"KHDR-CONTEXT-003"}),
    "stack pointer": ("full", (("header", 0x348 + 0x99, ONE),), {"KHDR-CONTEXT-003", "KXCT-CONTEXT-001"}),
    "home slot": ("full", (("header", 0x348, ONE),), {"KHDR-CONTEXT-003"}),
    "MxCsr": ("full", (("header", 0x348 + 0x34, ONE),), {"KHDR-CONTEXT-003", "KHDR-CONTEXT-004"}),
    "special registers of nobody": (
        "full", (("header", 0x348 + 0x4D0 + 0x10, u64(0x40000)),), {"KHDR-CONTEXT-006"},
    ),
    "sixteen parameters": (
        "full", (("header", 0xF18, u32(16)),), {"KHDR-EXCEPTION-001", "KHDR-EXCEPTION-003"},
    ),
    "exception elsewhere": ("full", (("header", 0xF10, ONE),), {"KHDR-EXCEPTION-002", "KHDR-EXCEPTION-003"}),
    "exception code": ("full", (("header", 0xF00, u32(0xC0000005)),), {"KHDR-EXCEPTION-003"}),
    "exception slot": ("full", (("header", 0xF20, ONE),), {"KHDR-EXCEPTION-003"}),
    "obsolete context": ("full", (("header", 0x104D, b"\1"),), {"KHDR-KDVERSION-001"}),
    "two paging levels": ("full", (("header", 0x104E, b"\2"),), {"KHDR-LEVELS-001"}),
    "root with a PCID": ("full", (("header", 0x10, b"\x02"),), {FIELDS, "KHDR-DTB-001"}),
    "another root": (
        "full", (("header", 0x10, u64(0x50000)),),
        {FIELDS, "KXCT-DTB-002", "KXCT-TRANSLATE-001", "KXCT-KDBG-001", "KXCT-MODULES-002", "KXCT-USER-001"},
    ),
    "root outside": (
        "full", (("header", 0x10, u64(0x20000)),),
        {FIELDS, "KXCT-DTB-002", "KXCT-TRANSLATE-001", "KXCT-KDBG-001", "KXCT-MODULES-002", "KXCT-USER-001",
         "KPAG-ROOT-001"},
    ),
    "required space short": ("full", (("header", 0xFA1, b"\0"),), {"KHDR-SPACE-001"}),
    "comment without end": (
        "full", (("header", 0xFB0, b"x" * 128),), {"KHDR-COMMENT-001", "KHDR-COMMENT-002"},
    ),
    "comment of nobody": ("full", (("header", 0xFB0, b"hi\0"),), {"KHDR-COMMENT-002"}),
    "time": ("full", (("header", 0xFA8, ONE),), {"KHDR-TIME-002"}),
    "negative up time": ("full", (("header", 0x1037, b"\xff"),), {"KHDR-TIME-001", "KHDR-TIME-002"}),
    "padding": ("full", (("header", 0x3C, ONE),), {"KHDR-PADDING-001"}),
    "encrypted": ("full", (("header", 0x1051, b"\x01"),), {"KHDR-ATTRIBUTES-001"}),
    "reserved attribute": ("full", (("header", 0x1053, b"\x80"),), {"KHDR-ATTRIBUTES-001"}),
    "PFN database": ("full", (("header", 0x18, ONE),), {"KHDR-PFN-001", "KXCT-KDBG-003"}),
    "bug check code": ("full", (("header", 0x38, b"\x0a"),), {"KHDR-BUGCHECK-001", "KXCT-BUGCHECK-001"}),
    "bug check parameter": ("small A", (("header", 0x48, b"\x01"),), {"KHDR-BUGCHECK-001"}),
    "memory map": ("small B", (("header", 0x98, ONE),), {"KHDR-MAP-001"}),
    "behind the memory map": ("small B", (("header", 0x200, ONE),), {"KHDR-MAP-001"}),
    "version text": ("full", (("header", 0x60, ONE),), {FILL}),
    "reserved": ("full", (("header", 0x1500, ONE),), {FILL}),
    "diagnostics elsewhere": ("small B", (("header", 0x1060, ONE),), {FILL}),
    "product type": ("full", (("header", 0x1040, u32(3)),), {FIELDS, "KXCT-USER-001"}),
    "process head": ("full", (("header", 0x28, u64(KERNEL + 0x2000)),), {FIELDS, "KXCT-KDBG-002"}),
    "module list head": (
        "full", (("header", 0x20, u64(POOL + 0x3000)),),
        {FIELDS, "KXCT-KDBG-002", "KXCT-MODULES-001", "KXCT-MODULES-003", "KXCT-KERNEL-001", "KHDR-EXCEPTION-002"},
    ),
    # The file.
    "secondary data behind the pages": ("full", (("blobs", 0, b"dump"),), {"KFIL-TAIL-001", "KFIL-BLOB-003"}),
    "tail": ("small B", (("extra", 0, ONE),), {"KFIL-TAIL-001"}),
    "room": ("bitmap kernel", (("room", 16, ONE),), {"KFIL-ROOM-001"}),
    "blob header": ("full", (("blobs", 8, u32(0x20)),), {"KFIL-BLOB-001", "KFIL-BLOB-003", "KFIL-TAIL-001"}),
    "blob too long": ("full", (("blobs", 0x10 + 0x14, u32(0x1000)),), {
        "KFIL-BLOB-001", "KFIL-BLOB-003", "KFIL-TAIL-001",
    }),
    "blob build": ("full", (("blobs", 12, u32(19041)),), {"KFIL-BLOB-001", "KFIL-BLOB-003"}),
    "blob tag": ("full", (("blobs", 0x10 + 4, ONE),), {"KFIL-BLOB-003"}),
    "blob data": ("full", (("blobs", 0x30, ONE),), {"KFIL-BLOB-003"}),
    "blob padding": ("full", (("blobs", 0x30 + 9, ONE),), {"KFIL-BLOB-003"}),
    # Runs in the header.
    "no memory map": ("full", (("header", 0x88, b"PAGE"),), {"KFUL-COUNT-001"}),
    "no runs": ("full", (("header", 0x88, u32(0)),), {"KFUL-COUNT-001"}),
    "behind the runs": ("full", (("header", 0x100, ONE),), {"KFUL-MAP-001"}),
    "sum of the runs": ("full", (("header", 0x90, ONE),), {"KPAG-RUNS-003"}),
    # Bitmaps.
    "bitmap signature": ("bitmap kernel", (("sub", 0, b"XDMP"),), {"KBMP-HEADER-001"}),
    "summary with FDMP": ("summary", (("sub", 0, b"FDMP"),), {"KBMP-HEADER-001"}),
    "bitmap in bytes": ("bitmap kernel", (("sub", 0x30, u64(16)),), {
        "KBMP-ALIGN-001", "KBMP-COUNT-001", "KBMP-COVER-001", "KPAG-KERNEL-001", "KPAG-ADDED-001",
        "KPAG-SHARED-001", "KPAG-ROOT-001", "KXCT-KDBG-001", "KXCT-MODULES-002", "KXCT-TRANSLATE-001", "KXCT-DTB-002",
        "KXCT-USER-001", "KFIL-TAIL-001", "KFIL-ROOM-001", "KFIL-BLOB-003",
    }),
    "bitmap beyond the first page": ("bitmap kernel", (("sub", 0x30, u64(0x100000)),), {"KBMP-SIZE-001"}),
    "bitmap of no bits": ("bitmap kernel", (("sub", 0x30, u64(0)),), {"KBMP-SIZE-001"}),
    "page count": ("bitmap kernel", (("sub", 0x28, ONE),), {"KBMP-COUNT-001"}),
    "other bit count": ("summary", (("sub", 0x18, ONE),), {"KBMP-COUNT-002"}),
    "bits behind the last": ("bitmap kernel", (("sub", 0x30, u64(115)), ("bitmap", 14, b"\x50")), {
        "KBMP-TAIL-001", "KBMP-ALIGN-001",
    }),
    "bitmap larger than the machine": ("bitmap kernel", (("sub", 0x30, u64(192)),), {"KBMP-COVER-001"}),
    "options": ("bitmap kernel", (("sub", 8, ONE),), {"KBMP-FILL-001"}),
    # Ranges.
    "marker": ("ranges kernel", (("sub", 0, u32(0x20)),), {"KRNG-HEADER-001"}),
    "first page": ("ranges kernel", (("sub", 0x18, b"\0"),), {"KRNG-HEADER-001"}),
    "unknown field": ("ranges kernel", (("sub", 0xC, ONE),), {"KRNG-FILL-001"}),
    "terminator": ("ranges kernel", (("runs", 0x68, ONE),), {"KRNG-FILL-001"}),
    # Which pages.
    "a page's byte": ("full", (("pages", 0x1234, ONE),), {BYTES}),
    "a byte of untouched memory": ("full", (("pages", 5 * 0x1000, ONE),), {BYTES}),
    # Across structures: rules judge the bytes of a page against the machine and against other structures.
    "encoded debugger data": ("full", (("pages", KDBG + 0x10, FOUR),), {BYTES, "KXCT-KDBG-001"}),
    "stale size": ("full", (("pages", KDBG + 0x14, u32(0x340)),), {BYTES}),
    "size of nothing": ("full", (("pages", KDBG + 0x14, u32(0x10)),), {BYTES, "KXCT-KDBG-001"}),
    "kernel base": ("full", (("pages", KDBG + 0x18, u64(KERNEL + 0x1000)),), {
        BYTES, "KXCT-KERNEL-001", "KXCT-VERSION-001",
    }),
    "no image": ("full", (("pages", KPAGE[0x50], b"ZM"),), {BYTES, "KXCT-KERNEL-001"}),
    "modules overlap": ("full", (("pages", KPAGE[0x65] + 0x130, u64(KERNEL + 0x8000)),), {BYTES, "KXCT-MODULES-001"}),
    "back link": ("full", (("pages", HEAD + 8, EIGHT),), {BYTES, "KXCT-MODULES-002"}),
    "processor number": ("full", (("pages", KPAGE[0x63] + 0x24, u32(0)),), {BYTES, "KXCT-PRCB-001"}),
    "bug check data": ("full", (("pages", HEAD + 0x40, u32(0xA)),), {BYTES, "KXCT-BUGCHECK-001"}),
    "other context": ("full", (("pages", KPAGE[0x62] + 0x800 + 0x99, ONE),), {BYTES, "KXCT-CONTEXT-001"}),
    "shared data": ("full", (("pages", KPAGE[0x6A] + 0x2D0, ONE),), {BYTES, "KXCT-USER-001"}),
    # The small dump.
    "marker of the end": ("small A", (("tail", -4 % 16 + 0, b"trgd"),), {"KTRI-END-001"}),
    "valid offset by 4": ("small A", (("sub", 8, b"\0"),), {"KTRI-END-001"}),
    "offset into the header": ("small A", (("sub", 0x40, u32(0x100)),), {"KTRI-BLOCK-001", "KTRI-LAYOUT-001"}),
    "block beyond the end": ("small A", (("sub", 0x28, u32(0x7FFFFFF8)),), {"KTRI-BLOCK-002"}),
    "block not aligned": ("small A", (("sub", 0x38, b"\xe9"),), {
        "KTRI-BLOCK-003", "KTRI-POOL-001",
    }),
    "flags": ("small A", (("header", 0x1038, u32(0xCFB)),), {"KTRI-FLAGS-001", "KTRI-LAYOUT-001"}),
    "no KPRCB": ("small A", (("sub", 0x1C, u32(0)),), {
        "KTRI-PARTS-001", "KTRI-FLAGS-001", "KTRI-SAVED-001", "KTRI-RECIPE-001", "KFIL-LAYOUT-002",
    }),
    "top of stack": ("small A", (("sub", 0x49, b"\x6e"),), {
        "KTRI-STACK-001", "KTRI-STACK-002", "KTRI-STACK-003", "KTRI-SAVED-001",
    }),
    "stack size": ("small A", (("sub", 0x2C, u32(0x1F8)),), {
        "KTRI-STACK-003", "KFIL-LAYOUT-002", "KTRI-RECIPE-001",
    }),
    "size of the KPRCB": ("small A", (("kdbg", 0x2B0, b"\x08"),), {
        "KTRI-SAVED-001", "KTRI-SIZES-001", "KTRI-RECIPE-001", "KFIL-LAYOUT-001",
    }),
    "room before the end": ("small 9600", (("tail", 0x100, ONE),), {"KTRI-ROOM-001"}),
    "room before the first end": ("small B", (("tail", 3, ONE),), {"KTRI-ROOM-001"}),
    "name of nobody": ("small A", (("drivers", 0x90, u32(0x2DE8)),), {
        "KTRI-POOL-002", "KTRI-DRIVERS-004", "KTRI-RECIPE-001",
    }),
    "length in bytes": ("small A", (("pool", 0, u32(66)),), {"KTRI-POOL-001"}),
    "padding of a name": ("small B", (("pool", 30, ONE),), {"KTRI-POOL-003"}),
    "name offset": ("small A", (("drivers", 0x90, u32(0x2DF0)),), {
        "KTRI-DRIVERS-001", "KTRI-DRIVERS-004", "KTRI-POOL-002", "KTRI-RECIPE-001",
    }),
    "kernel not first": ("small A", (("drivers", 0x38, u64(KERNEL + 0x1000)),), {
        "KTRI-DRIVERS-002", "KTRI-DRIVERS-004", "KXCT-KERNEL-001",
    }),
    "links": ("small B", (("drivers", 8, ONE),), {"KTRI-DRIVERS-005"}),
    "first link": ("small B", (("drivers", 16, ONE),), {"KTRI-DRIVERS-003", "KTRI-DRIVERS-005"}),
    "check sum": ("small A", (("drivers", 0x80, ONE),), {"KTRI-DRIVERS-004"}),
    "left over in an entry": ("small A", (("drivers", 0x20, ONE),), {"KTRI-DRIVERS-005"}),
    "fifty-one unloaded": ("small B", (("unloaded", 0, b"\x33"),), {
        "KTRI-UNLOADED-001", "KTRI-UNLOADED-002", "KFIL-LAYOUT-001",
    }),
    "unloaded name": ("small A", (("unloaded", 8 + 0x10, b"G"),), {"KTRI-UNLOADED-002"}),
    "unloaded backwards": ("small A", (("unloaded", 8 + 0x30, u64(0x1000)),), {
        "KTRI-UNLOADED-001", "KTRI-UNLOADED-002",
    }),
    "MM version": ("small A", (("mm", 0, b"\x02"),), {"KTRI-MM-001"}),
    "block of no bytes": ("small A", (("table", 12, u32(0)),), {"KTRI-DATA-001"}),
    "block byte": ("small A", (("data", 0x900, ONE),), {"KTRI-DATA-004"}),
    "blocks that differ": ("small A", (("data", 0x14F1, ONE),), {"KTRI-DATA-002", "KTRI-DATA-004"}),
    "block beyond memory": ("small A", (("table", 0x80, u64((1 << 64) - 8)),), {
        "KTRI-DATA-003", "KTRI-DATA-004", "KTRI-DATA-005",
    }),
    "block elsewhere": ("small A", (("table", 0x70, u64(KERNEL + 0xB000)),), {"KTRI-DATA-004", "KTRI-DATA-007"}),
    "process root": ("small A", (("process", 0x28, u64(0x41000)),), {"KTRI-SAVED-001", "KXCT-DTB-001"}),
    "TriageOptions": ("small A", (("sub", 0x44, u32(0x41)),), {"KTRI-LAYOUT-001"}),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_trips_its_rules_and_no_other(dumps: dict[str, Any], name: str) -> None:
    kind, patches, rules = MUTANTS[name]
    made = dumps[kind]
    assert failing(judge(made, made.patched(*patches))) == rules


# Added or replaced pages: (type, kind, PFNs left out, PFNs put in), rules.
SETS: dict[str, tuple[tuple[int, str, set[int], set[int]], set[str]]] = {
    "a user page": ((6, "kernel", set(), {0x60}), {"KPAG-KERNEL-002"}),
    "a free page": ((6, "kernel", set(), {0x6F}), {"KPAG-KERNEL-003"}),
    "a page that is no RAM": ((6, "kernel", set(), {0x20}), {"KPAG-RAM-001"}),
    "some user tables": ((6, "kernel", set(), {0x48}), {"KPAG-TABLES-001"}),
    "all user tables": ((6, "kernel", set(), set(range(0x48, 0x4D))), set()),
    "the root of another process": ((6, "kernel", set(), {0x41}), set()),
    "no leaf page": ((6, "kernel", {0x5F}, set()), {"KPAG-KERNEL-001"}),
    "no names": ((6, "kernel", {0x65}, set()), {"KPAG-KERNEL-001", "KXCT-READ-001", "KXCT-MODULES-002"}),
    "no stack": ((2, "kernel", {0x67}, set()), {"KPAG-KERNEL-001", "KXCT-READ-001"}),
    "no added page": ((6, "kernel", {0x6E}, set()), {"KPAG-ADDED-001"}),
    "no shared data": (
        (6, "kernel", {0x6A}, set()), {"KPAG-KERNEL-001", "KPAG-SHARED-001", "KXCT-USER-001"},
    ),
    "no shared data, active": (
        (6, "active", {0x6A}, set()), {"KPAG-KERNEL-001", "KPAG-SHARED-001", "KXCT-USER-001"},
    ),
    "complete without one page": ((5, "complete", {0x6F}, set()), {"KPAG-COMPLETE-001"}),
    "complete with one more": ((5, "complete", set(), {0x20}), {"KPAG-RAM-001"}),
    "active without a user page": ((6, "active", {0x61}, set()), {"KPAG-ACTIVE-001"}),
    "active with a free page": ((6, "active", set(), {0x6F}), {"KPAG-ACTIVE-002"}),
    "active without a page in transition": ((6, "active", {0x70}, set()), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_which_pages_are_there_is_judged_page_by_page(maker: Any, name: str) -> None:
    (number, kind, out, into), rules = SETS[name]
    profile = "classic" if number == 2 else "bitmap"
    made = maker.bitmap(number, kind, profile, pfns=sorted({*maker.pfns(kind), *into} - out))
    assert failing(judge(made)) == rules


RUNS = [(0x1, 0x1F), (0x40, 0x33)]
# The runs of a complete dump, as type 1 or as type 10; rules.
LISTS: dict[str, tuple[int, list[tuple[int, int]], set[str]]] = {
    "twice": (1, [*RUNS, (0x50, 1)], {"KPAG-RUNS-001", "KPAG-ONCE-001"}),
    "unsorted": (1, RUNS[::-1], {"KPAG-RUNS-001"}),
    "split": (1, [(0x1, 0xF), (0x10, 0x10), RUNS[1]], {"KPAG-RUNS-002"}),
    "empty run": (10, [RUNS[0], (0x30, 0), RUNS[1]], {"KPAG-RUNS-001"}),
    "merged across the hole": (1, [(0x1, 0x72)], {"KPAG-RAM-001"}),
    "one page short": (1, [RUNS[0], (0x40, 0x32)], {"KPAG-COMPLETE-001"}),
    "PFN 0": (10, [(0, 0x20), RUNS[1]], {"KPAG-RAM-001", "KRNG-ZERO-001"}),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_runs_are_judged(maker: Any, name: str) -> None:
    number, runs, rules = LISTS[name]
    made = maker.full(runs) if number == 1 else maker.ranges(10, "complete", runs=runs)
    assert failing(judge(made)) == rules


# The runs of range dumps that are judged without truth, as the vendor's engine reads them; rules.
FOREIGN_LISTS: dict[str, tuple[list[tuple[int, int]], set[str]]] = {
    "in order": (RUNS, set()),
    "unsorted": (RUNS[::-1], {"KPAG-RUNS-004"}),
    "empty run": ([RUNS[0], (0x30, 0), RUNS[1]], {"KPAG-RUNS-004"}),
    "equal pages twice": ([*RUNS, (0x50, 1)], {"KPAG-RUNS-004"}),
}


@pytest.mark.parametrize("name", FOREIGN_LISTS)
def test_runs_of_range_dumps_need_no_order_without_truth(maker: Any, name: str) -> None:
    runs, rules = FOREIGN_LISTS[name]
    report = check(ByteSource(maker.ranges(10, "complete", runs=runs).data))
    assert failing(report) & {"KPAG-RUNS-001", "KPAG-RUNS-004", "KPAG-ONCE-001"} == rules


def test_pages_of_a_range_dump_that_occur_twice_must_be_equal(maker: Any) -> None:
    data = bytearray(maker.ranges(10, "complete", runs=[*RUNS, (0x50, 1)]).data)
    first = int.from_bytes(data[0x2018:0x2020], "little")
    data[first + 0x1000 * sum(count for _, count in RUNS)] ^= 1
    assert "KPAG-ONCE-001" in failing(check(ByteSource(bytes(data))))


# Rules that no patch of these dumps fails. Each has a test below or in another file of this folder.
APART = {
    "KHDR-SIZE-001", "KHDR-ALONE-001", "KFUL-COUNT-002", "KPAG-LENGTH-001", "KHDR-REQUEST-001", "KFIL-BLOB-002",
    "KTRI-DATA-006", "KTRI-SMALL-001", "KXCT-PAE-001", "KXCT-REPLAY-001", "KFIL-LAYOUT-002",
    "KHDR-FILL-002", "KPAG-RUNS-004",
}  # fmt: skip


def test_every_rule_has_a_mutant() -> None:
    of_fields = (rules for _, _, rules in MUTANTS.values())
    of_sets = (rules for *_, rules in SETS.values())
    of_lists = (rules for _, _, rules in LISTS.values())
    tripped = set[str]().union(*of_fields, *of_sets, *of_lists)
    assert set(OURS) - tripped - APART == set()


def test_every_rule_makes_checks_on_a_conformant_dump(dumps: dict[str, Any]) -> None:
    made = {result.rule for dump in dumps.values() for result in judge(dump).results if result.checks}
    made |= {result.rule for result in check(ByteSource(dumps["ranges complete"].data)).results if result.checks}
    # Rules about 32-bit targets, about replay, about bytes after the context, and about an engine's header: no dump in
    # this file has them.
    assert set(OURS) - made == {"KXCT-PAE-001", "KXCT-REPLAY-001", "KHDR-CONTEXT-006", "KHDR-FILL-002"}


def test_a_file_cut_in_its_header_fails(dumps: dict[str, Any]) -> None:
    made = dumps["full"]
    for size in (8, 0xF98, 0x1FFF):
        assert "KHDR-SIZE-001" in failing(judge(made, made.data[:size]))
        assert check(ByteSource(made.data[:size])).outcome is Outcome.NON_CONFORMANT


def test_a_dump_without_memory_is_the_header_alone(dumps: dict[str, Any]) -> None:
    made = dumps["header only"]
    assert failing(judge(made, made.data + bytes(8))) == {"KHDR-ALONE-001", "KFIL-TAIL-001"}


def test_43_runs_are_read_and_reported(maker: Any) -> None:
    def frowned(count: int) -> bool:
        report = check(ByteSource(maker.full([(2 * index + 0x40, 1) for index in range(count)]).data))
        assert report.pages == count
        return any(result.rule == "KFUL-COUNT-002" and result.failures for result in report.results)

    assert [frowned(count) for count in (42, 43)] == [False, True]


@pytest.mark.parametrize("kind", ["full", "summary", "bitmap kernel", "ranges complete"])
def test_a_file_that_ends_inside_its_pages_is_cut(dumps: dict[str, Any], kind: str) -> None:
    made = dumps[kind]
    rules = failing(judge(made, made.data[: made.at["blobs"] - 0x800]))
    assert "KPAG-LENGTH-001" in rules
    assert "KFIL-TAIL-001" not in rules


@pytest.mark.parametrize(
    ("change", "said"),
    [({"qualifier_value": 1028}, "qualifier 1028"), ({"format_flags_value": 2}, "user-mode minidumps")],
)
def test_a_request_that_makes_no_kernel_dump_is_known(dumps: dict[str, Any], change: dict[str, int], said: str) -> None:
    made = dumps["full"]
    report = check(ByteSource(made.data), made.truth, replace(made.request, **change))
    (result,) = [result for result in report.results if result.rule == "KHDR-REQUEST-001"]
    assert said in result.findings[0].expected[0]


def test_a_page_that_cannot_be_read_allows_no_dump_that_needs_it(dumps: dict[str, Any]) -> None:
    def change(document: dict[str, Any]) -> None:
        document["unreadable_pages"] = [{"base_page": "0x6f", "page_count": "0x1"}]

    assert "KHDR-REQUEST-001" in failing(judge(dumps["full"].with_truth(change)))
    for kind in ("small A", "bitmap kernel", "bitmap active"):
        assert failing(judge(dumps[kind].with_truth(change))) == set()


def test_a_small_dump_without_secondary_data_is_unusual(dumps: dict[str, Any]) -> None:
    made = dumps["small A"]
    data = bytearray(made.data[: made.at["blobs"]])
    data[0xFA0:0xFA8] = pack("<Q", len(data))
    bare = made.with_truth(lambda document: document.update(blobs=[]))
    assert failing(judge(bare, bytes(data))) == {"KFIL-BLOB-002"}


def test_a_hole_between_blocks_is_found(dumps: dict[str, Any]) -> None:
    made = dumps["small A"]
    data = made.patched(("sub", 0x2C, u32(0x1F0)))
    assert "KFIL-LAYOUT-002" in failing(judge(made, data))


def test_a_small_dump_holds_no_more_than_a_page_of_a_read_only_section(dumps: dict[str, Any]) -> None:
    def change(document: dict[str, Any]) -> None:
        document["drivers"][0]["read_only_sections"] = [{"address": hex(POOL), "size": "0x8000"}]

    made = dumps["small A"]
    assert failing(judge(made.with_truth(change))) == set()
    large = made.patched(("table", 16 + 12, u32(0x1001)))
    assert "KTRI-DATA-006" in failing(judge(made.with_truth(change), large))


def test_a_small_dump_of_more_than_two_megabytes_is_unusual(dumps: dict[str, Any]) -> None:
    made = dumps["small A"]
    size = (2 << 20) + 4
    data = bytearray(made.data[: made.at["tail"]].ljust(size - 4, b"\0") + b"TRGD" + made.data[made.at["blobs"] :])
    data[0x2004:0x200C] = pack("<II", size, size - 4)
    data[0xFA0:0xFA8] = pack("<Q", len(data))
    assert failing(judge(made, bytes(data))) == {"KTRI-SMALL-001", "KTRI-ROOM-001", "KTRI-RECIPE-001"}


# The machine's bug check is 0xD1, a read of 0x10 at RIP: vector 14.
MET = Replayed(14, KERNEL + 0x4100, (0, 0x10))


@pytest.mark.parametrize(
    ("met", "failures"),
    [
        (MET, 0),
        (replace(MET, code=13), 3),
        (replace(MET, address=KERNEL), 1),
        (replace(MET, information=(0, 0x18)), 1),
        (replace(MET, information=(2, 0x10)), 1),
        (Replayed(None, None), 4),
        (Replayed(None, None, error="no memory"), 1),
    ],
)
def test_a_replay_must_raise_the_fault_of_the_bug_check(dumps: dict[str, Any], met: Replayed, failures: int) -> None:
    for kind in ("full", "ranges complete", "bitmap full"):
        report = judge(dumps[kind], replay=lambda _: met)
        (result,) = [result for result in report.results if result.rule == "KXCT-REPLAY-001"]
        assert (result.verdict is Verdict.FAIL, result.failures) == (failures > 0, failures)
    other = judge(dumps["small A"], replay=lambda _: met)
    assert [item.verdict for item in other.results if item.rule == "KXCT-REPLAY-001"] == [Verdict.NOT_APPLICABLE]


def test_a_truth_of_the_other_mode_is_refused_in_one_line(dumps: dict[str, Any], small: Any) -> None:
    of_process = check(ByteSource(dumps["full"].data), small.truth, small.request)
    of_machine = check(ByteSource(small.data), dumps["full"].truth, dumps["full"].request)
    for report in (of_process, of_machine):
        assert report.outcome is Outcome.NOT_A_DUMP
        assert report.reason is not None
        assert "the truth describes" in report.reason
