"""Unions and differences of address ranges, against sets of addresses."""

from __future__ import annotations

import itertools

from dumptruth.emu.plan.ranges import merge, subtract
from hypothesis import given
from hypothesis import strategies as st

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def addresses(ranges: list[tuple[int, int]]) -> set[int]:
    return {address for start, end in ranges for address in range(start, end)}


@given(RANGES)
def test_a_union_has_the_same_addresses_in_ranges_that_never_touch(ranges: list[tuple[int, int]]) -> None:
    merged = merge(ranges)
    assert addresses(merged) == addresses(ranges)
    assert all(start < end for start, end in merged)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(merged))


@given(RANGES, RANGES)
def test_a_difference_has_the_addresses_of_the_first_that_the_second_lacks(
    ranges: list[tuple[int, int]], holes: list[tuple[int, int]]
) -> None:
    left = subtract(ranges, holes)
    assert addresses(left) == addresses(ranges) - addresses(holes)
    assert left == merge(left)
