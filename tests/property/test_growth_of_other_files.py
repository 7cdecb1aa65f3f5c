"""The work for one file grows with its lists, never with their square. Kernel dumps, full user dumps and cabinets.

The slow test prints the slopes: ``pytest -m slow -s tests/property/test_growth_of_other_files.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .growing_other_files import FILES
from .growth import calls, compared, described, drawn, judged, steep

SMALL, LARGE = 120, 1200
MOST = 15
"""Times the work that a list of ten times the size may cost."""


@pytest.mark.parametrize("command", [judged, described, drawn, compared])
@pytest.mark.parametrize("name", FILES)
def test_ten_times_the_entries_cost_at_most_fifteen_times_the_work(name: str, command: Callable[[bytes], None]) -> None:
    small, large = FILES[name](SMALL), FILES[name](LARGE)
    command(small)  # tables are loaded once
    before, after = calls(lambda: command(small)), calls(lambda: command(large))
    assert after <= MOST * before, f"{before} calls for {SMALL} entries, {after} for {LARGE}"


@pytest.mark.slow
def test_slopes_from_once_to_a_hundred_times_are_at_most_1_2(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        found = steep(FILES)
    assert not found
