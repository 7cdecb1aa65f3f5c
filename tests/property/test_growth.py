"""The judge's work grows no faster than the file: each list of a minidump grows tenfold, the cost at most fifteenfold.

The slow test prints the slope of each list from 1x to 100x: ``pytest -m slow -s tests/property/test_growth.py``.
"""

from __future__ import annotations

import gc
import time
from math import log

import pytest
from dumptruth.oracle import ByteSource, Outcome, check, describe

from .growing_lists import LISTS, minidump

SMALL, LARGE, LARGEST = 150, 1500, 15_000
MOST = 15
"""How many times the cost may grow if a list grows tenfold."""
STEEPEST = 1.2
"""The exponent of growth: 1 is linear."""
FLOOR = 0.02
"""Seconds. A smaller cost is taken as this: it is noise."""


def cost(data: bytes, times: int = 2) -> float:
    """The processor seconds of ``check`` and ``describe``, the best of ``times``."""
    found = []
    for _ in range(times):
        gc.collect()
        start = time.process_time()
        report = check(ByteSource(data, "x.dmp"))
        describe(ByteSource(data, "x.dmp"))
        found.append(time.process_time() - start)
        assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    return max(min(found), FLOOR)


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    cost(minidump([]))


@pytest.mark.parametrize("name", LISTS)
def test_a_list_ten_times_as_long_costs_at_most_fifteen_times_as_much(name: str) -> None:
    before, after = cost(LISTS[name](SMALL)), cost(LISTS[name](LARGE), 1)
    assert after <= MOST * before, f"{name}: {after / before:.1f} times"


@pytest.mark.slow
def test_slopes_from_once_to_a_hundred_times_are_at_most_1_2(capsys: pytest.CaptureFixture[str]) -> None:
    slopes = {name: log(cost(build(LARGEST), 1) / cost(build(SMALL)), LARGEST / SMALL) for name, build in LISTS.items()}
    with capsys.disabled():
        print()
        for name, slope in slopes.items():
            print(f"{slope:5.2f}  {name}")
    assert max(slopes.values()) <= STEEPEST
