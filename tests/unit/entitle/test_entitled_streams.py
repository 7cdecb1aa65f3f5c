"""The streams that a minidump must, may and must not hold, its header flags, and requests that are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.oracle.entitlement.clauses import Duty
from dumptruth.oracle.entitlement.flags import MINIDUMP_TYPE, Format, acceptable_header_flags, effective, header_flags
from dumptruth.oracle.entitlement.refusal import refusal
from dumptruth.oracle.entitlement.user import Entitlement
from dumptruth.oracle.truth.objects import HandleOperationTruth, UserStreamTruth
from dumptruth.oracle.truth.process import UnloadedModuleTruth, UnreadableTruth

from .small_target import CODE, DEFAULT, FULL, HEAP, SMALL, STACK, request, target, thread


def test_no_optional_data_cancels_the_four_flags_that_it_names() -> None:
    flags = Format.NO_OPTIONAL_DATA | Format.FULL_MEMORY | Format.DATA_SEGMENTS | Format.INDIRECT_MEMORY
    asked = request(SMALL, flags)
    assert effective(asked) == Format.NO_OPTIONAL_DATA | Format.DATA_SEGMENTS
    assert Entitlement(target(), asked).stream(5)[0] is Duty.MUST
    assert set(acceptable_header_flags(asked)) == {0x443, 0x401}


def test_each_format_flag_has_one_minidump_type_bit_of_its_own() -> None:
    assert set(MINIDUMP_TYPE) == set(Format)
    assert len({value for value in MINIDUMP_TYPE.values() if value.bit_count() == 1}) == len(Format)
    # Observed in real dumps and transcripts: docs/format/format-flags.md#header-flags-seen-in-real-dumps.
    assert header_flags(effective(request(DEFAULT))) == 0x1826


def test_the_scan_bit_means_something_else_beside_write_cab() -> None:
    assert effective(request(SMALL, 0x10000000)) is Format.SCAN_PARTIAL_PAGES
    assert effective(request(SMALL, 0x30000000)) == Format(0)


@pytest.mark.parametrize(
    ("stream", "flags", "duty"),
    [
        *((number, 0, Duty.MUST) for number in (3, 4, 5, 7, 15)),
        *((number, 0, Duty.NEVER) for number in (6, 9, 10, 11, 12, 14, 16, 17, 18, 20, 23, 24, 25, 0x7000, 0x12345)),
        # The truth does not mention function tables and tokens, so their streams may be there.
        *((number, 0, Duty.MAY) for number in (0, 13, 19, 21, 22)),
        (18, Format.HANDLE_DATA, Duty.NEVER),
        (9, Format.FULL_MEMORY, Duty.MUST),
        (5, Format.FULL_MEMORY, Duty.NEVER),
        (12, Format.HANDLE_DATA, Duty.MUST),
        (16, Format.FULL_MEMORY_INFO, Duty.MUST),
        (17, Format.THREAD_INFO, Duty.MUST),
        (14, Format.UNLOADED_MODULES, Duty.NEVER),
    ],
)
def test_flags_decide_which_streams_are_required(stream: int, flags: int, duty: Duty) -> None:
    assert Entitlement(target(), request(SMALL, flags)).stream(stream)[0] is duty


def test_the_target_decides_which_streams_are_required() -> None:
    unloaded = (UnloadedModuleTruth(0x70000, 1, 0, 0, "b.dll"),)
    truth = target(exception=CODE, unloaded=unloaded, threads=(thread(8, CODE, STACK + 0x3F00, "main"),))
    entitled = Entitlement(truth, request(SMALL, Format.UNLOADED_MODULES, comment="hello"))
    assert entitled.stream(6)[0] is Duty.MUST
    assert entitled.stream(14)[0] is Duty.MUST
    assert entitled.stream(24)[0] is Duty.MAY
    assert entitled.stream(10)[0] is entitled.stream(11)[0] is Duty.MAY
    assert Entitlement(truth, request()).stream(14)[0] is Duty.NEVER


def test_user_streams_and_handle_traces_decide_their_streams() -> None:
    given = replace(request(), user_streams=(UserStreamTruth(0x10000, b""),))
    assert Entitlement(target(), given).stream(0x10000)[0] is Duty.MUST
    assert Entitlement(target(), given).stream(0x10001)[0] is Duty.NEVER
    traced = replace(target(), handle_operations=(HandleOperationTruth(4, 1, 1, 1, 0, ()),), tokens=())
    assert Entitlement(traced, request(SMALL, Format.HANDLE_DATA)).stream(18)[0] is Duty.MAY
    assert Entitlement(traced, request()).stream(18)[0] is Duty.NEVER
    assert Entitlement(traced, request()).stream(19)[0] is Duty.NEVER


def test_user_streams_have_numbers_of_their_own() -> None:
    low = replace(request(), user_streams=(UserStreamTruth(0xFFFF, b""),))
    twice = replace(request(), user_streams=(UserStreamTruth(0x10000, b""), UserStreamTruth(0x10000, b"x")))
    assert "not for callers" in str(refusal(target(), low))
    assert "given twice" in str(refusal(target(), twice))


def test_requests_that_make_no_minidump_give_the_reason() -> None:
    hole = (UnreadableTruth(HEAP, 0x1000),)
    stack_hole = (UnreadableTruth(STACK + 0x3000, 0x1000),)
    assert refusal(target(), request()) is None
    assert refusal(target(), request(DEFAULT)) is None
    assert "qualifier 1026" in str(refusal(target(), request(FULL)))
    assert "legacy" in str(refusal(target(), request(DEFAULT, profile="legacy")))
    assert "refuse" in str(refusal(target(), request(DEFAULT, profile="refuse")))
    assert refusal(target(), request(SMALL, profile="legacy")) is None
    assert refusal(target(unreadable=hole), request()) is None
    assert "0x30000" in str(refusal(target(unreadable=hole), request(DEFAULT)))
    assert "stack" in str(refusal(target(unreadable=stack_hole), request()))
    # Stacks are never left out; the flags for inaccessible memory do not apply to them.
    assert "stack" in str(refusal(target(unreadable=stack_hole), request(SMALL, Format.IGNORE_INACCESSIBLE_MEM)))


@pytest.mark.parametrize(
    ("flag", "hole"),
    [
        (Format.PRIVATE_READ_WRITE_MEMORY, HEAP),
        (Format.PROCESS_THREAD_DATA, 0x50000),
        (Format.CODE_SEGMENTS, CODE + 0x1000),
        (Format.MODULE_HEADERS, CODE),
    ],
)
def test_a_hole_in_memory_that_is_asked_for_by_name_is_fatal_only_where_it_may_not_be_ignored(
    flag: Format, hole: int
) -> None:
    torn = target(unreadable=(UnreadableTruth(hole, 0x1000),))
    no, ignore = Format.NO_IGNORE_INACCESSIBLE_MEM, Format.IGNORE_INACCESSIBLE_MEM
    assert refusal(torn, request(SMALL, flag)) is None
    assert refusal(torn, request(SMALL, flag | ignore)) is None
    assert refusal(torn, request(SMALL, no)) is None
    assert f"page at {hole:#x}" in str(refusal(torn, request(SMALL, flag | no)))
    assert f"page at {hole:#x}" in str(refusal(torn, request(SMALL, flag | no | ignore)))
    assert refusal(torn, request(SMALL, Format.INDIRECT_MEMORY | no)) is None
