"""Ranges of integers against sets of small integers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from dumptruth.oracle.memory.intervals import (
    Range,
    RangeSet,
    holding,
    inside,
    joined,
    minus,
    outside,
    union,
)
from hypothesis import given
from hypothesis import strategies as st

TOP = 80
number = st.integers(0, TOP)
any_ranges = st.lists(st.tuples(number, st.integers(-3, 12)).map(lambda item: (item[0], sum(item))), max_size=30)
"""Unsorted, overlapping, empty and reversed ones among them."""


def numbers(ranges: list[Range]) -> set[int]:
    return {number for start, end in ranges for number in range(start, end)}


def is_sorted_and_apart(ranges: list[Range]) -> bool:
    return all(start < end for start, end in ranges) and all(one[1] < two[0] for one, two in pairwise(ranges))


@given(any_ranges)
def test_a_union_holds_the_same_numbers_in_ranges_that_never_touch(ranges: list[Range]) -> None:
    found = union(iter(ranges))
    assert numbers(found) == numbers(ranges)
    assert is_sorted_and_apart(found)
    assert union(found) == found


@given(any_ranges)
def test_joined_ranges_hold_the_same_numbers(ranges: list[Range]) -> None:
    ascending = sorted(item for item in ranges if item[0] <= item[1])
    found = list(joined(ascending))
    assert numbers(found) == numbers(ranges)
    assert all(one[1] < two[0] for one, two in pairwise(found))


def test_joining_is_lazy_and_keeps_an_empty_range_that_touches_nothing() -> None:
    def endless() -> Iterator[Range]:
        yield from [(0, 4), (4, 6), (9, 9), (12, 13)]
        raise AssertionError("read too far")

    found = joined(endless())
    assert [next(found), next(found)] == [(0, 6), (9, 9)]
    assert list(joined([])) == []


@given(any_ranges, any_ranges)
def test_a_difference_has_the_numbers_of_the_first_that_the_second_lacks(one: list[Range], two: list[Range]) -> None:
    first, second = union(one), union(two)
    found = list(minus(first, second))
    assert numbers(found) == numbers(one) - numbers(two)
    assert is_sorted_and_apart(found)
    assert list(minus(iter(first), tuple(second))) == found


@given(any_ranges, st.lists(number, min_size=2, max_size=6, unique=True))
def test_ranges_that_touch_are_subtracted_from_one_by_one(others: list[Range], edges: list[int]) -> None:
    edges.sort()
    pieces = list(pairwise(edges))
    assert numbers(list(minus(pieces, union(others)))) == numbers(pieces) - numbers(others)


def test_ranges_far_apart_are_skipped_without_a_loss() -> None:
    """More ranges between two others than a single step passes over."""
    many = [(10 * index, 10 * index + 5) for index in range(1000)]
    few = [(3, 12), (40, 60), (4995, 5010), (9990, 20000)]
    assert numbers(list(minus(few, many))) == numbers(few) - numbers(many)
    assert numbers(list(minus(many, few))) == numbers(many) - numbers(few)


@given(any_ranges, number, number)
def test_the_inside_and_the_outside_parts_make_up_the_whole(ranges: list[Range], start: int, end: int) -> None:
    held, asked = numbers(ranges), set(range(start, end))
    there, missing = list(inside(union(ranges), start, end)), list(outside(union(ranges), start, end))
    assert numbers(there) == held & asked
    assert numbers(missing) == asked - held
    assert is_sorted_and_apart(there)
    assert is_sorted_and_apart(missing)


@given(any_ranges, number)
def test_the_range_of_a_number_is_found_and_a_set_knows_its_members(ranges: list[Range], wanted: int) -> None:
    sorted_ranges, members = union(ranges), RangeSet(ranges)
    assert members.runs == sorted_ranges
    assert (wanted in members) == (wanted in numbers(ranges))
    assert holding(sorted_ranges, wanted) == next((item for item in sorted_ranges if wanted in range(*item)), None)


@given(any_ranges, number, st.integers(1, 20))
def test_a_set_covers_a_range_when_it_holds_all_of_it(ranges: list[Range], start: int, size: int) -> None:
    asked = set(range(start, start + size))
    assert RangeSet(ranges).covers(start, start + size) == (asked <= numbers(ranges))


@pytest.mark.parametrize("base", [0, 1 << 52, 1 << 64])
def test_numbers_of_any_size_are_compared_exactly(base: int) -> None:
    ranges = [(base, base + 1), (base + 3, base + (1 << 63))]
    assert holding(ranges, base + 1) is None
    assert holding(ranges, base + 3) == ranges[1]
    assert list(outside(ranges, base, base + 5)) == [(base + 1, base + 3)]
    assert RangeSet(ranges).covers(base + 3, base + (1 << 63))
    assert not RangeSet(ranges).covers(base + 3, base + (1 << 63) + 1)
