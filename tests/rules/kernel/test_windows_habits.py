"""Habits of small dumps of Windows do not fail a dump that is judged without truth."""

from __future__ import annotations

import pytest
from dumptruth.fixtures.habits import all_habits
from dumptruth.fixtures.mutants.kernel_pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.mutants.surgery import Surgery, get
from dumptruth.oracle import ByteSource, Level, Outcome, Verdict, check

A = BaseDump.KERNEL_SMALL_A
HABITS = {name: it for name, it in all_habits().items() if it.base.kernel}


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_of_windows_fails_no_small_dump(name: str) -> None:
    sound(HABITS[name].data())


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_is_reported_by_its_rules_alone(name: str) -> None:
    report = check(ByteSource(HABITS[name].data()))
    assert {it.rule for it in report.results if it.verdict is Verdict.FAIL} == set(HABITS[name].warns)


@pytest.mark.parametrize("name", HABITS)
def test_every_habit_is_another_file_and_says_what_windows_does(name: str) -> None:
    assert HABITS[name].data() != pristine(HABITS[name].base).data
    assert HABITS[name].reason


def sound(data: bytes) -> None:
    report = check(ByteSource(data))
    failed = [
        (result.rule, result.findings[:1])
        for result in report.results
        if result.verdict is Verdict.FAIL and result.level is Level.MUST
    ]
    assert failed == []
    assert report.outcome is Outcome.CONFORMANT, report.reason


def test_a_small_dump_of_arm64_is_judged_by_its_own_context() -> None:
    """Values of build 22000: machine 0xAA64, a CONTEXT of 0x390 bytes, KdSecondaryVersion 0.

    See docs/format/kernel-other-architectures.md#small-dumps-of-arm64.
    """
    case = pristine(A)
    edit = Surgery(case)
    sp, pc = (get(case, "Header", f"ContextRecord.{name}") for name in ("Rsp", "Rip"))
    context = bytearray(0x390)
    context[0:4] = (0x400007).to_bytes(4, "little")
    context[0x100:0x110] = sp.to_bytes(8, "little") + pc.to_bytes(8, "little")
    for name, value in {"MachineImageType": 0xAA64, "MinorVersion": 22000, "KdSecondaryVersion": 0}.items():
        edit.put("Header", name, value)
    at = case.layout.entry("Header").offset + 0x348
    data = bytearray(edit.data)
    data[at : at + 0xBB8] = bytes(context).ljust(0xBB8, b"\0")
    for index in range(get(case, "TriageHeader", "DataBlocksCount")):
        start = case.layout.entry(f"DataBlocks[{index}].Data").offset
        if case.data[start + 0x98 : start + 0xA0] == sp.to_bytes(8, "little"):  # KPRCB.Context
            data[start : start + 0x390] = context
    report = check(ByteSource(bytes(data)))
    assert report.kind == "kernel-dump"
    failed = [
        (result.rule, result.findings[:2])
        for result in report.results
        if result.verdict is Verdict.FAIL and result.level is Level.MUST
    ]
    assert failed == []
