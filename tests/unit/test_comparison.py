"""Compares two dumps by content; the layout of the files does not matter."""

from __future__ import annotations

from dataclasses import replace
from struct import pack, pack_into

import pytest
from dumptruth.emu.request import Request
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes
from dumptruth.emu.writer.minidump import dump_bytes
from dumptruth.fixtures.mutants.cab_assembled import File, cabinet
from dumptruth.fixtures.mutants.hand_pristine import pristine as hand_pristine
from dumptruth.fixtures.mutants.kernel_edits import poked
from dumptruth.fixtures.mutants.kernel_pristine import REQUESTS, machine
from dumptruth.fixtures.mutants.kernel_pristine import pristine as kernel_pristine
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.mutants.surgery import Surgery
from dumptruth.oracle import ByteSource
from dumptruth.oracle.diff.comparison import MAX_LISTED, Comparison, NotComparableError, compare
from hypothesis import given
from hypothesis import strategies as st


def compared(first: bytes, second: bytes) -> Comparison:
    return compare(ByteSource(first, "a"), ByteSource(second, "b"))


def written(snapshot: ProcessSnapshot, request: Request) -> bytes:
    return dump_bytes(snapshot, request)[0]


PAGE_NOACCESS = 1


@pytest.mark.parametrize("base", [BaseDump.SMALL, BaseDump.DEFAULT])
def test_a_dump_is_equal_to_itself(base: BaseDump) -> None:
    data = pristine(base).data
    found = compared(data, data)
    assert found.same
    assert found.facts > 100
    assert found.compared == sum(item.size for item in pristine(base).layout.entries if item.kind == "memory")


def test_the_position_in_the_file_does_not_matter() -> None:
    case = pristine(BaseDump.SMALL)
    edit = Surgery(case)
    moved = edit.insert(case.layout.section("Strings").offset, bytes(64), "gap").data
    assert moved != case.data
    assert compared(case.data, moved).same


def test_a_changed_register_is_named_with_both_values() -> None:
    case = pristine(BaseDump.SMALL)
    thread = case.snapshot.threads[0]
    changed = replace(thread.context, registers=tuple(
        (name, 0x1234 if name == "Rbx" else value) for name, value in thread.context.registers
    ))  # fmt: skip
    other = replace(case.snapshot, threads=(replace(thread, context=changed), *case.snapshot.threads[1:]))
    found = compared(case.data, written(other, case.request))
    before = dict(thread.context.registers)["Rbx"]
    assert [tuple(vars_of(item)) for item in found.differences] == [
        (f"thread {thread.thread_id:#x}, context", "Rbx", f"{before:#x}", "0x1234")
    ]
    assert found.memory == ()


def vars_of(item: object) -> list[object]:
    return [getattr(item, name) for name in ("subject", "name", "first", "second")]


def test_a_missing_module_is_named_by_its_base_and_the_rest_still_agrees() -> None:
    case = pristine(BaseDump.DEFAULT)
    gone = case.snapshot.modules[-1]
    other = replace(case.snapshot, modules=case.snapshot.modules[:-1])
    found = compared(case.data, written(other, case.request))
    assert {item.subject for item in found.differences} == {f"module {gone.base:#x}"}
    assert {item.second for item in found.differences} == {None}


def test_changed_and_missing_memory_is_listed_by_address() -> None:
    case = pristine(BaseDump.DEFAULT)
    runs = list(case.snapshot.memory)
    first, last = runs[0], runs[-1]
    data = bytes(first.data)
    changed = replace(first, data=bytes([data[0] ^ 1]) + data[1:])
    regions = tuple(
        replace(region, protect=PAGE_NOACCESS) if last.start <= region.base < last.end else region
        for region in case.snapshot.regions
    )
    other = replace(case.snapshot, memory=(changed, *runs[1:-1]), regions=regions)
    found = compared(case.data, written(other, case.request))
    assert [(item.start, item.end, item.where) for item in found.memory] == [
        (first.start, first.start + 0x1000, "differs"),
        (last.start, last.end, "only in the first"),
    ]
    assert [(item.where) for item in compared(written(other, case.request), case.data).memory] == [
        "differs",
        "only in the second",
    ]


def test_two_kinds_of_one_machine_have_the_pages_of_the_kernel_in_common() -> None:
    full, default = kernel_pristine(BaseDump.KERNEL_FULL), kernel_pristine(BaseDump.KERNEL_DEFAULT)
    found = compared(full.data, default.data)
    assert {item.where for item in found.memory} == {"only in the first"}
    assert found.compared == sum(item.count for item in default.plan.pages) * 0x1000
    assert ("header", "DumpType", "0x1", "0x6") in [tuple(vars_of(item)) for item in found.differences]


