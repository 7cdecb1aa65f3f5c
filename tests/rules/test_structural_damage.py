"""Damaged minidumps with and without truth: cut at 200 lengths, and with hostile counts and offsets."""

from __future__ import annotations

import random
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Outcome, Report, Verdict, check, read_minidump


def judged(data: bytes, made: Any, own: bool) -> Report:
    report = check(ByteSource(data), made.truth, made.request) if own else check(ByteSource(data))
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    failed = {result.rule for result in report.results if result.verdict is Verdict.FAIL and result.counts}
    # A blocked rule names a rule that failed, so a conformant file has no unjudged part.
    assert {result.blocked_by for result in report.results if result.verdict is Verdict.BLOCKED} <= failed
    if report.kind == "minidump" and read_minidump(ByteSource(data)).defects:
        assert failed
    return report


@pytest.mark.parametrize("name", ["small", "full"])
def test_a_dump_cut_anywhere_is_never_conformant(name: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(name)
    lengths = sorted({*range(0, 64), *range(0, len(made.data), max(1, len(made.data) // 200)), len(made.data) - 1})
    for length in lengths:
        report = judged(made.data[:length], made, own=False)
        assert report.outcome is (Outcome.NOT_A_DUMP if length < 4 else Outcome.NON_CONFORMANT), length


@pytest.mark.parametrize("times", [40, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", ["small", "full"])
def test_hostile_words_anywhere_are_judged(name: str, own: bool, times: int, request: pytest.FixtureRequest) -> None:
    """A seeded sample: four bytes of all ones, of 0x7FFFFFFF, of zero or of the file's size, at any offset."""
    made = request.getfixturevalue(name)
    source = random.Random(20)
    size = len(made.data)
    words = [value.to_bytes(4, "little") for value in (0xFFFFFFFF, 0x7FFFFFFF, 0, size, size - 1, 1)]
    for _ in range(times):
        data = bytearray(made.data)
        for _ in range(source.choice((1, 1, 2, 8))):
            at = source.randrange(min(size - 4, 0x2000))
            data[at : at + 4] = source.choice(words)
        judged(bytes(data), made, own)
