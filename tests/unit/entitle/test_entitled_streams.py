"""The streams that a minidump must, may and must not hold, its header flags, and requests that are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.oracle.entitlement.duty import Duty
from dumptruth.oracle.entitlement.flags import MINIDUMP_TYPE, Format, acceptable_header_flags, active_filter, effective
from dumptruth.oracle.entitlement.refusal import refusal
from dumptruth.oracle.entitlement.user import Entitlement
from dumptruth.oracle.truth.objects import HandleOperationTruth, UserStreamTruth
from dumptruth.oracle.truth.process import UnloadedModuleTruth, UnreadableTruth

from .small_target import CODE, DEFAULT, FULL, HEAP, SMALL, STACK, request, target, thread

# FormatFlags -> header Flags without the token bit, by engine 29507 (docs/format/format-flags.md).
BY_29507 = {
    0x1: 0x20002, 0xC07: 0x21826, 0x04000001: 0x2000002, 0x10000001: 0x820002, 0x280: 0x500, 0x201: 0x20400,
    0x10001: 0x20002, 0x203: 0x20404, 0x10000: 0x100080, 0x5FFFF: 0x5A7DAD & ~0x40000, 0x20: 0x8, 0x10000000: 0x800000,
}  # fmt: skip
BY_15063 = {0xFF: 0xA6, 0x1001: 0x2002, 0x10000000: 0, 0x10000: 0x100080, 0x201: 0x400}


@pytest.mark.parametrize(("flags", "header"), BY_29507.items())
def test_flags_cancel_each_other_as_engine_29507_does(flags: int, header: int) -> None:
    assert acceptable_header_flags(request(SMALL, flags, contract="e29507")) == (header,)
    assert header in acceptable_header_flags(request(SMALL, flags))


@pytest.mark.parametrize(("flags", "header"), BY_15063.items())
def test_flags_cancel_each_other_as_engine_15063_does(flags: int, header: int) -> None:
    assert acceptable_header_flags(request(SMALL, flags, contract="e15063")) == (header,)
    assert header in acceptable_header_flags(request(SMALL, flags))


def test_a_cancelled_flag_has_no_effect_and_no_bit() -> None:
    flags = Format.NO_OPTIONAL_DATA | Format.FULL_MEMORY | Format.DATA_SEGMENTS | Format.INDIRECT_MEMORY
    asked = request(SMALL, flags)
    assert not effective(asked) & (Format.FULL_MEMORY | Format.INDIRECT_MEMORY)
    assert Entitlement(target(), asked).stream(5)[0] is Duty.MUST
    assert set(acceptable_header_flags(asked)) == {0x20401, 0x401}
    both = request(SMALL, Format.NO_OPTIONAL_DATA | Format.PROCESS_THREAD_DATA)
    assert set(acceptable_header_flags(both)) == {0x500, 0x400}


def test_a_filter_is_active_where_its_writer_changes_bytes() -> None:
    memory, triage = Format.FILTER_MEMORY, Format.FILTER_TRIAGE
    assert active_filter(request(SMALL, memory)) is memory
    for contract in ("e15063", "e29507"):
        assert not active_filter(request(SMALL, memory, contract=contract))
        assert active_filter(request(SMALL, memory | triage, contract=contract)) is triage
    assert active_filter(request(SMALL, memory | triage)) is triage
    assert not active_filter(request(SMALL, memory | triage | Format.FULL_MEMORY))


def test_each_format_flag_has_one_minidump_type_bit_of_its_own() -> None:
    assert set(MINIDUMP_TYPE) == set(Format)
    assert len({value for value in MINIDUMP_TYPE.values() if value.bit_count() == 1}) == len(Format)
    # Observed in real dumps and transcripts: docs/format/format-flags.md#header-flags-seen-in-real-dumps.
    assert 0x1826 in acceptable_header_flags(request(DEFAULT))


def test_the_scan_bit_stays_beside_write_cab() -> None:
    """Engine 29507 scans and stores all images; 15063 has no header bit for either meaning."""
    for flags in (0x10000000, 0x30000000, 0x70000000):
        assert effective(request(SMALL, flags)) is Format.SCAN_PARTIAL_PAGES
        assert acceptable_header_flags(request(SMALL, flags, contract="e29507")) == (0x800000,)
        assert acceptable_header_flags(request(SMALL, flags, contract="e15063")) == (0,)


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
        (14, Format.UNLOADED_MODULES, Duty.MAY),
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


def test_user_streams_have_numbers_of_their_own() -> None:
    low = replace(request(), user_streams=(UserStreamTruth(0xFFFF, b""),))
    twice = replace(request(), user_streams=(UserStreamTruth(0x10000, b""), UserStreamTruth(0x10000, b"x")))
    assert "not for callers" in str(refusal(target(), low))
    assert "given twice" in str(refusal(target(), twice))


@pytest.mark.parametrize(
    ("stream", "flags", "duties"),
    [
        (12, Format.HANDLE_DATA, ("may", "never", "never")),
        (14, Format.UNLOADED_MODULES, ("may", "never", "never")),
        (19, 0, ("may", "must", "must")),
        (19, Format.FILTER_TRIAGE, ("never", "never", "never")),
        (21, 0, ("may", "must", "must")),
        (22, 0, ("may", "must", "must")),
        (24, 0, ("may", "never", "must")),
    ],
)
def test_streams_of_a_writers_own_accord_are_demanded_by_its_contract(
    stream: int, flags: int, duties: tuple[str, ...]
) -> None:
    """A target with a thread's name, without handles and unloaded modules."""
    truth = replace(target(threads=(thread(8, CODE, STACK + 0x3F00, "main"),)), handles=())
    contracts = ("documented", "e15063", "e29507")
    asked = [request(SMALL, flags, contract=contract) for contract in contracts]
    assert tuple(Entitlement(truth, each).stream(stream)[0] for each in asked) == duties