def test_a_changed_page_is_listed_by_its_physical_address() -> None:
    case = kernel_pristine(BaseDump.KERNEL_FULL)
    found = compared(case.data, poked(case, case.snapshot.symbols.kernel_base + 0x40, b"changed"))
    assert [(item.end - item.start, item.where) for item in found.memory] == [(0x1000, "differs")]
    assert found.differences == ()


def test_small_dumps_of_two_machines_differ_where_the_machines_do() -> None:
    case = kernel_pristine(BaseDump.KERNEL_SMALL_A)
    other = replace(machine(), bug_check=replace(machine().bug_check, code=0xA))
    found = compared(case.data, kernel_dump_bytes(other, REQUESTS[BaseDump.KERNEL_SMALL_A])[0])
    assert ("header", "BugCheckCode", "0xd1", "0xa") in [tuple(vars_of(item)) for item in found.differences]


@pytest.mark.parametrize("other", [b"MZ" + bytes(80), b"", kernel_pristine(BaseDump.KERNEL_SMALL_A).data])
def test_a_dump_of_another_kind_and_a_file_that_is_not_a_dump_are_refused(other: bytes) -> None:
    with pytest.raises(NotComparableError, match=r"a is a minidump, b a kernel|b is "):
        compared(pristine(BaseDump.SMALL).data, other)


@given(st.data())
def test_a_flipped_byte_of_memory_is_found_and_a_damaged_dump_is_still_compared(data: st.DataObject) -> None:
    case = pristine(BaseDump.DEFAULT)
    at = data.draw(st.integers(8, len(case.data) - 1))
    damaged = bytearray(case.data)
    damaged[at] ^= 0xFF
    found = compared(case.data, bytes(damaged))
    memory = case.layout.section("Memory")
    if memory.offset <= at < memory.offset + memory.size:
        assert [item.where for item in found.memory] == ["differs"]


def regions(protect: int, count: int = 20_000) -> bytes:
    """A minidump with so many memory regions."""
    rows = b"".join(
        pack("<QQIIQIIII", i << 12, i << 12, 4, 0, 0x1000, 0x1000, protect, 0x20000, 0) for i in range(count)
    )
    stream = pack("<IIQ", 16, 48, count) + rows
    head = pack("<4sIIIIIQ", b"MDMP", 0xA793, 1, 32, 0, 0x60000000, 0)
    return head + pack("<III", 16, len(stream), 44) + stream


def test_the_first_differences_are_kept_and_all_are_counted() -> None:
    found = compared(regions(4), regions(2))
    assert found.different == 20_000
    assert len(found.differences) == MAX_LISTED
    assert vars_of(found.differences[1]) == ["region 0x1000", "Protect", "0x4", "0x2"]
    assert compared(regions(4), regions(4)).facts == found.facts


def test_memory_that_shares_its_bytes_is_compared_within_the_budget() -> None:
    """Each range holds all bytes behind the list: 2,000 times 32 KiB in a file of 64 KiB."""
    count, size = 2000, 1 << 15
    stream = pack("<I", count) + b"".join(pack("<QII", i << 20, size, 44 + 4 + 16 * count) for i in range(count))
    head = pack("<4sIIIIIQ", b"MDMP", 0xA793, 1, 32, 0, 0x60000000, 0) + pack("<III", 5, len(stream), 44)
    data = head + stream + bytes(size)
    found = compared(data, data)
    assert found.same
    assert found.compared == (1 << 20) + 2 * len(data)
    assert [item.subject for item in found.unjudged] == ["memory that both dumps have"]


def test_a_run_of_2_to_the_64_pages_ends_with_the_file() -> None:
    case = kernel_pristine(BaseDump.KERNEL_FULL)
    data = bytearray(case.data)
    pack_into("<Q", data, 0x88 + 24, (1 << 64) - 1)
    assert compared(bytes(data), bytes(data)).compared <= len(data)


def test_of_a_cabinet_the_dump_inside_is_compared() -> None:
    wrapped, bare = hand_pristine(BaseDump.CAB), kernel_pristine(BaseDump.KERNEL_SMALL_A)
    with pytest.raises(NotComparableError, match="expected a minidump or a kernel dump"):
        compared(bytes(wrapped.data), bare.data)
    inside = cabinet([[File(b"a.dmp", bare.data)]])
    found = compared(bytes(inside.data), bare.data)
    assert found.same
    assert found.facts > 100
