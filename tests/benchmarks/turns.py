"""Measures two or more pieces of work in turns. The fastest turn of each counts, so other load slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Host time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fastest(*works: Callable[[], object], rounds: int) -> tuple[float, ...]:
    """The fastest of ``rounds`` turns of each, in seconds."""
    turns = [[seconds(work) for work in works] for _ in range(rounds)]
    return tuple(min(times) for times in zip(*turns, strict=True))
