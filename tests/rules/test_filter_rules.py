"""FILTER_MEMORY and FILTER_TRIAGE: which words of a hand-made stack may be zeroed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Report, Verdict, check
from dumptruth.oracle.truth.load import parse_truth

from .hand_minidump import HandMade, dump, request
from .hand_target import MEMORY, TRUTH

STACK, END = 0x13F00, 0x14000
CODE, FRAME, HEAP, NUMBER, UNLISTED = 0x401010, 0x13F80, 0x20010, 0x1234567890, 0x401A00
WORDS = (CODE, FRAME, HEAP, NUMBER, UNLISTED)
MEMORY_FILTER, TRIAGE = 0x20, 0x10000
HEADER = {MEMORY_FILTER: 0x8, TRIAGE: 0x100000, MEMORY_FILTER | TRIAGE: 0x100008}
# The words that survive a filter which zeroes no more than it must.
KEPT = {
    MEMORY_FILTER: (CODE, FRAME, HEAP, 0, UNLISTED),
    TRIAGE: (CODE, FRAME, 0, 0, 0),
    MEMORY_FILTER | TRIAGE: (CODE, FRAME, 0, 0, 0),
}


def filled(words: tuple[int, ...]) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words).ljust(END - STACK, b"\0")


def made(flags: int) -> tuple[Any, bytearray]:
    """A small dump with ``WORDS`` at the low end of the first stack, zeros elsewhere, and the filters of ``flags``."""
    memory = bytearray(MEMORY)
    memory[STACK - 0x12000 : END - 0x12000] = filled(WORDS)
    memory[0x2000 + 0x1E00 : 0x2000 + 0x2000] = bytes(0x200)
    truth = parse_truth(copy.deepcopy(TRUTH), bytes(memory))
    layout = dump(TRUTH, HEADER[flags], None)
    data = bytearray(layout.data)
    at = layout.at["memory 0x13f00"]
    data[at : at + END - STACK] = filled(KEPT[flags])
    at = layout.at["memory 0x21e00"]
    data[at : at + 0x200] = bytes(0x200)
    return HandMade(bytes(data), layout.at, truth, request(1024, flags, None)), data


def judge(case: Any, data: bytes) -> Report:
    return check(ByteSource(data), case.truth, case.request)


def failing(report: Report) -> set[str]:
    assert not [result for result in report.results if result.verdict is Verdict.ERROR], report.reason
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


@pytest.mark.parametrize("flags", list(HEADER))
def test_a_filtered_dump_made_by_hand_is_conformant(flags: int) -> None:
    case, data = made(flags)
    report = judge(case, bytes(data))
    assert failing(report) == set()
    checked = {result.rule for result in report.results if result.checks}
    assert checked >= {"PAGE-FILTER-001", "PAGE-FILTER-002", "PAGE-FILTER-003"}


@pytest.mark.parametrize(
    ("flags", "index", "value", "rules"),
    [
        (MEMORY_FILTER, 0, 0, {"PAGE-FILTER-002"}),
        (MEMORY_FILTER, 1, 0, {"PAGE-FILTER-002"}),
        (MEMORY_FILTER, 2, 0, set()),  # an address of memory; no document says whether a stack walk needs it
        (MEMORY_FILTER, 3, NUMBER, {"PAGE-FILTER-003"}),
        (MEMORY_FILTER, 3, 1, {"PAGE-FILTER-001", "PAGE-FILTER-003"}),
        (MEMORY_FILTER, 2, HEAP + 1, {"PAGE-FILTER-001"}),
        (MEMORY_FILTER, 9, 1, {"PAGE-FILTER-001"}),
        (TRIAGE, 1, 0, {"PAGE-FILTER-002"}),
        (TRIAGE, 2, HEAP, {"PAGE-FILTER-003"}),
        (TRIAGE, 4, UNLISTED, {"PAGE-FILTER-003"}),
        (MEMORY_FILTER | TRIAGE, 0, 0, {"PAGE-FILTER-002"}),
        (MEMORY_FILTER | TRIAGE, 4, UNLISTED, {"PAGE-FILTER-003"}),
    ],
)
def test_each_word_of_a_filtered_stack_is_judged_by_the_filter_rules(
    flags: int, index: int, value: int, rules: set[str]
) -> None:
    case, data = made(flags)
    at = case.at["memory 0x13f00"] + 8 * index
    data[at : at + 8] = value.to_bytes(8, "little")
    assert failing(judge(case, bytes(data))) == rules


@pytest.mark.parametrize("flags", list(HEADER))
def test_code_is_never_filtered(flags: int) -> None:
    case, data = made(flags)
    at = case.at["memory 0x401180"] + 0x40
    data[at : at + 8] = bytes(8)
    assert failing(judge(case, bytes(data))) == {"PAGE-FILTER-001"}


def test_a_dump_without_filter_flags_is_compared_byte_by_byte() -> None:
    case, data = made(MEMORY_FILTER)
    unasked = HandMade(case.data, case.at, case.truth, request(1024, 0, None))
    assert failing(judge(unasked, bytes(data))) == {"PAGE-BYTES-001", "TRUE-FLAGS-001"}
