"""Habits of other writers do not fail a dump that is judged without truth, and each is reported."""

from __future__ import annotations

from struct import pack

import pytest
from dumptruth.fixtures.habits import all_habits
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.mutants.surgery import Surgery, put
from dumptruth.oracle import ByteSource, Outcome, Report, Verdict, check, read_minidump

HABITS = {name: it for name, it in all_habits().items() if not it.base.kernel}
SMALL = pristine(BaseDump.SMALL)
HEAD, DIRECTORY, SYSTEM, THREADS, CONTEXT = 32, 36, 56, 52, 368


def failed(report: Report, *, counted: bool) -> set[str]:
    return {it.rule for it in report.results if it.verdict is Verdict.FAIL and it.counts is counted}


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_of_another_writer_fails_no_minidump(name: str) -> None:
    report = check(ByteSource(HABITS[name].data()))
    assert failed(report, counted=True) == set()
    assert report.outcome is Outcome.CONFORMANT, report.reason


@pytest.mark.parametrize("name", [name for name, it in HABITS.items() if it.own])
def test_a_dump_judged_against_truth_may_have_a_habit_that_the_truth_allows(name: str) -> None:
    report = check(ByteSource(HABITS[name].data()), SMALL.truth, SMALL.asked)
    assert failed(report, counted=True) == set()
    assert report.outcome is Outcome.CONFORMANT, report.reason
    assert report.unclaimed == 0


@pytest.mark.parametrize("name", [name for name, it in HABITS.items() if not it.own])
def test_a_dump_judged_against_truth_may_not_have_the_habit(name: str) -> None:
    report = check(ByteSource(HABITS[name].data()), SMALL.truth, SMALL.asked)
    assert report.outcome is Outcome.NON_CONFORMANT, report.reason
    assert HABITS[name].reason


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_is_reported_without_truth_by_its_rules_alone(name: str) -> None:
    assert failed(check(ByteSource(HABITS[name].data())), counted=False) == set(HABITS[name].warns)


def test_a_living_thread_whose_context_has_a_size_and_no_place_is_damage() -> None:
    report = check(ByteSource(put(SMALL, "ThreadList.Threads[1]", "ThreadContext.Rva", 0)))
    assert failed(report, counted=True) == {"MDMP-THREAD-003"}


def test_modules_that_overlap_are_damage_but_on_android() -> None:
    data = HABITS["small/modules-that-overlap-on-android"].data()
    windows = Surgery(SMALL).put("SystemInfo", "PlatformId", 2)
    at = windows.layout.field("SystemInfo", "PlatformId")[0]
    report = check(ByteSource(data[:at] + (2).to_bytes(4, "little") + data[at + 4 :]))
    assert failed(report, counted=True) == {"MDMP-MODULE-002"}


def of_arm(context: bytes) -> bytes:
    """A minidump of one thread of a 32-bit ARM on Linux, with the streams that Breakpad's reader needs."""
    system, threads = HEAD + DIRECTORY, HEAD + DIRECTORY + SYSTEM
    name, registers = threads + THREADS, threads + THREADS + 6
    data = pack("<4sIIIIIQ", b"MDMP", 0xA793, 3, HEAD, 0, 0, 0)
    data += pack("<III", 7, SYSTEM, system) + pack("<III", 3, THREADS, threads) + bytes(12)
    data += pack("<HHHBBIIIIIHH24x", 5, 7, 0, 4, 0, 3, 0, 0, 0x8201, name, 0, 0)
    data += pack("<IIIIIQQIIII", 1, 77, 0, 0, 0, 0, 0, 0, 0, len(context), registers)
    return data + bytes(6) + context


def test_the_context_that_breakpad_stores_of_an_arm_is_read_as_such() -> None:
    registers = [0x1000 + index for index in range(16)]
    context = pack("<I16I", 0x40000006, *registers).ljust(CONTEXT, b"\0")
    data = of_arm(context)
    assert check(ByteSource(data)).outcome is Outcome.CONFORMANT
    (thread,) = read_minidump(ByteSource(data)).threads
    assert thread.context is not None
    assert (thread.context.sp, thread.context.ip) == (0x100D, 0x100F)


@pytest.mark.parametrize(
    ("context", "rule"),
    [
        (pack("<I", 0x40000006).ljust(CONTEXT - 8, b"\0"), "MDMP-THREAD-004"),
        (pack("<I", 0x200007).ljust(CONTEXT, b"\0"), "MDMP-THREAD-005"),
        (pack("<I", 0x40000006).ljust(416, b"\0"), "MDMP-THREAD-005"),
    ],
)
def test_an_arm_context_of_neither_layout_is_damage(context: bytes, rule: str) -> None:
    assert failed(check(ByteSource(of_arm(context))), counted=True) == {rule}
