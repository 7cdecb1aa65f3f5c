"""What a growing file costs the commands: in calls, which are the same on any machine, or in processor seconds."""

from __future__ import annotations

import gc
import io
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import log
from types import FrameType
from typing import Final

from dumptruth.fixtures.app.reporting.page import html_report
from dumptruth.fixtures.app.reporting.terminal import print_maps
from dumptruth.oracle import ByteSource, Outcome, check, describe
from dumptruth.oracle.diff.comparison import NotComparableError, compare
from dumptruth.oracle.report.memory_map import memory_map
from dumptruth.oracle.report.subjects import subjects
from rich.console import Console

FLOOR: Final = 0.004
"""Seconds. A smaller cost is taken as this: it is noise."""
FEWEST: Final = 80
"""Entries of a list that grows a hundredfold. The budget of work grants the hundredfold list."""
STEEPEST: Final = 1.2
"""The exponent of growth: 1 is linear."""


def judged(data: bytes) -> None:
    """``check``."""
    assert check(ByteSource(data, "x")).outcome is not Outcome.INTERNAL_ERROR


def described(data: bytes) -> None:
    """``identify``."""
    describe(ByteSource(data, "x"))


def drawn(data: bytes) -> None:
    """``map``."""
    found = subjects(ByteSource(data, "x"))
    if found:
        print_maps(Console(file=io.StringIO(), width=120), found, memory_map(found[-1].reading))


def compared(data: bytes) -> None:
    """``diff`` of the file with itself."""
    with suppress(NotComparableError):  # full user dumps
        compare(ByteSource(data, "a"), ByteSource(data, "b"))


def page(data: bytes) -> None:
    """``check --report html``."""
    source = ByteSource(data, "x")
    html_report(check(source), source)


COMMANDS: Final[dict[str, Callable[[bytes], None]]] = {
    "check": judged, "identify": described, "map": drawn, "diff": compared, "html": page,
}  # fmt: skip


def calls(work: Callable[[], object]) -> int:
    """How many calls ``work`` makes, those of C functions included."""
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


def seconds(work: Callable[[], object], times: int) -> float:
    """The processor seconds of ``work``, the best of ``times``."""
    found = []
    for _ in range(times):
        gc.collect()
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return max(min(found), FLOOR)


def slope(build: Callable[[int], bytes], command: Callable[[bytes], None]) -> float:
    """The exponent with which the cost grows from once to a hundred times ``FEWEST`` entries."""
    small, large = build(FEWEST), build(100 * FEWEST)
    before, after = seconds(lambda: command(small), 3), seconds(lambda: command(large), 2)
    return log(after / before, 100)


def steep(builders: Mapping[str, Callable[[int], bytes]]) -> list[str]:
    """Prints the slopes of all commands, a line for each list. Returns those that are too steep."""
    for command in COMMANDS.values():
        command(next(iter(builders.values()))(FEWEST))  # tables and templates are loaded once
    print("\n" + "".join(f"{name:>9}" for name in COMMANDS))
    found = []
    for name, build in builders.items():
        slopes = {command: slope(build, work) for command, work in COMMANDS.items()}
        print(_row(slopes.values()), name, flush=True)
        found += [f"{command} of {name}: {value:.2f}" for command, value in slopes.items() if value > STEEPEST]
    return found


def _row(values: Iterable[float]) -> str:
    return "".join(f"{value:9.2f}" for value in values) + " "
