"""Each rule against truth passes on a hand-made dump and is the only one of its kind to fail on one changed byte."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from struct import pack
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Dump, Replayed, Report, Verdict, all_rules, check

OURS = ("TRUE-*", "PAGE-*")
APART = (
    *("TRUE-XSTATE-*", "TRUE-TOKEN-*", "TRUE-FUNCTIONTABLE-*", "TRUE-HANDLEOPERATION-*", "TRUE-USERSTREAM-*"),
    *("TRUE-STREAM-004", "PAGE-FILTER-*", "PAGE-REQUIRED-006", "PAGE-REQUIRED-007"),
)
"""Rules about data that these two dumps lack. Other files of this folder test them."""


def judge(made: Any, data: bytes | None = None, **options: Any) -> Report:
    return check(ByteSource(made.data if data is None else data), made.truth, made.request, **options)


def matching(*patterns: str) -> set[str]:
    """The matching rules of minidumps. Rules of full user dumps have other tests."""
    return {
        name
        for name, rule in all_rules().items()
        if rule.kind == "minidump" and any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def failing(report: Report) -> set[str]:
    """Ids of the failing rules of this area. A bug in a rule raises an exception."""
    assert not [result for result in report.results if result.verdict is Verdict.ERROR], report.reason
    return {
        result.rule
        for result in report.results
        if result.verdict is Verdict.FAIL and any(fnmatchcase(result.rule, pattern) for pattern in OURS)
    }


@pytest.mark.parametrize("name", ["small", "full"])
def test_a_dump_made_by_hand_is_conformant(name: str, request: pytest.FixtureRequest) -> None:
    report = judge(request.getfixturevalue(name), strict=True)
    assert [(result.rule, result.findings) for result in report.failing()] == []
    assert report.outcome == "CONFORMANT"
    assert report.unclaimed == 0


def test_every_rule_makes_checks_on_one_of_the_two_dumps(small: Any, full: Any) -> None:
    made = {
        result.rule
        for report in (judge(small), judge(full, replay=lambda _: Replayed(0xC0000005, 0x401200, (1, 0x10))))
        for result in report.results
        if result.checks
    }
    ours = matching(*OURS, "XCUT-REPLAY-*") - matching(*APART)
    # No flag of these two requests adds memory by name, and no handle has object information.
    assert ours - made == {"PAGE-REQUIRED-005"}


ONE, TWO, FOUR, EIGHT = b"\x01", b"\x77\x77", b"\x77\x77\x77\x77", b"\x77" * 8
# dump, piece, offset in it, bytes put there, rules that must fail
MUTANTS: list[tuple[str, str, int, bytes, set[str]]] = [
    ("small", "header", 0x14, FOUR, {"TRUE-TIME-001"}),
    ("small", "header", 0x18, b"\x02", {"TRUE-FLAGS-001"}),
    ("full", "header", 0x18, b"\x25\x18", {"TRUE-FLAGS-001"}),
    ("small", "header", 0x1A, b"\x04", {"TRUE-FLAGS-001"}),
    # A changed stream type removes a required stream and adds a forbidden one.
    ("full", "directory", 12 * 9, pack("<I", 0x12345), {"TRUE-STREAM-001", "TRUE-STREAM-002"}),
    ("small", "directory", 12 * 5, pack("<III", 0, 0, 0), {"TRUE-STREAM-003"}),
    ("small", "directory", 12 * 2, pack("<III", 0, 0, 0), {"TRUE-STREAM-001"}),
    ("small", "directory", 12 * 8, pack("<III", 0, 0, 0), {"TRUE-STREAM-001"}),
    ("small", "stream 7", 0x02, TWO, {"TRUE-SYSTEM-001"}),
    ("small", "stream 7", 0x04, TWO, {"TRUE-SYSTEM-001"}),
    ("small", "stream 7", 0x20, ONE, {"TRUE-SYSTEM-001"}),
    ("small", "stream 7", 0x08, FOUR, {"TRUE-SYSTEM-002"}),
    ("small", "stream 7", 0x10, FOUR, {"TRUE-SYSTEM-002"}),
    ("small", "stream 7", 0x1C, TWO, {"TRUE-SYSTEM-002"}),
    ("small", "csd", 4, b"X", {"TRUE-SYSTEM-003"}),
    ("small", "stream 15", 0x04, b"\xf6", {"TRUE-MISC-001"}),
    ("small", "stream 15", 0x08, FOUR, {"TRUE-MISC-002"}),
    ("small", "stream 15", 0x0C, FOUR, {"TRUE-MISC-002"}),
    ("small", "stream 15", 0x10, FOUR, {"TRUE-MISC-002"}),
    ("small", "stream 15", 0x14, FOUR, {"TRUE-MISC-002"}),
    ("small", "stream 15", 0x18, FOUR, {"TRUE-MISC-003"}),
    ("small", "stream 15", 0x28, FOUR, {"TRUE-MISC-003"}),
    ("small", "stream 15", 0x2C, FOUR, {"TRUE-MISC-004"}),
    ("small", "stream 15", 0x30, FOUR, {"TRUE-MISC-004"}),
    ("small", "stream 15", 0x34, FOUR, {"TRUE-MISC-004"}),
    ("small", "stream 15", 0x550, FOUR, {"TRUE-MISC-004"}),
    ("small", "stream 15", 0x38, FOUR, {"TRUE-MISC-005"}),
    ("small", "stream 15", 0x3C, FOUR, {"TRUE-MISC-005"}),
    ("small", "stream 15", 0x40, b"X", {"TRUE-MISC-005"}),
    ("small", "stream 15", 0x80, ONE, {"TRUE-MISC-005"}),
    ("small", "stream 15", 0x90, FOUR, {"TRUE-MISC-005"}),
    ("small", "stream 15", 0xE8, b"X", {"TRUE-MISC-006"}),
    ("small", "stream 15", 0x2F1, ONE, {"TRUE-MISC-007"}),
    ("small", "stream 15", 0x400, ONE, {"TRUE-MISC-008"}),
    ("small", "stream 21", 0x04, FOUR, {"TRUE-MEMORYINFO-001"}),
    ("small", "stream 21", 0x0C, FOUR, {"TRUE-MEMORYINFO-001"}),
    ("small", "stream 21", 0x2C, FOUR, {"TRUE-MEMORYINFO-001"}),
    ("small", "stream 21", 0x74, FOUR, {"TRUE-MEMORYINFO-002"}),
    ("small", "stream 21", 0x40, ONE, {"TRUE-MEMORYINFO-002"}),
    ("small", "stream 21", 0x1E4, ONE, {"TRUE-MEMORYINFO-002"}),
    ("small", "stream 21", 0x02, b"\0", {"TRUE-MEMORYINFO-002"}),
    ("small", "stream 22", 0x04, FOUR, {"TRUE-VMCOUNTERS-001"}),
    ("small", "stream 22", 0x58, FOUR, {"TRUE-VMCOUNTERS-001"}),
    ("small", "stream 22", 0x90, ONE, {"TRUE-VMCOUNTERS-001"}),
    ("small", "stream 22", 0x02, b"\x0e", {"TRUE-VMCOUNTERS-001"}),
    ("small", "stream 11", 0, b"J", {"TRUE-COMMENT-001"}),
    ("small", "stream 3", 4, FOUR, {"TRUE-THREAD-001"}),
    ("small", "stream 3", 4 + 0x04, FOUR, {"TRUE-THREAD-002"}),
    ("small", "stream 3", 4 + 0x08, FOUR, {"TRUE-THREAD-002"}),
    ("small", "stream 3", 4 + 0x0C, FOUR, {"TRUE-THREAD-002"}),
    ("small", "stream 3", 4 + 0x10, FOUR, {"TRUE-THREAD-002"}),
    ("small", "stream 3", 4 + 0x18, b"\x08", {"TRUE-THREAD-003"}),
    ("small", "stream 3", 4 + 0x20, b"\x80\x00", {"TRUE-THREAD-003"}),
    ("full", "stream 17", 12, FOUR, {"TRUE-THREADINFO-001"}),
    *(
        ("full", "stream 17", 12 + at, FOUR, {"TRUE-THREADINFO-002"})
        for at in (0x0C, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38)
    ),
    *(("full", "stream 17", 12 + at, ONE, {"TRUE-THREADINFO-003"}) for at in (0x04, 0x08)),
    ("small", "stream 24", 4, pack("<I", 0x1240), {"TRUE-THREADNAME-001"}),
    ("small", "thread name 0", 4, b"M", {"TRUE-THREADNAME-002"}),
    ("small", "context 0", 0x30, b"\x1e", {"TRUE-CONTEXT-001"}),
    *(
        ("small", "context 1", at, b"\x99", {"TRUE-CONTEXT-002"})
        for at in (0x34, 0x38, 0x42, 0x44, 0x48, 0x70, 0x78, 0xF8)
    ),
    ("small", "exception context", 0x98, b"\x99", {"TRUE-CONTEXT-002"}),
    ("small", "context 0", 0x100, b"\x99", {"TRUE-CONTEXT-003"}),
    ("small", "exception context", 0x2FF, b"\x99", {"TRUE-CONTEXT-003"}),
    *(("small", "context 1", at, ONE, {"TRUE-CONTEXT-004"}) for at in (0x00, 0x2F, 0x300, 0x4A0, 0x4A8, 0x4CF)),
    ("small", "stream 3", 4 + 0x28, pack("<I", 1240), {"TRUE-CONTEXT-005"}),
    ("small", "stream 6", 0x00, pack("<I", 0x1240), {"TRUE-EXCEPTION-001"}),
    *(("small", "stream 6", at, ONE, {"TRUE-EXCEPTION-002"}) for at in (0x08, 0x0C, 0x10, 0x18)),
    *(("small", "stream 6", at, b"\x05", {"TRUE-EXCEPTION-003"}) for at in (0x20, 0x28, 0x30)),
    ("small", "stream 4", 4, pack("<Q", 0x410000), {"TRUE-MODULE-001"}),
    *(("small", "stream 4", 4 + at, FOUR, {"TRUE-MODULE-002"}) for at in (0x08, 0x0C, 0x10)),
    ("small", "module name 1", 4 + 2 * 7, b"X", {"TRUE-MODULE-003"}),
    ("small", "stream 4", 4 + 0x20, FOUR, {"TRUE-MODULE-004"}),
    ("small", "stream 4", 4 + 108 + 0x18, FOUR, {"TRUE-MODULE-004"}),
    ("small", "code view 0", 5, b"\x99", {"TRUE-MODULE-005"}),
    ("small", "stream 4", 4 + 0x4C, bytes(8), {"TRUE-MODULE-005"}),
    ("small", "stream 4", 4 + 0x5C, ONE, {"TRUE-MODULE-006"}),
    ("small", "stream 4", 4 + 0x64, ONE, {"TRUE-MODULE-006"}),
    *(("full", "stream 14", 12 + at, FOUR, {"TRUE-UNLOADED-001"}) for at in (0x00, 0x08, 0x0C, 0x10)),
    ("full", "unloaded name 1", 4, b"X", {"TRUE-UNLOADED-002"}),
    ("full", "stream 12", 16, pack("<Q", 12), {"TRUE-HANDLE-001"}),
    *(("full", "stream 12", 16 + at, FOUR, {"TRUE-HANDLE-002"}) for at in (0x10, 0x14, 0x18, 0x1C, 0x24)),
    ("full", "stream 12", 0x0C, FOUR, {"TRUE-HANDLE-002"}),
    ("full", "type name 0", 4, b"X", {"TRUE-HANDLE-003"}),
    ("full", "stream 12", 16 + 40 + 0x0C, bytes(4), {"TRUE-HANDLE-003"}),
    ("full", "stream 16", 16 + 48, pack("<Q", 0x10800), {"TRUE-REGION-001"}),
    *(("full", "stream 16", 16 + at, FOUR, {"TRUE-REGION-002"}) for at in (0x08, 0x10, 0x18, 0x20, 0x24, 0x28)),
    # The range of stack 1 starts 8 bytes late: its first bytes are missing, and the others are shifted.
    ("small", "stream 5", 4, pack("<QI", 0x13F08, 0xF8), {"PAGE-REQUIRED-001", "PAGE-BYTES-001"}),
    ("small", "stream 5", 4 + 8, pack("<I", 0xF8), {"PAGE-REQUIRED-001"}),
    ("small", "stream 5", 4 + 32 + 8, pack("<I", 0xF8), {"PAGE-REQUIRED-002"}),
    ("small", "stream 5", 4 + 48, pack("<QI", 0x401190, 0x1F0), {"PAGE-REQUIRED-003", "PAGE-BYTES-001"}),
    ("small", "stream 5", 4 + 32, pack("<Q", 0x402000), {"PAGE-REQUIRED-002", "PAGE-FORBIDDEN-001", "PAGE-BYTES-001"}),
    ("small", "stream 5", 4 + 32, pack("<Q", 0x10000), {"PAGE-REQUIRED-002", "PAGE-FORBIDDEN-002"}),
    ("full", "stream 9", 16 + 8, pack("<Q", 0x1000), {"PAGE-REQUIRED-004", "PAGE-BYTES-001"}),
    ("full", "stream 9", 16, pack("<Q", 0x11000), {"PAGE-REQUIRED-004", "PAGE-FORBIDDEN-002", "PAGE-BYTES-001"}),
    ("small", "memory 0x13f00", 0x37, b"\x99", {"PAGE-BYTES-001"}),
    ("full", "memory 0x402000", 0xFFF, b"\x99", {"PAGE-BYTES-001"}),
]


@pytest.mark.parametrize(
    "mutant",
    MUTANTS,
    ids=[f"{name}-{piece}+{offset:#x}-{min(rules)}" for name, piece, offset, _, rules in MUTANTS],
)
def test_one_changed_field_fails_its_rule(
    mutant: tuple[str, str, int, bytes, set[str]], request: pytest.FixtureRequest
) -> None:
    name, piece, offset, data, rules = mutant
    made = request.getfixturevalue(name)
    at = made.at[piece] + offset
    changed = made.data[:at] + data + made.data[at + len(data) :]
    assert changed != made.data
    assert failing(judge(made, changed, strict=True)) == rules


# dump, piece, offset in it, bytes put there: bytes that writers leave (docs/format says so of each)
LEFT: list[tuple[str, str, int, bytes]] = [
    ("small", "stream 7", 0x37, ONE),
    ("small", "stream 15", 0x24, FOUR),
    ("small", "stream 15", 0x7E, b"X"),
    ("small", "stream 15", 0x2EE, b"X"),
    ("small", "stream 15", 0x33E, ONE),
    *(("small", "stream 6", at, FOUR) for at in (0x04, 0x24, 0x38, 0x98)),
    *(("full", "stream 16", 16 + at, FOUR) for at in (0x14, 0x2C)),
]


@pytest.mark.parametrize("case", LEFT, ids=[f"{name}-{piece}+{offset:#x}" for name, piece, offset, _ in LEFT])
def test_bytes_that_writers_leave_fail_no_rule_and_are_reported_as_such(
    case: tuple[str, str, int, bytes], request: pytest.FixtureRequest
) -> None:
    name, piece, offset, data = case
    made = request.getfixturevalue(name)
    at = made.at[piece] + offset
    changed = made.data[:at] + data + made.data[at + len(data) :]
    report = judge(made, changed, strict=True)
    assert failing(report) == set()
    assert any(item.span.start <= at < item.span.end for item in report.dont_cares)


def test_every_rule_has_a_mutant() -> None:
    """Rules that no single field of these two dumps can break have a test below."""
    tripped = set().union(*(rules for *_, rules in MUTANTS))
    ours = matching(*OURS) - matching(*APART)
    apart = {
        *("TRUE-REQUEST-001", "TRUE-THREAD-004", "TRUE-MODULE-007", "TRUE-HANDLE-004", "PAGE-REQUIRED-005"),
        "TRUE-LIST-001",
    }
    assert ours - tripped == apart


def test_a_dump_for_a_request_that_must_be_refused_fails(small: Any) -> None:
    refused = replace(small, request=replace(small.request, qualifier_value=1026, format_flags_value=0))
    assert failing(judge(refused)) == {"TRUE-REQUEST-001"}
    legacy = replace(small, request=replace(small.request, qualifier_value=1025, profile="legacy"))
    assert failing(judge(legacy)) == {"TRUE-REQUEST-001"}


def test_two_threads_in_the_wrong_order_fail_only_a_should_rule(small: Any) -> None:
    at = small.at["stream 3"] + 4
    swapped = small.data[:at] + small.data[at + 48 : at + 96] + small.data[at : at + 48] + small.data[at + 96 :]
    assert failing(judge(small, swapped)) == {"TRUE-THREAD-004"}
    assert "TRUE-THREAD-004" not in {result.rule for result in judge(small, swapped).failing()}


def test_two_modules_in_the_wrong_order_fail_only_a_should_rule(small: Any) -> None:
    at = small.at["stream 4"] + 4
    swapped = small.data[:at] + small.data[at + 108 : at + 216] + small.data[at : at + 108] + small.data[at + 216 :]
    assert failing(judge(small, swapped)) == {"TRUE-MODULE-007"}


def test_a_list_with_longer_entries_than_any_version_writes_is_refused(full: Any) -> None:
    data = bytearray(full.data)
    at = full.at["stream 14"]
    count = int.from_bytes(data[at + 8 : at + 12], "little")
    entry = data[at + 12 : at + 12 + 24 * count]
    data[at + 4 : at + 8] = pack("<I", 24 * count)  # one entry, as long as all of them
    data[at + 8 : at + 12] = pack("<I", 1)
    assert len(entry) == 24 * count
    assert "TRUE-LIST-001" in failing(judge(full, bytes(data)))


def test_object_information_of_another_type_of_object_is_refused(full: Any) -> None:
    at = full.at["stream 12"] + 16 + 0x20
    data = bytearray(full.data)
    place = full.at["memory 0x500000"]
    data[place : place + 12] = pack("<III", 0, 6, 0)
    data[at : at + 4] = pack("<I", place)
    assert "TRUE-HANDLE-004" in failing(judge(full, bytes(data)))


def test_memory_that_a_flag_adds_must_be_there(small: Any) -> None:
    asked = replace(small.request, format_flags_value=0x1000)
    report = judge(replace(small, request=asked))
    assert failing(report) == {"TRUE-FLAGS-001", "PAGE-REQUIRED-005"}


def test_unloaded_modules_may_be_in_any_order(full: Any) -> None:
    at = full.at["stream 14"] + 12
    swapped = full.data[:at] + full.data[at + 24 : at + 48] + full.data[at : at + 24] + full.data[at + 48 :]
    assert failing(judge(full, swapped)) == set()


def test_only_base_names_pass_where_paths_are_filtered(small: Any) -> None:
    asked = replace(small.request, format_flags_value=0x40)
    assert "TRUE-MODULE-003" in failing(judge(replace(small, request=asked)))


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Replayed(0xC0000005, 0x401200, (1, 0x10)), Verdict.PASS),
        (Replayed(0xC0000005, 0x401203, (1, 0x10)), Verdict.FAIL),
        (Replayed(0xC0000094, 0x401200, (1, 0x10)), Verdict.FAIL),
        (Replayed(0xC0000005, 0x401200, (0, 0x10)), Verdict.FAIL),
        (Replayed(None, None), Verdict.FAIL),
        (Replayed(None, None, error="no memory at 0x0"), Verdict.FAIL),
    ],
)
def test_a_replay_must_meet_the_same_exception(outcome: Replayed, verdict: Verdict, full: Any) -> None:
    seen: list[Dump] = []

    def replay(dump: Dump) -> Replayed:
        seen.append(dump)
        return outcome

    report = judge(full, replay=replay)
    assert {result.verdict for result in report.results if result.rule == "XCUT-REPLAY-001"} == {verdict}
    assert len(seen) == 1


def test_a_small_dump_is_not_replayed(small: Any) -> None:
    def replay(dump: Dump) -> Replayed:
        raise AssertionError("a small dump has no memory to run")

    report = judge(small, replay=replay)
    assert {result.verdict for result in report.results if result.rule == "XCUT-REPLAY-001"} == {Verdict.NOT_APPLICABLE}


def _unseen(made: Any, step: int) -> list[int]:
    """Offsets, one in ``step``, whose flipped byte leaves the dump conformant and is not declared as don't-care."""
    data = bytearray(made.data)
    unseen = []
    for at in range(0, len(data), step):
        data[at] ^= 0xFF
        report = judge(made, bytes(data))
        if report.outcome == "CONFORMANT" and not any(
            item.span.start <= at < item.span.end for item in report.dont_cares
        ):
            unseen.append(at)
        data[at] ^= 0xFF
    return unseen


def test_a_flipped_byte_does_not_go_unseen(small: Any) -> None:
    assert _unseen(small, 61) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "full"])
def test_no_flipped_byte_goes_unseen(name: str, request: pytest.FixtureRequest) -> None:
    assert _unseen(request.getfixturevalue(name), 1 if name == "small" else 5) == []
