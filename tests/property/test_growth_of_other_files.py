"""The work for one file grows with its lists, never with their square. Kernel dumps, full user dumps and cabinets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import pytest
from dumptruth.oracle import ByteSource, Outcome, check, describe
from dumptruth.oracle.diff.comparison import NotComparableError, compare
from dumptruth.oracle.report.file_regions import file_regions
from dumptruth.oracle.report.memory_map import memory_map
from dumptruth.oracle.report.subjects import subjects

from .growing_other_files import FILES

SMALL, LARGE = 120, 1200
MOST = 15
"""Times the work that a list of ten times the size may cost."""


def calls(work: Callable[[], object]) -> int:
    """How many calls ``work`` makes, those of C functions included: the same number on any machine."""
    made = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return made


def judged(data: bytes) -> None:
    assert check(ByteSource(data, "x")).outcome is not Outcome.INTERNAL_ERROR


def shown(data: bytes) -> None:
    """What ``identify``, ``map`` and the HTML report draw."""
    source = ByteSource(data, "x")
    describe(source)
    for subject in subjects(source):
        memory_map(subject.reading)
        sum(1 for _ in file_regions(subject.reading))


def compared(data: bytes) -> None:
    with suppress(NotComparableError):  # full user dumps
        compare(ByteSource(data, "a"), ByteSource(data, "b"))


@pytest.mark.parametrize("command", [judged, shown, compared])
@pytest.mark.parametrize("name", FILES)
def test_ten_times_the_entries_cost_at_most_fifteen_times_the_work(name: str, command: Callable[[bytes], None]) -> None:
    small, large = FILES[name](SMALL), FILES[name](LARGE)
    command(small)  # tables are loaded once
    before, after = calls(lambda: command(small)), calls(lambda: command(large))
    assert after <= MOST * before, f"{before} calls for {SMALL} entries, {after} for {LARGE}"
