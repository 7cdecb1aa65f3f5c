"""The work for a minidump grows no faster than the file: each list grows tenfold, the cost at most fifteenfold.

The slow test prints the slopes of each list from 1x to 100x: ``pytest -m slow -s tests/property/test_growth.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .growing_lists import LISTS, minidump
from .growth import calls, compared, described, drawn, judged, seconds, steep

SMALL, LARGE = 150, 1500
MOST = 15
"""How many times the cost may grow if a list grows tenfold."""
NOISE = 0.02
"""Seconds. A smaller cost is taken as this."""


def both(data: bytes) -> None:
    judged(data)
    described(data)


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    both(minidump([]))


@pytest.mark.parametrize("name", LISTS)
def test_a_list_ten_times_as_long_costs_at_most_fifteen_times_as_much(name: str) -> None:
    small, large = LISTS[name](SMALL), LISTS[name](LARGE)
    before, after = max(seconds(lambda: both(small), 2), NOISE), seconds(lambda: both(large), 1)
    assert after <= MOST * before, f"{name}: {after / before:.1f} times"


@pytest.mark.parametrize("command", [drawn, compared])
@pytest.mark.parametrize("name", LISTS)
def test_maps_and_comparisons_make_at_most_fifteen_times_the_calls(name: str, command: Callable[[bytes], None]) -> None:
    small, large = LISTS[name](SMALL), LISTS[name](LARGE)
    command(small)  # tables are loaded once
    before, after = calls(lambda: command(small)), calls(lambda: command(large))
    assert after <= MOST * before, f"{name}: {after / before:.1f} times"


@pytest.mark.slow
def test_slopes_from_once_to_a_hundred_times_are_at_most_1_2(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        found = steep(LISTS)
    assert not found
