"""What is off by one amount in a sound dump is told by one finding that names the amount.

Each test damages a sound dump by an amount that hypothesis draws. The offsets come from the writer's layout map, or
from the bytes by hand, never from the oracle's readers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pytest
from dumptruth.fixtures.mutants.hand_pristine import pristine as by_hand
from dumptruth.fixtures.mutants.kernel_pristine import pristine as machine
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.mutants.surgery import Surgery
from dumptruth.oracle import ByteSource, Finding, Report, Verdict, check
from hypothesis import given, settings
from hypothesis import strategies as st

USER = st.sampled_from((BaseDump.SMALL, BaseDump.DEFAULT))
PAGED = st.sampled_from((BaseDump.KERNEL_FULL, BaseDump.KERNEL_DEFAULT, BaseDump.KERNEL_RANGES))
SOME = settings(max_examples=8, deadline=None)
PAGE = 4096
LISTS = {3: 4, 4: 4, 5: 4, 24: 4, 12: 16, 14: 12, 16: 16, 17: 12}
"""Stream -> bytes before its first entry. Of stream 5 an amount that is one entry too far may be told."""


def judged(case: Any, data: bytes | bytearray, *, own: bool = True) -> Report:
    """The report, with at most one further finding for each rule that fails because of a cause."""
    report = check(ByteSource(bytes(data)), *((case.truth, case.asked) if own else ()))
    for result in report.results:
        if result.follows is not None and result.verdict is Verdict.FAIL and result.note is None:
            assert len(result.findings) == 1
    return report


def cause(report: Report) -> Finding:
    """The one finding that names an amount. It stands first."""
    (found,) = (finding for result in report.results for finding in result.findings if finding.shift is not None)
    assert report.results[0].findings[0] is found
    return found


def amount_of(report: Report, unit: str = "byte") -> int:
    """The amount that the report names, as a distance."""
    shift = cause(report).shift
    assert shift is not None
    assert shift.unit == unit
    return abs(shift.amount)


def inserted(case: Any, at: int, by: int) -> bytes:
    """The dump with ``by`` bytes more at a file offset. Nothing else follows."""
    return bytes(case.data[:at]) + b"\x5a" * by + bytes(case.data[at:])


def streams(data: bytes) -> dict[int, tuple[int, int]]:
    """Type -> size, RVA; of the directory entries in use."""
    count, at = struct.unpack_from("<II", data, 8)
    entries = struct.iter_unpack("<III", data[at : at + 12 * count])
    return {number: (size, rva) for number, size, rva in entries if number}


def added(data: bytes, places: Iterable[int], form: str, by: int) -> bytearray:
    """The dump with ``by`` added to each integer."""
    changed = bytearray(data)
    for at in places:
        struct.pack_into(form, changed, at, struct.unpack_from(form, changed, at)[0] + by)
    return changed


def entries(data: bytes, number: int, first: int, size: int, field: int) -> list[int]:
    """The file offsets of one field in each entry of a list."""
    rva = streams(data)[number][1]
    count = struct.unpack_from("<I", data, rva)[0]
    return [rva + first + size * index + field for index in range(count)]


@SOME
@given(USER, st.integers(1, 4096) | st.integers(1, 16).map(lambda count: 12 * count), st.booleans())
def test_bytes_after_the_header_shift_all_rvas(base: BaseDump, by: int, own: bool) -> None:
    case = pristine(base)
    report = judged(case, inserted(case, 32, by), own=own)
    assert amount_of(report) == by
    assert cause(report).subject == "all RVAs of the file"
    assert not [result.rule for result in report.failing() if result.follows is None][1:]


@SOME
@given(USER, st.integers(1, 4096), st.booleans(), st.sampled_from(("MiscInfo", "ThreadList", "ModuleList")))
def test_bytes_before_a_stream_shift_all_that_follows(base: BaseDump, by: int, own: bool, section: str) -> None:
    case = pristine(base)
    assert amount_of(judged(case, inserted(case, case.layout.section(section).offset, by), own=own)) == by


@SOME
@given(USER, st.integers(-32, 4096).filter(bool), st.booleans())
def test_rvas_of_the_directory_that_are_all_off_are_one_cause(base: BaseDump, by: int, own: bool) -> None:
    case = pristine(base)
    places = [
        44 + 12 * index - 4
        for index in range(len(streams(case.data)))
        if case.data[40 + 12 * index : 44 + 12 * index] != bytes(4)
    ]
    report = judged(case, added(case.data, places, "<I", by), own=own)
    assert amount_of(report) == abs(by)
    assert "RVAs of the directory" in cause(report).subject


@SOME
@given(USER, st.integers(1, 250), st.sampled_from(sorted(LISTS.keys() - {5})), st.booleans())
def test_entries_behind_a_padded_count_are_one_cause(base: BaseDump, by: int, number: int, own: bool) -> None:
    case = pristine(base)
    held = streams(case.data)
    if number not in held or not held[number][0] > LISTS[number]:
        number = 4
    data = Surgery(case).insert(held[number][1] + LISTS[number], bytes(by), "Pad").data
    report = judged(case, data, own=own)
    if number == 4 or own:  # without truth every region is plausible at some short distance
        assert amount_of(report) == by
        assert cause(report).subject.startswith(f"the entries of stream {number} ")


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("by", [8, 12, 16])
def test_a_thread_list_with_more_padding_than_breakpads_names_it(by: int, own: bool) -> None:
    case = pristine(BaseDump.SMALL)
    data = Surgery(case).insert(streams(case.data)[3][1] + 4, bytes(by), "Pad").data
    found = cause(judged(case, data, own=own))
    assert found.actual == f"all of them stand {by} bytes later"
    assert found.subject == "the entries of stream 3 (ThreadListStream)"


@SOME
@given(USER, st.integers(-200, 2000).filter(bool), st.booleans())
def test_names_of_modules_that_are_all_off_are_one_cause(base: BaseDump, by: int, own: bool) -> None:
    case = pristine(base)
    report = judged(case, added(case.data, entries(case.data, 4, 4, 108, 20), "<I", by), own=own)
    assert amount_of(report) == abs(by)
    assert "module names" in cause(report).subject


@SOME
@given(USER, st.integers(-600, 2000).filter(bool))
def test_contexts_of_threads_that_are_all_off_are_one_cause(base: BaseDump, by: int) -> None:
    case = pristine(base)
    report = judged(case, added(case.data, entries(case.data, 3, 4, 48, 44), "<I", by))
    assert amount_of(report) == abs(by)
    assert cause(report).subject == "the RVAs of all contexts of threads"


@SOME
@given(USER, st.integers(1, 1 << 20), st.sampled_from((-PAGE, 0x10000)))
def test_modules_at_another_base_are_one_cause(base: BaseDump, pages: int, step: int) -> None:
    case = pristine(base)
    by = step * pages
    report = judged(case, added(case.data, entries(case.data, 4, 4, 108, 0), "<Q", by))
    assert amount_of(report) == abs(by)
    assert cause(report).subject == "the addresses of all modules"


@SOME
@given(USER, st.integers(-4096, 4096).filter(bool), st.sampled_from((1, 16, PAGE)))
def test_captured_memory_at_another_base_is_one_cause(base: BaseDump, count: int, step: int) -> None:
    case = pristine(base)
    number, first = (5, 4) if base is BaseDump.SMALL else (9, 16)
    report = judged(case, added(case.data, entries(case.data, number, first, 16, 0), "<Q", count * step))
    assert amount_of(report) == abs(count * step)
    assert cause(report).subject == "the addresses of all captured memory"


@pytest.mark.parametrize("base", [BaseDump.SMALL, BaseDump.DEFAULT])
def test_names_of_the_neighbours_are_off_by_one_entry(base: BaseDump) -> None:
    case = pristine(base)
    places = entries(case.data, 4, 4, 108, 20)
    values = [struct.unpack_from("<I", case.data, at)[0] for at in places]
    data = bytearray(case.data)
    for at, value in zip(places, values[1:] + values[:1], strict=True):
        struct.pack_into("<I", data, at, value)
    report = judged(case, data)
    assert amount_of(report, "entry") == 1
    assert cause(report).actual == f"all {len(places)} stand 1 entry too early in the list"


@SOME
@given(st.integers(1, 4096), st.booleans())
def test_full_memory_at_another_place_is_one_cause(by: int, own: bool) -> None:
    case = pristine(BaseDump.DEFAULT)
    start = struct.unpack_from("<Q", case.data, streams(case.data)[9][1] + 8)[0]
    report = judged(case, inserted(case, start, by), own=own)
    assert amount_of(report) == by


@SOME
@given(st.integers(1, 4096), st.integers(1, 8))
def test_memory_that_is_shifted_from_inside_a_range_on_is_one_cause(by: int, after: int) -> None:
    case = pristine(BaseDump.DEFAULT)
    start = struct.unpack_from("<Q", case.data, streams(case.data)[9][1] + 8)[0]
    report = judged(case, inserted(case, start + after * PAGE + 100, by))
    assert amount_of(report) == by
    assert "all that follows in the file" in cause(report).subject


@SOME
@given(PAGED, st.integers(1, 40 * PAGE), st.integers(0, 0x60))
def test_pages_that_are_shifted_by_bytes_are_one_cause(base: BaseDump, by: int, after: int) -> None:
    case = machine(base)
    start = case.layout.section("Pages").offset
    report = judged(case, inserted(case, start + after * PAGE, by))
    if by % PAGE:
        assert amount_of(report) == by
    else:
        assert amount_of(report, "page") == by // PAGE


@SOME
@given(PAGED, st.integers(1, 40))
def test_pages_that_are_shifted_by_pages_are_one_cause(base: BaseDump, by: int) -> None:
    case = machine(base)
    at = case.layout.section("Pages").offset + 16 * PAGE
    assert amount_of(judged(case, inserted(case, at, by * PAGE)), "page") == by


@SOME
@given(st.integers(1, 64))
def test_page_numbers_that_are_all_off_are_one_cause(by: int) -> None:
    case = machine(BaseDump.KERNEL_RANGES)
    count = struct.unpack_from("<I", case.data, 0x2020)[0]
    assert 0 < count < 1000
    data = added(case.data, [0x2030 + 16 * index for index in range(count)], "<Q", by)
    report = judged(case, data)
    assert amount_of(report, "page") == by
    assert cause(report).subject == "the page numbers of all runs"


@SOME
@given(st.integers(1, 4096))
def test_a_full_user_dump_tells_its_shift(by: int) -> None:
    case = by_hand(BaseDump.USERDUMP)
    report = judged(case, inserted(case, case.at["memory 0"], by))
    assert amount_of(report) == by


@pytest.mark.parametrize("own", [True, False])
def test_one_wrong_pointer_is_no_shift(own: bool) -> None:
    case = pristine(BaseDump.DEFAULT)
    places = entries(case.data, 4, 4, 108, 20)[:1]
    report = judged(case, added(case.data, places, "<I", 4), own=own)
    assert not any(finding.shift for result in report.results for finding in result.findings)


def test_one_wrong_byte_of_memory_is_no_shift() -> None:
    case = pristine(BaseDump.DEFAULT)
    data = bytearray(case.data)
    data[-5] ^= 0xFF
    report = judged(case, data)
    assert [result.rule for result in report.failing()] == ["PAGE-BYTES-001"]
    assert not any(finding.shift for result in report.results for finding in result.findings)


def test_two_padded_lists_are_two_causes() -> None:
    case = pristine(BaseDump.SMALL)
    held = streams(case.data)
    steps = Surgery(case).insert(held[4][1] + 4, bytes(8), "Pad 4").insert(held[3][1] + 4, bytes(12), "Pad 3")
    report = judged(case, steps.data)
    found = [finding.shift for result in report.results for finding in result.findings if finding.shift]
    assert sorted(shift.amount for shift in found) == [8, 12]
