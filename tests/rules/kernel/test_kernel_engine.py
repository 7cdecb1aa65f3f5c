"""Kernel dumps of the vendor's engine: sound ones pass under its contract and without truth, faults fail, and the
engine's own errors are named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from struct import pack, pack_into
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Outcome, Report, Verdict, check
from dumptruth.oracle.report.as_json import as_object
from dumptruth.oracle.report.text import render

from .conftest import Made, Maker
from .engine_dumps import E15063, E29507, small_by, with_engine_header
from .hand_machine import CRASH, KERNEL, MEMORY_BLOCK, POOL, RSP, RUNS, Memory, P, context_record

COUNTERS = KERNEL + 0x2100
RAISED = POOL + 0x7000


def by(made: Made, contract: str, session: str = "dump", data: bytes | None = None) -> Made:
    request = replace(made.request, contract=contract, session=session)
    return replace(made, request=request, data=made.data if data is None else data)


def judged(made: Made, **options: Any) -> Report:
    return check(ByteSource(made.data, "x.dmp"), made.truth, made.request, **options)


def failing(report: Report) -> set[str]:
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL and result.counts}


def known(report: Report) -> set[str]:
    return {item.known.id for result in report.results for item in result.findings if item.known is not None}


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _counted(memory: Memory) -> None:
    """Debugger data that leads to counts: 0x30000 and 0x10000 bytes, 13 pages."""
    for at, value in ((0x100, 0), (0x250, 8), (0x140, 16)):
        memory.write(0x51, at, pack("<Q", COUNTERS + value))
    memory.write(0x52, 0x100, pack("<3Q", 0x30000, 13, 0x10000))


def _raised(memory: Memory) -> None:
    """The context of an exception, on the stack of the crash."""
    registers = {**CRASH["registers"], "Rax": "0x77", "Rsp": hex(RSP + 0x40)}
    record = context_record({**CRASH, "context_flags": 0x10001F, "registers": registers})
    memory.write(0x62, RAISED - POOL, record)


def _raising(document: dict[str, Any]) -> None:
    document["bug_check"] = {"code": 0x7E, "parameters": ["0xc0000005", "0x1", "0x2", hex(RAISED)]}


COUNTS = (0x30, 13, 0x10)
ENGINES = (E15063, E29507)


@pytest.fixture(scope="module")
def counted() -> Made:
    return Maker(_counted).triage(19041)


@pytest.fixture(scope="module")
def raised() -> Made:
    made = Maker(_raised).triage(19041).with_truth(_raising)
    data = put(made.data, 0x38, pack("<I4xQQQQ", 0x1000007E, 0xC0000005, 1, 2, RAISED))
    record = context_record({**CRASH, "context_flags": 0x10001F, "registers": {
        **CRASH["registers"], "Rax": "0x77", "Rsp": hex(RSP + 0x40)}})  # fmt: skip
    return replace(made, data=put(data, 0x348, record))


def small(made: Made, engine: Any, contract: str | None = None, **options: Any) -> Made:
    data = small_by(engine, made.data, COUNTS if options.pop("counts", True) else (), **options)
    return by(made, contract or engine.contract, data=data)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.contract)
@pytest.mark.parametrize("contract", ["its own", "documented"])
def test_a_small_dump_by_an_engine_is_conformant(counted: Made, engine: Any, contract: str) -> None:
    made = small(counted, engine, engine.contract if contract == "its own" else contract)
    assert failing(judged(made)) == set()
    assert failing(check(ByteSource(made.data))) == set()


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.contract)
def test_the_contract_of_one_engine_does_not_allow_the_other(counted: Made, engine: Any) -> None:
    other = E29507 if engine is E15063 else E15063
    report = judged(small(counted, engine, other.contract))
    assert failing(report) == {"KTRI-SIZES-001", "KHDR-SPACE-001"}


BROKEN_BY_WINDOWS = {
    19041: {"KTRI-SIZES-001", "KHDR-SPACE-001"},
    26100: {"KTRI-SIZES-001", "KHDR-SPACE-001", "KTRI-LAYOUT-001", "KHDR-FILL-002", "KHDR-KDVERSION-001"},
}
"""By build: 26100 has layout B, which no engine writes."""


@pytest.mark.parametrize("build", BROKEN_BY_WINDOWS)
def test_a_small_dump_by_windows_breaks_the_contract_of_an_engine(maker: Maker, build: int) -> None:
    assert failing(judged(by(maker.triage(build), "e29507"))) == BROKEN_BY_WINDOWS[build]


def test_counts_that_are_not_the_targets_fail(counted: Made) -> None:
    assert failing(judged(small(counted, E29507, counts=False))) == {"KTRI-MM-001"}
    wrong = by(counted, "documented", data=small_by(E29507, counted.data, (0x31,)))
    assert failing(judged(wrong)) == {"KTRI-MM-001"}


def test_bytes_behind_the_targets_debugger_data_are_zero(counted: Made) -> None:
    made = small(counted, E29507)
    end = int.from_bytes(made.data[0x2070:0x2074], "little") + 0x3A8
    assert failing(judged(replace(made, data=put(made.data, end - 1, b"\x77")))) == {"KTRI-SAVED-001"}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.contract)
def test_bug_check_7e_has_the_exceptions_context_and_a_marked_code(raised: Made, engine: Any) -> None:
    made = small(raised, engine, counts=False)
    assert failing(judged(made)) == set()
    assert failing(judged(by(made, "documented"))) == set()
    unmarked = put(made.data, 0x38, pack("<I", 0x7E))
    assert failing(judged(replace(made, data=unmarked))) == {"KHDR-BUGCHECK-001"}
    assert failing(judged(by(made, "documented", data=unmarked))) == set()
    other = put(made.data, 0x348 + 0x78, b"\x78")
    assert failing(judged(replace(made, data=other))) == {"KHDR-CONTEXT-003"}
    assert failing(judged(by(made, "documented", data=other))) == {"KHDR-CONTEXT-003"}


def test_only_bug_check_7e_is_marked_by_an_engine(counted: Made) -> None:
    made = small(counted, E29507)
    marked = put(made.data, 0x38, pack("<I", 0x100000D1))
    assert failing(judged(replace(made, data=marked))) == {"KHDR-BUGCHECK-001"}
    assert failing(judged(by(made, "documented", data=marked))) == set()


def test_a_copy_of_a_small_dump_may_lack_what_its_source_lacks(counted: Made) -> None:
    """Engine 15063: the processor list is zeros, in whole or in part. Only with truth one wrong entry is judged."""
    data = small_by(E15063, counted.data)
    block = KERNEL + 0x2080
    table = int.from_bytes(data[0x2078:0x207C], "little")
    rows = [data[at : at + 16] for at in range(table, table + 16 * 10, 16)]
    row = next(row for row in rows if row[:8] == pack("<Q", block))
    at = int.from_bytes(row[8:12], "little")
    assert failing(check(ByteSource(put(data, at, bytes(16))))) == set()
    assert failing(check(ByteSource(put(data, at, bytes(8))))) == set()
    assert "KXCT-PRCB-001" in failing(judged(by(counted, "e15063", data=put(data, at, bytes(8)))))


def test_secondary_data_is_the_targets_own(counted: Made) -> None:
    bare = small_by(E29507, counted.data, COUNTS, blobs=False)
    report = check(ByteSource(bare), strict=True)
    assert "KFIL-BLOB-002" not in failing(report)
    assert failing(judged(by(counted, "e29507", data=bare))) == {"KFIL-BLOB-003"}


# Dumps with pages


def ranges(maker: Maker, number: int, kind: str, **options: Any) -> Made:
    made = maker.ranges(number, kind, **options)
    return by(made, "e29507", data=with_engine_header(made.data))


@pytest.mark.parametrize(("number", "kind"), [(8, "kernel"), (10, "complete")])
def test_a_range_dump_by_the_engine_is_conformant(maker: Maker, number: int, kind: str) -> None:
    made = ranges(maker, number, kind)
    assert failing(judged(made)) == set()
    assert failing(check(ByteSource(made.data))) == set()


FAULTS: dict[str, tuple[int, bytes, set[str]]] = {
    "version text": (0x60, bytes(32), {"KHDR-FILL-002"}),
    "memory map": (0x88, bytes(700), {"KHDR-FILL-002"}),
    "attributes": (0x1050, bytes(4), {"KHDR-FILL-002"}),
    "fields of a small dump": (0x1038, bytes(4), {"KHDR-FILL-002"}),
    "levels": (0x104E, b"\4", {"KHDR-FILL-002"}),
    "version of a live target": (0x104D, b"\2", {"KHDR-KDVERSION-001"}),
    "flags of a live target": (0xF04, bytes(4), {"KHDR-EXCEPTION-003"}),
    "length without blobs": (0xFA0, b"\0", {"KHDR-SPACE-001"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_header_that_the_engine_does_not_write_fails_under_its_contract(maker: Maker, name: str) -> None:
    at, new, rules = FAULTS[name]
    made = ranges(maker, 10, "complete")
    assert failing(judged(replace(made, data=put(made.data, at, new)))) == rules


def test_a_live_session_stores_flags_0_and_the_targets_version(maker: Maker) -> None:
    made = ranges(maker, 10, "complete")
    live = by(made, "e29507", "live", put(put(made.data, 0xF04, bytes(4)), 0x104D, b"\2"))
    assert failing(judged(live)) == set()
    assert failing(judged(by(made, "e29507", "live"))) == {"KHDR-EXCEPTION-003", "KHDR-KDVERSION-001"}


def test_an_engine_has_one_type_for_a_kind(maker: Maker) -> None:
    assert failing(judged(by(maker.full(), "e29507"))) >= {"KHDR-TYPE-002"}
    assert failing(judged(by(maker.ranges(8, "kernel"), "e15063"))) == {
        "KHDR-REQUEST-001", "KHDR-FILL-002", "KHDR-KDVERSION-001", "KHDR-SPACE-001",
    }  # fmt: skip


def _memory_block(memory: Memory) -> None:
    """MmPhysicalMemoryBlock leads to the runs, and other data follows them."""
    memory.write(0x52, MEMORY_BLOCK % P, pack("<Q", POOL + 0x7000))
    listed = pack("<IIQ", len(RUNS), 0, sum(count for _, count in RUNS))
    memory.write(0x62, 0x7000, listed + b"".join(pack("<QQ", *run) for run in RUNS) + b"Proc" * 100)


def test_engine_15063_copies_the_targets_memory_map_whole() -> None:
    maker = Maker(_memory_block)
    made = maker.full()
    raw = bytes(maker.memory.pages[0x69][:700])
    data = put(with_engine_header(made.data), 0x88, raw)
    assert failing(judged(by(made, "e15063", data=data))) == set()
    assert failing(judged(by(made, "documented", data=data))) == set()
    for contract in ("e15063", "documented"):
        leaked = put(data, 0x200, b"\x77")
        assert failing(judged(by(made, contract, data=leaked))) == {"KFUL-MAP-001"}
    assert failing(judged(by(made, "e15063", data=with_engine_header(made.data)))) == {"KFUL-MAP-001"}


# Which pages the engine takes


def _more_entries(memory: Memory) -> None:
    """A page in transition, one behind a prototype entry, and one below entry 511 of a page directory."""
    pack_into("<Q", memory.page(0x44), 8 * 0x1F0, 0x4F << 12 | 0x800)
    pack_into("<Q", memory.page(0x44), 8 * 0x1F1, 0x6B << 12 | 0xC00)
    memory.entry(0x43, 511, 0x4D)
    memory.entry(0x4D, 0, 0x4E)
    memory.write(0x4E, 0, b"lost")


ALL, LOST, TRANSITION, PROTOTYPE = (0x4D, 0x4E, 0x4F), {0x4D, 0x4E}, 0x4F, 0x6B
PAGES: dict[str, tuple[Callable[[set[int]], set[int]], str, set[str]]] = {
    "all": (lambda pages: pages, "e29507", set()),
    "no page in transition": (lambda pages: pages - {TRANSITION}, "e29507", {"KPAG-KERNEL-001"}),
    "no page in transition, documented": (lambda pages: pages - {TRANSITION}, "documented", set()),
    "a page of a prototype entry": (lambda pages: pages | {PROTOTYPE}, "e29507", {"KPAG-KERNEL-003"}),
    "no added page": (lambda pages: pages - {0x6E}, "e29507", set()),
    "no added page, documented": (lambda pages: pages - {0x6E}, "documented", {"KPAG-ADDED-001"}),
    "a table of another process": (lambda pages: pages | {0x48}, "e29507", {"KPAG-KERNEL-002"}),
}


def _dump(maker: Maker, pages: set[int], contract: str) -> Made:
    made = maker.bitmap(6, "kernel", "bitmap", pfns=sorted(pages))
    if contract == "e29507":
        runs = [(pfn, 1) for pfn in sorted(pages)]
        made = maker.ranges(8, "kernel", runs=runs)
        return by(made, contract, data=with_engine_header(made.data))
    return by(made, contract)


@pytest.fixture(scope="module")
def richer() -> Maker:
    return Maker(_more_entries)


@pytest.mark.parametrize("name", PAGES)
def test_the_contract_decides_which_pages_belong_to_a_kernel_dump(richer: Maker, name: str) -> None:
    change, contract, rules = PAGES[name]
    report = judged(_dump(richer, change({*richer.kernel_pfns(), *ALL}), contract))
    assert failing(report) == rules
    assert not report.only_known_errors


def test_pages_below_entry_511_are_demanded_and_their_loss_is_a_known_error(richer: Maker) -> None:
    made = _dump(richer, {*richer.kernel_pfns(), TRANSITION}, "e29507")
    report = judged(made)
    assert failing(report) == {"KPAG-KERNEL-001"}
    assert report.only_known_errors
    assert known(report) == {"ENGINE-ENTRY-511"}
    text = render(report)
    assert "known error of the engine 29507: range dumps lack every page below entry 511" in text
    assert "every failure is a known error" in text
    rules = [rule for rule in as_object(report)["rules"] if rule["verdict"] == "FAIL"]
    assert rules[0]["findings"][0]["known_error"]["versions"] == ["29507"]


def test_another_loss_beside_a_known_error_is_not_explained_by_it(richer: Maker) -> None:
    made = _dump(richer, {*richer.kernel_pfns(), TRANSITION} - {0x5F}, "e29507")
    report = judged(made)
    assert failing(report) == {"KPAG-KERNEL-001"}
    assert not report.only_known_errors
    assert known(report) == {"ENGINE-ENTRY-511"}


def test_pages_in_use_belong_to_an_active_dump_of_the_engine(maker: Maker) -> None:
    pages = [pfn for pfn in maker.active_pfns() if pfn != 0x6D]
    whole = sorted({*maker.ram} - {0x6F, 0x71, 0x72})
    runs = {"few": [(pfn, 1) for pfn in pages], "whole": [(pfn, 1) for pfn in whole]}
    made = {name: maker.ranges(9, "active", runs=listed) for name, listed in runs.items()}
    found = {
        name: failing(judged(by(item, "e29507", data=with_engine_header(item.data)))) for name, item in made.items()
    }
    assert found == {"few": {"KPAG-ACTIVE-001"}, "whole": set()}


def test_deadfeed_is_a_known_error_of_a_complete_dump() -> None:
    maker = Maker()
    made = ranges(maker, 10, "complete")
    at = int.from_bytes(made.data[0x2018:0x2020], "little")
    dead = judged(replace(made, data=put(made.data, at, bytes.fromhex("edfeadde") * 0x400)))
    assert failing(dead) == {"KPAG-BYTES-001"}
    assert known(dead) == {"ENGINE-DEADFEED"}
    other = judged(replace(made, data=put(made.data, at, bytes.fromhex("edfeadde") * 0x3FF + b"else")))
    assert failing(other) == {"KPAG-BYTES-001"}
    assert known(other) == set()


def test_the_engine_takes_for_ram_what_the_targets_memory_map_lists() -> None:
    """Page 0 is RAM, but the map does not list it: the engine leaves it out. Without a map all RAM is demanded."""

    def with_page_0(document: dict[str, Any]) -> None:
        document["physical_runs"][0] = {"base_page": "0x0", "page_count": "0x20"}

    mapped = ranges(Maker(_memory_block), 10, "complete").with_truth(with_page_0)
    assert failing(judged(mapped)) == set()
    assert failing(judged(by(mapped, "documented"))) >= {"KPAG-COMPLETE-001"}
    lost = judged(ranges(Maker(), 10, "complete").with_truth(with_page_0))
    assert failing(lost) == {"KPAG-COMPLETE-001"}
    assert known(lost) == set()
    runs = [(0x0, 0x20), *RUNS[1:]]
    more = ranges(Maker(_memory_block), 10, "complete", runs=runs).with_truth(with_page_0)
    assert failing(judged(more)) == {"KPAG-RAM-001"}


def test_a_misplaced_fltsave_is_a_known_error(counted: Made) -> None:
    made = small(counted, E29507)
    context = bytearray(made.data[0x348 : 0x348 + 0x4D0])
    context[0x200:0x400], context[0x100:0x200] = context[0x100:0x300], bytes(0x100)
    report = judged(replace(made, data=put(made.data, 0x348, bytes(context))))
    assert failing(report) == {"KHDR-CONTEXT-003", "KHDR-CONTEXT-004"}
    assert report.only_known_errors
    alone = check(ByteSource(put(made.data, 0x348, bytes(context))))
    assert failing(alone) == set()
    assert known(alone) == {"ENGINE-FLTSAVE"}
    lost = put(made.data, 0x348 + 0x100, bytes(0x200))
    assert known(judged(replace(made, data=lost))) == {"ENGINE-FLTSAVE"}
    changed = put(made.data, 0x348 + 0x118, b"\x77")
    assert known(judged(replace(made, data=changed))) == set()


def test_an_engines_errors_do_not_explain_the_dumps_of_another(richer: Maker) -> None:
    made = _dump(richer, {*richer.kernel_pfns(), TRANSITION}, "e29507")
    assert known(judged(by(made, "e15063"))) == set()


def test_stale_bytes_of_a_small_dump_are_a_known_error_of_15063(counted: Made) -> None:
    sound = small(counted, E15063)
    assert failing(judged(sound)) == set()
    driver = int.from_bytes(sound.data[0x2030:0x2034], "little")  # DriverListOffset
    dirty = put(sound.data, driver + 0x30, b"\x28")
    report = judged(by(sound, "e15063", data=dirty))
    assert failing(report) == {"KTRI-DRIVERS-005"}
    assert report.only_known_errors
    assert known(report) == {"ENGINE-STALE-BYTES"}
    named = put(dirty, 0x2044, bytes(4))  # TriageOptions of another writer
    assert known(judged(by(sound, "e15063", data=named))) == set()
    newer = small(counted, E29507)
    assert known(judged(by(newer, "e29507", data=put(newer.data, driver + 0x30, b"\x28")))) == set()


def test_stale_bytes_of_an_unloaded_driver_are_a_known_error_of_15063_its_name_is_not(counted: Made) -> None:
    sound = small(counted, E15063)
    entry = int.from_bytes(sound.data[0x2018:0x201C], "little") + 8  # UnloadedDriversOffset, behind the count
    length = int.from_bytes(sound.data[entry : entry + 2], "little")
    assert 0 < length < 24
    for at in (entry + 4, entry + 0x10 + length):
        report = judged(by(sound, "e15063", data=put(sound.data, at, b"\x28")))
        assert failing(report) == {"KTRI-UNLOADED-002"}
        assert known(report) == {"ENGINE-STALE-BYTES"}
        assert report.only_known_errors
    assert known(judged(by(sound, "e15063", data=put(sound.data, entry + 0x10, b"\x28")))) == set()


# What 15063 does with crafted targets


def _block_at_a_page_end(memory: Memory) -> None:
    """MmPhysicalMemoryBlock leads to the runs at the end of the pool: the next page is not mapped."""
    memory.write(0x52, MEMORY_BLOCK % P, pack("<Q", POOL + 0x7F80))
    listed = pack("<IIQ", len(RUNS), 0, sum(count for _, count in RUNS))
    memory.write(0x69, 0xF80, (listed + b"".join(pack("<QQ", *run) for run in RUNS)).ljust(0x80, b"\x22"))


def test_a_memory_map_that_ends_at_a_hole_keeps_the_fill() -> None:
    made = Maker(_block_at_a_page_end).full()
    raw = bytes(Maker(_block_at_a_page_end).memory.pages[0x69][0xF80:])
    field = (raw + b"PAGE" * 0x90)[:700]
    data = put(with_engine_header(made.data), 0x88, field)
    assert failing(judged(by(made, "e15063", data=data))) == set()
    assert failing(judged(by(made, "e15063", data=put(data, 0x200, b"\x22")))) == {"KFUL-MAP-001"}


def test_15063_saves_selectors_with_privilege_level_3(counted: Made) -> None:
    made = small(counted, E15063)
    at = int.from_bytes(made.data[0x2070:0x2074], "little")
    data = made.data
    for field in (0x2FA, 0x2FC, 0x304, 0x306):
        data = put(data, at + field, bytes([data[at + field] | 3]))
    assert failing(judged(replace(made, data=data))) == set()
    assert failing(judged(replace(made, data=put(data, at + 0x2FE, b"\3")))) == {"KTRI-SAVED-001"}
    newer = small(counted, E29507)
    at = int.from_bytes(newer.data[0x2070:0x2074], "little")
    assert failing(judged(replace(newer, data=put(newer.data, at + 0x2FA, b"\3")))) == {"KTRI-SAVED-001"}


def test_15063_may_mark_a_small_dump_as_that_of_a_live_dump(counted: Made) -> None:
    made = small(counted, E15063)
    assert failing(judged(replace(made, data=put(made.data, 0x1050, pack("<I", 0x10))))) == set()
    assert failing(judged(replace(made, data=put(made.data, 0x1050, pack("<I", 0x8))))) == {"KHDR-FILL-002"}


def test_an_engine_finds_the_ranges_of_drivers_by_their_array_alone(counted: Made) -> None:
    """The hand-made machine has no array. Windows still adds what its callbacks added."""

    def _more(document: dict[str, Any]) -> None:
        document["triage_data"].append({"address": hex(POOL + 0x3700), "size": "0x20"})

    assert failing(judged(small(counted.with_truth(_more), E15063))) == set()
    assert failing(judged(counted.with_truth(_more))) == {"KTRI-DATA-005"}
