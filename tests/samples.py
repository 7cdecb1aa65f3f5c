"""Selects test cases of a product so that every pair of values that occurs at all occurs in a case that always runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import pytest


def pairwise(cases: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
    """A small selection of cases, taken greedily, with every pair of values of two axes that any case has."""
    left = list(cases)
    pairs = [set(combinations(enumerate(case), 2)) for case in left]
    missing = set().union(*pairs)
    kept: list[Sequence[Any]] = []
    while missing:
        best = max(range(len(left)), key=lambda index: len(pairs[index] & missing))  # the first of equals
        kept.append(left[best])
        missing -= pairs[best]
    return kept


def with_the_rest_slow(cases: Iterable[Sequence[Any]], kept: Iterable[Sequence[Any]]) -> list[Any]:
    """Every case as a parameter; cases that are not ``kept`` have the mark ``slow``."""
    chosen = [tuple(case) for case in kept]
    return [pytest.param(*case, marks=() if tuple(case) in chosen else pytest.mark.slow) for case in cases]


def pairs_always(cases: Iterable[Sequence[Any]]) -> list[Any]:
    """Every case as a parameter; cases that ``pairwise`` does not select have the mark ``slow``."""
    every = list(cases)
    return with_the_rest_slow(every, pairwise(every))