def test_a_dump_without_exception_gives_an_exception_when_it_is_written_again() -> None:
    for contract in ("documented", "e15063", "e29507"):
        assert Entitlement(target(), request(contract=contract)).stream(6)[0] is Duty.NEVER
        assert Entitlement(target(), request(contract=contract, session="dump")).stream(6)[0] is Duty.MUST


def test_requests_that_make_no_minidump_give_the_reason() -> None:
    assert refusal(target(), request()) is None
    assert refusal(target(), request(DEFAULT)) is None
    assert "qualifier 1026" in str(refusal(target(), request(FULL)))
    assert "legacy" in str(refusal(target(), request(DEFAULT, profile="legacy")))
    assert "refuse" in str(refusal(target(), request(DEFAULT, profile="refuse")))
    assert "e29507" in str(refusal(target(), request(DEFAULT, contract="e29507")))
    assert refusal(target(), request(SMALL, profile="legacy")) is None
    ignore = Format.IGNORE_INACCESSIBLE_MEM | Format.NO_IGNORE_INACCESSIBLE_MEM
    assert "exclude" in str(refusal(target(), request(SMALL, ignore)))
    triage = Format.FILTER_TRIAGE | Format.ADD_AVX_XSTATE_CONTEXT
    assert "exclude" in str(refusal(target(), request(SMALL, triage)))
    assert "0x40000" in str(refusal(target(), request(SMALL, Format.IPT_TRACE, contract="e15063")))
    assert refusal(target(), request(SMALL, Format.IPT_TRACE, contract="e29507")) is None


def test_memory_that_cannot_be_read_fails_a_dump_only_where_no_writer_leaves_it_out() -> None:
    hole = target(unreadable=(UnreadableTruth(HEAP, 0x1000),))
    no, full = Format.NO_IGNORE_INACCESSIBLE_MEM, Format.FULL_MEMORY
    private = Format.PRIVATE_READ_WRITE_MEMORY
    assert refusal(hole, request()) is None
    assert refusal(hole, request(DEFAULT)) is None
    assert "0x30000" in str(refusal(hole, request(SMALL, full | no)))
    assert "0x30000" in str(refusal(hole, request(SMALL, full, contract="e15063")))
    assert refusal(hole, request(SMALL, full, contract="e29507")) is None
    assert refusal(hole, request(SMALL, private | no)) is None


def test_a_stack_that_cannot_be_read_fails_the_dump_of_engine_15063_alone() -> None:
    torn = target(unreadable=(UnreadableTruth(STACK + 0x3000, 0x1000),))
    assert "stack" in str(refusal(torn, request(contract="e15063")))
    for flags in (0, Format.IGNORE_INACCESSIBLE_MEM, Format.NO_IGNORE_INACCESSIBLE_MEM):
        assert refusal(torn, request(SMALL, flags)) is refusal(torn, request(SMALL, flags, contract="e29507")) is None


def test_process_data_of_a_dump_without_peb_is_refused() -> None:
    truth = target()
    flags = Format.PROCESS_THREAD_DATA
    assert "PEB" in str(refusal(truth, request(SMALL, flags, session="dump")))
    assert refusal(truth, request(SMALL, flags)) is None
    held = replace(truth, process=replace(truth.process, peb=HEAP))
    object.__setattr__(held, "contents", truth.contents)
    assert refusal(held, request(SMALL, flags, session="dump")) is None
