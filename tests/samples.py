"""Which cases of a whole product always run: enough of them that every two values that meet anywhere meet in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import pytest


def pairwise(cases: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
    """The fewest first cases, taken greedily, among which every pair of values of two axes is that is in any case."""
    left = list(cases)
    pairs = [set(combinations(enumerate(case), 2)) for case in left]
    missing = set().union(*pairs)
    kept: list[Sequence[Any]] = []
    while missing:
        best = max(range(len(left)), key=lambda index: len(pairs[index] & missing))  # of equals the first
        kept.append(left[best])
        missing -= pairs[best]
    return kept


def with_the_rest_slow(cases: Iterable[Sequence[Any]], kept: Iterable[Sequence[Any]]) -> list[Any]:
    """Every case as a parameter; those that are not ``kept`` are behind the mark ``slow``."""
    chosen = [tuple(case) for case in kept]
    return [pytest.param(*case, marks=() if tuple(case) in chosen else pytest.mark.slow) for case in cases]


def pairs_always(cases: Iterable[Sequence[Any]]) -> list[Any]:
    """Every case as a parameter; what ``pairwise`` does not take is behind the mark ``slow``."""
    every = list(cases)
    return with_the_rest_slow(every, pairwise(every))
