"""Measures two or more pieces of work in turns. The fastest turn of each counts, so other load slows all of them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

Clock = Callable[[], float]


def of_children() -> float:
    """The processor time of the processes that have ended. Windows does not tell it: the host time."""
    used = os.times()
    return time.perf_counter() if sys.platform == "win32" else used.children_user + used.children_system


def seconds(work: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Time of one call; by default that of the host."""
    start = clock()
    work()
    return clock() - start


def fastest(*works: Callable[[], object], rounds: int, clock: Clock = time.perf_counter) -> tuple[float, ...]:
    """The fastest of ``rounds`` turns of each, in seconds."""
    turns = [[seconds(work, clock) for work in works] for _ in range(rounds)]
    return tuple(min(times) for times in zip(*turns, strict=True))
