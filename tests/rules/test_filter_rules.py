"""FILTER_MEMORY and FILTER_TRIAGE: which words of a hand-made stack a filter may and must replace."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Report, Verdict, check
from dumptruth.oracle.truth.load import parse_truth

from .hand_minidump import HandMade, More, dump, request
from .hand_target import MEMORY, TRUTH

STACK, END = 0x13F00, 0x14000
CODE, FRAME, HEAP, NUMBER, LEADING, HELD = 0x401010, 0x13F80, 0x20010, 0x1234567890, 0x20100, 0x20104
"""An address of an image, of a captured stack, of other memory, no address, that of a word that is ``CODE``, and
another address of memory that is in the dump.
"""
WORDS = (CODE, FRAME, HEAP, NUMBER, LEADING, HELD)
MEMORY_FILTER, TRIAGE = 0x20, 0x10000
HEADER = {MEMORY_FILTER: 0x8, TRIAGE: 0x100080, MEMORY_FILTER | TRIAGE: 0x100088}
GONE = 0xAAAAAAAAAAAAAAAA
KEPT = {
    MEMORY_FILTER: (CODE, FRAME, 0, 0, 0, 0),
    TRIAGE: (CODE, FRAME, GONE, GONE, LEADING, HELD),
    MEMORY_FILTER | TRIAGE: (CODE, FRAME, GONE, GONE, LEADING, HELD),
}
"""What dbghelp 6.12 leaves of ``WORDS`` for FILTER_MEMORY, and the engines for FILTER_TRIAGE."""


def filled(words: tuple[int, ...]) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words).ljust(END - STACK, b"\0")


def made(flags: int, contract: str = "documented", sp: int = STACK) -> tuple[HandMade, bytearray]:
    """A small dump with ``WORDS`` at the low end of the first stack, zeros elsewhere, and the filters of ``flags``."""
    document = copy.deepcopy(TRUTH)
    memory = bytearray(MEMORY)
    memory[STACK - 0x12000 : END - 0x12000] = filled(WORDS)
    memory[0x2000 + 0x1E00 : 0x2000 + 0x2000] = bytes(0x200)
    memory[0x2000 + 0x100 : 0x2000 + 0x108] = CODE.to_bytes(8, "little")
    document["threads"][0]["context"]["registers"]["Rsp"] = hex(sp)
    truth = parse_truth(document, bytes(memory))
    layout = dump(document, HEADER[flags], None, More(ranges=((LEADING, LEADING + 8),) if flags & TRIAGE else ()))
    data = bytearray(layout.data)
    for address, content in {STACK: filled(KEPT[flags]), 0x21E00: bytes(0x200)}.items():
        at = layout.at[f"memory {address:#x}"]
        data[at : at + len(content)] = content
    if flags & TRIAGE:
        at = layout.at[f"memory {LEADING:#x}"]
        data[at : at + 8] = CODE.to_bytes(8, "little")
    asked = replace(request(1024, flags, None), contract=contract)
    return HandMade(bytes(data), layout.at, truth, asked), data


def judge(case: Any, data: bytes) -> Report:
    return check(ByteSource(data), case.truth, case.request, select="PAGE-*")


def failing(report: Report) -> set[str]:
    assert not [result for result in report.results if result.verdict is Verdict.ERROR], report.reason
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


@pytest.mark.parametrize("flags", list(HEADER))
def test_a_filtered_dump_made_by_hand_breaks_no_rule_of_memory(flags: int) -> None:
    case, data = made(flags)
    report = judge(case, bytes(data))
    assert failing(report) == set()
    checked = {result.rule for result in report.results if result.checks}
    assert checked >= {"PAGE-FILTER-001", "PAGE-FILTER-002"}
    assert ("PAGE-FILTER-003" in checked) is bool(flags & TRIAGE)


@pytest.mark.parametrize(
    ("flags", "index", "value", "rules"),
    [
        (MEMORY_FILTER, 0, 0, {"PAGE-FILTER-002"}),
        (MEMORY_FILTER, 1, 0, {"PAGE-FILTER-002"}),
        (MEMORY_FILTER, 2, HEAP, set()),
        (MEMORY_FILTER, 3, NUMBER, set()),  # the engines keep every word
        (MEMORY_FILTER, 3, 1, {"PAGE-FILTER-001"}),
        (MEMORY_FILTER, 3, GONE, {"PAGE-FILTER-001"}),
        (MEMORY_FILTER, 9, 1, {"PAGE-FILTER-001"}),
        (TRIAGE, 0, GONE, {"PAGE-FILTER-002"}),
        (TRIAGE, 1, GONE, {"PAGE-FILTER-002"}),
        (TRIAGE, 4, GONE, {"PAGE-FILTER-002"}),
        (TRIAGE, 9, GONE, {"PAGE-FILTER-002"}),  # 0 survives, too
        (TRIAGE, 5, GONE, set()),  # only engine 15063 is known to keep it
        (TRIAGE, 2, HEAP, {"PAGE-FILTER-003"}),
        (TRIAGE, 3, NUMBER, {"PAGE-FILTER-003"}),
        (TRIAGE, 3, 0, {"PAGE-FILTER-001", "PAGE-FILTER-003"}),
        (MEMORY_FILTER | TRIAGE, 0, GONE, {"PAGE-FILTER-002"}),
        (MEMORY_FILTER | TRIAGE, 3, NUMBER, {"PAGE-FILTER-003"}),
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
    data[at : at + 8] = bytes([0xAA]) * 8
    assert failing(judge(case, bytes(data))) == {"PAGE-FILTER-001"}


def test_the_word_that_keeps_a_stack_word_is_demanded() -> None:
    case, data = made(TRIAGE)
    less = dump(TRUTH, HEADER[TRIAGE], None)
    lacking = bytearray(less.data)
    for address, size in ((STACK, END - STACK), (0x21E00, 0x200)):
        here, there = less.at[f"memory {address:#x}"], case.at[f"memory {address:#x}"]
        lacking[here : here + size] = data[there : there + size]
    held = less.at[f"memory {STACK:#x}"] + 8 * WORDS.index(HELD)
    lacking[held : held + 8] = GONE.to_bytes(8, "little")
    assert failing(judge(case, bytes(lacking))) == {"PAGE-REQUIRED-005"}


@pytest.mark.parametrize("contract", ["e15063", "e29507"])
def test_filter_memory_of_the_engines_changes_no_byte(contract: str) -> None:
    case, data = made(MEMORY_FILTER, contract)
    assert "PAGE-BYTES-001" in failing(judge(case, bytes(data)))
    at = case.at["memory 0x13f00"]
    data[at : at + END - STACK] = filled(WORDS)
    report = judge(case, bytes(data))
    assert not failing(report) & {"PAGE-BYTES-001", "PAGE-FILTER-001", "PAGE-FILTER-002", "PAGE-FILTER-003"}
    assert not any(result.checks for result in report.results if result.rule.startswith("PAGE-FILTER"))


def test_a_stack_whose_pointer_is_not_aligned_is_not_filtered_by_triage() -> None:
    case, data = made(TRIAGE, sp=STACK + 3)
    at = case.at["memory 0x13f00"]
    assert failing(judge(case, bytes(data))) >= {"PAGE-FILTER-001"}
    data[at : at + END - STACK] = filled(WORDS)
    assert not failing(judge(case, bytes(data))) & {"PAGE-FILTER-001", "PAGE-FILTER-002", "PAGE-FILTER-003"}


def test_stack_words_that_lie_in_another_range_may_stay_as_they_are() -> None:
    """Private memory holds the whole stack. Without that flag the words are filtered."""
    case, data = made(TRIAGE)
    at = case.at["memory 0x13f00"]
    data[at : at + END - STACK] = filled(WORDS)
    assert failing(judge(case, bytes(data))) == {"PAGE-FILTER-003"}
    private = HandMade(case.data, case.at, case.truth, request(1024, TRIAGE | 0x100, None))
    assert "PAGE-FILTER-003" not in failing(judge(private, bytes(data)))


def test_a_dump_without_filter_flags_is_compared_byte_by_byte() -> None:
    case, data = made(MEMORY_FILTER)
    unasked = HandMade(case.data, case.at, case.truth, request(1024, 0, None))
    assert failing(judge(unasked, bytes(data))) == {"PAGE-BYTES-001"}
